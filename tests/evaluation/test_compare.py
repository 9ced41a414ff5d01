from __future__ import annotations

import polars as pl
import pytest

import segue
from segue.errors import MetricUnknown, NotPaired
from segue.evaluation.compare import comparison_table


def report_of(name: str, split: segue.Split, **options: object) -> segue.Report:
    model = getattr(segue, name)().fit(split.train, split.validation)
    return segue.evaluate(model, split.test, progress=False, **options)


def test_a_difference_is_the_difference_of_the_figures(split: segue.Split) -> None:
    left, right = report_of("FirstOrder", split), report_of("Popular", split)
    test = segue.compare(left, right)
    assert test.difference == pytest.approx(left["ndcg@10"] - right["ndcg@10"])
    assert test.significant
    assert segue.compare(left, right, "hit_rate@5").difference == pytest.approx(
        left["hit_rate@5"] - right["hit_rate@5"]
    )


def test_other_users_are_not_compared(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    whole = segue.evaluate(model, split.test, progress=False)
    for keep in (pl.col("user") > 3, pl.col("user") != 3):
        some = segue.Holdout(split.test.context, split.test.targets.where(keep))
        with pytest.raises(NotPaired, match="different users"):
            segue.compare(whole, segue.evaluate(model, some, progress=False))


def test_the_same_number_of_other_users_is_not_compared(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    halves = [
        segue.evaluate(model, segue.Holdout(split.test.context, split.test.targets.where(keep)), progress=False)
        for keep in (pl.col("user") <= 30, pl.col("user") > 30)
    ]
    with pytest.raises(NotPaired, match="different users"):
        segue.compare(*halves)


def test_another_protocol_is_not_compared(split: segue.Split) -> None:
    with pytest.raises(NotPaired, match="leaves out items seen"):
        segue.compare(report_of("Popular", split, exclude_seen=True), report_of("Popular", split, exclude_seen=False))


def test_other_targets_are_not_compared(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    more = segue.Holdout(split.train, split.validation.targets.joined(split.test.targets))
    with pytest.raises(NotPaired, match="targets differ"):
        segue.compare(segue.evaluate(model, split.test, progress=False), segue.evaluate(model, more, progress=False))


def test_the_table_shows_each_beside_the_first(split: segue.Split) -> None:
    reports = [report_of(name, split) for name in ("FirstOrder", "Popular", "ItemNeighbours")]
    table = comparison_table(reports)
    assert table["recommender"].to_list() == ["FirstOrder", "Popular", "ItemNeighbours"]
    assert table["difference"][0] is None
    test = segue.compare(reports[1], reports[0])
    assert table["difference"][1] == pytest.approx(test.difference)
    assert table["p"][1] == test.p_value


def test_lists_that_are_shorter_than_ten_can_be_tabled_too(split: segue.Split) -> None:
    reports = [report_of(name, split, k=5) for name in ("FirstOrder", "Popular")]
    assert comparison_table(reports, "ndcg@5").height == 2


def test_an_unknown_metric_is_refused(split: segue.Split) -> None:
    with pytest.raises(MetricUnknown, match="Did you mean 'ndcg@10'"):
        segue.compare(report_of("Popular", split), report_of("Popular", split), "ndgc@10")
