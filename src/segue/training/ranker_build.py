"""Making a language ranker for one log, and refusing what none could learn from it."""

from __future__ import annotations

import numpy as np
import polars as pl

from segue.data.dataset import Dataset
from segue.data.vocabulary import Vocabulary
from segue.errors import AnswerRefused, LanguageModelUnsuited
from segue.language.classifier import TextClassifier
from segue.language.prompts import TEMPLATES, Prompts, cut_to_words
from segue.language.text import item_texts
from segue.language.tuning import tuned
from segue.training.ranker_plan import RankerPlan
from segue.training.ranker_task import Ranker


def refuse_what_cannot_be_learnt(plan: RankerPlan, data: Dataset) -> None:
    """Raise ``AnswerRefused`` where the log lacks what is to be answered."""

    def refuse(reason: str, advice: str) -> AnswerRefused:
        return AnswerRefused(answer=plan.answer, reason=reason, advice=advice)

    values = data.histories.values
    if plan.answer == "rating" and (values is None or np.isnan(values).all()):
        raise refuse("the log has no ratings", "Give a column value, or ask for answer='next'.")
    if plan.target is None:
        return
    if plan.target not in data.action_names:
        known = ", ".join(data.action_names) or "none"
        raise refuse(
            f"the log has no action {plan.target!r}; it has {known}", "Give a column action, or another target."
        )
    if plan.answer == "action" and len(data.action_names) == 1:
        raise refuse(f"all that the log has is {plan.target!r}", "Ask for answer='next'.")


def build_ranker(
    plan: RankerPlan,
    items: pl.DataFrame | None,
    vocabulary: Vocabulary,
    action_names: tuple[str, ...],
    clocked: bool,
    examples: int = 0,
) -> Ranker:
    """A language model that has learnt nothing yet; what is added to it is drawn from torch's generator.

    Args:
        clocked: whether timestamps are a time, so that gaps are told.
        examples: there are to learn from, which AdaLoRA has to know.

    Raises:
        AnswerRefused: the catalogue has no text.
        LanguageModelUnknown, LanguageModelBroken, LanguageModelUnsuited, TuningUnsuitable, FeatureUnknown.
    """
    titles = told_titles(plan, items, vocabulary)
    classifier = TextClassifier(plan.model, plan.max_tokens)
    if plan.tuning == "none" and not classifier.knows_yes:
        reason = "its tokenizer has no words for yes and no, and untuned it could answer nothing"
        raise LanguageModelUnsuited(name=plan.model, reason=reason)
    batches = -(-min(plan.examples, examples) // plan.batch_size)
    steps = plan.epochs * max(1, batches // plan.gradient_accumulation_steps)
    tuning = tuned(classifier.backbone, plan.tuned_by, steps=steps)
    prompts = Prompts(titles, action_names, clocked, valued=plan.answer == "rating")
    name = plan.template if plan.template != "auto" else "question" if classifier.causal else "plain"
    return Ranker(classifier, tuning, prompts, TEMPLATES[name], plan.events, plan.bf16)


def told_titles(plan: RankerPlan, items: pl.DataFrame | None, vocabulary: Vocabulary) -> list[str]:
    """What each item is called, by its code; its id where it has no text."""
    texts = [cut_to_words(text, plan.title_words) for text in item_texts(items, vocabulary, plan.columns)]
    if plan.untitled == "refuse" and not any(texts):
        advice = "Give a catalogue with titles, or set untitled='id'."
        raise AnswerRefused(answer=plan.answer, reason="the catalogue has no text", advice=advice)
    ids = ["", *map(str, vocabulary.ids.to_list())]
    return [text or cut_to_words(name, plan.title_words) for text, name in zip(texts, ids, strict=True)]
