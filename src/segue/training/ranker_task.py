"""The Lightning task of a language ranker: one step over histories with the items offered after each.

All chance of a step (examples, negatives, augmentation) follows from the seed, the epoch and the number of the step, so
that a run that is killed and resumed draws what an uninterrupted one draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional

from segue.data.histories import Histories
from segue.data.questions import Questions, draw_by_popularity
from segue.errors import TrainingDiverged
from segue.language.classifier import Packed, TextClassifier
from segue.language.noise import TextNoise
from segue.language.prompts import Prompts, Template
from segue.language.tuning import Tuning
from segue.patterns.evidence import PairEvidence
from segue.training.ranker_plan import RankerPlan
from segue.training.schedules import learning_rate_factor

_FORGET = 0.5  # share of the examples whose kind of action is not told, so that it need not be told later
_NEARBY = 32  # batches among which examples of about equal length are brought together
_HARD_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Ranker:
    """A language model and all that it takes to ask it.

    Attributes:
        classifier: the model with its head.
        tuning: what of the model learns.
        prompts, template: how it is told.
        events: how many of a history are told.
        bf16: whether it computes in it.
        evidence: what others took, told with each item; None tells none.
    """

    classifier: TextClassifier
    tuning: Tuning
    prompts: Prompts
    template: Template
    events: int
    bf16: bool
    evidence: PairEvidence | None = None

    def answer(self, contexts: Histories, items: np.ndarray) -> np.ndarray:
        """(rows, n) logits or ratings of its own scale, for the (rows, n) codes offered after each context."""
        if not len(contexts):
            return np.zeros(items.shape, dtype=np.float32)
        told = contexts.take(np.arange(len(contexts)), last=self.events)
        templates = [self.template] * len(contexts)
        histories = self.classifier.tokenise(self.prompts.histories(told, templates))
        texts, place = self._distinct_offers(contexts, items)
        tokens = self.classifier.tokenise(texts)
        places: Any = place.reshape(items.shape).tolist()
        offers = [[tokens[at] for at in row] for row in places]
        self.classifier.eval()
        return self.classifier.answer(histories, offers, self.bf16)

    def _distinct_offers(self, contexts: Histories, items: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Texts, and which of them each item is told by."""
        if self.evidence is None:
            distinct, place = np.unique(items, return_inverse=True)
            told = self.prompts.offers(distinct[:, None], [self.template] * len(distinct))
            return [row[0] for row in told], place
        told = self.offers(contexts, items, [self.template] * len(contexts))
        found: dict[str, int] = {}
        place = np.array([found.setdefault(text, len(found)) for row in told for text in row], dtype=np.int64)
        return list(found), place

    def offers(
        self,
        contexts: Histories,
        items: np.ndarray,
        templates: Sequence[Template],
        noise: Callable[[str], str] | None = None,
        own: Histories | None = None,
    ) -> list[list[str]]:
        """The text of each of the (rows, n) items, with its evidence where there is any.

        Args:
            own: what each person in question added to the evidence, to be left out; None leaves nobody out.
        """
        texts = self.prompts.offers(items, templates, noise)
        if self.evidence is None:
            return texts
        told = self.prompts.evidence(items, *self.evidence.told(contexts, items, own))
        return [
            [f"{reason}{text}" for reason, text in zip(*pair, strict=True)] for pair in zip(told, texts, strict=True)
        ]


