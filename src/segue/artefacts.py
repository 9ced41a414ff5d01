"""The one way anything enters or leaves disk: whole or not at all, checksummed, and never code.

An artefact is a directory. ``manifest.json`` names the class, its configuration, the versions that wrote it
and every file with its size and SHA-256; the files are safetensors, Parquet, JSON, ONNX and usearch, named by their
content, so that a new save never touches the files of the old one. Saving stages everything in a temporary directory
beside the target, syncs it, and renames: a new artefact appears in one rename, and over an old one the
manifest is replaced last. A crash at any moment leaves the old or the new, never a mixture.
Loading checks every byte before anything is used. What the contents mean is left to the callers.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from segue.arguments import require_path
from segue.errors import ArtefactCorrupt, ArtefactInTheWay, ArtefactNotFound, ArtefactNotWritten, ArtefactTooNew

FORMAT = 1
MANIFEST = "manifest.json"
_CONTENT_NAME = re.compile(r"[a-z0-9_-]+\.([0-9a-f]{16})\.(safetensors|parquet|json|onnx|usearch)")
_LIBRARIES = ("segue", "numpy", "polars", "torch", "lightning")


def cache_directory() -> Path:
    """Fetched data, weights and compiled kernels: ``$SEGUE_CACHE``, ``$XDG_CACHE_HOME/segue`` or ``~/.cache/segue``."""
    if own := os.environ.get("SEGUE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segue"


class Writer:
    """Collects the parts of an artefact; handed out by :func:`writing`."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[str, bytes]] = {}
        self._prefix = ""

    def within(self, name: str) -> Writer:
        """A writer into the same artefact whose parts are all called ``name-...``; for what is made of several."""
        inner = Writer()
        inner.parts, inner._prefix = self.parts, f"{self._prefix}{name}-"
        return inner

    def tensors(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Add named numpy arrays as one safetensors file."""
        contiguous = {key: np.asarray(value, order="C") for key, value in arrays.items()}
        self.parts[self._prefix + name] = ("safetensors", safetensors_numpy.save(contiguous))

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Add a frame as one Parquet file."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", statistics=False)
        self.parts[self._prefix + name] = ("parquet", buffer.getvalue())

    def document(self, name: str, value: Any) -> None:
        """Add a JSON document."""
        self.parts[self._prefix + name] = ("json", _canonical(value))

    def carry(self, artefact: Reader, names: Iterable[str]) -> None:
        """Add parts of another artefact, byte for byte."""
        for name in names:
            extension = str(artefact.manifest["files"][name]["file"]).rpartition(".")[2]
            self.parts[self._prefix + name] = (extension, artefact._bytes(name))

    def graph(self, name: str, content: bytes) -> None:
        """Add an ONNX model, as its bytes."""
        self.parts[self._prefix + name] = ("onnx", content)

    def index(self, name: str, content: bytes) -> None:
        """Add an index of ``usearch``, as its bytes."""
        self.parts[self._prefix + name] = ("usearch", content)


class Reader:
    """The checked contents of an artefact; made by :func:`read`."""

    def __init__(self, path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
        self.path, self.manifest, self._files = path, manifest, files

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def names(self) -> list[str]:
        """What the parts are called."""
        return list(self._files)

    def within(self, name: str) -> Reader:
        """The parts that ``Writer.within(name)`` wrote, under the names they were given there."""
        start = f"{name}-"
        inner = {part.removeprefix(start): content for part, content in self._files.items() if part.startswith(start)}
        return Reader(self.path, self.manifest, inner)

    def _bytes(self, name: str) -> bytes:
        if name not in self._files:
            raise ArtefactCorrupt(path=self.path, reason=f"the part {name!r} is not there")
        return self._files[name]

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a safetensors part."""
        try:
            return safetensors_numpy.load(self._bytes(name))
        except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type that numpy does not have
            raise ArtefactCorrupt(path=self.path, reason=f"{name}: {error}") from None

    def table(self, name: str) -> pl.DataFrame:
        """The frame of a Parquet part."""
        try:
            return pl.read_parquet(io.BytesIO(self._bytes(name)))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise ArtefactCorrupt(path=self.path, reason=f"{name}: {error}") from None

    def document(self, name: str) -> Any:
        """The value of a JSON part."""
        try:
            return json.loads(self._bytes(name))
        except (ValueError, RecursionError) as error:
            raise ArtefactCorrupt(path=self.path, reason=f"{name}: {error}") from None

    def graph(self, name: str) -> bytes:
        """The bytes of an ONNX part."""
        return self._bytes(name)

    def index(self, name: str) -> bytes:
        """The bytes of an index of ``usearch``."""
        return self._bytes(name)


@contextlib.contextmanager
def writing(path: str | Path, kind: str, config: Mapping[str, Any] | None = None) -> Iterator[Writer]:
    """Write an artefact of class ``kind``; it appears at ``path`` when the block ends without an error.

    Raises:
        ArtefactInTheWay: ``path`` holds something that is not an artefact.
        ArtefactNotWritten: the disk is full or not writable; what was there stays.
    """
    target = refuse_in_the_way(path)
    writer = Writer()
    yield writer
    place = target.absolute()  # "." has a parent only so
    staging = place.parent / f".{place.name}.{uuid.uuid4().hex}.tmp"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        manifest = _stage(staging, writer, kind, dict(config or {}))
        _publish(staging, target, {entry["file"] for entry in manifest["files"].values()})
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_in_the_way(path: str | Path) -> Path:
    """The path, if an artefact may be written there; raises ``ArtefactInTheWay`` otherwise."""
    target = require_path(path, "save")
    try:
        free = not target.exists() or _is_ours(target)
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    if not free:
        raise ArtefactInTheWay(path=target)
    return target


def read(path: str | Path) -> Reader:
    """Read and check a whole artefact.

    Raises:
        ArtefactNotFound: there is no artefact at ``path``.
        ArtefactCorrupt: anything is missing, altered, truncated, swapped or added.
        ArtefactTooNew: a later version of Segue wrote it.
    """
    target = require_path(path, "load")
    for attempt in range(3):
        try:
            return _read_once(target)
        except ArtefactCorrupt:
            # A save may have replaced the manifest between our reading it and its files.
            if attempt == 2:
                raise
            time.sleep(0.01)
        except OSError as error:
            raise ArtefactNotFound(path=target, reason=error.strerror or error) from None
    raise AssertionError("unreachable")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replace one file in one step: temporary file, sync, rename. Raises ``ArtefactNotWritten``."""
    target = require_path(path, "write")
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_synced(temporary, content)
        os.replace(temporary, target)
        _sync_directory(target.parent)
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    finally:
        with contextlib.suppress(OSError):  # there is none where its directory could not be made
            temporary.unlink(missing_ok=True)


def sha256(content: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _stage(staging: Path, writer: Writer, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    files = {}
    for name, (extension, content) in writer.parts.items():
        digest = sha256(content)
        file = f"{name}.{digest[:16]}.{extension}"
        _write_synced(staging / file, content)
        files[name] = {"file": file, "sha256": digest, "bytes": len(content)}
    manifest = {"format": FORMAT, "class": kind, "config": config, "versions": _versions(), "files": files}
    manifest["sha256"] = sha256(_canonical(manifest))
    _write_synced(staging / MANIFEST, _canonical(manifest))
    _sync_directory(staging)
    return manifest


def _publish(staging: Path, target: Path, files: set[str]) -> None:
    if target.is_dir() and any(target.iterdir()):
        for file in files:
            os.replace(staging / file, target / file)
        _sync_directory(target)
        os.replace(staging / MANIFEST, target / MANIFEST)
        _sync_directory(target)
        for stale in target.iterdir():
            if _CONTENT_NAME.fullmatch(stale.name) and stale.name not in files:
                stale.unlink(missing_ok=True)
    else:
        os.replace(staging, target)
    _sync_directory(target.parent)


def _read_once(target: Path) -> Reader:
    manifest = _read_manifest(target)
    files: dict[str, bytes] = {}
    listed = {MANIFEST}
    for name, entry in manifest["files"].items():
        file = str(entry["file"])
        if not _CONTENT_NAME.fullmatch(file) or (target / file).is_symlink():
            raise ArtefactCorrupt(path=target, reason=f"{file!r} is not a file name that segue writes")
        try:
            content = _read_plain(target / file)
        except OSError:
            raise ArtefactCorrupt(path=target, reason=f"{file} is missing") from None
        if len(content) != entry["bytes"] or sha256(content) != entry["sha256"]:
            raise ArtefactCorrupt(path=target, reason=f"{file} is not what was saved (SHA-256 differs)")
        files[name] = content
        listed.add(file)
    for extra in sorted(target.iterdir()):
        if extra.name not in listed and not _is_leftover(extra):
            raise ArtefactCorrupt(path=target, reason=f"{extra.name} does not belong to it")
    return Reader(target, manifest, files)


def _read_manifest(target: Path) -> dict[str, Any]:
    if not target.is_dir():
        reason = "it is a file" if target.exists() else "there is nothing there"
        raise ArtefactNotFound(path=target, reason=reason)
    try:
        content = _read_plain(target / MANIFEST)
    except OSError:
        if any(_CONTENT_NAME.fullmatch(file.name) for file in target.iterdir()):
            raise ArtefactCorrupt(path=target, reason=f"{MANIFEST} is missing") from None
        raise ArtefactNotFound(path=target, reason=f"it has no {MANIFEST}") from None
    damaged = ArtefactCorrupt(path=target, reason=f"{MANIFEST} is not what was saved")
    try:
        manifest = json.loads(content)
        body = {key: value for key, value in manifest.items() if key != "sha256"}
        # The bytes must be the canonical ones, or a flipped blank would go unseen.
        sound = _canonical(manifest) == content and sha256(_canonical(body)) == manifest["sha256"]
        sound = sound and type(manifest["format"]) is int and manifest["format"] >= 1
        if sound and manifest["format"] > FORMAT:
            raise ArtefactTooNew(path=target, found=manifest["format"], known=FORMAT)
        sound = sound and isinstance(manifest["class"], str) and isinstance(manifest["config"], dict)
        sound = sound and all({"file", "sha256", "bytes"} <= entry.keys() for entry in manifest["files"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged from None
    if not sound:
        raise damaged
    return dict(manifest)


def _is_ours(target: Path) -> bool:
    """Whether a save may replace what is there: nothing, or an artefact, damaged or not."""
    if not target.is_dir():
        return False
    names = {file.name for file in target.iterdir()}
    if MANIFEST not in names:
        return not names
    if any(_CONTENT_NAME.fullmatch(name) for name in names):
        return True
    # Other programs write a manifest.json too; an artefact without parts shows by its keys.
    try:
        manifest = json.loads(_read_plain(target / MANIFEST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and {"format", "class", "files", "sha256"} <= manifest.keys()


def _is_leftover(file: Path) -> bool:
    """A whole file of another save of ours, left by a crash after the manifest was replaced."""
    match = _CONTENT_NAME.fullmatch(file.name)
    try:
        return match is not None and sha256(_read_plain(file))[:16] == match.group(1)
    except FileNotFoundError:  # the save that replaced it has just removed it
        return True
    except OSError:
        return False


def _read_plain(file: Path) -> bytes:
    """The bytes of a regular file; raises ``OSError`` for a link, a directory or a pipe, which would never end."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise OSError(errno.EINVAL, "not a plain file")
    return file.read_bytes()


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if os.name != "posix":  # Windows cannot open a directory; its rename is journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
