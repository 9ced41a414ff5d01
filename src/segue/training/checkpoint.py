"""Lightning checkpoints as artefacts: safetensors and JSON, whole or not at all, and nothing that can run code.

Replaces ``torch.save`` and ``torch.load`` in Lightning's own save and restore. What is in a checkpoint is Lightning's
business; when one is written is :class:`Checkpointing`'s.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.io import CheckpointIO

from segue import artefacts
from segue.errors import ResumeRefused

KIND = "TrainingCheckpoint"


class ArtefactCheckpointIO(CheckpointIO):
    """Writes a checkpoint's tree as one artefact: tensors apart, everything else as JSON.

    Args:
        signature: of data and settings; the checkpoint of another training is refused before anything of it is used.
    """

    def __init__(self, signature: str) -> None:
        self.signature = signature

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        tensors: dict[str, np.ndarray] = {}
        tree = _flatten(checkpoint, tensors)
        with artefacts.writing(path, KIND, {"signature": self.signature}) as artefact:
            artefact.tensors("tensors", tensors)
            artefact.document("tree", tree)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        artefact = artefacts.read(path)
        if artefact.manifest["config"].get("signature") != self.signature:
            raise ResumeRefused(path=path, reason="it belongs to a training with other data, settings or seed")
        tree: dict[str, Any] = _restore(artefact.document("tree"), artefact.tensors("tensors"))
        return tree

    def remove_checkpoint(self, path: Any) -> None:
        shutil.rmtree(path, ignore_errors=True)


class Checkpointing(L.Callback):
    """Saves after each epoch, and inside long epochs whenever ``seconds`` have passed.

    Never between batches that share an optimiser step (their gradients are not saved), and not after the last batch of
    an epoch: what follows, validation and the end of the epoch, would be skipped on resuming.

    Args:
        path: of the checkpoint; replaced each time, so that the newest whole one is always there.
        seconds: between two checkpoints inside an epoch.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._saved, self._stopped = time.monotonic(), False

    def state_dict(self) -> dict[str, Any]:
        return {"stopped": self._stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped = state_dict["stopped"]

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        if self._stopped:  # killed after early stopping had decided; Lightning forgets that
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        whole_step = done % trainer.accumulate_grad_batches == 0 and done < trainer.num_training_batches
        if whole_step and time.monotonic() - self._saved >= self.seconds:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        self._stopped = trainer.should_stop
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


def _flatten(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().numpy()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[_flatten(k, tensors), _flatten(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_flatten(each, tensors) for each in value]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _restore(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tensor":
            return torch.from_numpy(tensors[content].copy())
        case "items":
            return {_restore(k, tensors): _restore(v, tensors) for k, v in content}
        case "list":
            return [_restore(each, tensors) for each in content]
        case "tuple":
            return tuple(_restore(each, tensors) for each in content)
    return float(content)
