from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.data.questions import of_training
from segue.errors import ResumeRefused, TrainingDiverged
from segue.language.noise import TextNoise
from segue.training.fit import RunOptions
from segue.training.ranker_build import build_ranker
from segue.training.ranker_fit import RankerData, fit_ranker
from segue.training.ranker_plan import RankerPlan
from segue.training.ranker_task import RankerTask, ranker_loss
from tests.language.makers import WORDS, tiny_model

YES, NO = [4.0], [-4.0]


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny"), "bert", WORDS)


def plan_of(name: str, **settings: Any) -> RankerPlan:
    common = {"model": name, "tuning": "top", "events": 3, "examples": 24, "batch_size": 4, "precision": "fp32"}
    return RankerPlan(**{**common, "learning_rate": 1e-2, **settings})


def trained(split: segue.Split, plan: RankerPlan, validation: Any = None, **run: Any) -> tuple[Any, dict[str, Any]]:
    data = split.train
    torch.manual_seed(plan.seed)
    ranker = build_ranker(plan, data.items, data.item_vocabulary, data.action_names, True, len(data))
    learnt = RankerData(of_training(data, "next", last=plan.events), data.item_counts)
    report = fit_ranker(ranker, plan, learnt, RunOptions(progress=False, **run), validation)
    return ranker, report


def weights(ranker: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in ranker.classifier.parameters() if p.requires_grad])


# -- losses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["bce", "cross_entropy", "pairwise"])
def test_the_yes_above_the_noes_costs_less_than_below_them(loss: str) -> None:
    offered = torch.ones(1, 3, dtype=torch.bool)
    good, bad = torch.tensor([[2.0, -2.0, -1.0]]), torch.tensor([[-2.0, 2.0, 1.0]])
    assert ranker_loss(good, offered, None, loss) < ranker_loss(bad, offered, None, loss)


@pytest.mark.parametrize("loss", ["bce", "cross_entropy", "pairwise"])
def test_what_was_not_offered_costs_nothing(loss: str) -> None:
    offered = torch.tensor([[True, True, False]])
    low, high = (torch.tensor([[1.0, 0.5, value]], requires_grad=True) for value in (-9.0, 9.0))
    assert ranker_loss(low, offered, None, loss) == ranker_loss(high, offered, None, loss)
    ranker_loss(high, offered, None, loss).backward()
    assert high.grad is not None
    assert high.grad[0, 2] == 0
    assert high.grad.isfinite().all()


def test_yes_and_noes_weigh_the_same_however_many_noes_there_are() -> None:
    few = ranker_loss(torch.tensor([[1.0, 0.3]]), torch.ones(1, 2, dtype=torch.bool), None, "bce")
    many = ranker_loss(torch.tensor([[1.0, *[0.3] * 9]]), torch.ones(1, 10, dtype=torch.bool), None, "bce")
    assert few == pytest.approx(float(many))


def test_true_answers_are_those_of_the_first_column() -> None:
    offered = torch.ones(2, 1, dtype=torch.bool)
    right = ranker_loss(torch.tensor([YES, NO]), offered, np.array([1, 0], np.float32), "bce")
    assert right == pytest.approx(float(np.log1p(np.exp(-4))), rel=1e-5)
    squared = ranker_loss(torch.tensor([[1.0], [3.0]]), offered, np.array([2, 1], np.float32), "squared")
    assert squared == pytest.approx((1 + 4) / 2)


# -- steps -----------------------------------------------------------------------------------------------------


def test_an_epoch_asks_each_question_once_and_every_epoch_anew(split: segue.Split, name: str) -> None:
    data, plan = split.train, plan_of(name, examples=10_000)
    ranker = build_ranker(plan, data.items, data.item_vocabulary, data.action_names, True, len(data))
    task = RankerTask(ranker, plan, of_training(data, "next", last=3), data.item_counts)
    first, second = task.epoch(0), task.epoch(1)
    assert sorted(np.concatenate(first).tolist()) == list(range(len(task.questions)))
    assert len(first) == task.batches
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()
    assert np.concatenate(first).tolist() == np.concatenate(task.epoch(0)).tolist()


