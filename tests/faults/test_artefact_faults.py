"""Processes killed while they rewrite an artefact, and an export under damage: whole, or refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.server import rounds

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def rewritten(folder: Path, times: int, verb: str, *twin: str) -> tuple[int, dict[str, Any]]:
    """Exit code and findings of ``rewriting.py``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.rewriting", str(folder), str(times), verb, *twin],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(("verb", "short"), [("export", 4), ("forget", 10), ("update", 10)])
def test_a_reader_finds_the_old_artefact_or_the_new_one(tmp_path: Path, verb: str, short: int) -> None:
    code, found = rewritten(tmp_path, rounds(short, 60), verb)
    assert (code, found["torn"]) == (0, None)
    assert found["written"] > 0  # some were killed between two of them, not all before the first


@pytest.mark.parametrize("verb", ["export", "forget", "update"])
def test_writing_in_place_would_leave_torn_ones(tmp_path: Path, verb: str) -> None:
    code, found = rewritten(tmp_path, 60, verb, "in_place")
    assert code == 1
    assert "Artefact" in found["torn"]
