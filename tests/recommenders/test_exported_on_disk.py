"""An export on disk: every altered byte refused by name, nothing in it runs, and old ones stay readable."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
from pathlib import Path

import polars as pl
import pytest

import segue
from segue import artefacts
from segue.deploy.parts import in_fp32
from segue.errors import ArtefactCorrupt, GraphBroken
from segue.recommenders.exported import ExportedRecommender
from tests.artefact_tools import Bomb, accepted, cuts, flips, forge_part, naive_read
from tests.language.makers import tiny_model
from tests.recommenders.shops import reader, shop

GOLDEN = Path(__file__).parents[1] / "golden"
EXPORT = GOLDEN / "exported-format-1"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between the attempts of a read serve concurrent saves; damage does not heal by waiting."""
    monkeypatch.setattr(artefacts.time, "sleep", lambda seconds: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with everything in it: encoder, language model, tokenizer, likeness and a price."""
    language = tiny_model(tmp_path_factory.mktemp("language") / "tiny")
    trained = reader(language, features=["price"], epochs=1).fit(shop(), progress=False)
    path = tmp_path_factory.mktemp("models") / "shop-onnx"
    in_fp32(trained).save(path)
    assert {"encoder", "items-language-model", "items-language-tokenizer"} <= set(artefacts.read(path).names)
    return path


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "shop-onnx")


def test_a_flipped_byte_and_a_cut_file_are_refused_by_name(saved: Path) -> None:
    assert accepted(segue.load, saved, flips(saved, 500)) == []
    assert accepted(segue.load, saved, cuts(saved, 100)) == []
    assert type(segue.load(saved)) is ExportedRecommender


def test_a_reader_without_hashes_would_accept_most(saved: Path) -> None:
    assert len(accepted(naive_read, saved, flips(saved, 100))) > 50


def test_missing_extra_and_swapped_files_are_refused_by_name(saved: Path) -> None:
    files = sorted(file for file in saved.iterdir() if file.name != artefacts.MANIFEST)
    for file in files:
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(ArtefactCorrupt, match=f"{file.name} is missing"):
            segue.load(saved)
        file.write_bytes(content)
    for left, right in itertools.pairwise(files):
        a, b = left.read_bytes(), right.read_bytes()
        left.write_bytes(b)
        right.write_bytes(a)
        with pytest.raises(ArtefactCorrupt):
            segue.load(saved)
        left.write_bytes(a)
        right.write_bytes(b)
    (saved / "encoder.onnx").write_bytes(b"extra")
    with pytest.raises(ArtefactCorrupt, match=r"encoder\.onnx"):
        segue.load(saved)


def used(path: Path) -> None:
    """Load it and let it read the text of a new item, so that every part has been looked into."""
    segue.load(path).add_items(pl.DataFrame({"item_id": [100], "title": ["red cup"], "price": [1.0]}))


def test_a_hostile_pickle_in_any_part_is_refused_and_never_runs(whole: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Bomb(canary))
    for name in artefacts.read(whole).names:
        for forged in (False, True):  # as it lies there, and under hashes that hold
            path = shutil.copytree(whole, tmp_path / "copy")
            if forged:
                forge_part(path, name, bomb)
            else:
                (path / artefacts.read(path).manifest["files"][name]["file"]).write_bytes(bomb)
            with pytest.raises((ArtefactCorrupt, GraphBroken) if forged else ArtefactCorrupt):
                used(path)
            shutil.rmtree(path)
    assert not canary.exists()
    pickle.loads(bomb)  # noqa: S301 - the twin: a reader that unpickles sets it off
    assert canary.exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"["], ids=["nothing", "zeros", "cut"])
def test_a_forged_part_with_sound_hashes_is_refused_by_name(whole: Path, tmp_path: Path, content: bytes) -> None:
    for name in artefacts.read(whole).names:
        path = shutil.copytree(whole, tmp_path / "copy")
        forge_part(path, name, content)
        with pytest.raises((ArtefactCorrupt, GraphBroken)):
            used(path)
        shutil.rmtree(path)


def test_the_golden_export_of_each_format_gives_the_same_answers() -> None:
    for version in range(1, artefacts.FORMAT + 1):
        expected = json.loads((GOLDEN / f"exported-format-{version}.json").read_text(encoding="utf-8"))
        model = segue.load(GOLDEN / f"exported-format-{version}")
        assert type(model) is ExportedRecommender
        answer = model.recommend(histories=[["item 1", "item 2", "item 3"], []], k=10)
        assert answer["item_id"].to_list() == [row[0] for row in expected]
        assert answer["score"].to_list() == pytest.approx([row[1] for row in expected], rel=1e-3, abs=1e-4)


def test_a_renamed_field_would_be_seen_in_the_golden_export(tmp_path: Path) -> None:
    path = shutil.copytree(EXPORT, tmp_path / "golden")
    reading = artefacts.read(path).document("reading")
    reading["longest"] = reading.pop("max_length")
    forge_part(path, "reading", json.dumps(reading).encode())
    with pytest.raises(ArtefactCorrupt, match="do not fit together"):
        segue.load(path)
