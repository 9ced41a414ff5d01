"""Settings of a language ranker: what it is asked, how that is told, what of the model learns, and how."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator, model_validator

from segue.config import Config, ReadWhere
from segue.data.questions import Answer
from segue.language.noise import Noise
from segue.language.prompts import TEMPLATES
from segue.language.tuning import Mode, TuningConfig

RankerLoss = Literal["bce", "cross_entropy", "pairwise", "squared"]


class RankerPlan(Config):
    """Settings of the language model behind :class:`segue.LanguageRanker`."""

    read_where = (
        ReadWhere(
            (
                *("head_learning_rate", "warmup", "weight_decay", "gradient_accumulation_steps", "gradient_clip"),
                *(
                    "gradient_checkpointing",
                    "epochs",
                    "examples",
                    "batch_size",
                    "negatives",
                    "negatives_from",
                    "augment",
                ),
                "loss",
            ),
            "tuning is not none",
            lambda plan: plan.tuning != "none",
            on=("tuning",),
        ),
        ReadWhere(
            ("learning_rate",),
            "tuning is neither none nor frozen",
            lambda plan: plan.tuning not in ("none", "frozen"),
            on=("tuning",),
        ),
        ReadWhere(
            ("tuning_layers",),
            "tuning is neither none, frozen nor full",
            lambda plan: plan.tuning not in ("none", "frozen", "full"),
            on=("tuning",),
        ),
        ReadWhere(
            ("tuning_rank",),
            "tuning is lora, dora, adalora, prefix or adapter",
            lambda plan: plan.tuning in ("lora", "dora", "adalora", "prefix", "adapter"),
            on=("tuning",),
        ),
        ReadWhere(
            ("negatives", "negatives_from"), "answer is next", lambda plan: plan.answer == "next", on=("answer",)
        ),
        ReadWhere(("target",), "answer is next or action", lambda plan: plan.answer != "rating", on=("answer",)),
        ReadWhere(("augment_share",), "augment names a change", lambda plan: bool(plan.augment), on=("augment",)),
    )
    model: str = "minilm"
    """The language model: minilm, smollm2, one of the Hugging Face hub, or a path; BERT-like or GPT-like."""
    answer: Answer = "next"
    """What is answered: whether an item comes next (click or not), whether what is done with it is ``target`` (bought,
    or only looked at), or its rating (the column ``value``)."""
    target: str | None = None
    """A kind of action, such as purchase: with ``next`` only those are learnt, with ``action`` it is the yes."""
    template: str = "auto"
    """How histories and items are told: plain, story, list or question. Auto: question for GPT-like models, which then
    answer untuned by how likely yes and no are, plain for others."""
    columns: list[str] | Literal["auto"] = "auto"
    """Columns of the catalogue that are told, the most telling first. Auto: title, brand, categories, prose."""
    untitled: Literal["refuse", "id"] = "refuse"
    """What to do with a catalogue without any text: refuse it, or tell ids. Single items without text are always told
    by their id."""
    events: int = Field(8, ge=1)
    """Newest events of a history that are told."""
    evidence: bool = False
    """Whether an item is told with what speaks for it: of those who took an item of the history, how many then took
    this one."""
    title_words: int = Field(10, ge=1)
    """Words of an item that are told."""
    max_tokens: int = Field(160, ge=8)
    """Tokens of a history that are read; the oldest are cut off."""
    tuning: Mode | Literal["none"] = "top"
    """What learns: none (the untuned model, by its prompt alone), frozen (the head alone), top, lora, dora, adalora,
    prefix, adapter or full."""
    tuning_layers: Annotated[int, Field(ge=1)] | None = None
    """How many of the uppermost layers are tuned. None: a third for top, else half."""
    tuning_rank: Annotated[int, Field(ge=1)] | None = None
    """Of LoRA and its kin, or the size of a prefix or an adapter."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    loss: RankerLoss | Literal["auto"] = "auto"
    """bce (each offer by itself), cross_entropy (which of the offers it was), pairwise (it before each other), squared
    (ratings). Auto: bce, or squared for ratings."""
    negatives: int = Field(4, ge=1)
    """Items that did not come, offered beside each that did."""
    negatives_from: Literal["popular", "hard"] = "popular"
    """By popularity, or half of them from the best that the base recommender lists for the same history."""
    augment: list[Noise] = Field(default_factory=list)
    """What the text of a training step may be changed by: words (left out), synonyms (tokens replaced by their
    neighbours in the model), templates (told in other ways)."""
    augment_share: float = Field(0.1, gt=0, lt=1)
    """Of the words and tokens that are touched."""
    batch_size: int = Field(16, ge=1)
    """Histories per step, each with its offers."""
    learning_rate: float = Field(1e-4, gt=0)
    """Of the language model, after the warm-up; it falls linearly to 0."""
    head_learning_rate: float = Field(1e-3, gt=0)
    """Of the head, likewise."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the rates rise."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled; on matrices."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches per optimiser step."""
    gradient_clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Auto: bf16 where the processor has units for it."""
    epochs: int = Field(1, ge=1)
    """Passes over the examples; the best by the validation loss is kept."""
    examples: int = Field(20_000, ge=1)
    """At most so many events are learnt in an epoch, drawn anew for each."""
    validation_questions: int = Field(2_000, ge=10)
    """At most so many held-out events are asked about after each epoch, and for the blend."""
    refit: bool = True
    """In the end, learn from the validation events too, in one pass over them."""
    seed: int = Field(0, ge=0)
    """Initial weights of what is added, order of the examples, negatives and augmentation all follow from it."""

    @field_validator("template")
    @classmethod
    def _template_exists(cls, name: str) -> str:
        if name not in ("auto", *TEMPLATES):
            raise ValueError(f"there is no template {name!r}; there are {', '.join(TEMPLATES)}")
        return name

    @model_validator(mode="after")
    def _answers_what_it_learns(self) -> RankerPlan:
        if self.loss != "auto" and (self.loss == "squared") != (self.answer == "rating"):
            raise ValueError("the squared loss is for answer='rating', and no other is")
        if self.answer == "action" and self.loss in ("cross_entropy", "pairwise"):
            raise ValueError(f"loss={self.loss!r} compares items offered together; answer='action' offers one")
        if self.answer == "action" and self.target is None:
            raise ValueError("answer='action' needs target=, the kind of action that is the yes")
        return self

    @property
    def loss_used(self) -> RankerLoss:
        """The loss, decided."""
        if self.loss != "auto":
            return self.loss
        return "squared" if self.answer == "rating" else "bce"

    @property
    def bf16(self) -> bool:
        """Whether to compute in bf16."""
        fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        return self.precision == "bf16" or (self.precision == "auto" and fast)

    @property
    def tuned_by(self) -> TuningConfig:
        """What of the language model learns."""
        return TuningConfig(
            mode="frozen" if self.tuning == "none" else self.tuning,
            layers=self.tuning_layers,
            rank=self.tuning_rank,
            gradient_checkpointing=self.gradient_checkpointing,
        )
