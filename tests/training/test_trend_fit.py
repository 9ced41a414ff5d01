from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import segue
from segue.data.histories import Histories, repeat_share
from segue.testing.logs import fashion_log
from segue.training import held as on_holdout
from segue.training import trend_fit
from segue.training.held import Held
from segue.training.trend_fit import fit_trend


def held_of(split: segue.Split) -> Held:
    holdout = split.validation
    assert holdout is not None
    targets = holdout.targets.histories.take(holdout.users)
    catalogue = len(split.train.item_vocabulary)
    known = split.train.histories
    return Held(known, holdout.asked(), targets, holdout.users, catalogue, repeat_share(known) <= 0.02, 20)


def moving(stays: bool = False) -> segue.Dataset:
    return segue.Dataset.from_frames(fashion_log(users=90, moving=not stays))


def popularity(held: Held) -> on_holdout.Scores:
    """A model that knows all-time popularity: log shares, as a softmax would learn them."""
    counts = np.bincount(held.known.items, minlength=held.catalogue + 1) + 0.5
    return lambda histories: np.tile(np.log(counts / counts.sum()).astype(np.float32), (len(histories), 1))


Learnt = tuple[Held, trend_fit.TrendWeights, dict[str, Any]]


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    """Requests inside a log whose favourites change every week."""
    held = held_of(segue.split.leave_last_out(moving()))
    weights, report = fit_trend(held, popularity(held))
    assert weights is not None
    return held, weights, report


def test_where_favourites_change_the_trend_wins_by_a_clear_margin(learnt: Learnt) -> None:
    held, weights, report = learnt
    assert weights.beside is not None
    assert report["used"]
    assert report["ndcg@10"]["with"] > 1.3 * report["ndcg@10"]["without"]
    assert report["log_likelihood"]["with"] > report["log_likelihood"]["without"] + 0.02
    assert report["users"] == len(held.contexts)


def test_on_a_split_by_time_favourites_that_last_into_the_holdout_win() -> None:
    data = moving()
    begin, end = (np.datetime64(1_600_000_000 + day * 86_400, "s").item() for day in (136, 138))  # of one week
    held = held_of(segue.split.by_time(data, validation=begin, test=end))
    _, report = fit_trend(held, popularity(held))
    assert report["used"]
    assert report["ndcg@10"]["with"] > 1.2 * report["ndcg@10"]["without"]


def test_where_nothing_changes_the_trend_does_no_harm() -> None:
    held = held_of(segue.split.by_time(moving(stays=True)))
    weights, report = fit_trend(held, popularity(held))
    assert weights is not None
    figures = report["ndcg@10"]
    assert figures["with"] > 0.95 * figures["without"]
    assert report["used"] == (weights.beside is not None)
    assert weights.beside is None or figures["with"] >= figures["without"]


def test_a_model_of_any_scale_is_brought_to_scale() -> None:
    held = held_of(segue.split.by_time(moving(stays=True)))
    scores = popularity(held)
    one, _ = fit_trend(held, scores)
    ten, _ = fit_trend(held, lambda histories: 0.1 * scores(histories))
    assert one is not None
    assert ten is not None
    assert ten.scale[0] > 2 * one.scale[0]


def test_the_learning_is_the_same_every_time_and_knows_no_order_of_requests(learnt: Learnt) -> None:
    held, first, _ = learnt
    again, _ = fit_trend(held.take(np.arange(len(held.contexts))[::-1]), popularity(held))
    assert again is not None
    np.testing.assert_allclose(again.scale, first.scale, rtol=1e-3, atol=1e-4)


def test_a_sample_of_the_catalogue_stands_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    held = held_of(segue.split.by_time(moving()))
    whole, all_of_it = fit_trend(held, popularity(held))
    columns = on_holdout._columns
    monkeypatch.setattr(on_holdout, "_columns", lambda held, chosen, room, rng: columns(held, chosen, 30, rng))
    part, some = fit_trend(held, popularity(held))
    assert whole is not None
    assert part is not None
    assert some["log_likelihood"]["with"] == pytest.approx(all_of_it["log_likelihood"]["with"], abs=0.2)
    assert some["ndcg@10"]["with"] == pytest.approx(all_of_it["ndcg@10"]["with"], abs=0.1)


def test_people_without_a_history_teach_the_trend_alone() -> None:
    held = held_of(segue.split.by_time(moving()))
    rows = len(held.contexts)
    nobody = Histories(np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), at=held.contexts.at)
    weights, report = fit_trend(replace(held, contexts=nobody), popularity(held))
    assert weights is not None
    assert weights.beside is None
    assert report["users"] == 0
    assert report["log_likelihood"]["alone"] < 0


def test_a_log_of_one_moment_and_targets_that_were_all_seen_have_no_trend() -> None:
    held = held_of(segue.split.leave_last_out(moving()))
    stopped = replace(held.known, timestamps=np.zeros_like(held.known.timestamps))
    assert fit_trend(replace(held, known=stopped), popularity(held))[0] is None
    seen = replace(held, targets=held.contexts, exclude_seen=True)
    weights, report = fit_trend(seen, popularity(held))
    assert weights is None
    assert not report["used"]
