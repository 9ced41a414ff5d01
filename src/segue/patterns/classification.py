"""Labels of histories from the patterns in them: will buy, will leave, belongs to a segment.

Patterns are mined and chosen on the histories that are learnt from, never on those that are judged. The steps are
in rooms of their own: ``labels``, ``selection``, ``features``, ``learners``, ``classification_report``; here they are
put together, and here is what a user holds.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, field_validator, model_validator
from scipy import sparse

from segue import artefacts, progress
from segue.arguments import is_scalar, refusal, require_mapping
from segue.cautions import ColdUsers
from segue.config import Config, ReadWhere
from segue.data.dataset import Dataset, as_dataset
from segue.data.frames import FrameKind, from_polars, to_polars
from segue.data.schema import rename
from segue.errors import (
    ArtefactCorrupt,
    ArtefactForeign,
    HistoryMalformed,
    MomentsMissing,
    NotFitted,
    NothingAsked,
    SegueError,
)
from segue.patterns import kept_log
from segue.patterns.classification_report import ClassificationReport
from segue.patterns.features import bag
from segue.patterns.labels import Labelled, labelled, moment, newest, refuse_small
from segue.patterns.learners import LEARNERS, Logistic
from segue.patterns.mining import Bounds
from segue.patterns.reading import Reading, learn_reading
from segue.patterns.sequences import sequences
from segue.patterns.spans import DAY, microseconds


class SequenceClassifierConfig(Config):
    """Settings of :class:`SequenceClassifier`."""

    read_where = (
        ReadWhere(
            ("horizon", "cutoff", "active"),
            "target names what to predict",
            lambda config: config.target is not None,
            on=("target",),
        ),
        ReadWhere(
            (
                "max_length",
                "of",
                "level",
                "min_support",
                "candidates",
                "false_discoveries",
                "max_gap_time",
                "max_span_time",
            ),
            "patterns is above 0",
            lambda config: config.patterns > 0,
            on=("patterns",),
        ),
        ReadWhere(("categories",), "plain is true", lambda config: config.plain, on=("plain",)),
        ReadWhere(
            ("trees",),
            "classifier is forest or lightgbm",
            lambda config: config.classifier != "logistic",
            on=("classifier",),
        ),
        ReadWhere(
            ("regularisation",),
            "classifier is logistic or lightgbm",
            lambda config: config.classifier != "forest",
            on=("classifier",),
        ),
    )
    target: str | None = None
    """``"will_leave"`` (no event in the horizon) or ``"will_do:ACTION"``; None where labels are given."""
    classifier: Literal["logistic", "forest", "lightgbm"] = "logistic"
    """What learns from the features."""
    patterns: int = Field(200, ge=0)
    """Patterns with columns, at most; 0 leaves plain features alone."""
    max_length: int = Field(3, ge=1, le=6)
    """Symbols of a pattern, at most."""
    of: str = "item"
    """What a symbol is: item, action, action+item, or a column of the catalogue."""
    level: int | None = Field(None, ge=1)
    """Levels of a taxonomy that count."""
    min_support: float = Field(0.05, gt=0, le=1)
    """Least share of the users of a class that have a pattern."""
    candidates: int = Field(2_000, ge=1)
    """About how many frequent patterns of each class to choose from."""
    false_discoveries: float = Field(0.1, gt=0, le=1)
    """Largest expected share of patterns that tell nothing, among those that are chosen from; 1 is all."""
    max_gap_time: float | None = Field(None, gt=0)
    """Time from one symbol of a pattern to the next, at most: ``"7d"``, a timedelta, or a number of days."""
    max_span_time: float | None = Field(None, gt=0)
    """Time from the first symbol to the last, at most."""
    moments: bool = True
    """Whether features tell gaps and how long ago things were."""
    plain: bool = True
    """Whether there are features besides patterns: length, gaps, actions, shares of categories."""
    categories: str | None = "auto"
    """Column whose shares are features; auto takes ``categories`` where the catalogue has it."""
    horizon: float = Field(30.0, gt=0)
    """Time after the cut-off in which a ready target is looked for, as text, a timedelta or days."""
    cutoff: str | int | float | None = None
    """Features of a ready target see what is before; None is one horizon before the log ends."""
    active: float | None = Field(None, gt=0)
    """With a ready target, learn of users alone who have an event in so long before the cut-off."""
    folds: int = Field(5, ge=2)
    """Of the cross-validation."""
    regularisation: float = Field(10.0, gt=0)
    """Of the logistic regression and of LightGBM (L2)."""
    trees: int = Field(200, ge=1)
    """Of the forest and of LightGBM."""
    seed: int = Field(0, ge=0)
    """Of folds and forests."""

    @field_validator("cutoff", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return value.isoformat() if isinstance(value, dt.date) else value

    @field_validator("max_gap_time", "max_span_time", "horizon", "active", mode="before")
    @classmethod
    def _in_days(cls, value: Any) -> Any:
        return None if value is None else microseconds(value) / DAY

    @property
    def bounds(self) -> Bounds:
        """How far the symbols of a pattern may lie from each other."""
        gap, span = (None if each is None else microseconds(each) for each in (self.max_gap_time, self.max_span_time))
        return Bounds(gap_time=gap, span_time=span)

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if not self.patterns and not self.plain:
            raise ValueError("patterns=0 with plain=False leaves no feature")
        return self


class SequenceClassifier:
    """Predicts a label for each history from telling sequential patterns in it.

    Discriminative frequent patterns as features (Cheng, Yan, Han and Hsu, "Discriminative frequent pattern analysis for
    effective classification", ICDE 2007), on sequences. The constructor takes the settings of
    :class:`SequenceClassifierConfig` by name.

    Attributes:
        config: the settings.
        labels: the classes, ascending; of a ready target, no is the first and yes the second.
    """

    def __init__(self, config: SequenceClassifierConfig | None = None, **settings: Any) -> None:
        known = config.model_dump() if isinstance(config, SequenceClassifierConfig) else config
        known = {} if known is None else known
        require_mapping(known, type(self).__name__, "config", "{'min_support': 0.05}")
        self.config = SequenceClassifierConfig.parse({**known, **settings}, owner=type(self).__name__)
        self._reading: Reading | None = None

    def fit(self, data: Any, labels: Any = None) -> Self:
        """Learn from a log.

        Args:
            data: a ``segue.Dataset``, a frame or a file of events.
            labels: a frame ``user_id, label`` of any kind; none where ``target`` says what to tell. Users without a
                label are left out (``LabelsSkipped``). Labels must not be made of events that are in the log.

        Raises:
            LabelsUnclear, LabelsOfNobody, LabelsContradict, OneClass, TargetUnknown, CutOffUnusable, ActionUnknown:
                the labels cannot be used.
            NothingFrequent: no pattern is frequent.
            SymbolsMissing, NoClock, MomentUnreadable, ExtraMissing.
        """
        self.config.warn_unread(type(self).__name__)
        self._reading = None
        self._data = as_dataset(data)
        self._labelled = labelled(self._data, labels, self.config)
        self.labels = self._labelled.labels
        reading, matrix = learn_reading(self._labelled, np.arange(len(self._labelled.users)), self.config)
        self._learner = LEARNERS[self.config.classifier]().fit(matrix, self._labelled.classes, self.config)
        self._mattered = reading.mattered(self._learner, matrix, self._labelled, self.config.seed)
        self._reading = reading
        return self

    def predict(self, users: Any = None, *, histories: Any = None, at: Any = None) -> Any:
        """The likeliest label of each user.

        Args:
            users: external ids of users of the log; of a ready target, all of the log is known of them, so that the
                answer is about the horizon from its end on. Those not in the log count as having no history.
            histories: instead of users: a frame of events with ``user_id`` and ``item_id`` (``timestamp``, ``action``
                ...), or lists of item ids, oldest first.
            at: the moment asked about; events after it are not read. None is the newest event of what is given.

        Returns:
            A frame of the kind of the log, ``user_id, label, probability``; for lists ``user_id`` is their place.

        Raises:
            NotFitted, NothingAsked, HistoryMalformed, MomentsMissing, MomentUnreadable.
        """
        names, said, kind = self._asked(users, histories, at)
        best = said.argmax(1)
        sure = said[np.arange(len(said)), best]
        frame = pl.DataFrame({"user_id": names, "label": self.labels.gather(best), "probability": sure})
        return from_polars(frame, kind)

    def predict_proba(self, users: Any = None, *, histories: Any = None, at: Any = None) -> Any:
        """As :meth:`predict`, with a row for each user and label."""
        names, said, kind = self._asked(users, histories, at)
        rows = np.repeat(np.arange(len(said)), len(self.labels))
        labels = self.labels.gather(np.tile(np.arange(len(self.labels)), len(said)))
        frame = pl.DataFrame({"user_id": names.gather(rows), "label": labels, "probability": said.ravel()})
        return from_polars(frame, kind)

    def cross_validate(self, data: Any = None, labels: Any = None, *, progress: bool = True) -> ClassificationReport:
        """What this classifier is worth on users it has not learnt from.

        In each of ``folds`` stratified folds of users patterns are mined and chosen, and the classifier and the
        baselines are trained, on the other folds alone. Beside it stand the majority class (its share as
        probability) and a logistic regression on a bag of the same symbols, which does not know their order.

        Args:
            data, labels: as for :meth:`fit`; none: those it was fitted with.

        Raises:
            ClassTooSmall: a label has fewer users than there are folds; and as :meth:`fit`.
        """
        if data is None:
            self._require_fitted()
            made = self._labelled
        else:
            made = labelled(as_dataset(data), labels, self.config)
        refuse_small(made, self.config.folds)
        return cross_validate(made, self.config, progress)

    def patterns_that_mattered(self) -> Any:
        """What the classifier looks at, the most telling first.

        Returns:
            A frame ``pattern`` (its labels; null for plain features), ``feature``, ``support`` (users of the training
            that have the pattern), ``users_share``, ``information_gain`` (bits of its presence about
            the label, among histories of about one length), and

            - of a logistic regression ``label``, ``weight`` and ``odds``: the factor on the odds of that label when the
              feature goes from 0 to its largest value, for ``present`` from absent to present;
            - else ``importance``: by how much the log loss grows on the training users when the pattern's columns are
              shuffled together (permutation importance; Breiman, 2001).

            And ``share LABEL``, the share of the users of each label that have the pattern.
        """
        self._require_fitted()
        return from_polars(self._mattered, self._data.frame_kind)

    # -- disk --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write an artefact: arrays, tables and text, nothing that can run (see ``segue.artefacts`` for the errors)."""
        reading = self._require_fitted()
        with artefacts.writing(path, type(self).__name__, self.config.model_dump()) as artefact:
            kept_log.write(self._data, artefact)
            users = {"users": self._labelled.users, "classes": self._labelled.classes}
            artefact.tensors("labelled", users | {"at": np.array([self._labelled.at])})
            artefact.table("labels", self.labels.to_frame())
            artefact.table("mattered", self._mattered)
            reading.write(artefact)
            self._learner.write(artefact)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew: see ``segue.artefacts.read``.
            ArtefactForeign: it is an artefact of something else.
        """
        artefact = artefacts.read(path)
        if (found := artefact.manifest["class"]) != cls.__name__:
            raise ArtefactForeign(path=artefact.path, found=found, wanted=cls.__name__)
        try:
            made = cls(**artefact.manifest["config"])
            made._data = kept_log.read(artefact)
            made.labels = artefact.table("labels")["label"]
            made._mattered = artefact.table("mattered")
            arrays = artefact.tensors("labelled")
            at = int(arrays["at"][0])
            ready = made.config.target is not None
            known = made._data.where(made._data.events["timestamp"] < at) if ready else made._data
            made._labelled = Labelled(known, arrays["users"], arrays["classes"], made.labels, at)
            made._learner = LEARNERS[made.config.classifier]().read(artefact)
            made._reading = Reading.read(artefact, made.config)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ArtefactCorrupt(path=artefact.path, reason=f"its contents do not fit together ({error})") from None
        return made

    def _require_fitted(self) -> Reading:
        if self._reading is None:
            raise NotFitted(owner=type(self).__name__)
        return self._reading

    def _asked(self, users: Any, histories: Any, at: Any) -> tuple[pl.Series, np.ndarray, FrameKind]:
        """External ids, (rows, classes) probabilities, and the kind of frame of the answer."""
        reading = self._require_fitted()
        if (users is None) == (histories is None):
            both = "Both users and histories were given"
            raise NothingAsked(given="Neither users nor histories were given" if users is None else both)
        if histories is None:
            names, codes = self._known_users(users)
            data, kind = self._data, self._data.frame_kind
        else:
            data, names, kind = self._given(histories)
            codes = data.user_vocabulary.encode(names)
        if (self.config.moments or self.config.bounds.any) and reading.clock == "time" and data.clock != "time":
            raise MomentsMissing()
        when = newest(data) if at is None else moment(at, data)
        known = data if at is None else data.where(data.events["timestamp"] <= when)
        return names, self._learner.proba(reading.features(known, codes, when).matrix), kind

    def _known_users(self, users: Any) -> tuple[pl.Series, np.ndarray]:
        if isinstance(users, str | bytes) or not hasattr(users, "__iter__"):
            users = [users]
        values = users if isinstance(users, pl.Series) else list(users)
        for value in values:
            if not is_scalar(value):
                advice = "Give user ids, for example predict(['u1', 'u2'])."
                raise refusal(value, type(self).__name__, "users", "a user id", advice)
        codes = self._data.user_vocabulary.encode(values)
        if cold := int((codes == 0).sum()):
            message = f"{cold} of {len(codes)} users are not in the log; they get what suits an empty history."
            warnings.warn(message, ColdUsers, stacklevel=4)
        names = values if isinstance(values, pl.Series) else self._data.user_vocabulary.names(values, codes)
        return names.alias("user_id"), codes

    def _given(self, histories: Any) -> tuple[Dataset, pl.Series, FrameKind]:
        """Histories from outside as a log of their own, with our catalogue; its items are told by their text."""
        items = self._data.items
        if items is not None:
            items = items.with_columns(pl.col("item_id").cast(pl.String))
        if isinstance(histories, Sequence | np.ndarray) and not isinstance(histories, str | bytes):
            data = Dataset.from_frames(_of_lists(histories))
            users = pl.Series("user_id", range(len(histories)), dtype=pl.Int64)
            return replace(data, items=items), users, self._data.frame_kind
        try:
            frame, kind = to_polars(histories, "histories")
        except SegueError as error:
            raise HistoryMalformed(kind=f"a {type(histories).__name__}") from error
        frame = rename(frame, None, ("user_id", "item_id"), "histories")
        frame = frame.with_columns(pl.col("item_id").cast(pl.String))
        if "timestamp" not in frame.columns:
            frame = frame.with_row_index("timestamp")
        data = Dataset.from_frames(frame, time_zone=self._data.time_zone)
        return replace(data, items=items), data.user_vocabulary.ids.alias("user_id"), kind


def cross_validate(made: Labelled, settings: SequenceClassifierConfig, show: bool = True) -> ClassificationReport:
    """See :meth:`SequenceClassifier.cross_validate`."""
    fold = folds_of(made.classes, settings.folds, settings.seed)
    kinds = len(made.labels)
    said = {name: np.zeros((len(fold), kinds)) for name in (settings.classifier, "majority", "bag of items")}
    symbols = bag(sequences(made.known, settings.of, settings.level).take(made.users))
    chosen = []
    for number in progress.track(range(settings.folds), "Folds", settings.folds, show):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        classes = made.classes[train]
        reading, matrix = learn_reading(made, train, settings)
        learner = LEARNERS[settings.classifier]().fit(matrix, classes, settings)
        asked = reading.features(made.known, made.users[test], made.at).matrix
        said[settings.classifier][test] = learner.proba(asked)
        said["majority"][test] = np.bincount(classes, minlength=kinds) / len(classes)
        said["bag of items"][test] = (
            Logistic().fit(_part(symbols, train), classes, settings).proba(_part(symbols, test))
        )
        chosen.append(len(reading.patterns))
    return ClassificationReport(said, made.classes, fold, made.labels.to_list(), chosen, settings.seed)


def folds_of(classes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(rows,) the fold of each, every class spread evenly over all, in a random order."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(classes))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), dtype=np.int64)
    fold[order] = np.arange(len(classes)) % folds
    return fold


def _part(matrix: sparse.csr_array, rows: np.ndarray) -> sparse.csr_array:
    return sparse.csr_array(matrix[rows])


def _of_lists(histories: Any) -> pl.DataFrame:
    """Lists of item ids as a log whose timestamps are an order."""
    rows: list[int] = []
    items: list[str] = []
    for number, history in enumerate(histories):
        if isinstance(history, str | bytes) or not hasattr(history, "__iter__"):
            raise HistoryMalformed(kind=f"a list of {type(history).__name__}")
        listed = [str(item) for item in history]
        rows += [number] * len(listed)
        items += listed
    if not items:
        raise HistoryMalformed(kind="a list of nothing")
    return pl.DataFrame({"user_id": rows, "item_id": items, "timestamp": range(len(items))})
