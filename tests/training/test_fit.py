"""Training as a whole: one seed one model, and a killed training continues to the very same weights."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.errors import ArtefactCorrupt, ConfigUnknown, ResumeRefused, TrainingDiverged
from segue.ranking.topk import top_k
from segue.training.build import LogShape, build_model
from segue.training.fit import RunOptions, TrainingData
from segue.training.fit import fit as fit_model
from tests.training import runs
from tests.training.runs import SMALL, interrupted, kill_here, log_shape, small_plan, small_split, train


def weights(model: segue.SequenceRecommender) -> str:
    return str(model.report["training"]["weights_sha256"])


@pytest.fixture(scope="module")
def whole() -> segue.SequenceRecommender:
    """What an uninterrupted training gives."""
    return train()


@pytest.fixture(scope="module")
def plain() -> str:
    """The weights of an uninterrupted training in one phase."""
    return weights(train(plain=True))


# -- one seed, one model ---------------------------------------------------------------------------------------


def test_three_trainings_with_one_seed_give_the_same_bits(whole: segue.SequenceRecommender) -> None:
    assert {weights(train()) for _ in range(2)} == {weights(whole)}


def test_another_seed_gives_another_model(whole: segue.SequenceRecommender) -> None:
    assert weights(train(seed=1)) != weights(whole)


def test_the_generator_of_the_caller_neither_matters_nor_moves(whole: segue.SequenceRecommender) -> None:
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    assert weights(train()) == weights(whole)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_training_without_seeds_differs_from_run_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs.forget_the_seed(monkeypatch)  # the broken twin of the tests above
    first = weights(train(plain=True))
    torch.rand(1)
    assert weights(train(plain=True)) != first


def test_a_checkpoint_changes_nothing_and_stays_until_the_model_is_safe(
    whole: segue.SequenceRecommender, tmp_path: Path
) -> None:
    assert weights(train(tmp_path / "run")) == weights(whole)
    with pytest.MonkeyPatch.context() as patch:
        runs.kill_at(patch, "step", 0, lambda: pytest.fail("what is finished is trained again"))
        assert weights(train(tmp_path / "run", resume=True)) == weights(whole)


def test_ranking_leaves_torch_its_number_of_threads() -> None:
    before = torch.get_num_threads()
    top_k(np.ones((2, 3), dtype=np.float32), 1)
    assert torch.get_num_threads() == before


# -- killed and resumed ----------------------------------------------------------------------------------------

STEPS = [0, 3, 4, 9, 13, 17]


@pytest.mark.parametrize(
    ("step", "seconds"),
    [(1, 0.0), (3, 0.0), (4, 0.0), (6, 0.0), (10, 0.0), (2, 60.0), (4, 60.0), (7, 60.0), (11, 60.0)],
)
def test_every_step_of_a_killed_training_shows_in_the_weights_it_resumes_to(
    plain: str, tmp_path: Path, step: int, seconds: float
) -> None:
    assert weights(interrupted(tmp_path / "run", "step", step, checkpoint_seconds=seconds, plain=True)) == plain


@pytest.mark.parametrize("step", STEPS)
def test_a_training_killed_at_any_step_resumes_to_the_same_weights(
    whole: segue.SequenceRecommender, tmp_path: Path, step: int
) -> None:
    again = interrupted(tmp_path / "run", "step", step)
    assert weights(again) == weights(whole)
    ours, theirs = again.report["training"], whole.report["training"]
    assert (ours["epochs"], ours["best_validation"]) == (theirs["epochs"], theirs["best_validation"])
    assert [row["validation"] for row in ours["curve"]] == [row["validation"] for row in theirs["curve"]]
    assert all(row["seconds"] < 60 for row in ours["curve"])


@pytest.mark.parametrize("number", range(3))
def test_a_training_killed_before_a_validation_still_validates(
    whole: segue.SequenceRecommender, tmp_path: Path, number: int
) -> None:
    again = interrupted(tmp_path / "run", "validation", number)
    assert weights(again) == weights(whole)
    assert len(again.report["training"]["curve"]) == len(whole.report["training"]["curve"])


@pytest.mark.parametrize(("point", "number"), [*itertools.product(["save", "saved"], [0, 3, 8, 9, 13])])
def test_a_training_killed_while_saving_or_right_after_resumes_to_the_same_weights(
    whole: segue.SequenceRecommender, tmp_path: Path, point: str, number: int
) -> None:
    assert weights(interrupted(tmp_path / "run", point, number)) == weights(whole)


@pytest.mark.parametrize("step", [1, 3, 6, 7])
def test_no_gradient_of_a_half_accumulated_step_is_lost(tmp_path: Path, step: int) -> None:
    settings = {"gradient_accumulation_steps": 3, "plain": True}
    assert weights(interrupted(tmp_path / "run", "step", step, **settings)) == weights(train(**settings))


def test_a_training_killed_after_early_stopping_had_decided_does_not_go_on(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 30, "patience": 1, "checkpoint_seconds": 60.0, "learning_rate": 0.1}
    wanted = train(**settings)
    epochs = len(wanted.report["training"]["curve"])
    assert epochs < 30
    again = interrupted(tmp_path / "run", "saved", epochs - 1, **settings)  # the save of the last epoch
    assert len(again.report["training"]["curve"]) == epochs
    assert weights(again) == weights(wanted)


def test_a_training_killed_twice_resumes_to_the_same_weights(whole: segue.SequenceRecommender, tmp_path: Path) -> None:
    kill_here(tmp_path / "run", "step", 6)
    kill_here(tmp_path / "run", "step", 5, resume=True)
    assert weights(train(tmp_path / "run", resume=True)) == weights(whole)


@pytest.mark.parametrize("block", ["ligr", "plain"])
@pytest.mark.parametrize("loss", ["full", "bce"])
def test_every_kind_of_training_resumes(tmp_path: Path, block: str, loss: str) -> None:
    settings = {"loss": loss, "block": block, "average_weights": loss == "bce", "optimizer": "sgd", "refit": False}
    wanted = weights(train(**settings))
    assert weights(interrupted(tmp_path / "run", "step", 6, **settings)) == wanted


TOOLS: list[dict[str, Any]] = [
    {
        "augment": ["crop", "mask", "reorder", "reverse", "mirror", "substitute", "insert"],
        "adversarial": "pgd",
        "adversarial_steps": 2,
        "contrastive": "augment",
        "schedule": "cosine",
        "label_smoothing": 0.1,
        "loss": "full",
    },
    {
        "negatives_from": "hard",
        "adversarial": "fgm",
        "contrastive": "supervised",
        "schedule": "linear",
        "warmup_steps": 1,
        "gradient_accumulation_steps": 2,
    },
    {"negatives_from": "in_batch_mixed", "contrastive": "dropout", "augment": ["mirror", "substitute"], "loss": "gbce"},
]


@pytest.mark.parametrize(
    ("step", "settings"), [*zip([5, 3, 6], TOOLS, strict=True)], ids=["augment", "hard", "in batch"]
)
def test_a_training_with_every_tool_on_resumes_to_the_same_weights(
    tmp_path: Path, step: int, settings: dict[str, Any]
) -> None:
    settings = {"epochs": 2, "plain": True, **settings}
    assert weights(interrupted(tmp_path / "run", "step", step, **settings)) == weights(train(**settings))


@pytest.mark.parametrize(
    ("point", "number"), [(None, 0), ("step", 6), ("stepped", 9), ("save", 5), ("manifest", 7), ("step", 16)]
)
def test_a_process_killed_with_sigkill_resumes_to_the_same_weights(
    whole: segue.SequenceRecommender, tmp_path: Path, point: str | None, number: int
) -> None:
    run, result = tmp_path / "run", tmp_path / "hash"
    options: dict[str, Any] = {}
    if point is not None:
        assert runs.in_a_process(run, result, point, number, options) == -9
        assert not result.exists()
        options = {"resume": True}
    assert runs.in_a_process(run, result, None, 0, options) == 0
    assert result.read_text() == weights(whole)


@pytest.mark.parametrize("twin", [runs.forget_the_place, runs.forget_the_epoch, runs.forget_the_seed])
def test_a_loop_that_forgets_its_place_its_order_or_its_seed_resumes_to_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twin: Any
) -> None:
    twin(monkeypatch)
    wanted = weights(train(plain=True))
    torch.rand(1)
    assert weights(interrupted(tmp_path / "run", "step", 6, plain=True)) != wanted


def test_resuming_where_nothing_was_saved_begins_anew(whole: segue.SequenceRecommender, tmp_path: Path) -> None:
    assert weights(train(tmp_path / "run", resume=True)) == weights(whole)


# -- what resuming refuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "change"), [(6, {"seed": 1}), (6, {"learning_rate": 0.5}), (6, {"epochs": 4}), (17, {"dropout": 0.1})]
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, number: int, change: dict[str, Any]) -> None:
    kill_here(tmp_path / "run", "step", number)
    with pytest.raises(ResumeRefused, match="other data, settings or seed"):
        train(tmp_path / "run", resume=True, **change)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path, split: segue.Split) -> None:
    kill_here(tmp_path / "run", "step", 7)
    with pytest.raises(ResumeRefused):
        train(tmp_path / "run", split=split, resume=True)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    kill_here(tmp_path / "run", "step", 7)
    tensors = next((tmp_path / "run" / "search").glob("tensors.*"))
    content = bytearray(tensors.read_bytes())
    content[len(content) // 2] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(ArtefactCorrupt):
        train(tmp_path / "run", resume=True)


# -- Ctrl-C and divergence ---------------------------------------------------------------------------------------


def test_ctrl_c_reaches_the_caller_and_leaves_a_checkpoint_that_resumes(
    whole: segue.SequenceRecommender, tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        runs.kill_at(patch, "step", 7, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    assert weights(train(tmp_path / "run", resume=True)) == weights(whole)


def test_an_absurd_learning_rate_ends_in_a_named_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="Lower learning_rate"):
        train(learning_rate=1e30, gradient_clip=0.0, optimizer="sgd", warmup_steps=0, epochs=20, loss="full")


# -- search and refit ------------------------------------------------------------------------------------------


def test_training_stops_when_the_validation_metric_no_longer_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.1, 0.3, 0.2, 0.25, 0.2, 0.9])
    monkeypatch.setattr("segue.training.validation.Validation.__call__", lambda self, model: next(values))
    report = train(epochs=30, patience=3, refit=False).report["training"]
    assert [row["validation"] for row in report["curve"]] == pytest.approx([0.1, 0.3, 0.2, 0.25, 0.2])
    assert report["epochs"] == 2
    assert report["best_validation"] == pytest.approx(0.3)


def test_the_weights_kept_are_those_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_best(epoch: int) -> segue.SequenceRecommender:
        values = iter([float(number == epoch) for number in range(1, 4)])
        monkeypatch.setattr("segue.training.validation.Validation.__call__", lambda self, model: next(values))
        return train(refit=False, patience=9)

    for epoch in (1, 2, 3):
        assert weights(with_best(epoch)) == weights(train(epochs=epoch, plain=True))


def test_the_refit_learns_from_everything_for_the_epochs_found() -> None:
    split = small_split()
    plan = small_plan(split.train)
    log = log_shape(split.train)
    data = TrainingData(split.train.histories, split.train.item_counts, log)
    everything = TrainingData(split.validation.all.histories, split.validation.all.item_counts, log)
    run = RunOptions(progress=False, device="cpu", threads=1)
    refitted, report = fit_model(plan, data, everything, run)
    directly, _ = fit_model(plan, everything, None, run)
    assert report.refitted
    assert report.epochs == plan.epochs
    for left, right in zip(refitted.parameters(), directly.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_fresh_model_follows_from_the_seed_alone(data: segue.Dataset) -> None:
    first, second = (build_model(small_plan(data), LogShape(42, 2)) for _ in range(2))
    other = build_model(small_plan(data, seed=1), LogShape(42, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.tower.ids.weight, other.tower.ids.weight)


def test_training_leaves_threads_and_loggers_as_they_were() -> None:
    levels = [logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    before = torch.get_num_threads()
    train(threads=1, epochs=1)
    assert torch.get_num_threads() == before
    after = [logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    assert after == levels


def test_an_unknown_way_to_run_is_refused_with_the_nearest_name(split: segue.Split) -> None:
    with pytest.raises(ConfigUnknown, match="Did you mean 'checkpoint'"):
        segue.SequenceRecommender(**SMALL).fit(split.train, split.validation, checkpoints="here")


@pytest.mark.parametrize("encoder", ["bidirectional", "gru"])
def test_the_masks_and_dropout_of_a_resumed_training_are_those_of_an_uninterrupted_one(
    encoder: str, tmp_path: Path
) -> None:
    uninterrupted = train(encoder=encoder, plain=True, epochs=2)
    resumed = interrupted(tmp_path / "run", "stepped", 5, encoder=encoder, plain=True, epochs=2)
    assert weights(resumed) == weights(uninterrupted)