class RankerTask(L.LightningModule):
    """Trains a :class:`Ranker`.

    Args:
        ranker: trained in place.
        plan: every setting.
        questions: what there is to learn from.
        item_counts: (catalogue + 1,) popularity, for negatives.
        synonyms: see ``language.noise``.
        listed: (questions, n) what the base recommender lists, for hard negatives; None without.
        validation: asked after each epoch; higher is better.
        known: the histories that evidence was counted on; with it, what a question's own person added is left out.
    """

    def __init__(
        self,
        ranker: Ranker,
        plan: RankerPlan,
        questions: Questions,
        item_counts: np.ndarray,
        synonyms: np.ndarray | None = None,
        listed: np.ndarray | None = None,
        validation: Callable[[], float] | None = None,
        known: Histories | None = None,
    ) -> None:
        super().__init__()
        self.strict_loading = False  # a checkpoint holds what learns, and no more
        self.classifier, self.ranker, self.plan, self.questions = ranker.classifier, ranker, plan, questions
        self.item_counts, self.synonyms, self.listed, self.validation = item_counts, synonyms, listed, validation
        self.known = known
        self.per_epoch = min(plan.examples, len(questions))
        self.batches = -(-self.per_epoch // plan.batch_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """Rows of the questions, batch by batch; those of one batch are of about equal length."""
        rng = np.random.default_rng((self.plan.seed, number))
        rows = rng.permutation(len(self.questions))[: self.per_epoch]
        size = self.plan.batch_size
        batches = []
        for start in range(0, len(rows), size * _NEARBY):
            near = rows[start : start + size * _NEARBY]
            near = near[np.argsort(self.questions.contexts.lengths[near], kind="stable")]
            batches += [near[at : at + size] for at in range(0, len(near), size)]
        return [batches[at] for at in rng.permutation(len(batches))]

    def train_dataloader(self) -> _Epoch:
        return _Epoch(self)

    def val_dataloader(self) -> list[int]:
        return [0] if self.validation is not None else []

    def validation_step(self, batch: int, batch_idx: int) -> None:
        assert self.validation is not None
        self.log("validation", self.validation(), batch_size=1)
        self.classifier.train()

    def training_step(self, rows: np.ndarray, batch_idx: int) -> Tensor:
        plan, questions = self.plan, self.questions.take(rows)
        rng = np.random.default_rng((plan.seed, 1 + self.current_epoch, batch_idx))
        torch.manual_seed(int(rng.integers(2**62)))
        items = questions.items[:, None]
        if questions.answers is None:
            items = np.concatenate([items, self._negatives(rows, questions.items, rng)], axis=1)
        answers = self.classifier(self._packed(questions, items, rng).to(self.device))
        value = ranker_loss(answers, torch.from_numpy(items > 0), questions.answers, plan.loss_used)
        loss = value + self.ranker.tuning.penalty()
        if not torch.isfinite(value):
            raise TrainingDiverged(value=float(value.detach()), step=self.global_step)
        self.log("loss", value.detach(), on_step=False, on_epoch=True, batch_size=len(rows))
        return loss

    def _negatives(self, rows: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn = draw_by_popularity(self.item_counts, items, self.plan.negatives, rng)
        if self.listed is not None:
            hard = self.listed[rows[:, None], rng.integers(0, self.listed.shape[1], drawn.shape)]
            taken = (rng.random(drawn.shape) < _HARD_SHARE) & (hard > 0) & (hard != items[:, None])
            drawn = np.where(taken, hard, drawn)
        return drawn

    def _packed(self, questions: Questions, items: np.ndarray, rng: np.random.Generator) -> Packed:
        plan, ranker = self.plan, self.ranker
        noise = TextNoise(plan.augment, plan.augment_share, self.synonyms, rng)
        contexts = questions.contexts.take(np.arange(len(questions)), last=plan.events)
        if plan.answer == "next" and questions.kinds.any():
            told = (rng.random(len(questions)) >= _FORGET) | (plan.target is not None)
            contexts = replace(contexts, wanted=np.where(told, questions.kinds, 0))
        templates = noise.templates(ranker.template, len(questions))
        changes = noise.title if "words" in plan.augment else None
        histories = ranker.classifier.tokenise(ranker.prompts.histories(contexts, templates, changes))
        own = None if self.known is None or questions.users is None else self.known.take(questions.users)
        texts = ranker.offers(questions.contexts, items, templates, changes, own)
        tokens = iter(ranker.classifier.tokenise([text for row in texts for text in row]))
        offers = [[noise.tokens(next(tokens)) for _ in row] for row in texts]
        return ranker.classifier.packed([noise.tokens(ids) for ids in histories], offers)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.ranker.tuning.stepped(self.global_step)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        plan = self.plan
        groups = []
        parts = ((self.classifier.backbone, plan.learning_rate), (self.classifier.head, plan.head_learning_rate))
        for module, rate in parts:
            learns = [parameter for parameter in module.parameters() if parameter.requires_grad]
            for matrices, decay in ((True, plan.weight_decay), (False, 0.0)):
                some = [parameter for parameter in learns if (parameter.ndim > 1) == matrices]
                groups += [{"params": some, "lr": rate, "weight_decay": decay}] if some else []
        optimizer = torch.optim.AdamW(groups)
        steps = plan.epochs * -(-self.batches // plan.gradient_accumulation_steps)
        factor = learning_rate_factor("linear", round(plan.warmup * steps), steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        learns = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        weights = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: tensor for name, tensor in weights.items() if name in learns}


class _Epoch:
    """Hands Lightning the batches of the current epoch, from the batch it stopped at."""

    def __init__(self, task: RankerTask) -> None:
        self.task = task

    def __len__(self) -> int:
        return self.task.batches

    def __iter__(self) -> Iterator[np.ndarray]:
        # A generator: Lightning makes the iterator before it knows the epoch that a resumed run is in.
        trainer = self.task.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        yield from self.task.epoch(trainer.current_epoch)[done:]

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the place in the epoch is in Lightning's own progress."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`state_dict`."""


def ranker_loss(answers: Tensor, offered: Tensor, truth: np.ndarray | None, loss: str) -> Tensor:
    """The mean loss of a batch.

    Args:
        answers: (rows, n) logits, or ratings on the scale that is learnt.
        offered: (rows, n) boolean, False where there was nothing to offer.
        truth: (rows,) answers to the first column; None where that is the yes and the others are noes.
        loss: ``"bce"`` (yes and noes weigh the same), ``"cross_entropy"`` over the row, ``"pairwise"`` (-log sigmoid of
            the difference; BPR, Rendle et al., 2009), ``"squared"``.
    """
    offered = offered.to(answers.device)
    if truth is not None:
        known = torch.from_numpy(truth).to(answers.device)
        if loss == "squared":
            return functional.mse_loss(answers[:, 0], known)
        return functional.binary_cross_entropy_with_logits(answers[:, 0], known)
    yes, others = answers[:, :1], offered[:, 1:]
    if loss == "cross_entropy":
        return -answers.masked_fill(~offered, -torch.inf).log_softmax(1)[:, 0].mean()
    count = others.sum().clamp(min=1)
    if loss == "pairwise":
        return (functional.softplus(answers[:, 1:] - yes) * others).sum() / count
    noes = (functional.softplus(answers[:, 1:]) * others).sum() / count
    return (functional.softplus(-yes).mean() + noes) / 2
