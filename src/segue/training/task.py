"""The Lightning task: one step of next-item training, its optimiser, and its running average of weights.

All randomness of a step (dropout, negatives) follows from the seed and the number of the step, and the batches of an
epoch from the seed and the epoch. So a run that is killed and resumed draws what an uninterrupted one draws,
and no generator state has to be saved.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from segue.data.batches import Batch, TrainingWindows
from segue.errors import TrainingDiverged
from segue.nn import losses
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.training.negatives import NegativeSampler
from segue.training.plan import Plan
from segue.training.validation import Validation


class EpochLoader:
    """Hands Lightning the batches of the current epoch, from the batch it stopped at."""

    def __init__(self, task: NextItemTask) -> None:
        self.task = task

    def __len__(self) -> int:
        return self.task.windows.batches_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning makes the iterator before it knows the epoch that a resumed run is in, and asks for
        # the first batch after.
        trainer = self.task.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        yield from self.task.windows.epoch(self.task.plan.seed, trainer.current_epoch, done)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the place in the epoch is in Lightning's own progress."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`state_dict`."""


class NextItemTask(L.LightningModule):
    """Trains a :class:`SequenceModel` to tell each next event of the windows.

    Args:
        model: trained in place.
        windows: the training data.
        plan: every setting.
        sampler: for the sampled losses.
        validation: asked after each epoch, on the averaged weights where there are any.
    """

    def __init__(
        self,
        model: SequenceModel,
        windows: TrainingWindows,
        plan: Plan,
        sampler: NegativeSampler,
        validation: Validation | None = None,
    ) -> None:
        super().__init__()
        self.model, self.windows, self.plan, self.sampler, self.validation = model, windows, plan, sampler, validation
        fast = plan.precision == "bf16" or (plan.precision == "auto" and torch.cpu._is_avx512_bf16_supported())
        self._product_type = torch.bfloat16 if fast else torch.float32
        self.average = copy.deepcopy(model).requires_grad_(False) if plan.average_weights else None
        steps = max(1, len(EpochLoader(self)) // plan.gradient_accumulation_steps)
        self.average_window = min(max(3 * steps, 20), 2_000)

    @property
    def best_model(self) -> SequenceModel:
        """What to recommend with."""
        return self.model if self.average is None else self.average

    def train_dataloader(self) -> EpochLoader:
        return EpochLoader(self)

    def val_dataloader(self) -> list[int]:
        return [0] if self.validation is not None else []

    def validation_step(self, batch: int, batch_idx: int) -> None:
        assert self.validation is not None
        self.log("validation", self.validation(self.best_model), batch_size=1)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if not isinstance(batch, Batch):
            return batch
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(device)
        return Inputs.of(batch, device), torch.from_numpy(batch.targets).to(device), weights

    def training_step(self, batch: tuple[Inputs, Tensor, Tensor | None], batch_idx: int) -> Tensor:
        inputs, targets, weights = batch
        batch_number = self.current_epoch * self.windows.batches_per_epoch + batch_idx
        torch.manual_seed((self.plan.seed << 32) + batch_number)
        hidden = self.model(inputs)
        learnt = targets > 0
        loss = self._loss(hidden[learnt], targets[learnt], None if weights is None else weights[learnt])
        value = loss.detach()
        if not torch.isfinite(value):
            raise TrainingDiverged(value=float(value), step=self.global_step)
        self.log("loss", value, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def _loss(self, hidden: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        vectors, plan = self.model.tower.vectors(), self.plan
        if plan.loss == "full":
            return losses.full_softmax(hidden, vectors, targets, self._product_type, weights)
        negatives, log_q = (drawn.to(hidden.device) for drawn in self.sampler.draw())
        if plan.loss == "sampled":
            return losses.sampled_softmax(hidden, vectors, targets, negatives, log_q, weights)
        if plan.loss == "bce":
            return losses.binary_cross_entropy(hidden, vectors, targets, negatives, weights)
        beta = losses.gbce_beta(plan.negatives, self.sampler.catalogue, plan.calibration)
        return losses.generalised_bce(hidden, vectors, targets, negatives, beta, weights)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            # Early weights count for little: the window opens as training goes on.
            weight = max(10 / (10 + self.global_step), 1 / self.average_window)
            current = [parameter.data for parameter in self.model.parameters()]
            torch._foreach_lerp_(list(self.average.parameters()), current, weight)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        plan = self.plan
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        fused = plan.precision != "bf16"  # Lightning clips no gradients of a fused optimiser in mixed precision
        optimizer: torch.optim.Optimizer
        if plan.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=fused)
        else:
            optimizer = torch.optim.SGD(groups, lr=plan.learning_rate, momentum=0.9, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / (plan.warmup_steps + 1))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
