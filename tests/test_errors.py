"""The catalogue of errors: stable codes, whole messages, and raises that give what their message needs."""

from __future__ import annotations

import ast
import copy
import inspect
import string
from pathlib import Path

import pytest

import segue
from segue import errors
from segue.errors import SegueError, nearest

SOURCE = Path(segue.__file__).parent
CATALOGUE = errors.catalogue()

# Published codes: a code may be added; none may change its meaning or disappear.
CODES = {
    "S000": "SegueError",
    "D001": "FileNotReadable",
    "D002": "EmptyLog",
    "D003": "ColumnMissing",
    "D004": "ColumnUnknown",
    "D005": "MixedIds",
    "D006": "TimestampUnreadable",
    "D007": "FrameUnknown",
    "D008": "DuplicateItems",
    "D009": "IdsDiffer",
    "D010": "HistoryMalformed",
    "D011": "FileChanged",
    "D012": "FrameNotReadable",
    "D013": "ColumnUnreadable",
    "D016": "SplitUnknown",
    "P001": "SplitLeak",
    "P002": "SplitEmpty",
    "C001": "ConfigUnknown",
    "C002": "ConfigValue",
    "C003": "ConfigFile",
    "C004": "ConfigSet",
    "C010": "NothingToLearn",
    "C011": "ScheduleNotBegun",
    "C012": "FormatNotWritten",
    "A001": "ArtefactNotFound",
    "A002": "ArtefactCorrupt",
    "A003": "ArtefactTooNew",
    "A004": "ArtefactForeign",
    "A005": "ArtefactInTheWay",
    "A006": "ArtefactNotWritten",
    "R001": "NotFitted",
    "R002": "NothingAsked",
    "R003": "BadK",
    "R004": "UnknownItems",
    "R005": "ExtraMissing",
    "R006": "ResumeRefused",
    "R007": "TrainingDiverged",
    "R040": "ArgumentKind",
    "M040": "SetsUnsupported",
    "R050": "ItemFilterMalformed",
    "R051": "UnknownUsers",
    "R052": "DiversityUnreadable",
    "F001": "DatasetUnknown",
    "F002": "DownloadFailed",
    "F003": "ChecksumDiffers",
    "F004": "NotFetched",
    "E001": "MetricUnknown",
    "E002": "NoTargets",
    "E003": "NotPaired",
    "T001": "StudyNotReadable",
    "T002": "StudyVersion",
    "T003": "StudyForeign",
    "T004": "NoTrialFinished",
    "T005": "NothingToTune",
    "T006": "NothingToTuneOn",
    "V001": "RequestMalformed",
    "V002": "MethodRefused",
    "V003": "OverLimit",
    "V004": "FilterUnavailable",
    "V005": "DiversityUnavailable",
    "V006": "HistoryMixed",
    "V007": "ItemRowsUnreadable",
    "V008": "NotReady",
    "V009": "RequestUnread",
    "V010": "EventAhead",
    "V011": "ParameterUnknown",
    "V012": "ContentTypeRefused",
    "V020": "StoreUrlBad",
    "V021": "StoreUnavailable",
    "V100": "BackupInTheWay",
    "V101": "BackupDamaged",
    "V102": "BackupToolMissing",
    "V103": "BackupToolFailed",
    "V104": "StoreInUse",
    "V105": "ErasureIncomplete",
    "V106": "ProxyWithoutKey",
    "V022": "StoreFull",
    "V023": "StoreTooNew",
    "V024": "StoreForeign",
    "V025": "StoreNotMigrated",
    "V026": "StoreCorrupt",
    "V027": "RowRefused",
    "V028": "StoreBusy",
    "V029": "AppendLate",
    "V030": "ErasureUnfinished",
    "V031": "StoreMissing",
    "V040": "Busy",
    "V041": "DeadlinePassed",
    "V042": "Stalled",
    "V043": "ClientGone",
    "V044": "Draining",
    "V045": "KeyMissing",
    "V046": "ScopeMissing",
    "V047": "TooManyAttempts",
    "V048": "ScopeUndeclared",
    "V049": "ScopeUnknown",
    "V050": "KeyUnknown",
    "V051": "BodyTooLarge",
    "V052": "BodyMalformed",
    "V053": "BodyTooSlow",
    "V054": "HeadRefused",
    "V055": "HostRefused",
    "V056": "OpenToOthers",
    "V057": "AddressTaken",
    "V058": "Unforeseen",
    "V059": "RouteUnknown",
    "V110": "KeyBusy",
    "V111": "KeyTooFast",
    "V060": "ModelNotThere",
    "V061": "ModelNameTaken",
    "V062": "NoModelServes",
    "V063": "NothingToRollBackTo",
    "V064": "ModelNeedsTorch",
    "V065": "WeightsBad",
    "V066": "UpdateRunning",
    "V067": "UpdateUnclear",
    "V068": "ModelInUse",
    "V069": "ModelNameBad",
    "V072": "OnlineUnknown",
    "V073": "NothingToUndo",
    "V074": "EstimateImpossible",
    "V080": "WebhookRefused",
    "V090": "PageFault",
    "V091": "LoginRefused",
    "V092": "LoginTooOften",
    "V093": "OriginRefused",
    "V094": "FieldUnreadable",
    "X001": "ExportWorse",
    "X002": "NotTrainedHere",
    "X003": "TextNotExported",
    "X004": "GraphBroken",
    "X005": "NothingToExport",
    "X006": "NotExportable",
    "X007": "AlreadyExported",
    "X008": "ExportOntoItself",
    "X009": "SearchMisses",
    "X010": "SearchNotTaken",
    "X011": "IndexBroken",
}


