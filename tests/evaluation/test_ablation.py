from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ConfigUnknown, NoTargets, NothingToAblate
from segue.evaluation.ablation import ablate

SMALL: dict[str, Any] = {"embedding_size": 8, "blocks": 1, "epochs": 3, "learning_rate": 0.02, "max_length": 10}
HOUR = 3_600


@pytest.fixture(scope="module")
def by_the_hour() -> segue.Split:
    """What comes next depends on nothing but the hour of the request: one of 24 items."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(80):
        moment = 1_600_000_000 + int(rng.integers(1_000)) * HOUR
        for _ in range(6):
            moment += int(rng.integers(1, 200)) * HOUR
            rows.append((user, moment // HOUR % 24, moment))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return segue.split.leave_last_out(segue.Dataset.from_frames(frame))


def test_the_part_that_carries_everything_is_worth_it_and_another_is_not(by_the_hour: segue.Split) -> None:
    quick = {"embedding_size": 16, "learning_rate": 0.03, "batch_tokens": 64, "warmup_steps": 5, "dropout": 0.1}
    settings = {**SMALL, **quick, "time": ["calendar", "sessions"], "epochs": 12, "forget": 0.0}
    table = ablate(by_the_hour, settings, "time", progress=False, threads=1)
    assert table["part"].to_list() == ["calendar", "sessions", "all of time"]
    calendar, sessions, together = table.to_dicts()
    assert calendar["difference"] > 0.2
    assert calendar["p"] < 0.01
    assert calendar["low"] < calendar["difference"] < calendar["high"]
    assert together["difference"] > 0.2
    assert abs(sessions["difference"]) < calendar["difference"] / 2
    assert calendar["with"] - calendar["without"] == pytest.approx(calendar["difference"])
    assert (table["seconds"] > 0).all()


def test_parts_are_read_from_the_plan_of_the_log(split: segue.Split) -> None:
    table = ablate(split, {**SMALL, "epochs": 1}, "behaviour", progress=False, threads=1)
    assert table["part"].to_list() == ["actions", "values", "all of behaviour"]
    assert table["users"].to_list() == [len(split.validation.users)] * 3  # type: ignore[union-attr]


def test_the_trend_is_judged_by_people_who_did_not_teach_it(split: segue.Split) -> None:
    settings = {**SMALL, "epochs": 1, "time": ["gaps", "trend"]}
    table = ablate(split, settings, "time", progress=False, threads=1)
    assert table["part"].to_list() == ["trend", "all of time"]
    trend = segue.SequenceRecommender(**settings, refit=False).fit(split.train, split.validation, progress=False)
    assert table["with"][0] == trend.report["trend"]["ndcg@10"]["with"]
    assert table["p"][0] is None


def test_a_single_part_is_switched_off_once(split: segue.Split) -> None:
    table = ablate(split, {**SMALL, "epochs": 1, "time": ["gaps"]}, "time", progress=False, threads=1)
    assert table["part"].to_list() == ["all of time"]


def test_finished_variants_are_not_trained_again(
    split: segue.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "epochs": 1, "time": ["gaps"]}
    once = ablate(split, settings, "time", checkpoint=tmp_path, progress=False, threads=1)
    from segue.training import fit

    monkeypatch.setattr(fit, "_search", None)
    again = ablate(split, settings, "time", checkpoint=tmp_path, resume=True, progress=False, threads=1)
    assert again.equals(once)


def test_what_cannot_be_switched_off_is_refused(split: segue.Split) -> None:
    with pytest.raises(ConfigUnknown, match="'time'"):
        ablate(split, SMALL, "times", progress=False)
    with pytest.raises(NothingToAblate):
        ablate(split, {**SMALL, "epochs": 1, "time": []}, "time", progress=False, threads=1)
    with pytest.raises(NoTargets, match="no validation"):
        ablate(segue.Split(split.train, None, split.test, split.kind), SMALL, progress=False)
