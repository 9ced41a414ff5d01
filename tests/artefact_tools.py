"""Small artefacts to save, damage and forge; shared by the tests of artefacts and of what is built on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts


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