def fields(cls: type[SegueError]) -> set[str]:
    """The values that a message needs."""
    parsed = [*string.Formatter().parse(cls.template), *string.Formatter().parse(cls.remedy)]
    return {name.partition(".")[0] for _, name, _, _ in parsed if name}


def wrong_raises(source: str, known: dict[str, set[str]]) -> list[str]:
    """Calls of error classes whose keywords are not the fields of their message."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = {word.arg for word in node.keywords}
        if name in known and None not in given and (node.args or given != known[name]):
            found.append(f"{name} at line {node.lineno}: {sorted(map(str, given))} for {sorted(known[name])}")
    return found


def test_published_codes_keep_their_meaning() -> None:
    now = {cls.code: cls.__name__ for cls in CATALOGUE}
    assert {code: now.get(code) for code in CODES} == CODES


def test_no_two_errors_share_a_code() -> None:
    codes = [cls.code for cls in CATALOGUE]
    assert len(codes) == len(set(codes))


def test_every_raisable_error_has_its_own_code() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, SegueError)]
    without = {c.__name__ for c in classes if "code" not in c.__dict__}
    families = {c.__name__ for c in classes if c.__subclasses__()} - {"SegueError"}
    assert without == families


@pytest.mark.parametrize("cls", [c for c in CATALOGUE if c is not SegueError], ids=lambda cls: cls.__name__)
def test_a_message_holds_code_value_and_remedy(cls: type[SegueError]) -> None:
    values = {name: f"<{name}>" for name in fields(cls)}
    error = cls(**values)
    assert str(error).startswith(f"[{cls.code}] ")
    assert all(f"<{name}>" in str(error) for name in values)
    assert error.advice
    assert str(error).endswith(error.advice)
    assert error.values == values


@pytest.mark.parametrize("value", ["{0}", "{secret}", "%s", "{", "}}", "\n", "\u202eabc", "🎬"])
def test_a_value_with_braces_is_shown_as_it_is(value: str) -> None:
    assert value in str(errors.ArtefactCorrupt(path="x", reason=value))


def test_every_raise_gives_exactly_what_its_message_needs() -> None:
    known = {cls.__name__: fields(cls) for cls in CATALOGUE}
    wrong = {str(file): wrong_raises(file.read_text(encoding="utf-8"), known) for file in SOURCE.rglob("*.py")}
    assert not {file: calls for file, calls in wrong.items() if calls}


@pytest.mark.parametrize(
    "broken", ["raise BadK()", "raise BadK(val=1)", "raise BadK(value=1, more=2)", "raise BadK(1)"]
)
def test_the_check_of_raises_finds_a_broken_one(broken: str) -> None:
    known = {"BadK": fields(errors.BadK)}
    assert wrong_raises(broken, known)
    assert not wrong_raises("raise BadK(value=1)", known)


def test_an_error_can_be_copied_for_another_thread() -> None:
    error = errors.BadK(value=0)
    again = copy.copy(error)
    assert (str(again), again.values) == (str(error), error.values)


def test_the_nearest_name_is_suggested_in_its_own_spelling() -> None:
    assert nearest("usr_id", ["User_ID", "item_id"]) == " Did you mean 'User_ID'?"


def test_nothing_is_suggested_when_nothing_is_near() -> None:
    assert nearest("zzz", ["user_id", "item_id"]) == ""
    assert nearest("zzz", []) == ""


def test_a_suggestion_is_always_a_known_name() -> None:
    known = [1, "epochs", "loss"]
    assert nearest(1, known) == " Did you mean '1'?"  # type: ignore[arg-type]
