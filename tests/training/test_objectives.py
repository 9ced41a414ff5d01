from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

import segue
from segue.data.batches import TrainingWindows
from segue.nn import losses
from segue.nn.inputs import Inputs
from segue.training import objectives
from segue.training.build import LogShape, build_model, readable
from segue.training.fit import _quiet
from segue.training.negatives import NegativeSampler
from segue.training.objectives import InputVectors, adversarial_loss, contrastive_loss
from segue.training.task import NextItemTask
from tests.training.runs import small_plan


def task_of(data: segue.Dataset, **settings: Any) -> NextItemTask:
    plan = small_plan(data, **{"precision": "fp32", **settings})
    histories = readable(data.histories, plan)
    log = LogShape.of(histories, len(data.item_vocabulary), len(data.action_names))
    windows = TrainingWindows(histories, plan.max_length, plan.batch_tokens)
    sampler = NegativeSampler(data.item_counts, plan.negatives, plan.popular_negatives, plan.negatives_from)
    return NextItemTask(build_model(plan, log), windows, plan, sampler)


class Step:
    """One batch of a task, its clean pass, and how to pass again."""

    def __init__(self, data: segue.Dataset, **settings: Any) -> None:
        self.task = task_of(data, **{"dropout": 0.0, "forget": 0.0, "loss": "full", **settings})
        with torch.no_grad():  # vectors of the size they have once something is learnt
            self.task.model.tower.ids.weight.mul_(10)
        batch = self.task.transfer_batch_to_device(next(iter(self.task.feed.epoch(0))), torch.device("cpu"), 0)
        self.inputs, self.targets, _, _, *self.views = batch
        self.asked: list[Tensor] = []
        with InputVectors(self.task.model.tower) as read:
            self.clean = self.again()
        assert read.vectors is not None
        self.vectors = read.vectors

    def again(self) -> Tensor:
        torch.manual_seed(0)
        with InputVectors(self.task.model.tower) as read:
            vectors = self.task.model.tower.vectors()
            self.hidden, self.told, _ = self.task.model.learnt(self.inputs, self.targets, vectors)
        assert read.vectors is not None
        self.asked.append(read.vectors.detach())
        return self.task._loss(self.hidden, vectors, self.told)

    def adversarial(self, again: Callable[[], Tensor] | None = None) -> Tensor:
        return adversarial_loss(self.task.model, self.task.plan, self.clean, self.vectors, again or self.again)

    def contrast(self) -> Tensor:
        task = self.task
        learnt = (self.hidden, self.told)
        return contrastive_loss(task.model, task.plan, self.inputs, self.targets, learnt, self.views)


# -- adversarial ---------------------------------------------------------------------------------------------------


def share_moved(step: Step) -> Tensor:
    """How far each row was moved the last time, as a share of the norm of its vectors."""
    moved = (step.asked[-1] - step.asked[0]).flatten(1).norm(dim=1)
    return moved / step.asked[0].flatten(1).norm(dim=1)


@pytest.mark.parametrize("settings", [{"adversarial": "fgm"}, {"adversarial": "pgd"}])
def test_moved_inputs_are_harder_by_as_much_as_the_radius_allows(data: segue.Dataset, settings: dict[str, Any]) -> None:
    before = 0.0
    for epsilon in (0.01, 0.1):
        step = Step(data, adversarial_epsilon=epsilon, **settings)
        added = float((step.adversarial() - step.clean).detach())
        assert (share_moved(step) <= epsilon * 1.001).all()
        assert added > before
        before = added


