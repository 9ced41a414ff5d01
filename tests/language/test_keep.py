from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from segue.errors import ArtefactInTheWay, ArtefactNotWritten
from segue.language.keep import keep
from segue.language.models import LanguageModel, load_language_model
from tests.language.makers import tiny_model


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_language_model(tiny_model(tmp_path_factory.mktemp("tiny")))


def test_what_is_kept_is_read_as_any_other_model(language: LanguageModel, tmp_path: Path) -> None:
    keep(tmp_path / "deep" / "model", language, {"told": 1})
    again = load_language_model(str(tmp_path / "deep" / "model"))
    weights = language.model.state_dict()
    assert all((again.model.state_dict()[name] == weight).all() for name, weight in weights.items())
    assert again.tokenizer("red cup")["input_ids"] == language.tokenizer("red cup")["input_ids"]
    assert json.loads((tmp_path / "deep" / "model" / "segue.json").read_text()) == {"told": 1}
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["model"]


def test_ours_is_replaced_and_what_is_not_ours_stays(language: LanguageModel, tmp_path: Path) -> None:
    keep(tmp_path / "model", language, {"told": 1})
    keep(tmp_path / "model", language, {"told": 2})
    assert json.loads((tmp_path / "model" / "segue.json").read_text()) == {"told": 2}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(ArtefactInTheWay):
        keep(tmp_path / "photos", language, {})
    assert [file.name for file in tmp_path.glob("**/*.jpg")] == ["cat.jpg"]


@pytest.mark.parametrize("fails_at", ["first rename", "second rename"])
def test_a_disk_that_fails_leaves_the_old_one(
    language: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    keep(tmp_path / "model", language, {"told": 1})
    real = os.replace

    def failing(source: Any, target: Any) -> None:
        aside = str(target).endswith(".old")
        back = str(source).endswith(".old")
        if Path(source).is_dir() and not back and aside == (fails_at == "first rename"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ArtefactNotWritten, match="No space left"):
        keep(tmp_path / "model", language, {"told": 2})
    assert json.loads((tmp_path / "model" / "segue.json").read_text()) == {"told": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
