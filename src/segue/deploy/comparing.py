"""What a change to a model changes: NDCG and the lists themselves, before and after, for the same people."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.ranking.metrics import Hits, ndcg
from segue.recommenders.base import Recommender
from segue.recommenders.exported import ExportedRecommender

K = 10
_TIMED = 200  # people that are asked for one by one
_SEED = 0


@dataclass(frozen=True)
class Questions:
    """People whose next items are known.

    Attributes:
        histories: (rows,) what they did before, with the moment of the request.
        targets: (rows,) what came.
        asked_of: where they come from, for a report.
    """

    histories: Histories
    targets: Histories
    asked_of: str

    @classmethod
    def of(cls, model: Recommender, test: Holdout | None, most: int) -> Questions:
        """Those of the test, or, without one, everybody's newest known event; at most ``most``, drawn at random."""
        if test is None:
            known = model.histories
            users = _drawn(np.flatnonzero(known.lengths > 1), most)
            newest = known.take(users, last=1)
            before = known.take(users).keep(_all_but_the_last(known.lengths[users]))
            return cls(replace(before, at=newest.timestamps), newest, "the newest event of known people")
        test = test if model.target is None else test.about(model.target)
        users = _drawn(test.users, most)
        return cls(test.asked(users), test.targets.histories.take(users), "the test that was kept beside the model")


@dataclass(frozen=True)
class Figures:
    """How one form of a model answers.

    Attributes:
        ndcg: at 10, mean.
        overlap: the mean share of the 10 best that are the same as those of the trained model.
        milliseconds: median for one person, asked alone and after the log.
    """

    ndcg: float
    overlap: float
    milliseconds: float


@dataclass(frozen=True)
class Search:
    """How approximate search answers beside exact search by the same model.

    Attributes:
        recall: the mean share of the 10 best by exact search, with trend and habits in the scores, that it lists.
        exact_ms, approximate_ms: median for one person, asked alone and after the log.
        candidates: that the index finds.
        index_bytes: size of the index.
        used: whether the export searches so.
    """

    recall: float
    exact_ms: float
    approximate_ms: float
    candidates: int
    index_bytes: int
    used: bool = True


def answered(model: Recommender, questions: Questions) -> np.ndarray:
    """(rows, 10) the codes that a model lists."""
    lists, _ = model.recommend_codes(questions.histories, K, exclude_seen=model.exclude_seen, progress=False)
    return lists


def figures(model: Recommender, questions: Questions, before: np.ndarray) -> Figures:
    """Beside ``before``, (rows, 10), what the trained model lists."""
    lists = answered(model, questions)
    gained = ndcg(Hits.of(lists, questions.targets), K)
    return Figures(float(gained.mean()), overlap(before, lists), one_by_one(model, questions))


def searched(model: ExportedRecommender, questions: Questions) -> Search:
    """By a model with an index. Each is asked alone, as many at once are answered exactly; an empty history too."""
    assert model.index is not None
    told = questions.histories.take(np.flatnonzero(questions.histories.lengths > 0))
    exact = _lists(model, told, exact=True)
    near = _lists(model, told, exact=False)
    return Search(
        recall=overlap(exact, near),
        exact_ms=one_by_one(model, questions, exact=True),
        approximate_ms=one_by_one(model, questions),
        candidates=model.config.candidates,
        index_bytes=len(model.index.content),
    )


def _lists(model: Recommender, histories: Histories, exact: bool) -> np.ndarray:
    """(rows, 10) codes, each row asked alone."""
    alone = [histories.take(np.array([row])) for row in range(len(histories))]
    seen = model.exclude_seen
    lists = [model.recommend_codes(each, K, exclude_seen=seen, exact=exact, progress=False)[0] for each in alone]
    return np.concatenate(lists) if lists else np.zeros((0, K), dtype=np.int64)


def overlap(before: np.ndarray, after: np.ndarray) -> float:
    """The mean share of a list's items that stand in the other; 1 where nobody was asked."""
    same = (before[:, :, None] == after[:, None, :]) & (before > 0)[:, :, None]
    listed = (before > 0).sum(1)
    return float((same.any(2).sum(1)[listed > 0] / listed[listed > 0]).mean()) if (listed > 0).any() else 1.0


def one_by_one(model: Recommender, questions: Questions, most: int = _TIMED, exact: bool = False) -> float:
    """Median milliseconds for one person, asked alone and now: after the log, as a service is asked."""
    taken = []
    for row in range(min(most, len(questions.histories))):
        one = replace(questions.histories.take(np.array([row])), at=None)
        began = time.perf_counter()
        model.recommend_codes(one, K, exclude_seen=model.exclude_seen, exact=exact, progress=False)
        taken.append(1_000 * (time.perf_counter() - began))
    return float(np.median(taken)) if taken else float("nan")


def _drawn(users: np.ndarray, most: int) -> np.ndarray:
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(_SEED).choice(users, most, replace=False))


def _all_but_the_last(lengths: np.ndarray) -> np.ndarray:
    kept = np.ones(lengths.sum(), dtype=bool)
    kept[np.cumsum(lengths) - 1] = False
    return kept
