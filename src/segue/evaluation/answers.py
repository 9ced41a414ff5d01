"""What single answers are worth: click or no click, bought or not, a rating; each held-out event is asked about.

Where the log knows only the yes, every event is asked about beside one item drawn by popularity. Lists are measured by
``evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from segue.data.histories import Histories
from segue.data.questions import of_holdout
from segue.data.split import Holdout
from segue.errors import NoTargets
from segue.evaluation.significance import interval
from segue.ranking.metrics import auc
from segue.recommenders.base import Recommender

_RESAMPLES = 500
_BINS = 10


@runtime_checkable
class Answering(Protocol):
    """What gives answers: a :class:`segue.LanguageRanker`, fitted.

    Attributes:
        config: says what is answered (``answer``, ``target``).
        base: the recommender whose list is re-ranked.
    """

    config: Any
    base: Recommender

    def answer_codes(self, contexts: Histories, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, n) probabilities or ratings, and those of its language model alone."""


@dataclass
class AnswerReport:
    """Answers beside the truth.

    Attributes:
        name: of who answered.
        kind: ``"probability"``, ``"rating"``, or ``"score"`` of a recommender that has no probabilities.
        answers, truth: (questions, n); the rows of one question stand or fall together in the intervals.
        beside: answers of others to the same questions.
    """

    name: str
    kind: str
    answers: np.ndarray
    truth: np.ndarray
    beside: list[AnswerReport] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        """A figure by its name, such as ``report["auc"]``."""
        return self.figures[name](np.arange(len(self.truth)))

    @property
    def figures(self) -> dict[str, Callable[[np.ndarray], float]]:
        """Each figure of some of the questions, by its name."""
        if self.kind == "rating":
            names: tuple[Any, ...] = (rmse, mae)
        elif self.kind == "score":
            names = (_auc,)
        else:
            names = (_auc, log_loss, calibration_error, accuracy, precision, recall, f1)
        return {each.__name__.lstrip("_"): partial(self._figure, each) for each in names}

    def interval(self, name: str, seed: int = 0) -> tuple[float, float]:
        """95 % interval by the percentile bootstrap over questions (Efron, 1979)."""
        rng, count = np.random.default_rng(seed), len(self.truth)
        figure = self.figures[name]
        if name == "mae":
            return interval(np.abs(self.answers - self.truth).mean(1), seed)
        found = [figure(rng.integers(0, count, count)) for _ in range(_RESAMPLES)]
        if np.isnan(found).any():  # one class alone: there is no such figure
            return float("nan"), float("nan")
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)

    def table(self) -> pl.DataFrame:
        """``figure, value, low, high``, and a column for each of those beside (null where it has none)."""
        rows = []
        for name in self.figures:
            low, high = self.interval(name)
            others = {each.name: each[name] if name in each.figures else None for each in self.beside}
            rows.append({"figure": name, self.name: self[name], "low": low, "high": high, **others})
        return pl.DataFrame(rows, infer_schema_length=None)

    def calibration(self, bins: int = _BINS) -> pl.DataFrame:
        """``from, to, answers, said, true``: in each bin the mean probability, and how often it was so."""
        said, true = self.answers.ravel(), self._true(np.arange(len(self.truth)))
        place = _bin(said, bins)
        count = np.bincount(place, minlength=bins)
        means = [np.bincount(place, weights=each, minlength=bins) / np.maximum(count, 1) for each in (said, true)]
        edges = np.arange(bins + 1) / bins
        frame = {"from": edges[:-1], "to": edges[1:], "answers": count, "said": means[0], "true": means[1]}
        return pl.DataFrame(frame).filter(pl.col("answers") > 0)

    def text(self) -> str:
        """The classification report (or that of ratings) for people."""
        lines = [f"{self.name}: {self.answers.size:,} answers to {len(self.truth):,} questions"]
        for row in self.table().iter_rows(named=True):
            beside = ", ".join(
                f"{other.name} {row[other.name]:.4f}" for other in self.beside if row[other.name] is not None
            )
            bounds = f"[{row['low']:.4f}, {row['high']:.4f}]"
            lines.append(f"  {row['figure']:<18}{row[self.name]:.4f} {bounds}{'  (' + beside + ')' if beside else ''}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = {name: self[name] for name in self.figures}
        found: dict[str, Any] = {"questions": len(self.truth), "figures": figures}
        found["intervals"] = {name: self.interval(name) for name in figures}
        if self.kind == "probability":
            found["calibration"] = self.calibration().to_dicts()
        if self.beside:
            found["beside"] = {each.name: each.as_dict() for each in self.beside}
        return found

    def _figure(self, measure: Callable[[np.ndarray, np.ndarray], float], rows: np.ndarray) -> float:
        return float(measure(self.answers[rows].ravel(), self._true(rows)))

    def _true(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.truth[rows].ravel(), dtype=np.float64)


def evaluate_answers(
    model: Answering,
    test: Holdout,
    *,
    beside: Sequence[Recommender] | Mapping[str, Recommender] = (),
    seed: int = 0,
) -> AnswerReport:
    """Ask about every held-out event, at the moment of its user's first.

    Args:
        model: a fitted :class:`segue.LanguageRanker`. What it answers follows from its setting ``answer``.
        test: ``split.test``.
        beside: fitted recommenders, or those by a name of yours, whose scores are held against the same truth; of those
            there is the AUC alone. The language model's own answers are always shown.
        seed: draws the items that did not come.

    Raises:
        NoTargets: nothing is held out that could be asked about.
    """
    plan = model.config
    target = 0
    if plan.target is not None and plan.target in test.targets.action_names:
        target = test.targets.action_names.index(plan.target) + 1
    questions = of_holdout(test, plan.answer, target)
    if not len(questions):
        raise NoTargets(why="no event of the test can be asked about")
    items = questions.offered(test.context.item_counts, seed)
    rating = plan.answer == "rating"
    truth = (
        items * 0.0 + questions.answers[:, None] if rating and questions.answers is not None else questions.truth(items)
    )
    name, kind = type(model).__name__, "rating" if rating else "probability"
    together, alone = model.answer_codes(questions.contexts, items)
    report = AnswerReport(name, kind, together, truth)
    report.beside.append(AnswerReport("language model alone", kind, alone, truth))
    named = beside if isinstance(beside, Mapping) else {type(each).__name__: each for each in beside}
    for called, other in () if rating else named.items():
        scores = np.zeros(items.shape, dtype=np.float32)
        for part, block in other._blocks(questions.contexts, show=False):
            scores[part] = np.take_along_axis(block, items[part], axis=1)
        report.beside.append(AnswerReport(called, "score", scores, truth))
    return report


def _auc(said: np.ndarray, true: np.ndarray) -> float:
    return auc(said, true)


def log_loss(said: np.ndarray, true: np.ndarray) -> float:
    """Mean of ``-log`` of the probability given to what was so, in nats; a coin has 0.693."""
    sure = np.clip(said, 1e-7, 1 - 1e-7)
    return float(-np.where(true > 0, np.log(sure), np.log1p(-sure)).mean())


def calibration_error(said: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of said and true over ten bins, weighed by their answers (ECE; Naeini et al., AAAI 2015)."""
    place = _bin(said, _BINS)
    return float(np.abs(np.bincount(place, weights=said - true, minlength=_BINS)).sum() / len(said))


def accuracy(said: np.ndarray, true: np.ndarray) -> float:
    """Share of answers on the right side of a half."""
    return float(((said >= 0.5) == (true > 0)).mean())


def precision(said: np.ndarray, true: np.ndarray) -> float:
    """Of what is said to be so, the share that is; 0 where nothing is said to be."""
    yes = said >= 0.5
    return float((yes & (true > 0)).sum() / max(yes.sum(), 1))


def recall(said: np.ndarray, true: np.ndarray) -> float:
    """Of what is so, the share that is said to be; 0 where nothing is."""
    return float(((said >= 0.5) & (true > 0)).sum() / max((true > 0).sum(), 1))


def f1(said: np.ndarray, true: np.ndarray) -> float:
    """Harmonic mean of precision and recall."""
    right, both = float(((said >= 0.5) & (true > 0)).sum()), float((said >= 0.5).sum() + (true > 0).sum())
    return 2 * right / both if both else 0.0


def rmse(said: np.ndarray, true: np.ndarray) -> float:
    """Root of the mean squared error, in the ratings' unit."""
    return float(np.sqrt(((said - true) ** 2).mean()))


def mae(said: np.ndarray, true: np.ndarray) -> float:
    """Mean absolute error, in the ratings' unit."""
    return float(np.abs(said - true).mean())


def _bin(said: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((said * bins).astype(np.int64), bins - 1)
