"""Kernels: compiled once per machine and version, with one line that says so, and never by a service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import segue

PACKAGE = Path(segue.__file__).parent
USE = """
import sys
import numpy as np
from segue.patterns.growth import longer
assert "numba" not in sys.modules
assert len(longer(np.arange(3), 5)) == 6
"""
SERVE = """
import sys
from fastapi.testclient import TestClient
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.settings import ServiceConfig

service = build(sys.argv[1], ServiceConfig.read(None, ["store.url='sqlite:///s.db'"]), activate=True)
with TestClient(create_app(service), client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
    for body in ({"history": ["i1", "i2", "i3"], "k": 5, "explain": True}, {"user_id": "u1", "k": 5}):
        assert client.post("/v1/recommend", json=body).status_code == 200, body
print("numba" in sys.modules)
"""


def run(program: str, folder: Path, *words: str, package: Path = PACKAGE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SEGUE_CACHE": str(folder / "cache"), "SEGUE_PROGRESS": "1"}
    environment["PYTHONPATH"] = str(package.parent)
    command = [sys.executable, "-c", program, *words]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    return result


def test_a_second_environment_finds_what_the_first_compiled(tmp_path: Path) -> None:
    first = run(USE, tmp_path)
    assert first.stderr.splitlines() == [
        "Compiling the kernels of segue.patterns, once on this machine and version; they are kept in "
        f"{tmp_path}/cache/kernels."
    ]
    copy = tmp_path / "elsewhere" / "segue"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(USE, tmp_path, package=copy).stderr == ""


def test_another_version_of_the_source_is_compiled_again(tmp_path: Path) -> None:
    copy = tmp_path / "changed" / "segue"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    run(USE, tmp_path, package=copy)
    with (copy / "patterns" / "ordered.py").open("a") as source:  # a kernel holds those of other modules that it calls
        source.write("# changed\n")
    assert "Compiling" in run(USE, tmp_path, package=copy).stderr


@pytest.mark.parametrize("name", ["PatternRecommender", "ItemNeighbours", "Hybrid"])
def test_a_service_starts_and_answers_without_numba(data: segue.Dataset, tmp_path: Path, name: str) -> None:
    if name == "Hybrid":
        split = segue.split.leave_last_out(data)
        model = segue.Hybrid(["PatternRecommender", "EASE"]).fit(split.train, split.validation, progress=False)
    else:
        model = getattr(segue, name)().fit(data)
    model.save(tmp_path / "model")
    assert run(SERVE, tmp_path, str(tmp_path / "model")).stdout.splitlines()[-1] == "False"
