from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import NoTargets
from segue.evaluation.answers import AnswerReport, calibration_error, evaluate_answers, f1, log_loss, precision, recall
from segue.ranking.metrics import auc

RNG = np.random.default_rng(0)


class Oracle:
    """Knows what came, and is sure of it with a given probability."""

    def __init__(self, holdout: segue.Holdout, sure: float, answer: str = "next") -> None:
        self.config = SimpleNamespace(answer=answer, target=None)
        self.came, self.sure = holdout.targets.histories.items, sure
        self.values = holdout.targets.histories.values
        self.base = segue.Popular()

    def answer_codes(self, contexts: Any, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.config.answer == "rating":
            assert self.values is not None
            return self.values[:, None] + 1.0, self.values[:, None] - 2.0
        said = np.where(items == self.came[:, None], self.sure, 1 - self.sure)
        return said, 1 - said


def test_who_knows_everything_has_every_figure_at_its_best(split: segue.Split) -> None:
    report = evaluate_answers(Oracle(split.test, 1.0), split.test)
    assert [report[name] for name in ("auc", "accuracy", "precision", "recall", "f1")] == [1.0] * 5
    assert report["log_loss"] == pytest.approx(0, abs=1e-5)
    assert report["calibration_error"] == pytest.approx(0, abs=1e-9)
    (alone,) = report.beside
    assert alone["auc"] == 0.0


def test_who_is_too_modest_is_right_but_not_calibrated(split: segue.Split) -> None:
    report = evaluate_answers(Oracle(split.test, 0.6), split.test)
    assert report["auc"] == 1.0
    assert report["calibration_error"] == pytest.approx(0.4)
    assert report["log_loss"] == pytest.approx(-np.log(0.6))
    assert report.calibration()["true"].to_list() == [0.0, 1.0]


def test_recommenders_beside_are_asked_the_same_questions(split: segue.Split) -> None:
    first, popular = segue.FirstOrder().fit(split.train, split.validation), segue.Popular().fit(split.train)
    report = evaluate_answers(Oracle(split.test, 0.9), split.test, beside=[first, popular])
    named = {each.name: each for each in report.beside}
    assert named["FirstOrder"]["auc"] > 0.8 > named["Popular"]["auc"]
    assert (named["FirstOrder"].truth == report.truth).all()
    again = evaluate_answers(Oracle(split.test, 0.9), split.test, beside={"mine": first})
    assert again.beside[1].name == "mine"
    assert again.beside[1]["auc"] == named["FirstOrder"]["auc"]
    table = report.table()
    assert table.filter(pl.col("figure") == "log_loss")["Popular"].to_list() == [None]


def test_ratings_are_judged_in_their_unit(split: segue.Split) -> None:
    report = evaluate_answers(Oracle(split.test, 1.0, "rating"), split.test)
    assert report["rmse"] == pytest.approx(1.0)
    assert report["mae"] == pytest.approx(1.0)
    assert report.beside[0]["mae"] == pytest.approx(2.0)
    assert report.kind == "rating"


def test_intervals_hold_the_figure_and_narrow_with_more_questions() -> None:
    widths = []
    for count in (100, 1_600):
        truth = np.tile([True, False], (count, 1))
        report = AnswerReport("x", "probability", np.clip(RNG.normal(0.3 + 0.3 * truth, 0.3), 0.01, 0.99), truth)
        for name in report.figures:
            low, high = report.interval(name)
            assert low <= report[name] <= high or name == "calibration_error"
        low, high = report.interval("auc")
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_one_class_alone_has_no_auc_and_every_other_figure() -> None:
    report = AnswerReport("x", "probability", np.full((30, 1), 0.7), np.ones((30, 1), bool))
    assert np.isnan(report["auc"])
    assert np.isnan(report.interval("auc")).all()
    assert report["accuracy"] == 1.0
    assert "accuracy" in report.text()


def test_the_report_is_text_and_json(split: segue.Split) -> None:
    report = evaluate_answers(Oracle(split.test, 0.9), split.test)
    assert "auc" in report.text()
    assert "language model alone" in report.text()
    found = report.as_dict()
    assert found["questions"] == len(split.test.users)
    assert found["calibration"]
    assert set(found["intervals"]) == set(found["figures"])


def test_nothing_held_out_is_an_error(split: segue.Split) -> None:
    nothing = segue.Holdout(split.test.context, split.test.targets.where(pl.lit(False)))
    with pytest.raises(NoTargets):
        evaluate_answers(Oracle(split.test, 0.9), nothing)


def test_figures_are_those_of_the_textbook() -> None:
    said, true = np.array([0.9, 0.8, 0.4, 0.3]), np.array([1.0, 0.0, 1.0, 0.0])
    assert (precision(said, true), recall(said, true), f1(said, true)) == (0.5, 0.5, 0.5)
    assert auc(said, true) == 0.75
    assert log_loss(said, true) == pytest.approx(-np.log([0.9, 0.2, 0.4, 0.7]).mean())
    assert calibration_error(np.array([0.25, 0.25, 0.95]), np.array([0, 1, 1])) == pytest.approx((2 * 0.25 + 0.05) / 3)
    assert f1(np.array([0.1]), np.array([0.0])) == 0.0
