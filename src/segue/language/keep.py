"""Writing a language model as a folder that any program of its kind reads, whole or not at all.

Everything is staged beside the target and renamed; ``segue.json`` tells what made it, and that it is ours to replace.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from segue import artefacts
from segue.errors import ArtefactInTheWay, ArtefactNotWritten
from segue.language.models import LanguageModel, _quiet

ORIGIN = "segue.json"


def keep(path: str | Path, language: LanguageModel, document: dict[str, Any]) -> None:
    """Write configuration, weights, tokenizer and ``segue.json``; an earlier one of ours is replaced.

    A machine that dies between the two renames of a replacement leaves the earlier one whole, as ``.NAME.*.old``.

    Raises:
        ArtefactInTheWay: ``path`` holds something else.
        ArtefactNotWritten: the disk is full or not writable; what was there stays.
    """
    target = refuse_in_the_way(path)
    place = target.absolute()
    staging, aside = (place.parent / f".{place.name}.{uuid.uuid4().hex}.{end}" for end in ("tmp", "old"))
    model: Any = language.model
    try:
        staging.mkdir(parents=True)
        with _quiet():
            model.save_pretrained(staging)
            language.tokenizer.save_pretrained(staging)
        content = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        artefacts.write_atomically(staging / ORIGIN, content.encode())
        _sync(staging)
        if place.exists():
            os.replace(place, aside)
        try:
            os.replace(staging, place)
        except OSError:
            if aside.exists():
                os.replace(aside, place)
            raise
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def refuse_in_the_way(path: str | Path) -> Path:
    """The path, if a model may be written there; raises ``ArtefactInTheWay`` otherwise."""
    target = Path(path)
    try:
        free = not target.exists() or (target.is_dir() and ((target / ORIGIN).exists() or not any(target.iterdir())))
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    if not free:
        raise ArtefactInTheWay(path=target)
    return target


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as content:
            os.fsync(content.fileno())
