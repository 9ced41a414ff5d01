"""The promises of docs/reliability.md in the long form: each row's tests and their broken twins, one row after the other.

    python -m benchmarks.faults [ROW ...]

What is in ``results/faults.json`` with a verdict of ``holds`` is not run again; a row that failed is. As long as it
runs nothing else should: rows 13 to 16 hold milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_file import RESULTS, machine

ROOT = Path(__file__).parents[1]
FILE = RESULTS / "faults.json"


@dataclass(frozen=True)
class Row:
    """A promise.

    Attributes:
        promise: in a few words.
        rounds: what is repeated, and how often.
        tests: files or tests; of files only those are run whose names match ``named`` (pytest's ``-k``).
    """

    promise: str
    rounds: str
    tests: tuple[str, ...]
    named: str = ""


_FAULTS, _STORE, _GUARD = "tests/faults", "tests/faults/test_store_faults.py", "tests/faults/test_guard_faults.py"
ROWS = {
    "1": Row("no acknowledged event is lost", "50 kills", (f"{_FAULTS}/test_ingest.py", _STORE), "kill or acknowledges"),
    "2": Row("nor on power loss", "1,000 commits, 200 cuts", (_STORE,), "sync or wait or prefix"),
    "3": Row("retries are harmless", "1,000 retries", (f"{_FAULTS}/test_ingest.py", _STORE), "retry or thousand or unique"),
    "4": Row("a full disk is honest", "1", (_STORE,), "disk or limit or stops"),
    "5": Row("artefacts appear whole", "60 kills each", (f"{_FAULTS}/test_artefact_faults.py",)),
    "6": Row(
        "corrupt artefacts are refused by name",
        "500 flips, 100 cuts",
        ("tests/test_artefacts.py", "tests/recommenders/test_exported_on_disk.py"),
        "not golden and not pickle",
    ),
    "7": Row(
        "loading never runs code",
        "every module, every part",
        ("tests/test_no_code_on_disk.py", "tests/test_artefacts.py", "tests/recommenders/test_exported_on_disk.py"),
        "code_on_disk or pickle",
    ),
    "8": Row(
        "old artefacts and stores stay readable",
        "each format",
        ("tests/test_artefacts.py", "tests/recommenders/test_exported_on_disk.py", "tests/serving/store/test_store_sqlite.py"),
        "golden or version",
    ),
    "9-10": Row("resume equals never stopping; same seed, same model", "every step", ("tests/training/test_fit.py",)),
    "11": Row("malformed requests give no 5xx", "5,000 + 5,000", (f"{_FAULTS}/test_malformed.py",)),
    "12": Row("answers are sane", "2,000 histories", ("tests/serving/answers/test_answers.py",), "sanely or no_number"),
    "13": Row("limits of size", "20 each", (_GUARD,), "bodies or takes_them"),
    "14": Row("slow clients starve nobody", "200 sockets, 60 s", (_GUARD,), "slow or keeps_them_for_ever"),
    "15": Row("backpressure", "10 too many", (_GUARD,), "one_too_many or everybody"),
    "16": Row("deadlines free the place", "10 stalls", (_GUARD,), "deadline or keeps_the_place"),
    "18": Row("a graceful stop", "20 each, 50 in flight", (_GUARD,), "signal or sigterm or exit_code"),
    "19": Row("auth is total", "every route and key", ("tests/serving/guard/test_scopes.py", _GUARD), "scopes or key"),
    "20": Row("secrets never leak", "5", (_GUARD,), "secret or nor_in_those or logs_them or password"),
    "21": Row("safe by default", "24 paths", (_GUARD, "tests/serving/guard/test_headers.py"), "outside or links or loopback or headers"),
    "22": Row("hot swap", "60 swaps, 60 kills", (f"{_FAULTS}/test_hot_swap.py", f"{_FAULTS}/test_swap_faults.py")),
    "23": Row(
        "online state is a replay",
        "1",
        (f"{_FAULTS}/test_ingest.py", "tests/serving/test_state.py", "tests/serving/learning/test_online.py"),
        "replica or itself or process or rebuild or portions",
    ),
    "24": Row("an export is the same recommender", "every encoder", ("tests/deploy/test_export.py",)),
}  # fmt: skip


def faults(again: bool = False, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run what has not held yet; gives and writes all that is known."""
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {"rows": {}}
    for number, row in ROWS.items():
        held = found["rows"].get(number, {}).get("verdict") == "holds"
        if (only and number not in only) or (held and not again):
            continue
        print(f"row {number}: {row.promise}", flush=True)
        found["rows"][number] = _run(row)
        print(json.dumps(found["rows"][number]), flush=True)
        _write({"rows": {key: found["rows"][key] for key in ROWS if key in found["rows"]}, "machine": machine()})
    return found


def _run(row: Row) -> dict[str, Any]:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *row.tests]
    done = subprocess.run(
        [*command, *(("-k", row.named) if row.named else ())],
        cwd=ROOT,
        env={**os.environ, "SEGUE_FAULTS": "long", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    told = {"promise": row.promise, "rounds": row.rounds, "verdict": "holds" if done.returncode == 0 else "fails"}
    last = done.stdout.strip().splitlines()[-1:]
    return {**told, "tests": "".join(last), "failed": failed, "seconds": round(time.monotonic() - began, 1)}


def _write(found: dict[str, Any]) -> None:
    FILE.parent.mkdir(exist_ok=True)
    temporary = FILE.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n")
    temporary.replace(FILE)


if __name__ == "__main__":
    found = faults(only=tuple(sys.argv[1:]))
    sys.exit(any(each["verdict"] != "holds" for each in found["rows"].values()))
