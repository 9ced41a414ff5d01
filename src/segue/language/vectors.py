"""Vectors kept on disk by what they were made of, so that a text is read once by each model.

A folder per model (a hash of its weights, configuration, pooling and precision) holds files of keys and vectors; the
key of a text is a hash of its tokens, which is all that the model reads: a prompt, a limit or a tokenizer that changes
changes them. Files are named by their content and never changed: two processes write beside each other, and a damaged
one shows, is removed, and its texts are read again. Nothing here can fail a run: what cannot be kept is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from torch import nn

from segue import artefacts
from segue.artefacts import cache_directory
from segue.cautions import VectorsNotKept
from segue.errors import ArtefactNotWritten

LIMIT = 4 << 30  # bytes of all models together; the longest unused go first
_KEY = 16  # bytes of a hash
_FILES = 16  # of one model; more are joined
_METHOD = 1  # of making vectors: another number when ours change for the same model
_LEFT = 3_600  # seconds until a file that was begun counts as left behind


def folder_of(backbone: nn.Module, pooling: str, precision: str) -> Path:
    """Where the vectors of a model are kept; another for every change of its weights."""
    config: Any = backbone.config
    settings = {
        key: value for key, value in config.to_dict().items() if key != "transformers_version" and key[0] != "_"
    }
    about = [_METHOD, type(backbone).__name__, pooling, precision, settings]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return cache_directory() / "vectors" / digest.hexdigest()[:32]


def key_of(tokens: np.ndarray) -> bytes:
    """The key of a text by its token ids."""
    return hashlib.sha256(tokens.astype("<i4").tobytes()).digest()[:_KEY]


def recall(folder: Path, keys: Sequence[bytes], vectors: np.ndarray) -> np.ndarray:
    """Fill in what is kept: rows of ``vectors`` (at least as many as keys, D); returns which, (keys,) bool."""
    place = {key: row for row, key in enumerate(keys)}
    known = np.zeros(len(keys), dtype=bool)
    for file in _files(folder):
        kept = _read(file, vectors.shape[1])
        if kept is None:
            continue
        found = [(place[key], at) for at, key in enumerate(kept[0]) if key in place]
        if found:
            rows, at = np.array(found).T
            vectors[rows], known[rows] = kept[1][at], True
            with contextlib.suppress(OSError):
                os.utime(file)
    return known


def keep(folder: Path, keys: Sequence[bytes], vectors: np.ndarray) -> None:
    """Add vectors, (keys, D); warns where the disk does not take them."""
    try:
        _write(folder, keys, vectors)
        files = _files(folder)
        if len(files) > _FILES:
            _join(folder, files, vectors.shape[1])
        _bound(folder.parent)
    except (ArtefactNotWritten, OSError) as error:
        reason = error.values["reason"] if isinstance(error, ArtefactNotWritten) else error
        warnings.warn(f"The vectors of item text were not kept in {folder}: {reason}.", VectorsNotKept, stacklevel=2)


def _write(folder: Path, keys: Sequence[bytes], vectors: np.ndarray) -> Path:
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY)
    content = safetensors_numpy.save({"keys": table, "vectors": np.ascontiguousarray(vectors, dtype=np.float32)})
    file = folder / f"{artefacts.sha256(content)}.safetensors"
    artefacts.write_atomically(file, content)
    return file


def _read(file: Path, size: int) -> tuple[list[bytes], np.ndarray] | None:
    """Keys and vectors of a file; None, and the file is gone, where it is not what was written."""
    try:
        content = file.read_bytes()
        if artefacts.sha256(content) == file.stem:
            arrays = safetensors_numpy.load(content)
            keys, vectors = arrays["keys"].tobytes(), arrays["vectors"]
            if vectors.shape == (len(keys) // _KEY, size):
                return [keys[at : at + _KEY] for at in range(0, len(keys), _KEY)], vectors
    except (OSError, KeyError, SafetensorError):  # OSError: another process has joined it with others
        pass
    with contextlib.suppress(OSError):
        file.unlink()
    return None


def _join(folder: Path, files: Sequence[Path], size: int) -> None:
    kept = [found for file in files if (found := _read(file, size)) is not None]
    every = {key: vector for keys, vectors in kept for key, vector in zip(keys, vectors, strict=True)}
    joined = _write(folder, list(every), np.array(list(every.values())))
    for file in files:
        if file != joined:
            file.unlink(missing_ok=True)


def _bound(root: Path) -> None:
    """Remove what was not used for the longest time until all of it is within the limit."""
    found = []
    for file in root.glob("*/*"):
        with contextlib.suppress(OSError):  # another process removes too
            status = file.stat()
            if file.suffix == ".tmp" and time.time() - status.st_mtime > _LEFT:
                file.unlink()
            elif file.suffix == ".safetensors":
                found.append((status.st_mtime, status.st_size, file))
    total = sum(size for _, size, _ in found)
    for _, size, file in sorted(found):
        if total <= LIMIT:
            break
        file.unlink(missing_ok=True)
        total -= size


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
