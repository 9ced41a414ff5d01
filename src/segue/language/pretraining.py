"""Domain pretraining: a language model learns a catalogue's words and what its people take together, before tuning.

Reads top to bottom: ``pretrain`` prepares and reports, ``_learn`` is the loop of one task. The tasks are in
``pretraining_tasks``, the pairs in ``pairs``, how the result is written in ``keep``: a folder like that of any other
pretrained model. Tuning it together with a sequence model is left to ``tuning``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from pydantic import Field
from torch import nn

from segue import progress as bars
from segue.config import Config
from segue.data.dataset import Dataset
from segue.errors import ConfigValue, OutOfMemory, PretrainingRefused, TrainingDiverged
from segue.language.batching import batches
from segue.language.encoder import Pooling, TextConfig, TextEncoder
from segue.language.keep import keep, refuse_in_the_way
from segue.language.models import LanguageModel, load_language_model
from segue.language.pairs import NextText, TextLog, found
from segue.language.pretraining_tasks import Behaviour, Contrast, Task, Words, read
from segue.language.text import item_texts, text_columns
from segue.numeric import share_of

_log = logging.getLogger(__name__)
_MOST_HELD_OUT = 2_000  # users, and texts: enough to tell epochs apart
_TOKENS = 2_048  # padded tokens that are read at a time where nothing is learnt
_CLIP = 1.0  # norm of the gradient


class PretrainingConfig(Config):
    """Settings of :func:`pretrain`."""

    tasks: list[Literal["masked", "contrast", "behaviour"]] = Field(["behaviour"], min_length=1)
    """What is learnt, one after the other: masked (hidden words; the next word for GPT-like models), contrast (a text
    is itself under another dropout), behaviour (texts of consecutive items belong together)."""
    text_columns: list[str] | None = None
    """Columns of the catalogue that are its text, the most telling first. None: titles, brands, categories, prose."""
    pooling: Pooling | None = None
    """Of the tokens' vectors, as the vectors will be used. None: mean, or last for GPT-like models."""
    prompt: str = ""
    """What is put before every text."""
    max_tokens: int = Field(32, ge=2)
    """Tokens that are read of a text: what a step costs grows with it."""
    batch_size: int = Field(128, ge=2)
    """Events (behaviour), texts (masked) or views of texts (contrast) per step: the memory of a step, and from how
    many others a text is told."""
    epochs: int = Field(3, ge=1)
    """At most, of each task."""
    patience: int = Field(1, ge=1)
    """Epochs without a gain on what is held out after which a task ends; its best epoch is kept."""
    learning_rate: float = Field(1e-4, gt=0)
    """At its height, of AdamW; it falls to 0 linearly."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    temperature: float = Field(0.05, gt=0)
    """Divides the cosines, for contrast and behaviour."""
    window: int = Field(3, ge=1)
    """How many steps apart two events of a history may be to be a pair."""
    log_q: float = Field(1.0, ge=0, le=1)
    """How far behaviour corrects for popular texts being in more batches: 1 makes what is popular near, as it is likely
    next; 0 leaves popularity out of the vectors, for rare and cold items."""
    mask_share: float = Field(0.15, gt=0, lt=1)
    """Of the words, hidden in the task masked."""
    layers: int | None = Field(None, ge=1)
    """How many of the topmost layers learn; None: everything. The fewer, the faster."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products. Auto: bf16 where the processor has units for it."""
    gradient_checkpointing: bool = False
    """Less memory for more time: layers are computed again on the way back."""
    held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the users whose histories are not learnt from: half of them say when to stop, half what was gained."""
    seed: int = 0
    """Everything random follows from it."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A language model that has learnt a domain.

    Attributes:
        language: the model, in eval mode.
        document: base model and its SHA-256, settings, SHA-256 of the data, what each epoch gave, and the gain; it lies
            as ``segue.json`` beside the weights.
    """

    language: LanguageModel
    document: dict[str, Any]

    @property
    def gain(self) -> pl.DataFrame:
        """Finding the text of the next item among all texts for held-out users: before, and after each task."""
        rows = [row for row in self.document["curve"] if row.get("kept") and "recall@10" in row]
        first = [{**row, "task": "nothing"} for row in self.document["curve"][:1] if "recall@10" in row]
        names = {"task": pl.String, "recall@10": pl.Float64, "mrr": pl.Float64}
        return pl.DataFrame(first + rows, schema=names).rename({"task": "after"})

    def save(self, path: str | Path) -> None:
        """Write a folder that :func:`load_language_model` reads; raises ``ArtefactInTheWay, ArtefactNotWritten``."""
        keep(path, self.language, self.document)


def pretrain(
    data: Dataset,
    model: str = "minilm",
    out: str | Path | None = None,
    *,
    progress: bool = True,
    device: Literal["auto", "cpu", "gpu"] = "auto",
    threads: int | None = None,
    **settings: Any,
) -> Pretrained:
    """Let a language model learn from a catalogue and from what its people did.

    Args:
        data: the training events, none of a test, with their catalogue.
        model: a model by name or path, which is not changed.
        out: where the result is written; None leaves that to :meth:`Pretrained.save`.
        progress, device, threads: how to run today.
        settings: of :class:`PretrainingConfig`, such as ``tasks=["masked", "behaviour"]``.

    Raises:
        PretrainingRefused: no text, or all the same, or nobody has met two items whose texts differ.
        OutOfMemory: says which setting halves the memory of a step.
        TrainingDiverged: the loss is not a number.
        LanguageModelUnknown, LanguageModelBroken, FeatureUnknown, ArtefactInTheWay, ArtefactNotWritten.
    """
    config = PretrainingConfig.parse(settings)
    if out is not None:
        refuse_in_the_way(out)
    columns = text_columns(data.items) if config.text_columns is None else config.text_columns
    log = TextLog.of(item_texts(data.items, data.item_vocabulary, columns), data.histories)
    _refuse_nothing(log, config)
    rng = np.random.default_rng(config.seed)
    learnt, stopping, reported = log.held_out(config.held_out, _MOST_HELD_OUT, rng)
    pairs = NextText.of(stopping, reported, rng)
    began = time.perf_counter()
    with _alone(config, threads):
        language = _loaded(model, config)
        run = _Run(config, language, log, learnt, pairs, progress, device)
        curve = [row for name in config.tasks for row in _learn(run, name, rng)]
        language.model.eval().cpu()
    document = {
        "format": 1,
        "kind": "pretrained language model",
        "base": {"name": model, "sha256": language.sha256},
        "settings": config.model_dump(),
        "text_columns": list(columns),
        "data": {"sha256": _sha256(log), "texts": len(log.texts), "events": len(log.histories.items)},
        "held_out": {"pairs": len(pairs.reported[0]), "candidates": len(pairs.candidates)},
        "curve": curve,
        "seconds": round(time.perf_counter() - began, 1),
    }
    pretrained = Pretrained(language, document)
    if out is not None:
        pretrained.save(out)
    return pretrained


class _Run:
    """What the tasks of one pretraining share."""

    def __init__(
        self,
        config: PretrainingConfig,
        language: LanguageModel,
        log: TextLog,
        learnt: TextLog,
        pairs: NextText,
        show: bool,
        device: str,
    ) -> None:
        self.config, self.language, self.learnt, self.pairs, self.show = config, language, learnt, pairs, show
        gpu = torch.cuda.is_available() and device != "cpu"
        self.device = torch.device("cuda" if gpu else "cpu")
        auto = config.precision == "auto" and (gpu or torch.cpu._is_avx512_bf16_supported())
        self.fast = auto or config.precision == "bf16"
        reading = TextConfig(pooling=config.pooling or "auto", prompt=config.prompt, max_tokens=config.max_tokens)
        inside: Any = language.model.base_model if "masked" in config.tasks else language.model
        self.encoder = TextEncoder(replace(language, model=inside), reading)
        self.rows = self.encoder.tokenise(log.texts)
        language.model.to(self.device)

    @torch.no_grad()
    def found(self) -> tuple[dict[str, float], dict[str, float]]:
        """How well the next text is found now, for the pairs to stop by and those to report on; empty without any."""
        if not len(self.pairs.stopping[0]):
            return {}, {}
        candidates = self.pairs.candidates
        vectors = np.zeros((len(candidates), self.encoder.size), dtype=np.float32)
        for part in batches([len(self.rows[text]) for text in candidates], _TOKENS):
            vectors[part] = read(self.encoder, [self.rows[text] for text in candidates[part]]).cpu().numpy()
        return found(self.pairs.stopping, vectors), found(self.pairs.reported, vectors)

    def task(self, name: str, rng: np.random.Generator) -> Task:
        """By its name."""
        config = self.config
        if name == "behaviour":
            size, window, temperature = config.batch_size, config.window, config.temperature
            return Behaviour(self.encoder, self.rows, self.learnt, size, window, temperature, config.log_q)
        if name == "contrast":
            return Contrast(self.encoder, self.rows, config.batch_size, config.temperature)
        held = rng.permutation(len(self.rows))[
            : min(math.floor(share_of(config.held_out, len(self.rows))), _MOST_HELD_OUT)
        ]
        causal = self.language.causal
        return Words(self.language.model, self.encoder, self.rows, config.batch_size, config.mask_share, causal, held)

    def autocast(self) -> Any:
        """Products in bf16 where that is wanted."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.fast)


