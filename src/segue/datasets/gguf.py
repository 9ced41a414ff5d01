"""From weights packed for llama.cpp (GGUF, four bits) to a plain folder that ``transformers`` loads at once.

The conversion is made once, when the weights are fetched, and appears in one rename: a folder that is there is whole.
Downloading and the checksum of what is converted are left to ``fetch``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segue import artefacts
from segue.errors import ArtefactNotWritten, DownloadFailed, ExtraMissing

_CHECKSUMS = "checksums.json"


def require() -> None:
    """Raise ``ExtraMissing`` unless a conversion can be made here."""
    for package in ("torch", "transformers", "gguf"):
        if importlib.util.find_spec(package) is None:
            raise ExtraMissing(what="Converting packed weights", package=package, extra="language")


def convert(name: str, content: bytes, target: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as a folder of plain files, in fp32.

    Raises:
        ExtraMissing: ``transformers`` or ``gguf`` is not installed.
        DownloadFailed: ``transformers`` cannot read it.
        ArtefactNotWritten: the disk is full or not writable; what was there stays.
    """
    require()
    staging = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    _clear(target)
    try:
        packed = staging / "packed"
        packed.mkdir(parents=True)
        (packed / "model.gguf").write_bytes(content)
        with _quiet():
            try:
                model, tokenizer = _read(packed)
            except (ValueError, KeyError, RuntimeError, TypeError, NotImplementedError) as error:
                raise DownloadFailed(name=name, reason=f"the weights cannot be converted ({error})") from None
            shutil.rmtree(packed)
            model.save_pretrained(staging)
            tokenizer.save_pretrained(staging)
        digests = {file.name: artefacts.sha256(file.read_bytes()) for file in sorted(staging.iterdir())}
        artefacts.write_atomically(staging / _CHECKSUMS, json.dumps(digests, indent=1).encode())
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staging, target)
    except OSError as error:
        raise ArtefactNotWritten(path=target, reason=error.strerror or error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a converted model; raises ``OSError`` where they cannot be read."""
    try:
        found = json.loads((folder / _CHECKSUMS).read_bytes())
        return {str(file): str(digest) for file, digest in found.items()}
    except (ValueError, AttributeError):
        raise OSError(f"{_CHECKSUMS} is damaged") from None


def _clear(target: Path) -> None:
    """Remove what conversions left that were killed; one that is an hour old goes on no more."""
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        if time.time() - left.stat().st_mtime > 3_600:
            shutil.rmtree(left, ignore_errors=True)


def plain(model: Any) -> Any:
    """A model of the same class, configuration and state that knows nothing of how it was packed.

    One that was loaded from GGUF refuses to be saved, since ``transformers`` cannot write that form.
    """
    config = type(model.config).from_dict(
        {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    )
    copy = type(model)(config)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    return copy.eval()


def _read(folder: Path) -> tuple[Any, Any]:
    import transformers

    found = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    return plain(found), tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and reports of the library; ours says what matters."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is first imported, which is now as a rule
    from transformers.utils import logging as reports

    logging: Any = reports
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before
