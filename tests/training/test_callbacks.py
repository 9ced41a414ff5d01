from __future__ import annotations

import pytest

from segue.training import callbacks
from segue.training.callbacks import BestWeights, LearningCurve
from tests.training.runs import train


def test_the_curve_has_a_row_per_epoch_with_loss_metric_and_seconds() -> None:
    rows = train(refit=False).report["training"]["curve"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["loss"] > 0 and 0 <= row["validation"] <= 1 and 0 <= row["seconds"] < 60 for row in rows)


def test_a_curve_without_validation_says_so() -> None:
    assert {row["validation"] for row in train(plain=True).report["training"]["curve"]} == {None}


def test_training_lowers_the_loss() -> None:
    rows = train(plain=True, epochs=15, learning_rate=0.01, loss="full").report["training"]["curve"]
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]


def test_callbacks_come_back_from_what_they_wrote() -> None:
    best = BestWeights()
    best.value, best.epoch = 0.5, 3
    again = BestWeights()
    again.load_state_dict(best.state_dict())
    assert (again.value, again.epoch, again.weights) == (0.5, 3, {})
    curve, other = LearningCurve(), LearningCurve()
    curve.rows.append({"epoch": 1, "loss": 2.0, "validation": None, "seconds": 0.1})
    other.load_state_dict(curve.state_dict())
    assert other.rows == curve.rows


@pytest.mark.parametrize("environment", ["0", "1"])
def test_there_is_no_bar_where_bars_are_off(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_PROGRESS", environment)
    assert callbacks.bars("Training", "ndcg@10", None, show=False) == []
    assert len(callbacks.bars("Training", "ndcg@10", None, show=True)) == int(environment)


def test_the_bar_tells_the_epoch_the_loss_and_the_best_metric_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_PROGRESS", "1")
    titles, notes, stopped = [], [], []
    from rich.progress import Progress

    reset, update, stop = Progress.reset, Progress.update, Progress.stop

    def watch_reset(self: Progress, task: int, **fields: object) -> None:
        titles.append(fields["description"])
        reset(self, task, **fields)  # type: ignore[arg-type]

    def watch_update(self: Progress, task: int, **fields: object) -> None:
        notes.append(fields.get("note"))
        update(self, task, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(Progress, "reset", watch_reset)
    monkeypatch.setattr(Progress, "update", watch_update)
    monkeypatch.setattr(Progress, "stop", lambda self: stopped.append(1) or stop(self))
    train(progress=True, epochs=2)
    assert titles == ["Training, epoch 1", "Training, epoch 2", *titles[2:]]
    assert titles[2].startswith("Refit on all events, epoch 1")
    assert any("loss" in note and "best ndcg@10" in note for note in notes if note)
    assert stopped
