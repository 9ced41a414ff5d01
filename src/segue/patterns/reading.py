"""How a classifier reads a history: the patterns chosen, the plain features, and the columns they make.

Learnt on some users of a log and then the same for anybody's history. What is learnt from the columns is left to
``learners``; which patterns are chosen, and why, is told by ``selection``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from scipy import sparse

from segue import artefacts
from segue.data.dataset import Dataset
from segue.data.schema import Clock
from segue.patterns.features import (
    Features,
    Patterns,
    label_key,
    occurrences,
    pattern_features,
    plain_features,
    relabelled,
)
from segue.patterns.labels import Labelled
from segue.patterns.learners import Learner, Logistic
from segue.patterns.selection import candidates, lengths_alike, presence, telling
from segue.patterns.sequences import Sequences, sequences

_MOST_CATEGORIES = 100


@dataclass(frozen=True, eq=False)
class Reading:
    """What to look for in a history.

    Attributes:
        settings: those of the classifier.
        clock: of the log that it was learnt on.
        patterns: the patterns chosen, most telling first, in codes of ``symbols``.
        symbols: labels of the symbols of the patterns; entry 0 is none.
        counted: (patterns,) whether somebody learnt from has the pattern twice; else ``count`` is ``present``.
        gains: (patterns,) bits about the label among histories of one length, on the users learnt from.
        actions: kinds of action that are counted.
        categories: labels of the categories whose shares are told, entry 0 is none; or None.
    """

    settings: Any
    clock: Clock
    patterns: Patterns
    symbols: pl.Series
    counted: np.ndarray
    gains: np.ndarray
    actions: tuple[str, ...]
    categories: pl.Series | None

    def features(self, data: Dataset, users: np.ndarray, at: int) -> Features:
        """The columns of some users of a log, by their codes. Numbers enter as ``log(1 + x)``: they are skewed.

        Args:
            at: the moment of asking; there are no later events.
        """
        settings = self.settings
        found, bounds = self._sequences(data, users), settings.bounds
        far = {"max_gap": bounds.gap_time, "max_span": bounds.span_time}
        made = pattern_features(found, self.patterns, at, moments=settings.moments, counted=self.counted, **far)
        if settings.plain:
            made = made.beside(self._plain(data, users, at))
        made.matrix.data = np.log1p(np.maximum(made.matrix.data, 0))
        return made

    def mattered(self, learner: Learner, matrix: sparse.csr_array, made: Labelled, seed: int) -> pl.DataFrame:
        """See ``SequenceClassifier.patterns_that_mattered``; ``matrix`` is that of the users in ``made``."""
        present = presence(self._sequences(made.known, made.users), self.patterns, self.settings.bounds)
        own = self.features(made.known, made.users[:1], made.at)
        place, names = own.patterns, np.array(own.names, dtype=object)
        if isinstance(learner, Logistic):
            kinds = [1] if learner.weights.shape[1] == 1 else list(range(len(made.labels)))
            column, kind = (each.ravel() for each in np.indices(learner.weights.shape))
            weight = learner.weights[column, kind]
            label = made.labels.gather(np.array(kinds)[kind])
            told: dict[str, Any] = {"label": label, "weight": weight, "odds": np.exp(weight)}
            order = np.argsort(-np.abs(weight), kind="stable")
            number, feature = place[column], names[column]
        else:
            groups = [np.flatnonzero(place == each) for each in range(len(self.patterns))]
            groups += [np.array([each]) for each in np.flatnonzero(place < 0)]
            importance = _importance(learner, matrix, made.classes, groups, seed)
            number = np.array([place[group[0]] for group in groups])
            feature = np.array([names[group[0]].rpartition(": present")[0] or names[group[0]] for group in groups])
            told, order = {"importance": importance}, np.argsort(-importance, kind="stable")
        frame = self._about(number, present, made).with_columns(pl.Series("feature", feature.tolist(), dtype=pl.String))
        return frame.with_columns(pl.Series(name, values) for name, values in told.items())[order]

    def write(self, artefact: artefacts.Writer) -> None:
        """Write what was chosen."""
        arrays = {"offsets": self.patterns.offsets, "symbols": self.patterns.symbols}
        artefact.tensors("patterns", arrays | {"gains": self.gains, "counted": self.counted})
        artefact.table("symbols", self.symbols.alias("symbol").to_frame())
        if self.categories is not None:
            artefact.table("categories", self.categories.alias("category").to_frame())
        artefact.document("reading", {"clock": self.clock, "actions": list(self.actions)})

    @classmethod
    def read(cls, artefact: artefacts.Reader, settings: Any) -> Self:
        """Read what :meth:`write` wrote."""
        arrays, facts = artefact.tensors("patterns"), artefact.document("reading")
        chosen = Patterns(arrays["offsets"], arrays["symbols"])
        symbols = artefact.table("symbols")["symbol"].alias("pattern")
        categories = artefact.table("categories")["category"] if "categories" in artefact else None
        told = (arrays["counted"], arrays["gains"], tuple(facts["actions"]), categories)
        return cls(settings, facts["clock"], chosen, symbols, *told)

    def _sequences(self, data: Dataset, users: np.ndarray) -> Sequences:
        found = sequences(data, self.settings.of, self.settings.level).take(users)
        found = relabelled(found, self.symbols)
        return found if self.clock == "time" else replace(found, times=None)

    def _plain(self, data: Dataset, users: np.ndarray, at: int) -> Features:
        histories, categories = data.histories.take(users), None
        if histories.actions is not None and data.action_names != self.actions:
            codes = np.array([0, *(self.actions.index(n) + 1 if n in self.actions else 0 for n in data.action_names)])
            histories = replace(histories, actions=codes[histories.actions])
        if self.categories is not None:
            name = _category_column(data, self.settings.categories)
            assert name is not None
            categories = relabelled(sequences(data, name).take(users), self.categories)
        moments, clocked = self.settings.moments, self.clock == "time"
        return plain_features(histories, clocked, at, actions=self.actions, categories=categories, moments=moments)

    def _about(self, number: np.ndarray, present: sparse.csr_array, made: Labelled) -> pl.DataFrame:
        """A row for each number of a pattern, -1 for none: the pattern, its support and what it tells."""
        support = np.asarray(present.sum(0)).ravel()
        columns: dict[str, Any] = {
            "support": support.astype(np.int64),
            "users_share": support / len(made.users),
            "information_gain": self.gains,
        }
        for kind, label in enumerate(made.labels.to_list()):
            rows = made.classes == kind
            columns[f"share {label}"] = np.asarray(present[np.flatnonzero(rows)].sum(0)).ravel() / rows.sum()
        lists = [self.symbols.gather(list(row)).to_list() for row in self.patterns.rows()]
        named = pl.Series("pattern", lists, dtype=pl.List(self.symbols.dtype))
        frame = pl.DataFrame([named, *(pl.Series(name, values) for name, values in columns.items())])
        return frame.select(
            pl.all().gather(pl.Series([int(each) if each >= 0 else None for each in number], dtype=pl.Int64))
        )


def learn_reading(made: Labelled, rows: np.ndarray, settings: Any) -> tuple[Reading, sparse.csr_array]:
    """Mine and choose patterns on some rows of ``made`` alone, and the columns of those rows.

    Raises ``NothingFrequent``, ``SymbolsMissing``, ``NoClock``.
    """
    data, (users, classes) = made.known, made.take(rows)
    found = sequences(data, settings.of, settings.level).take(users)
    chosen, gains = Patterns.of([]), np.zeros(0)
    if settings.patterns:
        mined = candidates(
            found, classes, settings.min_support, settings.candidates, settings.max_length, settings.bounds
        )
        present = presence(found, mined, settings.bounds)
        alike = lengths_alike(found)
        index, told = telling(present, classes, settings.patterns, settings.false_discoveries, alike)
        chosen, gains = mined.take(index), told[index]
    # Codes of our own: the same for any other log.
    codes = np.unique(chosen.symbols)
    own = Patterns(chosen.offsets, (np.searchsorted(codes, chosen.symbols) + 1).astype(np.int32))
    symbols = found.labels.gather(np.concatenate([[0], codes]))
    count, _, _ = occurrences(found, chosen, settings.bounds.gap_time, settings.bounds.span_time)
    counted = count.max(axis=0).toarray().ravel() > 1 if len(chosen) else np.zeros(0, dtype=bool)
    categories = _categories(data, users, settings)
    reading = Reading(settings, data.clock, own, symbols, counted, gains, data.action_names, categories)
    return reading, reading.features(data, users, made.at).matrix


def _category_column(data: Dataset, asked: str | None) -> str | None:
    if asked != "auto":
        return asked
    return "categories" if data.items is not None and "categories" in data.items.columns else None


def _categories(data: Dataset, users: np.ndarray, settings: Any) -> pl.Series | None:
    """The most frequent categories of these users' histories, in the order of their names; entry 0 is none."""
    name = _category_column(data, settings.categories)
    if name is None or not settings.plain:
        return None
    found = sequences(data, name).take(users)
    counts = np.bincount(found.symbols, minlength=found.size)
    most = [code for code in np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES] if counts[code]]
    labels = sorted((found.labels[int(code)] for code in most), key=label_key)
    return pl.Series("category", [None, *labels], dtype=found.labels.dtype)


def _importance(
    learner: Learner, matrix: sparse.csr_array, classes: np.ndarray, groups: list[np.ndarray], seed: int
) -> np.ndarray:
    """(groups,) growth of the log loss, in nats, when the columns of a group are shuffled together over the rows."""
    rng, rows = np.random.default_rng(seed), np.arange(len(classes))

    def loss(asked: sparse.csr_array) -> float:
        return float(-np.log(np.clip(learner.proba(asked)[rows, classes], 1e-7, 1)).mean())

    usual, columns = loss(matrix), matrix.tocsc()
    found = np.zeros(len(groups))
    for number, group in enumerate(groups):
        inside = np.isin(np.arange(matrix.shape[1]), group).astype(np.float64)
        kept, moved = columns @ sparse.diags_array(1 - inside), columns @ sparse.diags_array(inside)
        found[number] = loss(sparse.csr_array(kept.tocsr() + moved.tocsr()[rng.permutation(rows)])) - usual
    return found
