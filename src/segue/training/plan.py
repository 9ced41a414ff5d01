"""What to train and how, fully decided: every ``"auto"`` of the settings turned into a value for one log.

The rules look at sizes alone (events, users, items, lengths), never at a name, and everything chosen stands in the
report. The search for better settings is left to tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from segue.config import Config, ReadWhere
from segue.data.augmentation import Tool
from segue.data.histories import Histories
from segue.data.long import LongHistory
from segue.errors import ConfigValue
from segue.language.encoder import Pooling
from segue.language.precision import Precision
from segue.language.tuning import Mode, TuningConfig
from segue.nn.encoders import ENCODERS
from segue.nn.text_path import Projection
from segue.training.schedules import Schedule

Auto = Literal["auto"]
Loss = Literal["full", "sampled", "bce", "gbce"]
TimePart = Literal["gaps", "request", "calendar", "sessions", "relative", "trend"]
BehaviourPart = Literal["actions", "values"]
TIME_PARTS: tuple[TimePart, ...] = ("gaps", "request", "calendar", "sessions", "relative", "trend")


_TRANSFORMERS = ("transformer", "bidirectional")
_RANKED = ("lora", "dora", "adalora", "prefix", "adapter")

READ_WHERE = (
    ReadWhere(
        ("block", "expansion"),
        "encoder is transformer or bidirectional",
        lambda plan: plan.encoder in _TRANSFORMERS,
        on=("encoder",),
    ),
    ReadWhere(
        ("heads",),
        "encoder is transformer, hstu or bidirectional",
        lambda plan: plan.encoder in (*_TRANSFORMERS, "hstu"),
        on=("encoder",),
    ),
    ReadWhere(
        ("mask_share",), "encoder is bidirectional", lambda plan: plan.encoder == "bidirectional", on=("encoder",)
    ),
    ReadWhere(("time",), "timestamps are times, not an order", fact="clock", part="trend"),
    ReadWhere(("time",), "there are validation events", fact="validation", part="trend"),
    ReadWhere(("behaviour",), "the log has kinds of action", fact="actions", part="actions"),
    ReadWhere(("behaviour",), "the log has values", fact="values", part="values"),
    ReadWhere(("pattern_prior",), "there are validation events", fact="validation"),
    ReadWhere(
        (
            *("text_columns", "text_pooling", "text_prompt", "text_max_tokens", "text_precision", "text_normalise"),
            *("text_whiten", "text_projection", "text_likeness"),
        ),
        "a language model reads the text of the items",
        lambda plan: plan.text is not None,
        on=("text",),
    ),
    ReadWhere(
        ("tuning_learning_rate", "tuning_epochs", "tuning_fallback", "text_batch", "gradient_checkpointing"),
        "tuning is not frozen",
        lambda plan: plan.tuning != "frozen",
        on=("tuning",),
    ),
    ReadWhere(
        ("tuning_layers",),
        "tuning is neither frozen nor full",
        lambda plan: plan.tuning not in ("frozen", "full"),
        on=("tuning",),
    ),
    ReadWhere(
        ("tuning_rank",),
        "tuning is lora, dora, adalora, prefix or adapter",
        lambda plan: plan.tuning in _RANKED,
        on=("tuning",),
    ),
    ReadWhere(
        ("id_dropout",),
        "features or text say something of the items",
        lambda plan: plan.text is not None or bool(plan.features),
        on=("features", "text"),
    ),
    ReadWhere(
        ("forget",),
        "a moment or an action of the request is read",
        lambda plan: any(part != "trend" for part in plan.time) or "actions" in plan.behaviour,
        on=("time", "behaviour"),
    ),
    ReadWhere(("action_weights",), "target names no kind of action", lambda plan: plan.target is None, on=("target",)),
    ReadWhere(
        ("negatives", "negatives_from"),
        "loss is sampled, bce or gbce",
        lambda plan: plan.loss != "full",
        on=("loss",),
    ),
    ReadWhere(
        ("popular_negatives",),
        "loss is sampled, bce or gbce and negatives_from is mixed or hard",
        lambda plan: plan.loss != "full" and plan.negatives_from in ("mixed", "hard"),
        on=("loss", "negatives_from"),
    ),
    ReadWhere(("calibration",), "loss is gbce", lambda plan: plan.loss == "gbce", on=("loss",)),
    ReadWhere(("augment_share",), "augment names a tool", lambda plan: bool(plan.augment), on=("augment",)),
    ReadWhere(
        ("adversarial_epsilon",),
        "adversarial is fgm or pgd",
        lambda plan: plan.adversarial != "none",
        on=("adversarial",),
    ),
    ReadWhere(
        ("adversarial_steps",), "adversarial is pgd", lambda plan: plan.adversarial == "pgd", on=("adversarial",)
    ),
    ReadWhere(
        ("contrastive_weight", "contrastive_temperature"),
        "contrastive is not none",
        lambda plan: plan.contrastive != "none",
        on=("contrastive",),
    ),
    ReadWhere(("interest_weight",), "interests is above 0", lambda plan: plan.interests > 0, on=("interests",)),
    ReadWhere(("patience", "validation_metric", "validation_users"), "there are validation events", fact="validation"),
)
"""Where each setting is read that is not read everywhere; the plan of a fit decides."""


class SequenceConfig(Config):
    """Settings of :class:`segue.SequenceRecommender`; every default suits a log it has never seen."""

    read_where = READ_WHERE

    encoder: str = "transformer"
    """What reads the history: transformer, hstu, gru, lstm or bidirectional (see ``segue.nn.encoders``)."""
    block: Literal["ligr", "plain"] = "ligr"
    """Transformer blocks: gated (LiGR) or plain pre-norm."""
    embedding_size: int = Field(64, ge=4)
    """Size of item and hidden vectors (d); a multiple of ``heads``."""
    blocks: Annotated[int, Field(ge=1)] | Auto = "auto"
    """How many blocks are stacked. Auto: 2, or 1 where histories are short."""
    heads: int = Field(2, ge=1)
    """Attention heads."""
    expansion: int = Field(4, ge=1)
    """Width of the feed-forward layer as a multiple of ``embedding_size``."""
    time: list[TimePart] | Auto = "auto"
    """What is read from the clock: gaps (between events), request (the moment asked about), calendar (its hour, weekday
    and month), sessions (place in one), relative (attention by time), trend (what is popular of late and the age of
    items, beside the encoder). Auto: all of it where the log has a clock."""
    behaviour: list[BehaviourPart] | Auto = "auto"
    """What is read of each event besides its item: actions, values. Auto: what the log has."""
    pattern_prior: bool = False
    """Whether what people went on to take after the newest events is weighed beside the model's scores, as learnt on
    the validation events."""
    mask_share: float = Field(0.2, gt=0, lt=1)
    """Share of the events masked in training where the encoder learns from masked ones (bidirectional)."""
    features: list[str] | Auto = "auto"
    """Columns of the catalogue that are read beside ids. Auto: those whose values items share; [] reads none."""
    text: str | None = "auto"
    """The language model that reads the text of the items: minilm, smollm2, a name or a path. Auto: minilm, where
    items have few events, the catalogue has text and ``segue fetch minilm`` has been run; None reads none."""
    text_columns: list[str] | None = None
    """Columns of the catalogue that are its text, the most telling first. None: titles, brands, categories, prose."""
    text_pooling: Pooling | None = None
    """Of the tokens' vectors: mean, cls, last or eos. None: mean, or last for GPT-like models."""
    text_prompt: str = ""
    """What is put before every text."""
    text_max_tokens: int = Field(64, ge=2)
    """Tokens that are read of a text; the title stands first and stays."""
    text_precision: Precision = "fp32"
    """In which numbers a frozen language model computes: fp32, bf16 or int8 (see docs/language.md)."""
    text_normalise: bool = True
    """Only the directions of the text's vectors count."""
    text_whiten: bool = True
    """The directions of the text's vectors are made equally wide over the catalogue."""
    text_projection: Projection = "linear"
    """From the text's vectors to the model's: one matrix (linear), or two with a GELU between them (mlp)."""
    text_likeness: int = Field(128, ge=0)
    """Dimensions in which the text of a candidate is held against that of the newest items, around the encoder; 0 does
    without."""
    tuning: Mode | Literal["control"] = "frozen"
    """What of the language model learns, after a training with it frozen: frozen (nothing), top (its upper layers),
    lora, dora, adalora, prefix, adapter or full. With control it stays frozen too, and the sequence model alone goes on
    for ``tuning_epochs``: what the other modes are compared with. See docs/language_tuning.md."""
    tuning_layers: Annotated[int, Field(ge=1)] | None = None
    """How many of its upper layers are tuned; full tunes all. None: a third for top, else half."""
    tuning_rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of LoRA and its kin, tokens of a prefix, width of an adapter. None: 8, 16 and 32."""
    tuning_learning_rate: Annotated[float, Field(gt=0)] | Auto = "auto"
    """Of the language model. Auto: a tenth of ``learning_rate``, or a fiftieth for top and full."""
    tuning_epochs: int = Field(5, ge=1)
    """At most this many with the language model; early stopping decides."""
    tuning_fallback: bool = True
    """Whether the frozen model stays where no epoch of tuning raises the validation metric; without it the best epoch
    of tuning is used in any case."""
    text_batch: int = Field(64, ge=1)
    """Texts of the batch's items that the language model reads anew in a step; the others are as last read."""
    gradient_checkpointing: bool = False
    """Compute the language model's activations twice instead of keeping them: less memory, more time."""
    id_dropout: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    """Share of items whose id is hidden in a training step, so that attributes and text learn to speak alone. Auto: 0,
    or with text 0.5 where items have few events and 0.1 elsewhere."""
    target: str | None = None
    """Learn to tell events of this kind of action alone, from events of all kinds; answers are about it by default."""
    action_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """How much an event counts as something to be told, by its kind of action; 1 where none is given."""
    forget: float = Field(0.1, ge=0, lt=1)
    """Share of training requests whose moment and action are hidden, so that the model can answer without them."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    """Auto: 0.2, or 0.5 where each item has few events."""
    max_length: Annotated[int, Field(ge=2)] | Auto = "auto"
    """Events of a history that are read. Auto: what covers 99 % of histories, 20 to 200."""
    long_history: LongHistory = "newest"
    """Which events of a longer history an answer reads: the newest, or those and representatives of the older ones."""
    loss: Loss | Auto = "auto"
    """Full softmax, sampled softmax, BCE or gBCE. Auto: full where its cost is bearable, sampled otherwise."""
    negatives: int = Field(512, ge=1)
    """Shared negatives per batch for the sampled losses."""
    negatives_from: Literal["mixed", "uniform", "popular", "in_batch", "in_batch_mixed", "hard"] = "mixed"
    """Where negatives come from: chance (mixed of popularity and uniform, or one of them), the targets of the batch
    (in_batch), half of them and half uniform (in_batch_mixed), or the likeliest of a larger mixed pool (hard)."""
    popular_negatives: float = Field(0.5, ge=0, le=1)
    """Share of the mixed negatives, or of the pool, drawn by popularity; the rest are uniform."""
    calibration: float = Field(0.75, ge=0, le=1)
    """gBCE's t: 0 is plain BCE, 1 removes all overconfidence."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target's probability spread evenly over the catalogue; for the two softmax losses."""
    augment: list[Tool] = Field(default_factory=list)
    """What training rows may be changed by: crop, mask, reorder, reverse, mirror, substitute, insert."""
    augment_share: float = Field(0.5, gt=0, le=1)
    """Share of the rows of each batch that are changed, each by one tool of ``augment``."""
    adversarial: Literal["none", "fgm", "pgd"] = "none"
    """Learn also from inputs moved to where the loss is worst: in one step (fgm) or several (pgd)."""
    adversarial_epsilon: float = Field(0.1, gt=0)
    """How far, as a share of the norm of a row's input vectors."""
    adversarial_steps: int = Field(3, ge=1)
    """Steps of pgd, each a further pass forward and back."""
    contrastive: Literal["none", "augment", "dropout", "supervised"] = "none"
    """Tell sequences apart by two views: augmentations (CL4SRec), two draws of dropout, or those and what has the same
    next item (DuoRec)."""
    contrastive_weight: float = Field(0.1, gt=0)
    """Of that loss beside the next item's."""
    contrastive_temperature: float = Field(0.2, gt=0)
    """Divides its cosine similarities."""
    interests: int = Field(0, ge=0)
    """Learn also to tell which of so many interests a person has, mined from the habits of the training events; 0 does
    without."""
    interest_weight: float = Field(0.1, gt=0)
    """Of that loss beside the next item's."""
    batch_tokens: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Padded positions per batch. Auto: about 48 batches an epoch, 512 to 4,096 positions each."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (betas 0.9 and 0.98), or SGD with momentum 0.9."""
    learning_rate: float = Field(2e-3, gt=0)
    """After the warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled; on matrices, not on biases and norms."""
    warmup_steps: int = Field(100, ge=0)
    """Steps over which the learning rate rises linearly."""
    schedule: Schedule = "constant"
    """What it does then: constant, or cosine or linear towards 0 at the last of ``epochs``, which has to be given. The
    refit goes down the same curve as far as the epoch found."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches per optimiser step."""
    gradient_clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 runs the whole forward pass in it. Auto: only the products of the full softmax, and only where the processor
    has bf16 units; docs/benchmarks.md says what that saves and how far the gradient moves."""
    average_weights: bool = True
    """Recommend with a running average of the weights over about three epochs."""
    epochs: Annotated[int, Field(ge=1)] | Auto = "auto"
    """At most this many. Auto: up to 200, ended by early stopping."""
    patience: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Epochs without a better validation metric before training stops. Auto: 10, less with many users."""
    validation_metric: str = "ndcg@10"
    """What early stopping watches; a ranking metric at k."""
    validation_users: int = Field(10_000, ge=1)
    """At most this many users are validated on (chosen by the seed)."""
    refit: bool = True
    """After the search, train anew on training and validation events for the epochs found."""
    seed: int = Field(0, ge=0)
    """Initial weights, batch order, dropout and negatives all follow from it."""

    @field_validator("encoder")
    @classmethod
    def _encoder_exists(cls, name: str) -> str:
        if name not in ENCODERS:
            raise ValueError(f"there is no encoder {name!r}; there are {', '.join(ENCODERS)}")
        return name

    @model_validator(mode="after")
    def _heads_divide(self) -> SequenceConfig:
        if self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is not a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _decay_has_an_end(self) -> SequenceConfig:
        if self.schedule != "constant" and self.epochs == "auto":
            raise ValueError(f"a {self.schedule} schedule has to know when training ends: set epochs")
        return self

    @model_validator(mode="after")
    def _smoothing_has_a_softmax(self) -> SequenceConfig:
        if self.label_smoothing and self.loss in ("bce", "gbce"):
            raise ValueError(f"label_smoothing is for the softmax losses, and loss is {self.loss!r}")
        return self


