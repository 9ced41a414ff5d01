"""The Lightning task: one step of next-item training, its optimiser, and its running average of weights.

What else a step may learn is in ``training.objectives``, and what it is fed in ``training.feed``.

All randomness of a step (dropout, negatives) follows from the seed and the number of the step, and the batches of an
epoch from the seed and the epoch. So a run that is killed and resumed draws what an uninterrupted one draws,
and no generator state has to be saved.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from segue.data.batches import Batch, TrainingWindows
from segue.errors import TrainingDiverged
from segue.nn import losses
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.training.anchor import Anchor
from segue.training.distillation import Distillation
from segue.training.feed import Feed
from segue.training.interests import interest_loss
from segue.training.negatives import NegativeSampler
from segue.training.objectives import InputVectors, adversarial_loss, contrastive_loss
from segue.training.plan import Plan
from segue.training.schedules import learning_rate_factor
from segue.training.text_tuning import TunedText
from segue.training.validation import Validation


class EpochLoader:
    """Hands Lightning the batches of the current epoch, from the batch it stopped at."""

    def __init__(self, task: NextItemTask) -> None:
        self.task = task

    def __len__(self) -> int:
        return self.task.windows.batches_per_epoch

    def __iter__(self) -> Iterator[Batch | tuple[Batch, Batch, Batch]]:
        # A generator: Lightning makes the iterator before it knows the epoch that a resumed run is in, and asks for
        # the first batch after.
        trainer = self.task.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        yield from self.task.feed.epoch(trainer.current_epoch, done)

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
        distillation: teachers to listen to besides; None learns from the events alone.
        text: the language model, where it learns too.
        anchor: holds the weights where earlier events were learnt; None lets them go.
        members: (histories, interests) to be told besides; None where there are none.
    """

    def __init__(
        self,
        model: SequenceModel,
        windows: TrainingWindows,
        plan: Plan,
        sampler: NegativeSampler,
        validation: Validation | None = None,
        distillation: Distillation | None = None,
        text: TunedText | None = None,
        anchor: Anchor | None = None,
        members: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.distillation, self.text, self.anchor, self.members = distillation, text, anchor, members
        self.model, self.windows, self.plan, self.sampler, self.validation = model, windows, plan, sampler, validation
        self.feed = Feed(windows, plan, sampler.catalogue)
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
        if isinstance(batch, int):
            return batch
        learnt, *views = batch if isinstance(batch, tuple) else (batch,)
        targets = torch.from_numpy(learnt.targets).to(device)
        weights = None if learnt.weights is None else torch.from_numpy(learnt.weights).to(device)
        members = None if self.members is None else torch.from_numpy(self.members[learnt.rows]).to(device)
        return Inputs.of(learnt, device), targets, weights, members, *(Inputs.of(view, device) for view in views)

    def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
        inputs, targets, counted, members, *views = batch
        plan = self.plan
        batch_number = self.current_epoch * self.windows.batches_per_epoch + batch_idx

        def next_item() -> tuple[Tensor, Tensor, Tensor, Tensor]:
            torch.manual_seed((plan.seed << 32) + batch_number)
            bank = None if self.text is None else self.text.bank(self.model, inputs.items, targets)
            vectors = self.model.tower.vectors(bank)  # once: inputs and outputs share them
            hidden, wanted, weights = self.model.learnt(inputs, targets, vectors, counted)
            loss = self._loss(hidden, vectors, wanted, weights)
            if self.distillation is not None:
                loss = self.distillation.loss(loss, hidden, vectors, inputs, targets > 0)
            return hidden, wanted, vectors, loss

        with InputVectors(self.model.tower) as read:
            hidden, wanted, vectors, loss = next_item()
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(targets))
        if plan.adversarial != "none":
            assert read.vectors is not None
            loss = loss + adversarial_loss(self.model, plan, loss, read.vectors, lambda: next_item()[-1])
        if plan.contrastive != "none":
            contrast = contrastive_loss(self.model, plan, inputs, targets, (hidden, wanted), views)
            loss = loss + plan.contrastive_weight * contrast
        if members is not None:
            also = interest_loss(self.model, inputs, targets, vectors, hidden, members)
            loss = loss + plan.interest_weight * also
        if self.anchor is not None:
            loss = loss + self.anchor.penalty(self.model)
        if self.text is not None:
            loss = loss + self.text.tuning.penalty()
        value = loss.detach()
        if not torch.isfinite(value):
            raise TrainingDiverged(value=float(value), step=self.global_step)
        return loss

    def next_item_loss(self, batch: Batch) -> Tensor:
        """The loss of the next items of one batch alone, on the device that the model is on."""
        inputs, targets, counted, *_ = self.transfer_batch_to_device(batch, self.device, 0)
        vectors = self.model.tower.vectors()
        hidden, wanted, weights = self.model.learnt(inputs, targets, vectors, counted)
        return self._loss(hidden, vectors, wanted, weights)

    def _loss(self, hidden: Tensor, vectors: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        plan = self.plan
        if plan.loss == "full":
            vectors, targets = self._told(vectors, targets)
            return losses.full_softmax(hidden, vectors, targets, self._product_type, weights, plan.label_smoothing)
        negatives, log_q = self.sampler.draw_for(hidden, vectors, targets)
        if plan.loss == "sampled":
            return losses.sampled_softmax(hidden, vectors, targets, negatives, log_q, weights, plan.label_smoothing)
        if plan.loss == "bce":
            return losses.binary_cross_entropy(hidden, vectors, targets, negatives, weights)
        return self._gbce(hidden, vectors, targets, negatives, log_q, weights)

    def _gbce(
        self,
        hidden: Tensor,
        vectors: Tensor,
        targets: Tensor,
        negatives: Tensor,
        log_q: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        """gBCE of negatives from any source, scaled so that a positive counts as much as in the other losses.

        The paper's factor of one in n + 1 would leave the losses beside it (contrastive, distillation) alone in charge.
        """
        items, n = self.sampler.drawable, len(negatives)
        # A draw may be the target itself and is void then, so that this many others are left on average.
        others = n * (items - 1) / items
        beta = losses.gbce_beta(others, items, self.plan.calibration)
        rates = torch.exp(log_q - losses.uniform_log_q(n, items))
        loss = losses.generalised_bce(hidden, vectors, targets, negatives, beta, weights, rates)
        return loss * (n + 1) / beta

    def _told(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Without the items that have no events: they are not wrong answers, they have never been asked about."""
        known = self.model.tower.get_buffer("known").clone()
        known[0] = True
        if known.all():
            return vectors, targets
        return vectors[known], (known.cumsum(0) - 1)[targets]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            # Early weights count for little: the window opens as training goes on.
            weight = max(10 / (10 + self.global_step), 1 / self.average_window)
            current = [parameter.data for parameter in self.model.parameters()]
            torch._foreach_lerp_(list(self.average.parameters()), current, weight)
        if self.text is not None:
            self.text.tuning.stepped(self.global_step)

    def on_train_start(self) -> None:
        if self.text is not None:
            self.text.encoder.to(self.device)
            self.text.share_bank(self.model, self.best_model)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.text is not None and self.trainer.is_last_batch:  # before validation, and before a checkpoint
            self.text.read_again(self.best_model)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        plan = self.plan
        own = [p for name, p in self.model.named_parameters() if not name.startswith("language.")]
        matrices, vectors = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": plan.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        if self.model.language is not None:
            rate = plan.tuning_learning_rate
            groups.append({"params": list(self.model.language), "weight_decay": 0.0, "lr": rate})
        fused = plan.precision != "bf16"  # Lightning clips no gradients of a fused optimiser in mixed precision
        optimizer: torch.optim.Optimizer
        if plan.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=fused)
        else:
            optimizer = torch.optim.SGD(groups, lr=plan.learning_rate, momentum=0.9, fused=fused)
        steps = plan.epochs * -(-len(EpochLoader(self)) // plan.gradient_accumulation_steps)
        factor = learning_rate_factor(plan.schedule, plan.warmup_steps, steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
