from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import MetricUnknown
from segue.testing.logs import make_log
from segue.training import validation
from segue.training.plan import TIME_PARTS, plan_for
from segue.training.validation import parse_metric
from tests.training.runs import SMALL


def repeating(log: pl.DataFrame) -> pl.DataFrame:
    """The log, and everything once more later: people come back to items."""
    return pl.concat([log, log.with_columns(pl.col("timestamp") + 10_000_000)])


@pytest.mark.parametrize("kind", ["leave-last-out", "by-time", "repeats"])
@pytest.mark.parametrize("metric", ["ndcg@10", "hit_rate@3"])
def test_early_stopping_watches_the_very_figure_that_evaluation_reports(
    kind: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "_SCORES", 200)  # many blocks
    log = make_log()
    data = segue.Dataset.from_frames(repeating(log) if kind == "repeats" else log)
    split = segue.split.by_time(data) if kind == "by-time" else segue.split.leave_last_out(data)
    # The trend is learnt on the validation events, after what early stopping looks at.
    time = [part for part in TIME_PARTS if part != "trend"]
    settings: dict[str, Any] = {**SMALL, "refit": False, "validation_metric": metric, "time": time}
    model = segue.SequenceRecommender(**settings).fit(split.train, split.validation, progress=False, threads=1)
    report = segue.evaluate(model, split.validation, k=10, progress=False)
    assert report.protocol["exclude_seen"] == (kind != "repeats")
    assert model.report["training"]["best_validation"] == pytest.approx(report[metric], abs=1e-6)


def test_at_most_so_many_users_are_validated_on_and_the_seed_chooses_them(split: segue.Split) -> None:
    def chosen(seed: int) -> np.ndarray:
        model = segue.SequenceRecommender(validation_users=7, seed=seed)
        model.clock, model.time_zone = "time", "UTC"
        plan = plan_for(model.config, split.train.histories, len(split.train.item_vocabulary))
        made = model._validation(split.validation, plan)
        assert made is not None
        assert len(made.contexts) == len(made.targets) == 7
        return made.targets.items

    assert chosen(0).tolist() == chosen(0).tolist() != chosen(1).tolist()


def test_a_metric_is_a_name_and_a_k() -> None:
    assert parse_metric("ndcg@10") == ("ndcg", 10)


@pytest.mark.parametrize("name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@x", "@10", "ndgc@10", ""])
def test_what_is_no_metric_is_refused(name: str) -> None:
    with pytest.raises(MetricUnknown, match="ndcg"):
        parse_metric(name)


def test_a_misspelt_metric_is_refused_before_training_with_the_nearest_name(split: segue.Split) -> None:
    with pytest.raises(MetricUnknown, match="Did you mean 'hit_rate@10'"):
        segue.SequenceRecommender(**{**SMALL, "validation_metric": "hitrate@10"}).fit(
            split.train, split.validation, progress=False
        )