def _learn(run: _Run, name: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One task to its best epoch, which may be none; what each epoch gave."""
    config, model, task = run.config, run.language.model, run.task(name, rng)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * task.steps
    factor = _rate(int(config.warmup * steps), steps)
    curve: list[dict[str, Any]] = []
    best, best_epoch, best_weights, step = -math.inf, 0, None, 0
    with bars.bar(f"Pretraining, {name}", steps, run.show) as advance:
        for epoch in range(config.epochs + 1):
            losses: list[float] = []
            model.train()
            for batch in task.batches(rng) if epoch else ():
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * factor(step)
                with _memory(config):
                    with run.autocast():
                        loss = task.loss(batch)
                    if loss is not None:
                        loss.backward()  # type: ignore[no-untyped-call]
                if loss is not None:
                    losses.append(loss.item())
                    if not math.isfinite(losses[-1]):
                        raise TrainingDiverged(value=losses[-1], step=step)
                    nn.utils.clip_grad_norm_(weights, _CLIP)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                step += 1
                advance(1)
            row = {"task": name, "epoch": epoch, "loss": round(float(np.mean(losses)), 5) if losses else None}
            score = _judged(run, task, row)
            curve.append(row)
            _log.info("pretraining %s", row)
            if score is None:
                continue
            if score > best:
                best, best_epoch = score, epoch
                best_weights = {key: tensor.detach().cpu().clone() for key, tensor in model.state_dict().items()}
            elif epoch - best_epoch >= config.patience:
                break
    if best_weights is not None:
        model.load_state_dict(best_weights)
    curve[best_epoch if best_weights is not None else -1]["kept"] = True
    return curve


def _judged(run: _Run, task: Task, row: dict[str, Any]) -> float | None:
    """What decides on the epoch: the task's own held-out part, else the held-out pairs. All goes into the row."""
    run.language.model.eval()
    with _memory(run.config):
        own, (stopping, reported) = task.judged(), run.found()
    told = {**reported, **{f"stopping_{name}": value for name, value in stopping.items()}}
    told |= {} if own is None else {"held_out_loss": -own}
    row |= {name: round(value, 5) for name, value in told.items()}
    return stopping.get("mrr") if own is None else own


def _rate(warmup: int, steps: int) -> Any:
    return lambda step: min((step + 1) / (warmup + 1), max(0.0, (steps - step) / max(1, steps - warmup)))


def _loaded(name: str, config: PretrainingConfig) -> LanguageModel:
    """The model, with its head on where words are to be told, and with the layers that learn set free."""
    language = load_language_model(name)
    if "masked" in config.tasks:
        language = load_language_model(name, "causal" if language.causal else "masked")
        if not language.causal and language.tokenizer.mask_token_id is None:
            raise PretrainingRefused(task="masked", reason=f"the tokenizer of {name} has no mask")
    model: Any = language.model
    if config.gradient_checkpointing:
        kwargs = {"use_reentrant": False}
        if hasattr(model, "activation_checkpointing_enable"):  # the other name is that of earlier releases
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=kwargs)
        else:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
    if config.layers is not None:
        layers = _layers(model, config.layers)
        for parameter in model.base_model.parameters():
            parameter.requires_grad = False
        for layer in layers[-config.layers :]:
            for parameter in layer.parameters():
                parameter.requires_grad = True
    return language


