"""Fitting a language ranker: passes over the examples, the best by validation kept, and one over what validated it."""

from __future__ import annotations

import copy
import hashlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from segue import artefacts
from segue.data.histories import Histories
from segue.data.questions import Questions
from segue.training.callbacks import BestWeights, LearningCurve, bars
from segue.training.checkpoint import ArtefactCheckpointIO, Checkpointing
from segue.training.fit import RunOptions, _quiet
from segue.training.ranker_plan import RankerPlan
from segue.training.ranker_task import Ranker, RankerTask
from segue.training.trackers import tracker_names
from segue.training.tracking import tracking


@dataclass(frozen=True, eq=False)
class RankerData:
    """What a ranker learns from.

    Attributes:
        questions: with ratings on the scale that is learnt.
        item_counts: (catalogue + 1,) popularity, for negatives.
        synonyms: (vocabulary,) neighbours of tokens, see ``language.noise``.
        listed: (questions, n) hard negatives.
        known: the histories that evidence was counted on.
    """

    questions: Questions
    item_counts: np.ndarray
    synonyms: np.ndarray | None = None
    listed: np.ndarray | None = None
    known: Histories | None = None


def fit_ranker(
    ranker: Ranker,
    plan: RankerPlan,
    data: RankerData,
    run: RunOptions,
    validation: Callable[[], float] | None = None,
    phase: str = "search",
) -> dict[str, Any]:
    """Train in place; returns what happened.

    Args:
        validation: asked after each epoch, higher is better; the weights of the best epoch are kept.
        phase: names the checkpoint; ``"refit"`` is one pass at the end.

    Raises:
        ResumeRefused: the checkpoint belongs to another training.
        TrainingDiverged: the loss is not a number.
    """
    if not len(data.questions):
        return {"epochs": 0, "examples": 0, "curve": [], "best_validation": None}
    curve, best = LearningCurve(), BestTuned()
    callbacks: list[L.Callback] = [curve, *([best] if validation is not None else [])]
    title = "Tuning the language model" if phase == "search" else "Learning from the validation events"
    callbacks += bars(title, "validation", best if validation is not None else None, run.progress)
    callbacks += tracking(tracker_names(run.tracker), run.log_dir, phase, plan.model_dump())
    path = None if run.checkpoint is None else run.checkpoint / phase
    if path is not None:
        callbacks.append(Checkpointing(path, run.checkpoint_seconds))
    with _quiet(run.threads):
        chance = (data.item_counts, data.synonyms, data.listed)
        task = RankerTask(ranker, plan, data.questions, *chance, validation, data.known)
        _run(task, plan, callbacks, path, run)
    if best.weights:
        ranker.classifier.load_state_dict(best.weights, strict=False)
    ranker.classifier.cpu().eval()
    return {
        "epochs": best.epoch or plan.epochs,
        "examples": task.per_epoch,
        "curve": curve.rows,
        "best_validation": best.value if best.epoch else None,
    }


def refit(ranker: Ranker, plan: RankerPlan, data: RankerData, run: RunOptions) -> dict[str, Any]:
    """One pass over events that were held out, as gently as the training ended."""
    gentle = {"learning_rate": plan.learning_rate / 2, "head_learning_rate": plan.head_learning_rate / 2}
    return fit_ranker(ranker, plan.model_copy(update={"epochs": 1, **gentle}), data, run, phase="refit")


class BestTuned(BestWeights):
    """Remembers what learns, and no more, at the best epoch."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, RankerTask)
        value = float(trainer.callback_metrics["validation"])
        if value > self.value:
            self.value, self.epoch = value, trainer.current_epoch + 1
            learns = pl_module.classifier.named_parameters()
            self.weights = copy.deepcopy({name: p.detach() for name, p in learns if p.requires_grad})


def _run(task: RankerTask, plan: RankerPlan, callbacks: list[L.Callback], path: Path | None, run: RunOptions) -> None:
    trainer = L.Trainer(
        accelerator=run.device,
        devices=1,
        max_epochs=plan.epochs,
        precision="bf16-mixed" if plan.bf16 else "32-true",
        accumulate_grad_batches=plan.gradient_accumulation_steps,
        gradient_clip_val=plan.gradient_clip or None,
        callbacks=callbacks,
        plugins=[ArtefactCheckpointIO(_signature(task, plan))],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1_000_000,
    )
    resumed = str(path) if path is not None and run.resume and (path / artefacts.MANIFEST).exists() else None
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(task, ckpt_path=resumed)
    except SystemExit:  # what Lightning makes of Ctrl-C, with every further one ignored
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _signature(task: RankerTask, plan: RankerPlan) -> str:
    digest = hashlib.sha256(plan.model_dump_json().encode())
    digest.update(task.ranker.classifier.sha256.encode())
    digest.update("\n".join(task.ranker.prompts.titles).encode())
    questions = task.questions
    arrays = (questions.items, questions.answers, questions.kinds, *questions.contexts.arrays(), task.item_counts)
    for array in (*arrays, task.listed):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def rescaled(questions: Questions, mean: float, deviation: float) -> Questions:
    """Ratings with mean 0 and deviation 1, as a head learns them best."""
    assert questions.answers is not None
    return replace(questions, answers=((questions.answers - mean) / deviation).astype(np.float32))


def scale_of(questions: Questions) -> tuple[float, float, float, float]:
    """Of ratings: mean, deviation, lowest, highest."""
    answers = questions.answers if questions.answers is not None and len(questions) else np.zeros(1)
    deviation = float(answers.std())
    return float(answers.mean()), deviation if deviation > 1e-6 else 1.0, float(answers.min()), float(answers.max())