def test_a_random_direction_is_not_as_hard(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    worst = Step(data, adversarial="fgm").adversarial()
    monkeypatch.setattr(
        objectives,
        "_direction",
        lambda gradient: torch.nn.functional.normalize(torch.randn_like(gradient).flatten(1), dim=1).view_as(gradient),
    )
    assert Step(data, adversarial="fgm").adversarial() < worst


def test_one_step_of_pgd_is_fgm_and_more_steps_find_worse(data: segue.Dataset) -> None:
    fgm = Step(data, adversarial="fgm", adversarial_epsilon=0.3)
    one = Step(data, adversarial="pgd", adversarial_steps=1, adversarial_epsilon=0.3)
    many = Step(data, adversarial="pgd", adversarial_steps=5, adversarial_epsilon=0.3)
    once = fgm.adversarial()
    torch.testing.assert_close(one.adversarial(), once)
    assert many.adversarial() > once
    assert len(fgm.asked) == 2, "one further pass"
    assert len(many.asked) == 6


def test_nothing_stays_moved(data: segue.Dataset) -> None:
    step = Step(data, adversarial="pgd")
    weights = [parameter.detach().clone() for parameter in step.task.model.parameters()]
    step.adversarial()
    torch.testing.assert_close(step.again(), step.clean)
    assert all(torch.equal(left, right) for left, right in zip(weights, step.task.model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in step.task.model.parameters())


def test_a_hook_is_gone_even_after_an_error(data: segue.Dataset) -> None:
    step = Step(data, adversarial="fgm")

    def fail() -> Tensor:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        step.adversarial(fail)
    assert not step.task.model.tower._forward_hooks


def test_the_adversarial_loss_teaches_every_weight(data: segue.Dataset) -> None:
    step = Step(data, adversarial="fgm")
    step.adversarial().backward()
    assert all(parameter.grad is not None for parameter in step.task.model.parameters())
    assert not step.task.model.tower.ids.weight.grad[0].any(), "padding stays zero"  # type: ignore[index]


# -- contrastive ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["augment", "dropout", "supervised"])
def test_contrast_teaches_the_encoder(data: segue.Dataset, kind: str) -> None:
    step = Step(data, contrastive=kind, dropout=0.3)
    step.contrast().backward()
    gradient = step.task.model.tower.ids.weight.grad
    assert gradient is not None
    assert gradient.any()
    assert torch.isfinite(gradient).all()


def views_given(step: Step, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor, Tensor | None]:
    given: list[Any] = []

    def watch(left: Tensor, right: Tensor, temperature: float, labels: Tensor | None = None) -> Tensor:
        given.append((left, right, labels))
        return losses.info_nce(left, right, temperature, labels)

    monkeypatch.setattr(objectives, "info_nce", watch)
    step.contrast()
    return given[0]


def test_dropout_makes_two_views_of_the_newest_states(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right, labels = views_given(Step(data, contrastive="dropout", dropout=0.3), monkeypatch)
    assert labels is None
    assert not torch.allclose(left, right)
    left, right, _ = views_given(Step(data, contrastive="dropout"), monkeypatch)
    torch.testing.assert_close(left, right)  # without dropout there is one view only


def test_supervised_contrast_labels_positions_by_what_follows(
    data: segue.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "_ANCHORS", 20)
    step = Step(data, contrastive="supervised")
    left, right, labels = views_given(step, monkeypatch)
    assert labels is not None
    assert len(left) == len(labels) == 20
    torch.testing.assert_close(left, right)
    for state, label in zip(left, labels, strict=True):
        ((place,),) = (step.hidden == state).all(-1).nonzero().tolist()
        assert step.told[place] == label > 0


def test_augmented_views_are_encoded_apart_from_the_batch(data: segue.Dataset) -> None:
    step = Step(data, contrastive="augment")
    assert [type(view) for view in step.views] == [Inputs, Inputs]
    assert all(len(view.lengths) == len(step.inputs.lengths) for view in step.views)


# -- in the step -----------------------------------------------------------------------------------------------------


def one_step(task: NextItemTask, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """The loss that is learnt, and the one that is logged."""
    logged: dict[str, float] = {}
    monkeypatch.setattr(task, "log", lambda name, value, **_: logged.update({name: float(value)}))
    monkeypatch.setattr(NextItemTask, "current_epoch", 0)
    batch = task.transfer_batch_to_device(next(iter(task.feed.epoch(0))), torch.device("cpu"), 0)
    return float(task.training_step(batch, 0).detach()), logged["loss"]


EXTRAS: list[dict[str, Any]] = [
    {"adversarial": "fgm"},
    {"adversarial": "pgd"},
    {"contrastive": "augment"},
    {"contrastive": "dropout"},
    {"contrastive": "supervised"},
]


@pytest.mark.parametrize("settings", EXTRAS)
def test_extras_are_learnt_and_the_curve_shows_the_next_item_loss_alone(
    data: segue.Dataset, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    plain, same = one_step(task_of(data), monkeypatch)
    total, logged = one_step(task_of(data, **settings), monkeypatch)
    assert plain == same == logged
    assert total > plain


def test_dropout_and_negatives_are_the_same_in_the_adversarial_pass(
    data: segue.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "_within", lambda moved, radius: moved * 0)
    total, clean = one_step(task_of(data, adversarial="fgm"), monkeypatch)
    assert total == pytest.approx(2 * clean, rel=1e-6)


@pytest.mark.parametrize("encoder", ["transformer", "bidirectional"])
@pytest.mark.parametrize("settings", EXTRAS)
def test_extras_go_with_accumulation_clipping_and_masks(
    data: segue.Dataset, settings: dict[str, Any], encoder: str
) -> None:
    task = task_of(data, gradient_accumulation_steps=2, encoder=encoder, **settings)
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with _quiet(threads=1):
        trainer = L.Trainer(
            max_epochs=1, enable_model_summary=False, accumulate_grad_batches=2, gradient_clip_val=1.0, **options
        )
        trainer.fit(task)
    assert all(torch.isfinite(parameter).all() for parameter in task.model.parameters())
    assert not task.model.tower.vectors()[0].any()


def test_a_decay_ends_with_the_epochs_of_the_plan_however_short_the_run(data: segue.Dataset) -> None:
    task = task_of(data, schedule="linear", warmup_steps=0, epochs=4, learning_rate=0.01)
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with _quiet(threads=1):
        L.Trainer(max_epochs=2, enable_model_summary=False, **options).fit(task)
    optimizer = task.optimizers()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.005)  # type: ignore[union-attr]
