"""A process killed while it swaps models leaves the old one or the new one in service, never neither and never half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.server import rounds

ROOT = Path(__file__).parents[2]


def run(folder, times, kind):
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.swaps", str(folder), str(times), kind],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_kill_at_any_moment_leaves_the_old_model_or_the_new_one(tmp_path):
    code, found = run(tmp_path, rounds(20, 60), "one_transaction")
    assert (code, found["broken"]) == (0, None)
    assert found["swaps"] > 0  # kills fell among swaps, not before the first of them


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_two_transactions_would_leave_nobody_in_service(tmp_path):
    code, found = run(tmp_path, 300, "two_transactions")
    assert (code, found["broken"]) == (1, "0 models are active")
