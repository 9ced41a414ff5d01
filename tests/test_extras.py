"""A package of an extra that is not installed: one message that names the extra, from every entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import segue
from segue.errors.models import EXTRAS

ROOT = Path(__file__).parents[1]
BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = ["segue", *{words!r}]
"""
RUN = "from segue.cli.main import run\nrun()"


def without(
    packages: tuple[str, ...], words: list[str], program: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    source = BLOCKED.format(packages=set(packages), words=words) + program
    environment = {**os.environ, "SEGUE_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", source]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def files(log, data: segue.Dataset, split: segue.Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, a model trained with torch and one without."""
    folder = tmp_path_factory.mktemp("files")
    log.write_parquet(folder / "events.parquet")
    settings = {"text": None, "embedding_size": 16, "blocks": 1, "epochs": 1, "max_length": 20, "refit": False}
    segue.SequenceRecommender(**settings).fit(split.train, progress=False).save(folder / "model", test=split.test)
    segue.EASE().fit(split.train).save(folder / "ease", test=split.test)
    return folder


STORE = "sqlite:///s.db"
COMMANDS = [
    ("train", ["train", "events.parquet", "--out", "m"]),
    ("train", ["evaluate", "model"]),
    ("train", ["recommend", "model", "--users", "u1"]),
    ("train", ["compare", "model", "ease"]),
    ("train", ["export", "model"]),
    ("train", ["add-items", "model", "events.parquet", "--out", "m"]),
    ("train", ["pretrain", "events.parquet", "--out", "p"]),
    ("train", ["tune", "events.parquet", "--out", "t"]),
    ("train", ["compare-tuning", "events.parquet"]),
    ("mine", ["mine", "events.parquet"]),
    ("tune", ["tune", "events.parquet", "--recommender", "EASE", "--out", "t"]),
    ("als", ["train", "events.parquet", "--recommender", "ALS", "--out", "m"]),
    ("export", ["export", "model"]),
    ("serve", ["export", "model"]),
    ("serve", ["serve", "ease", "--store", STORE]),
    ("serve", ["update", "ease", "--store", STORE]),
    ("serve", ["models", "list", "--store", STORE]),
    ("serve", ["keys", "list", "--store", STORE]),
    ("serve", ["rollback", "--store", STORE]),
    ("serve", ["estimate", "--model", "ease", "--store", STORE]),
]


@pytest.mark.parametrize(("extra", "words"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_command_without_its_extra_names_it(files: Path, extra: str, words: list[str]) -> None:
    result = without(EXTRAS[extra], words, RUN, files)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert "error R005" in result.stderr, result.stderr + result.stdout
    assert f"pip install 'segue[{extra}]'" in result.stderr


@pytest.mark.parametrize("name", ["SequenceRecommender", "LanguageRanker"])
def test_a_name_of_the_library_without_its_extra_names_it(tmp_path: Path, name: str) -> None:
    program = f"import segue\ntry:\n    segue.{name}\nexcept segue.errors.ExtraMissing as error:\n    print(error)"
    result = without((*EXTRAS["train"], *EXTRAS["tune"]), [], program, tmp_path)
    assert "[R005]" in result.stdout, result.stderr


def test_every_optional_package_belongs_to_the_extra_that_installs_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {"sklearn": "scikit-learn", "prometheus_client": "prometheus-client", "mlflow": "mlflow-skinny"}
    indirect = {
        "huggingface_hub",
        "threadpoolctl",
        "starlette",
        "httptools",
    }  # of transformers, implicit, fastapi, uvicorn
    for extra, packages in EXTRAS.items():
        text = " ".join(extras[extra] + (extras["demo"] if extra == "train" else []))
        for package in set(packages) - indirect:
            assert names.get(package, package) in text, (extra, package)
