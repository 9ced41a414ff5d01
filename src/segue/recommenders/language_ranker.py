"""``LanguageRanker``: a language model that reads histories and items as text, and re-ranks what another recommends.

How text is told is in ``language.prompts``, what reads it in ``language.classifier``, how that is trained in
``training.ranker_fit``, and what its answers weigh beside the base's score in ``ranker_weights``. What single
answers are worth is measured by ``evaluation.answers``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from segue import artefacts, progress
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.questions import Questions, of_holdout, of_training
from segue.data.split import Holdout
from segue.errors import LanguageModelChanged
from segue.language.noise import neighbours
from segue.patterns.evidence import PairEvidence
from segue.recommenders import asking
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth
from segue.recommenders.patterns import PatternRecommender
from segue.recommenders.ranker_candidates import above_others, best_of, joined
from segue.recommenders.ranker_weights import SIGNALS, Weights, known_of_items
from segue.recommenders.running import base_run, run_options, within
from segue.recommenders.spec import Spec
from segue.recommenders.stages import inner_validation
from segue.recommenders.store import recommender_class
from segue.training.fit import RunOptions
from segue.training.ranker_build import build_ranker, refuse_what_cannot_be_learnt, told_titles
from segue.training.ranker_fit import RankerData, fit_ranker, refit, rescaled, scale_of
from segue.training.ranker_plan import RankerPlan
from segue.training.ranker_task import Ranker

_FEW = 20  # answers from which nothing is learnt yet
_LISTS = 300  # validation lists from which the re-ranking's weights are learnt
_HARD = 50  # best items of the base from which hard negatives are drawn


class Base(Spec):
    """The recommender whose list is re-ranked."""

    refused: ClassVar[dict[str, str]] = {"LanguageRanker": "a language ranker is no base of another"}


class LanguageRankerConfig(RankerPlan):
    """Settings of :class:`LanguageRanker`."""

    base: Base = Field(default_factory=Base)
    """The recommender whose list is re-ranked: its class, or a mapping with its settings."""
    candidates: int = Field(50, ge=1)
    """How many of its best are re-ranked."""
    pattern_candidates: int = Field(0, ge=0)
    """How many of the best of a ``PatternRecommender`` are re-ranked with them, where they are not among them."""


class LanguageRanker(Recommender):
    """A BERT- or GPT-like model that answers whether an item comes next (is bought, how it is rated).

    The history is told by a template (titles, actions, gaps in words), each candidate after it, and a head answers. The
    first ``candidates`` of the base are re-ranked by a weighted sum of that answer, the base's score, the item's
    log-popularity and its freshness; :meth:`predict` gives probabilities or ratings of any items. The weights are
    learnt on the validation events, by a model that has not learnt from them. Re-ranking and probabilities have weights
    of their own: a probability is against items drawn by popularity, an order is among the base's best.

    A ranker of ratings orders the candidates by the rating alone.

    Args:
        settings: see :class:`LanguageRankerConfig` and :class:`segue.training.ranker_plan.RankerPlan`.

    Attributes:
        base: the fitted recommender beneath.
        ranker: the language model with its prompts.
        weights: of its answers beside the base's score.
        habits: where further candidates come from; None without.
    """

    Settings = LanguageRankerConfig
    base: Recommender
    ranker: Ranker
    weights: Weights
    habits: PatternRecommender | None = None
    _scale: tuple[float, float, float, float]  # of ratings: mean, deviation, lowest, highest

    @property
    def target(self) -> str | None:
        """The kind of action of the setting ``target``, where it says what comes next."""
        target: str | None = self.config.target if self.config.answer == "next" else None
        return target

    # -- learning ----------------------------------------------------------------------------------------------

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        plan: LanguageRankerConfig = self.config
        options = run_options(run)
        refuse_what_cannot_be_learnt(plan, data)
        given = validation
        if validation is None:
            data, validation = inner_validation(data, self.target)
        self.ranker = self._build(len(data.histories.items))
        self._count_evidence(data.histories)
        questions = of_training(data, plan.answer, self._kind(plan.target), plan.events)
        held = None if validation is None else self._held(validation)
        if plan.answer == "rating":
            self._scale = scale_of(questions)
        searched = validation if held is not None or plan.negatives_from == "hard" else None
        base = self._fit_base(data, searched, run)
        hard = self._hard(base, questions, options)
        learnt = RankerData(self._scaled(questions), data.item_counts, self._synonyms(), hard, data.histories)
        self.report["language"] = {"model": plan.model, "sha256": self.ranker.classifier.sha256, **self._read()}
        if plan.tuning != "none":
            check = None if held is None or plan.epochs == 1 else self._validation(held, data)
            self.report["training"] = fit_ranker(self.ranker, plan, learnt, within(options, "ranker"), check)
        self.weights = Weights.untaught(plan.answer == "rating")
        self.habits = PatternRecommender().fit(data) if plan.pattern_candidates else None
        if held is not None and base is not None:
            self._learn_weights(base, held, data)
        if validation is not None and plan.refit and plan.tuning != "none":
            newest = self._scaled(of_holdout(validation, plan.answer, self._kind(plan.target)))
            more = RankerData(newest, data.item_counts, learnt.synonyms)
            self.report["training"]["refit"] = refit(self.ranker, plan, more, within(options, "ranker"))
        with progress.part("Base"):
            everything = validation.all if given is None and validation is not None else data
            self.base = plan.base.build().fit(everything, given, **base_run(run, "base"))
        self.report["base"] = self.base.report
        self.habits = None if self.habits is None else self.habits.counted_for(self)
        self._count_evidence(self.histories)

    def _build(self, examples: int = 0) -> Ranker:
        """The language model as it is before any training, from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return build_ranker(
                self.config, self.items, self.item_vocabulary, self.action_names, self.clock == "time", examples
            )

    def _count_evidence(self, histories: Histories) -> None:
        if self.config.evidence:
            counted = PairEvidence.counted(histories, len(self.item_vocabulary) + 1)
            self.ranker = replace(self.ranker, evidence=counted)

    def _read(self) -> dict[str, Any]:
        """What the language model is told, for the report."""
        titles = self.ranker.prompts.titles[1:]
        described = {"distinct_texts": len(set(titles)), "items": len(titles)}
        return described | {"trainable": self.ranker.tuning.trainable, "example": self._example()}

    def _example(self) -> str:
        rows = np.flatnonzero(self.histories.lengths)[:1]
        some = self.histories.take(rows, last=3)
        begin = self.ranker.prompts.histories(some, [self.ranker.template] * len(rows))
        offers = self.ranker.prompts.offers(some.items[-1:][None], [self.ranker.template]) if len(rows) else [[""]]
        return "".join(begin) + offers[0][0]

    def _held(self, validation: Holdout) -> Questions | None:
        """Some of the questions of the validation events; None where they could teach nothing."""
        questions = of_holdout(validation, self.config.answer, self._kind(self.config.target))
        if len(questions) > self.config.validation_questions:
            rng = np.random.default_rng(self.config.seed)
            rows = rng.choice(len(questions), self.config.validation_questions, replace=False)
            questions = questions.take(np.sort(rows))
        return questions if len(questions) >= _FEW else None

    def _scaled(self, questions: Questions) -> Questions:
        return rescaled(questions, *self._scale[:2]) if self.config.answer == "rating" else questions

    def _synonyms(self) -> np.ndarray | None:
        if "synonyms" not in self.config.augment:
            return None
        classifier = self.ranker.classifier
        tokens = [token for ids in classifier.tokenise(self.ranker.prompts.titles) for token in ids]
        found = np.unique(np.array(tokens, dtype=np.int64))
        return neighbours(classifier.backbone.get_input_embeddings(), classifier.tokenizer, found)

    def _fit_base(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> Recommender | None:
        """The base as it is without the validation events, to learn the weights and hard negatives with."""
        if validation is None:
            return None
        with progress.part("Base, for the weights"):
            base: Recommender = self.config.base.build(refit=False)
            searches = "refit" in type(base).Settings.model_fields
            return base.fit(data, validation if searches else None, **base_run(run, "base-search"))

    def _hard(self, base: Recommender | None, questions: Questions, options: RunOptions) -> np.ndarray | None:
        if self.config.negatives_from != "hard" or base is None or questions.answers is not None:
            return None
        return base.recommend_codes(questions.contexts, _HARD, exclude_seen=False, progress=options.progress)[0]

    def _validation(self, held: Questions, data: Dataset) -> Any:
        """How well held-out events are answered after an epoch: minus the loss."""
        items = held.offered(data.item_counts, self.config.seed)
        answers = self._scaled(held).answers

        def measure() -> float:
            logits = self.ranker.answer(held.contexts, items).astype(np.float64)
            if self.config.answer == "rating":
                assert answers is not None
                return -float(((logits[:, 0] - answers) ** 2).mean())
            sign = np.where(held.truth(items), 1.0, -1.0)
            return -float(np.logaddexp(0, -sign * logits).mean())

        return measure

    # -- weights -----------------------------------------------------------------------------------------------

    def _learn_weights(self, base: Recommender, held: Questions, data: Dataset) -> None:
        rating = self.config.answer == "rating"
        items = held.offered(data.item_counts, self.config.seed)
        known = known_of_items(data.histories, data.item_counts)
        signals = self._signals(base, held.contexts, items, known).reshape(-1, len(SIGNALS))
        truth = self._scaled(held).answers if rating else held.truth(items).ravel()
        assert truth is not None
        self.weights = self.weights.learnt(signals, truth, rating, alone=self.config.tuning != "none")
        if self.config.answer == "next":
            self._learn_order(base, held, known)
        self.report["weights"] = self.weights.described()

    def _learn_order(self, base: Recommender, held: Questions, known: np.ndarray) -> None:
        """From lists of the base that hold what came."""
        count = self.config.candidates
        listed, _ = base.recommend_codes(held.contexts, count, exclude_seen=self.exclude_seen, progress=False)
        listed = self._with_habits(listed, held.contexts)
        rows, places = (part[:_LISTS] for part in np.nonzero(listed == held.items[:, None]))
        if len(rows) < _FEW:
            return
        items = listed[rows]
        # A short list is filled up by its first item; for the softmax that is one more of the same.
        items = np.where(items > 0, items, items[:, :1])
        signals = self._signals(base, held.contexts.take(rows), items, known)
        self.weights = self.weights.ordered(signals, places)

    def _signals(self, base: Recommender, contexts: Histories, items: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(rows, n, signals), in the order of ``SIGNALS``."""
        scores = np.zeros(items.shape, dtype=np.float32)
        for part, block in base._blocks(contexts, show=False):
            scores[part] = np.take_along_axis(block, items[part], axis=1)
        told = self.ranker.answer(contexts, items)
        return np.concatenate([told[..., None], scores[..., None], known[items]], axis=-1)

    # -- answering ---------------------------------------------------------------------------------------------

    def _score_block(self, histories: Histories) -> np.ndarray:
        """The base's scores, with its best re-ranked above the others."""
        scores = np.array(self.base._score_block(histories), dtype=np.float32)
        seen = histories.of_the_kind_wanted() if self.exclude_seen else None
        items = best_of(scores, min(self.config.candidates, scores.shape[1] - 1), self.item_counts, seen)
        items = self._with_habits(items, histories)
        there, found = items > 0, np.take_along_axis(scores, items, axis=1)
        filled = np.where(there, items, np.where(there[:, :1], items[:, :1], 1))
        told = self.ranker.answer(histories, filled)
        signals = [told[..., None], np.where(there, found, 0)[..., None], self._known_of_items[filled]]
        blended = self.weights.order(np.concatenate(signals, axis=-1)).astype(np.float32)
        return above_others(scores, items, blended)

    def _with_habits(self, listed: np.ndarray, histories: Histories) -> np.ndarray:
        """(rows, more) codes: what the base lists, and the further candidates that habits name."""
        return joined(listed, self.habits, self.config.pattern_candidates, histories, self.exclude_seen)

    def _score_empty(self, histories: Histories) -> np.ndarray:
        return self.base._score_empty(histories)

    def _cold_start_rule(self, histories: Histories) -> str:
        return self.base._cold_start_rule(histories)

    @cached_property
    def _known_of_items(self) -> np.ndarray:
        return known_of_items(self.histories, self.item_counts)

    def answer_codes(self, contexts: Histories, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, n) probabilities or ratings of the (rows, n) codes asked about, and the language model's own."""
        contexts = self._about_target(contexts)
        signals = self._signals(self.base, contexts, items, self._known_of_items)
        together, alone = self.weights.together(signals), self.weights.alone(signals[..., :1])
        if self.config.answer == "rating":
            mean, deviation, lowest, highest = self._scale
            return np.clip(mean + deviation * together, lowest, highest), np.clip(
                mean + deviation * alone, lowest, highest
            )
        return _probability(together), _probability(alone)

    def predict(
        self,
        users: Sequence[Any] | Any | None = None,
        *,
        histories: Any = None,
        items: Sequence[Any],
        at: Any = None,
        action: str | Sequence[str] | None = None,
        alone: bool = False,
    ) -> Any:
        """What each user or history would answer about chosen items.

        Args:
            users, histories, at, action: as for :meth:`recommend`.
            items: external ids.
            alone: ask the language model alone, without the base's score and what is known of the item.

        Returns:
            A frame ``user_id, item_id`` and ``probability`` (from 0 to 1; that the item comes next and not another
            drawn by popularity, or that what is done with it is ``target``) or ``rating`` (within those of the log).

        Raises:
            NotFitted, NothingAsked, UnknownItems, HistoryMalformed, MomentUnreadable, ActionUnknown, ActionNotLearnt.
        """
        self._require_fitted()
        wanted = self._encode_items(items)
        asked = asking.about(self, asking.resolve(self, users, histories), at, action)
        codes = np.tile(wanted, (len(asked.histories), 1))
        together, own = self.answer_codes(asked.histories, codes) if codes.size else (codes, codes)
        answers = own if alone else together
        name = "rating" if self.config.answer == "rating" else "probability"
        return asking.answer(self, asked, codes, answers.astype(np.float32), ranked=False, score=name)

    # -- new items ---------------------------------------------------------------------------------------------

    def _grow(self, growth: Growth) -> None:
        base = copy.copy(self.base)
        base.report = dict(base.report)
        base.know_as(self)
        base._forget_answers()
        base._grow(growth)
        self.base = base
        if self.habits is not None:
            self.habits = self.habits.grown_with(self, growth)
        prompts = copy.copy(self.ranker.prompts)
        prompts.titles = told_titles(self.config, growth.items, growth.vocabulary)
        evidence = self.ranker.evidence
        evidence = None if evidence is None else evidence.larger(growth.rows)
        self.ranker = replace(self.ranker, prompts=prompts, evidence=evidence)

    def _forget_answers(self) -> None:
        super()._forget_answers()
        self.__dict__.pop("_known_of_items", None)

    # -- disk --------------------------------------------------------------------------------------------------

    def _save(self, artefact: artefacts.Writer) -> None:
        described = {"recommender": type(self.base).__name__, "settings": self.base.config.model_dump()}
        artefact.document("base", described)
        self.base._save(artefact.within("base"))
        if self.habits is not None:
            self.habits._save(artefact.within("habits"))
        if self.ranker.evidence is not None:
            artefact.tensors("evidence", self.ranker.evidence.arrays())
        classifier = self.ranker.classifier
        artefact.document(
            "ranker",
            {
                "sha256": classifier.sha256,
                "weights": self.weights.document(),
                "scale": getattr(self, "_scale", None),
            },
        )
        artefact.tensors("tuned", self.ranker.tuning.state())
        artefact.tensors("head", {name: value.numpy() for name, value in classifier.head.state_dict().items()})

    def _load(self, artefact: artefacts.Reader) -> None:
        described = artefact.document("base")
        cls = recommender_class(described["recommender"])
        self.base = cls(cls.Settings.parse(described["settings"], owner=cls.__name__))
        self.base.know_as(self)
        self.base.report = self.report["base"]
        self.base._load(artefact.within("base"))
        self.base._fitted = True
        if self.config.pattern_candidates:
            self.habits = PatternRecommender.restored_for(self, artefact.within("habits"))
        known = artefact.document("ranker")
        self.ranker = self._build()
        if self.config.evidence:
            counted = PairEvidence.restored(artefact.tensors("evidence"), len(self.item_vocabulary) + 1)
            self.ranker = replace(self.ranker, evidence=counted)
        classifier = self.ranker.classifier
        if classifier.sha256 != known["sha256"]:
            raise LanguageModelChanged(name=self.config.model, found=classifier.sha256, wanted=known["sha256"])
        self.ranker.tuning.load(artefact.tensors("tuned"))
        head = {name: torch.from_numpy(array) for name, array in artefact.tensors("head").items()}
        try:
            classifier.head.load_state_dict(head)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from None
        classifier.eval()
        self.weights = Weights.from_document(known["weights"])
        if known["scale"] is not None:
            self._scale = tuple(known["scale"])


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))