def test_the_language_model_learns_at_its_own_rate(split: segue.Split, name: str) -> None:
    data, plan = split.train, plan_of(name, learning_rate=1e-5, head_learning_rate=1e-3)
    ranker = build_ranker(plan, data.items, data.item_vocabulary, data.action_names, True, len(data))
    task = RankerTask(ranker, plan, of_training(data, "next", last=3), data.item_counts)
    (optimizer,) = [task.configure_optimizers()["optimizer"]]
    rates = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    head = {id(p) for p in ranker.classifier.head.parameters()}
    assert {rate for p, rate in rates.items() if p in head} == {1e-3}
    assert {rate for p, rate in rates.items() if p not in head} == {1e-5}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(split: segue.Split, name: str) -> None:
    first, second = (weights(trained(split, plan_of(name))[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (weights(trained(split, plan_of(name, seed=1))[0]) != first).any()


def test_the_best_epoch_is_kept(split: segue.Split, name: str) -> None:
    values = iter([0.1, 0.9, 0.2])
    kept, report = trained(split, plan_of(name, epochs=3), validation=lambda: next(values))
    assert report["epochs"] == 2
    assert report["best_validation"] == pytest.approx(0.9)
    assert [row["validation"] for row in report["curve"]] == pytest.approx([0.1, 0.9, 0.2])
    values = iter([0.1, 0.2, 0.9])
    last, _ = trained(split, plan_of(name, epochs=3), validation=lambda: next(values))
    assert (weights(kept) != weights(last)).any()


def test_gradient_checkpointing_and_accumulation_train_the_same_examples(split: segue.Split, name: str) -> None:
    plain, _ = trained(split, plan_of(name))
    stored, _ = trained(split, plan_of(name, gradient_checkpointing=True))
    np.testing.assert_allclose(weights(stored), weights(plain), atol=1e-4)
    fewer, report = trained(split, plan_of(name, gradient_accumulation_steps=3))
    assert report["examples"] == 24
    assert (weights(fewer) != weights(plain)).any()


def test_bf16_comes_near(split: segue.Split, name: str) -> None:
    half, report = trained(split, plan_of(name, precision="bf16"))
    _, full = trained(split, plan_of(name))
    assert half.bf16
    assert report["curve"][0]["loss"] == pytest.approx(full["curve"][0]["loss"], abs=0.05)


def test_augmented_steps_read_other_text(split: segue.Split, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    title = TextNoise.title
    monkeypatch.setattr(TextNoise, "title", lambda self, text: told.append(title(self, text)) or told[-1])
    trained(split, plan_of(name, augment=["words"], augment_share=0.9))
    assert "Film" in told
    assert all(text for text in told)


def test_a_loss_that_is_no_number_ends_the_training(split: segue.Split, name: str) -> None:
    with pytest.raises(TrainingDiverged):
        trained(split, plan_of(name, learning_rate=1e30, head_learning_rate=1e30, gradient_clip=0, warmup=0))


# -- interruption ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What a kill is within this process."""


@pytest.mark.parametrize("step", [3, 8])
def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    split: segue.Split, name: str, tmp_path: Path, step: int
) -> None:
    plan = plan_of(name, epochs=2)
    whole, _ = trained(split, plan)
    learn, reached = RankerTask.training_step, 0

    def killed(self: RankerTask, *batch: Any) -> Any:
        nonlocal reached
        reached += 1
        if reached == step:
            raise Killed
        return learn(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RankerTask, "training_step", killed)
        with pytest.raises(Killed):
            trained(split, plan, checkpoint=tmp_path, checkpoint_seconds=0)
    again, report = trained(split, plan, checkpoint=tmp_path, checkpoint_seconds=0, resume=True)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert report["curve"][-1]["epoch"] == 2
    with pytest.raises(ResumeRefused):
        trained(split, plan_of(name, epochs=2, seed=1), checkpoint=tmp_path, resume=True)
