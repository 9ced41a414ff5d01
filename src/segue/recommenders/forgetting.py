"""Forgetting a person in an artefact: their id, their history and their part of its test are taken out of its files.

What was learnt from many people stays: no recommender keeps weights for one person (a history becomes a vector when
it is asked about), and counts of items name nobody. Their place in the vocabulary is kept by an id that nobody has,
so that all other codes hold.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import polars as pl

from segue import artefacts
from segue.data.vocabulary import Vocabulary
from segue.errors import ArtefactForeign
from segue.recommenders.base import Recommender

_PER_EVENT = ("items", "timestamps", "actions", "values")
_TEST = ("test_targets", "test_context")


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
    artefact = _read(path)
    code = _code(artefact, user_id)
    if not code and not _has_leftovers(artefact):
        return False
    with artefacts.writing(path, artefact.manifest["class"], artefact.manifest["config"]) as writer:
        changed = _without(artefact, code, writer) if code else set()
        writer.carry(artefact, (name for name in artefact.names if name not in changed))
    return code > 0


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


def _read(path: str | Path) -> artefacts.Reader:
    artefact = artefacts.read(path)
    if "user_ids" not in artefact or "histories" not in artefact:
        raise ArtefactForeign(path=artefact.path, found=artefact.manifest["class"], wanted="recommender")
    return artefact


def _code(artefact: artefacts.Reader, user_id: str) -> int:
    return Vocabulary(artefact.table("user_ids")["id"]).code_of(user_id)


def _without(artefact: artefacts.Reader, code: int, writer: artefacts.Writer) -> set[str]:
    """Write the parts that named the person without them; which these are."""
    ids = artefact.table("user_ids")["id"]
    is_uuid = artefact.document("facts")["uuid"][0]
    writer.table("user_ids", ids.scatter(code - 1, _unused(ids, is_uuid)).to_frame())
    arrays = artefact.tensors("histories")
    start, end = arrays["offsets"][code], arrays["offsets"][code + 1]
    offsets = np.concatenate([arrays["offsets"][: code + 1], arrays["offsets"][code + 1 :] - (end - start)])
    cut = {name: np.delete(arrays[name], np.s_[start:end]) for name in _PER_EVENT if name in arrays}
    writer.tensors("histories", {**arrays, **cut, "offsets": offsets})
    kept = {name: artefact.table(name).filter(pl.col("user") != code) for name in _TEST if name in artefact}
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