class Plan(SequenceConfig):
    """A :class:`SequenceConfig` without ``"auto"``."""

    blocks: int
    time: list[TimePart]
    behaviour: list[BehaviourPart]
    features: list[str] = Field(default_factory=list)
    tuning_learning_rate: float
    id_dropout: float
    dropout: float
    max_length: int
    loss: Loss
    batch_tokens: int
    epochs: int
    patience: int

    @property
    def tunes(self) -> bool:
        """Whether a second phase of training follows, in which the language model learns too (not with control)."""
        return self.text is not None and self.tuning != "frozen"

    @property
    def untuned(self) -> Plan:
        """Without anything that is about tuning: what is trained before the language model learns."""
        about = [name for name in SequenceConfig.model_fields if name.startswith("tuning")]
        about += ["text_batch", "gradient_checkpointing"]
        plain = {name: SequenceConfig.model_fields[name].default for name in about}
        return self.model_copy(update={**plain, "tuning_learning_rate": self.learning_rate})

    @property
    def tuning_config(self) -> TuningConfig:
        """What of the language model learns."""
        return TuningConfig(
            mode="frozen" if self.tuning == "control" else self.tuning,
            layers=self.tuning_layers,
            rank=self.tuning_rank,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    @property
    def reads_clock(self) -> bool:
        """Whether the encoder's inputs need moments."""
        return any(part != "trend" for part in self.time)


def plan_for(
    config: SequenceConfig,
    histories: Histories,
    catalogue: int,
    features: Sequence[str] = (),
    text: str | None = None,
) -> Plan:
    """Decide everything that was left to ``"auto"``.

    Args:
        histories: the training histories.
        catalogue: number of items.
        features: columns of the catalogue that say something.
        text: the language model that reads item text, decided already.
    """
    lengths = histories.lengths[histories.lengths > 1]
    if text is None and config.tuning != "frozen":
        reason = "there is no item text, or no language model to read it"
        raise ConfigValue(name="tuning", owner="SequenceRecommender", value=config.tuning, reason=reason)
    typical = float(lengths.mean()) if len(lengths) else 1.0
    events = int(lengths.sum())
    longest = int(np.clip(np.quantile(lengths, 0.99) if len(lengths) else 1, 20, 200))
    sparse = is_sparse(histories, catalogue)
    chosen: dict[str, object] = {
        "blocks": 2 if typical >= 20 else 1,
        "dropout": 0.5 if sparse else 0.2,
        "max_length": longest,
        "time": list(TIME_PARTS) if _varies(histories.timestamps) else [],
        "behaviour": [
            name for name, column in (("actions", histories.actions), ("values", histories.values)) if _varies(column)
        ],
        "features": list(features),
        "text": text,
        "id_dropout": 0.0 if text is None else 0.5 if sparse else 0.1,
        "tuning_learning_rate": config.learning_rate * (0.02 if config.tuning in ("top", "full") else 0.1),
        "loss": "full" if events * catalogue <= 1e10 else "sampled",
        # About 48 batches an epoch: small logs learn in fewer epochs, and better, from smaller batches.
        "batch_tokens": int(np.clip(2 ** np.round(np.log2(max(events, 1) / 48)), 512, 4096)),
        "epochs": 200,
        # The more users are validated on, the less the metric jumps from epoch to epoch.
        "patience": 10 if len(lengths) < 5_000 else 5 if events < 5_000_000 else 3,
    }
    settings = config.model_dump()
    settings.update({name: value for name, value in chosen.items() if settings[name] == "auto"})
    return Plan.parse(settings, owner="SequenceRecommender")


def is_sparse(histories: Histories, catalogue: int) -> bool:
    """Whether items have few events, so that ids alone learn little of them."""
    lengths = histories.lengths
    return int(lengths[lengths > 1].sum()) < 30 * max(catalogue, 1)


def _varies(column: np.ndarray | None) -> bool:
    """Whether there is anything to learn from a column."""
    if column is None:
        return False
    known = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    return bool(len(known) and (known != known[0]).any())
