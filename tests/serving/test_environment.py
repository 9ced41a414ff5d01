"""``pip install 'segue[serve]'`` is enough to serve: no torch is there, and an exported model answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import segue
from tests.faults.server import free_port

ROOT = Path(segue.__file__).parents[2]
HEAVY = ("torch", "lightning", "transformers", "peft", "onnx", "numba")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the extra ``serve`` and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    home, source = folder / "venv", folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):  # a copy: building leaves its work beside what it builds
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    install = [str(home / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    constraints = ROOT / "constraints.txt"
    subprocess.run([*install, "-c", str(constraints), f"{source}[serve]"], check=True, timeout=600)
    return home / "bin/python"


@pytest.fixture(scope="module", params=["fp32", "int8"])
def exported(data: segue.Dataset, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A small sequence model as ONNX, in either precision."""
    folder = tmp_path_factory.mktemp("models")
    model = segue.SequenceRecommender(text=None, embedding_size=16, blocks=1, epochs=1, max_length=20)
    model.fit(data, progress=False).save(folder / "model")
    command = [str(Path(sys.executable).with_name("segue")), "export", str(folder / "model"), "--out"]
    limits = ["--least-overlap", "0.5", "--most-loss", "0.9"]  # it is small and hardly trained
    options = ["--precision", request.param, *limits]
    subprocess.run([*command, str(folder / "model-onnx"), *options], check=True, capture_output=True)
    assert segue.load(folder / "model-onnx").config.precision == request.param
    return folder / "model-onnx"


@pytest.fixture(scope="module")
def port(environment: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that runs there."""
    port, folder = free_port(), tmp_path_factory.mktemp("store")
    command = [str(environment.with_name("segue")), "serve", str(exported)]
    command += ["--store", f"sqlite:///{folder}/events.db", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": ""}, cwd=folder)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize("name", HEAVY)
def test_what_training_needs_is_not_there(environment: Path, name: str) -> None:
    found = subprocess.run([str(environment), "-c", f"import {name}"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in found.stderr


def test_an_exported_model_answers_there(port: int, exported: Path) -> None:
    history = ["i1", "i2", "i3"]
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/recommend",
        json.dumps({"history": history, "k": 5}).encode(),
        {"content-type": "application/json"},
    )
    answer = json.loads(urllib.request.urlopen(asked, timeout=10).read())
    here = segue.load(exported).recommend(histories=[history], k=5)
    assert [each["item_id"] for each in answer["items"]] == here["item_id"].to_list()
