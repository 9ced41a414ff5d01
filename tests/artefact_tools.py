"""Small artefacts to save, damage and forge; shared by the tests of artefacts and of what is built on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts
from segue.errors import ArtefactCorrupt


def save(path: Path, number: int = 1) -> None:
    """Save an artefact of one tensor file, one table and one document, all of which hold ``number``."""
    with artefacts.writing(path, "Sample", {"number": number}) as artefact:
        artefact.tensors("arrays", {"x": np.full(20, number), "y": np.linspace(0, number, 7, dtype=np.float32)})
        artefact.table("rows", pl.DataFrame({"id": [f"i{n}" for n in range(10)], "n": [number] * 10}))
        artefact.document("facts", {"number": number, "text": "שלום 🎬"})


def number_in(path: Path) -> int:
    """Read the artefact that ``save`` wrote; all its parts must agree on the number, which is returned."""
    artefact = artefacts.read(path)
    found = {
        int(artefact.manifest["config"]["number"]),
        int(artefact.document("facts")["number"]),
        *artefact.tensors("arrays")["x"].tolist(),
        *artefact.table("rows")["n"].to_list(),
    }
    (number,) = found  # two numbers would be a torn artefact
    return int(number)


def forge(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest and give it a hash that holds."""
    manifest = json.loads((path / artefacts.MANIFEST).read_bytes())
    del manifest["sha256"]
    manifest = change(manifest) or manifest
    text: dict[str, Any] = {"indent": 1, "sort_keys": True, "ensure_ascii": False}
    if isinstance(manifest, dict):
        manifest["sha256"] = artefacts.sha256(json.dumps(manifest, **text).encode())
    (path / artefacts.MANIFEST).write_bytes(json.dumps(manifest, **text).encode())


def forge_part(path: Path, name: str, content: bytes) -> None:
    """Replace a part by other bytes under the name and the hashes that fit them."""

    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["files"][name]
        (path / entry["file"]).unlink()
        digest = artefacts.sha256(content)
        file = f"{name}.{digest[:16]}.{entry['file'].rpartition('.')[2]}"
        (path / file).write_bytes(content)
        manifest["files"][name] = {"file": file, "sha256": digest, "bytes": len(content)}

    forge(path, change)


def naive_read(path: Path) -> Any:
    """The broken twin of the reader: it trusts what the manifest says and hashes nothing."""
    try:
        manifest = json.loads((path / artefacts.MANIFEST).read_bytes())
        files = {name: (path / entry["file"]).read_bytes() for name, entry in manifest["files"].items()}
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        raise ArtefactCorrupt(path=path, reason=error) from None
    return artefacts.Reader(path, manifest, files)


def accepted(reader: Callable[[Path], Any], path: Path, damage: Iterator[tuple[str, Path, bytes]]) -> list[str]:
    """Which kinds of damage a reader takes for a sound artefact; anything but ArtefactCorrupt passes through."""
    passed = []
    for name, file, content in damage:
        before = file.read_bytes()
        file.write_bytes(content)
        try:
            reader(path)
            passed.append(name)
        except ArtefactCorrupt as error:
            assert str(path) in str(error)  # noqa: PT017 - the name is half of the promise
        finally:
            file.write_bytes(before)
    return passed


def flips(path: Path, count: int) -> Iterator[tuple[str, Path, bytes]]:
    """Bytes changed at random places, spread evenly over all files."""
    rng = np.random.default_rng(5)
    files = sorted(path.iterdir())
    for number in range(count):
        file = files[number % len(files)]
        content = bytearray(file.read_bytes())
        place = int(rng.integers(len(content)))
        content[place] ^= int(rng.integers(1, 256))
        yield f"byte {place} of {file.name}", file, bytes(content)


def cuts(path: Path, count: int) -> Iterator[tuple[str, Path, bytes]]:
    """Files cut short at random places, the first of each to nothing."""
    rng = np.random.default_rng(6)
    files = sorted(path.iterdir())
    for number in range(count):
        file = files[number % len(files)]
        content = file.read_bytes()
        place = int(rng.integers(len(content))) if number >= len(files) else 0
        yield f"{file.name} cut at {place}", file, content[:place]


class Bomb:
    """A pickle that leaves a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)
