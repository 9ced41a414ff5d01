"""Tests without a system package they need: skipped and counted, or failed with ``CI=true``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest
from tests import system_tools
from tests.conftest import pytest_terminal_summary

@pytest.fixture(autouse=True, params=["strace", "chromium"])
def absent(request, monkeypatch):
    monkeypatch.setitem(system_tools._PRESENT, request.param, lambda: False)
    system_tools.need(request.param)
"""


def run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(SUITE)
    (folder / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    environment = {**os.environ, "CI": ci, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


def test_tests_without_a_system_package_are_skipped_and_counted(tmp_path: Path) -> None:
    result = run(tmp_path, ci="")
    assert result.returncode == 0, result.stdout
    for package in ("chromium", "strace"):
        assert f"2 tests were skipped because {package} is missing." in result.stdout


def test_nothing_is_skipped_in_continuous_integration(tmp_path: Path) -> None:
    result = run(tmp_path, ci="true")
    assert result.returncode == 1
    assert "4 errors" in result.stdout
    assert "skipped" not in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_the_names_of_missing_packages_are_printed(tmp_path: Path, ci: str, code: int) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    (programs / "bash").symlink_to("/bin/bash")
    script = ROOT / "scripts/system_packages.sh"
    environment = {"PATH": str(programs), "CI": ci}
    result = subprocess.run(["/bin/bash", str(script)], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == code
    assert "strace" in result.stdout + result.stderr
