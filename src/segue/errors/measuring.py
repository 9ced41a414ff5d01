"""Errors of evaluation and tuning."""

from __future__ import annotations

from segue.errors.base import SegueError


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


class NothingToAblate(EvaluationError):
    code = "E004"
    template = "There is nothing of {what!r} to switch off: this log has none of it, or it is off already."
    remedy = "Give a log with a clock (for time) or with actions or values (for behaviour), and leave its parts on."


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
