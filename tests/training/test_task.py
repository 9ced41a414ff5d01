from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

import segue
from segue.data.batches import TrainingWindows
from segue.nn import losses
from segue.training.build import build_model, readable
from segue.training.fit import _quiet
from segue.training.negatives import NegativeSampler
from segue.training.task import NextItemTask
from tests.training.runs import log_shape, small_plan, small_split, train


def task_of(data: segue.Dataset, **settings: Any) -> NextItemTask:
    plan = small_plan(data, **settings)
    windows = TrainingWindows(readable(data.histories, plan), plan.max_length, plan.batch_tokens)
    sampler = NegativeSampler(data.item_counts, plan.negatives, plan.popular_negatives)
    return NextItemTask(build_model(plan, log_shape(data)), windows, plan, sampler)


def run(task: NextItemTask, epochs: int = 1, **options: Any) -> None:
    settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with _quiet(threads=1):
        L.Trainer(max_epochs=epochs, enable_model_summary=False, **settings, **options).fit(task)


@pytest.mark.parametrize("name", ["full", "sampled", "bce", "gbce"])
def test_the_plan_chooses_the_loss(data: segue.Dataset, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = {"full": "full_softmax", "sampled": "sampled_softmax", "bce": "binary_cross_entropy"}
    used = function.get(name, "generalised_bce")
    called = []
    real = getattr(losses, used)
    monkeypatch.setattr(losses, used, lambda *args: called.append(args) or real(*args))
    task = task_of(data, loss=name)
    hidden = torch.randn(9, 8)
    assert torch.isfinite(task._loss(hidden, task.model.tower.vectors(), torch.arange(1, 10)))
    assert len(called) == 1
    if name == "gbce":
        items = len(data.item_vocabulary)
        others = 16 * (items - 1) / items  # a draw that is the target itself is void
        assert called[0][4] == pytest.approx(losses.gbce_beta(others, items, 0.75))


@pytest.mark.parametrize("source", ["uniform", "popular", "mixed", "in_batch", "in_batch_mixed"])
def test_gbce_with_full_calibration_gives_probabilities_whatever_draws_the_negatives(
    data: segue.Dataset, source: Any
) -> None:
    task = task_of(data, loss="gbce", calibration=1.0)
    truth = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    targets = torch.from_numpy(np.repeat(np.arange(1, 7), (truth * 10_000).astype(int)))
    counts = np.concatenate([[0], truth * 10_000, [0, 0]])  # the last two cannot be drawn
    known = np.array([False, *[True] * 6, False, False])
    task.sampler = NegativeSampler(counts, 4_000, 0.5, source, known)
    scores = torch.zeros(9, 1, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.05)
    rows = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    tail = torch.zeros(9, 1)
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.05 if step < 200 else 0.005
        batch = targets[rows[torch.arange(step * 500, step * 500 + 500) % len(rows)]]
        optimiser.zero_grad()
        task._loss(torch.ones(len(batch), 1), scores, batch).backward()
        optimiser.step()
        tail += scores.detach() / 100 if step >= 300 else 0
    np.testing.assert_allclose(tail.sigmoid()[1:7, 0].numpy(), truth, rtol=0.12)


def test_only_positions_with_a_target_are_learnt_from(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(data)
    seen = []
    monkeypatch.setattr(task, "_loss", lambda hidden, _, targets, __: seen.append(targets) or (hidden * 0).sum())
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    monkeypatch.setattr(NextItemTask, "current_epoch", 0)
    for number, batch in enumerate(task.windows.epoch(0, 0)):
        task.training_step(task.transfer_batch_to_device(batch, torch.device("cpu"), 0), number)
    targets = torch.cat(seen)
    assert (targets > 0).all()
    assert len(targets) == task.windows.targets == len(data) - len(data.user_vocabulary)


def test_the_weights_recommended_with_are_a_running_average(data: segue.Dataset) -> None:
    task = task_of(data)
    start = [parameter.detach().clone() for parameter in task.model.parameters()]
    steps: list[list[torch.Tensor]] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            steps.append([parameter.detach().clone() for parameter in task.model.parameters()])

    run(task, 2, callbacks=[Watch()])
    average = start
    for number, weights in enumerate(steps):  # the first step leaves nothing of where training began
        share = max(10 / (10 + number), 1 / task.average_window)
        average = [a + share * (w - a) for a, w in zip(average, weights, strict=True)]
    for ours, theirs in zip(task.best_model.parameters(), average, strict=True):
        torch.testing.assert_close(ours.data, theirs, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(task.best_model.tower.ids.weight, task.model.tower.ids.weight)


def test_without_an_average_the_newest_weights_are_recommended_with(data: segue.Dataset) -> None:
    task = task_of(data, average_weights=False)
    assert task.best_model is task.model


def test_the_learning_rate_rises_linearly_and_then_stays(data: segue.Dataset) -> None:
    task = task_of(data, warmup_steps=4, learning_rate=0.01)
    schedule = task.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(7):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.01])


def test_weight_decay_is_on_matrices_and_not_on_biases_and_norms(data: segue.Dataset) -> None:
    optimizer = task_of(data, weight_decay=0.1).configure_optimizers()["optimizer"]
    matrices, vectors = optimizer.param_groups
    assert matrices["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in matrices["params"])
    assert all(parameter.ndim == 1 for parameter in vectors["params"])


@pytest.mark.parametrize(("name", "cls"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_plan_chooses_the_optimiser(data: segue.Dataset, name: str, cls: type) -> None:
    assert type(task_of(data, optimizer=name).configure_optimizers()["optimizer"]) is cls


@pytest.mark.parametrize("name", ["full", "sampled", "bce", "gbce"])
def test_padding_stays_zero_through_training(name: str) -> None:
    model = train(loss=name, epochs=2, plain=True).model
    assert not model.tower.vectors()[0].any()
    assert model.tower.vectors()[1:].any(1).all()


def test_every_batch_of_every_epoch_is_trained_on_once() -> None:
    data = small_split().train
    task = task_of(data)
    seen: list[list[np.ndarray]] = []

    class Watch(L.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            seen.append([])

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            seen[-1].append(batch[0].items.numpy().copy())

    run(task, 3, callbacks=[Watch()])
    for epoch, batches in enumerate(seen):
        wanted = [batch.inputs for batch in task.windows.epoch(task.plan.seed, epoch)]
        assert len(batches) == len(wanted)
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(batches, wanted, strict=True))


def test_accumulated_batches_share_a_step() -> None:
    report = train(plain=True, gradient_accumulation_steps=2, epochs=1)
    task = task_of(small_split().train, gradient_accumulation_steps=2)
    run(task, 1, accumulate_grad_batches=2)
    assert task.global_step == -(-task.windows.batches_per_epoch // 2)
    assert report.report["training"]["epochs"] == 1
