"""Forgetting a person in an artefact: their id, their history and their part of its test are taken out of its files.

What was learnt from many people stays: no recommender keeps weights for one person (a history becomes a vector when
it is asked about), and counts of items name nobody. Their place in the vocabulary is kept by an id that nobody has,
so that all other codes hold. Who rewrites an artefact has it alone, among threads and processes: two who read it at
once would each bring back whom the other forgot.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from segue import artefacts
from segue.data.vocabulary import Vocabulary
from segue.errors import ArtefactForeign
from segue.recommenders.base import Recommender

_PER_EVENT = ("items", "timestamps", "actions", "values")
_TEST = ("test_targets", "test_context")
_one_at_a_time = threading.Lock()

try:
    import fcntl
except ImportError:  # not on Windows, where only the threads of one process are kept apart
    fcntl = None  # type: ignore[assignment]


def knows_user(path: str | Path, user_id: str) -> bool:
    """Whether an artefact names a person (``user_id`` as text); for the errors see ``artefacts.read``."""
    return _code(_read(path), user_id) > 0


def forget_user(path: str | Path, user_id: str) -> bool:
    """Take a person out of an artefact; it is the old one or the new one at any moment, never between.

    Args:
        path: the artefact's directory.
        user_id: the external id as text.

    Returns:
        Whether the artefact knew them.

    Raises:
        ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew, ArtefactNotWritten.
        ArtefactForeign: it is no recommender's.
    """
    return _forget(path, lambda vocabulary: [vocabulary.code_of(user_id)])


def forget_users(path: str | Path, gone: Callable[[str], bool]) -> bool:
    """As :func:`forget_user`, for everybody whose id as text is ``gone``."""
    return _forget(path, lambda known: [code for code, each in enumerate(known.ids, start=1) if gone(str(each))])


def forget_in_memory(model: Recommender, user_id: str) -> bool:
    """Take a person out of a recommender that is loaded, and out of its members; whether it knew them.

    Others may ask it meanwhile: the person is known with their history, or not at all.
    """
    for member in getattr(model, "members", ()):
        forget_in_memory(member, user_id)
    code = model.user_vocabulary.code_of(user_id)
    if not code:
        return False
    vocabulary, histories = model.user_vocabulary, model.histories
    ids = vocabulary.ids.scatter(code - 1, _unused(vocabulary.ids, vocabulary.is_uuid))
    model.user_vocabulary = Vocabulary(ids, vocabulary.is_uuid)
    events = np.arange(len(histories.items))
    model.histories = histories.keep((events < histories.offsets[code]) | (events >= histories.offsets[code + 1]))
    return True


def _forget(path: str | Path, codes_in: Callable[[Vocabulary], list[int]]) -> bool:
    with _alone(Path(path)):
        artefact = _read(path)
        codes = [code for code in codes_in(Vocabulary(artefact.table("user_ids")["id"])) if code]
        if not codes and not _has_leftovers(artefact):
            return False
        with artefacts.writing(path, artefact.manifest["class"], artefact.manifest["config"]) as writer:
            changed = _without(artefact, codes, writer) if codes else set()
            writer.carry(artefact, (name for name in artefact.names if name not in changed))
    return bool(codes)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else rewrites the artefact meanwhile. The lock is a file beside it, so that network disks have it too."""
    place = path.resolve()
    with _one_at_a_time, contextlib.ExitStack() as stack:
        if fcntl is not None and place.is_dir():
            with contextlib.suppress(OSError):  # where no file can be made, none will be rewritten
                lock = stack.enter_context(open(place.parent / f".{place.name}.lock", "ab"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: str | Path) -> artefacts.Reader:
    artefact = artefacts.read(path)
    if "user_ids" not in artefact or "histories" not in artefact:
        raise ArtefactForeign(path=artefact.path, found=artefact.manifest["class"], wanted="recommender")
    return artefact


def _code(artefact: artefacts.Reader, user_id: str) -> int:
    return Vocabulary(artefact.table("user_ids")["id"]).code_of(user_id)


def _without(artefact: artefacts.Reader, codes: list[int], writer: artefacts.Writer) -> set[str]:
    """Write the parts that named the people without them; which these are."""
    ids = artefact.table("user_ids")["id"]
    is_uuid = artefact.document("facts")["uuid"][0]
    for code in codes:
        ids = ids.scatter(code - 1, _unused(ids, is_uuid))
    writer.table("user_ids", ids.to_frame())
    arrays = artefact.tensors("histories")
    lengths = np.diff(arrays["offsets"])
    stays = ~np.isin(np.arange(len(lengths)), codes)
    kept_events = np.repeat(stays, lengths)
    offsets = np.concatenate([arrays["offsets"][:1], np.cumsum(lengths * stays)]).astype(arrays["offsets"].dtype)
    cut = {name: arrays[name][kept_events] for name in _PER_EVENT if name in arrays}
    writer.tensors("histories", {**arrays, **cut, "offsets": offsets})
    kept = {name: artefact.table(name).filter(~pl.col("user").is_in(codes)) for name in _TEST if name in artefact}
    if all(table.height for table in kept.values()):  # a test without questions is none
        for name, table in kept.items():
            writer.table(name, table)
    return {"user_ids", "histories", *kept}


def _unused(ids: pl.Series, is_uuid: bool) -> str | int:
    """An id of the same type that nobody has."""
    if ids.dtype == pl.String:
        return str(uuid.uuid4()) if is_uuid else f"forgotten-{uuid.uuid4().hex}"
    taken = set(ids.to_list())
    lowest = int(pl.select(ids.dtype.min()).item())  # type: ignore[attr-defined]
    return next(number for number in range(lowest, lowest + len(taken) + 1) if number not in taken)


def _has_leftovers(artefact: artefacts.Reader) -> bool:
    """A crash may leave files of the artefact that was replaced; the next writing removes them."""
    return len(list(artefact.path.iterdir())) > len(artefact.names) + 1