def _layers(model: Any, wanted: int) -> nn.ModuleList:
    count = model.config.num_hidden_layers
    found = [part for part in model.base_model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if not found:
        reason = f"the layers of a {model.config.model_type} model cannot be told apart"
        raise ConfigValue(name="layers", owner="Pretraining", value=wanted, reason=reason)
    return found[0]


def _refuse_nothing(log: TextLog, config: PretrainingConfig) -> None:
    task = config.tasks[0]
    if not log.texts:
        raise PretrainingRefused(task=task, reason="no item of the catalogue has text")
    if len(log.texts) == 1:
        raise PretrainingRefused(task=task, reason="all items have the same text")
    if "behaviour" in config.tasks and not len(log.pairs(config.window)[0]):
        raise PretrainingRefused(task="behaviour", reason="nobody has met two items whose texts differ")


def _sha256(log: TextLog) -> str:
    digest = hashlib.sha256("\0".join(log.texts).encode())
    digest.update(np.ascontiguousarray(log.histories.offsets).tobytes())
    digest.update(np.ascontiguousarray(log.histories.items).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _memory(config: PretrainingConfig) -> Iterator[None]:
    """What is said when memory ends says what to do about it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).strip()
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "memory" not in text.lower():
            raise
        reason = text.splitlines()[0][:120].rstrip(".") if text else type(error).__name__
        half, tokens = max(2, config.batch_size // 2), max(2, config.max_tokens // 2)
        raise OutOfMemory(value=config.batch_size, reason=reason, half=half, tokens=tokens) from None


@contextlib.contextmanager
def _alone(config: PretrainingConfig, threads: int | None) -> Iterator[None]:
    """Keep seeds and threads to this run."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(before)
