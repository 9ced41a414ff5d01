from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ArtefactNotWritten, MetricUnknown
from segue.evaluation.report import BEYOND
from segue.ranking.metrics import PER_USER


@pytest.fixture(scope="module")
def report(split: segue.Split) -> segue.Report:
    model = segue.FirstOrder().fit(split.train, split.validation)
    return segue.evaluate(model, split.test, k=[1, 10], beside=[segue.Popular().fit(split.train)], progress=False)


def test_a_figure_is_asked_for_by_name(report: segue.Report) -> None:
    assert report["ndcg@10"] == pytest.approx(report.per_user("ndcg@10").mean())
    assert 0 < report["coverage@10"] <= 1


def test_any_k_up_to_the_length_of_the_lists_has_figures(report: segue.Report) -> None:
    assert report["hit_rate@1"] <= report["hit_rate@7"] <= report["hit_rate@10"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ndgc@10", "Did you mean 'ndcg@10'"),
        ("hitrate@10", "Did you mean 'hit_rate@10'"),
        ("coverge@10", "Did you mean 'coverage@10'"),
        ("ndcg", "Did you mean 'ndcg@10'"),
        ("ndcg@50", r"evaluate\(..., k=\[50\]\)"),
        ("ndcg@0", "ndcg"),
    ],
)
def test_an_unknown_metric_is_refused_with_what_was_meant(report: segue.Report, name: str, hint: str) -> None:
    with pytest.raises(MetricUnknown, match=hint):
        report[name]


def test_the_table_has_a_row_per_metric_and_an_interval_around_each_mean(report: segue.Report) -> None:
    table, per_user = report.table(), (*PER_USER, "serendipity", "graded_ndcg")
    assert set(table["metric"]) == {f"{name}@{k}" for name in (*per_user, *BEYOND) for k in (1, 10)}
    with_interval = table.drop_nulls("low")
    assert set(with_interval["metric"]) == {f"{name}@{k}" for name in per_user for k in (1, 10)}
    inside = with_interval.filter((pl.col("low") <= pl.col("FirstOrder")) & (pl.col("FirstOrder") <= pl.col("high")))
    assert inside.height == with_interval.height


def test_json_holds_the_same_figures_and_no_nan(report: segue.Report, tmp_path: Path) -> None:
    text = report.to_json(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == text

    def refuse(name: str) -> None:
        raise AssertionError(name)

    content = json.loads(text, parse_constant=refuse)
    assert content["metrics"]["ndcg@10"] == report["ndcg@10"]
    assert content["metrics"]["diversity@1"] is None, "one item has no pairs"
    assert content["beside"]["Popular"]["ndcg@10"] == report.beside[0]["ndcg@10"]
    assert content["protocol"] == report.protocol


def test_a_test_of_one_user_has_figures_and_no_interval(split: segue.Split) -> None:
    one = segue.Holdout(split.test.context, split.test.targets.where(pl.col("user") == 1))
    report = segue.evaluate(segue.Popular().fit(split.train), one, progress=False)
    assert json.loads(report.to_json())["intervals"]["ndcg@10"] == [None, None]
    assert "1 users" in repr(report)
    assert "<html" in report.to_html()


def test_a_report_shows_itself_in_one_line(report: segue.Report) -> None:
    assert repr(report).startswith(f"Report(FirstOrder: ndcg@10 {report['ndcg@10']:.4f} [")


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    report: segue.Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segue.artefacts._write_synced", full)
    with pytest.raises(ArtefactNotWritten, match="No space left"):
        report.to_html(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_figures_are_plain_numbers(report: segue.Report) -> None:
    assert all(isinstance(value, float) and not isinstance(value, np.generic) for value in report.metrics.values())
