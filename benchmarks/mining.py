"""Sequential patterns: seconds beside prefixspan, seq2pat and SPMF on the same histories, and the same patterns out.

Each search of ours is the least of three, after one that compiles; a peer is asked once, for at most ten minutes. All run
on all cores of the machine. ``mining-memory`` and ``mining-scaling`` are of generated histories of 20 events on average.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.quality import load
from benchmarks.results_file import WORK, measured
from segue.patterns.mining import Bounds, PatternTree, frequent
from segue.patterns.sequences import Sequences, sequences

PATIENCE = 600
Kind = tuple[Callable[[Path], Sequences], float, int, int, tuple[str, ...]]


def generated(users: int, mean: int, items: int, seed: int = 0) -> Sequences:
    """Independent draws, items by Zipf's law."""
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(mean, users)
    shares = 1 / np.arange(1, items + 1)
    symbols = rng.choice(items, lengths.sum(), p=shares / shares.sum()).astype(np.int32) + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = (np.arange(len(symbols)) - np.repeat(offsets[:-1], lengths)).astype(np.int32)
    return Sequences(offsets, symbols, places, None, pl.Series(range(items + 1)))


CASES: dict[str, Kind] = {
    # name: histories, support, longest pattern, span (0: none), peers
    "ml-100k": (lambda data: sequences(load("ml-100k", data)), 0.1, 0, 0, ("prefixspan", "seq2pat", "spmf")),
    "beauty": (lambda data: sequences(load("beauty", data)), 0.001, 0, 0, ("prefixspan", "seq2pat", "spmf")),
    "generated-200000": (lambda data: generated(200_000, 20, 10_000), 0.005, 0, 0, ("prefixspan", "seq2pat", "spmf")),
    "generated-2000": (lambda data: generated(2_000, 60, 500), 0.05, 3, 0, ("prefixspan", "spmf")),
    "generated-2000-span": (lambda data: generated(2_000, 60, 500), 0.05, 0, 9, ("seq2pat",)),
}


def case(name: str, data: Path, python: str) -> dict[str, Any]:
    make, support, longest, span, peers = CASES[name]
    made = make(data)
    made = made.take(np.flatnonzero(np.diff(made.offsets) > 0))
    least = int(np.ceil(support * len(made)))
    bounds = Bounds(span=span) if span else Bounds()
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        tree = frequent(made, least, longest or 64, bounds, memory=16_000)
        seconds.append(time.perf_counter() - began)
    ours = spelt(tree)
    found: dict[str, Any] = {"histories": len(made), "events": len(made.symbols), "least": least, "longest": longest}
    found |= {"span": span, "patterns": len(ours), "seconds": min(seconds[1:]), "load": os.getloadavg()[0], "peers": {}}
    print(name, len(ours), "patterns", min(seconds[1:]), flush=True)
    WORK.mkdir(exist_ok=True)
    rows = WORK / "histories.txt"
    ends = zip(made.offsets, made.offsets[1:], strict=False)
    rows.write_text("\n".join(" ".join(map(str, made.symbols[a:b].tolist())) for a, b in ends))
    for peer in peers:
        found["peers"][peer] = beside(peer, python, rows, (least, longest, span), ours, found["seconds"])
        print(name, peer, found["peers"][peer], flush=True)
    return found


def spelt(tree: PatternTree) -> dict[tuple[int, ...], int]:
    offsets, symbols = tree.flat()
    each = np.split(symbols, offsets[1:-1]) if len(tree) else []
    return {tuple(pattern.tolist()): int(support) for pattern, support in zip(each, tree.supports, strict=True)}


def beside(
    peer: str, python: str, rows: Path, asked: tuple[int, int, int], ours: dict[tuple[int, ...], int], seconds: float
) -> dict[str, Any]:
    """What a peer took, and whether it found the same; seq2pat tells patterns of two symbols or more."""
    out = WORK / "patterns.txt"
    out.unlink(missing_ok=True)
    script = Path(__file__).parent / "peers" / "miners.py"
    command = [python, str(script.absolute()), peer, str(rows.absolute()), *map(str, asked), str(out.absolute())]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=WORK)
    except subprocess.TimeoutExpired:
        return {"seconds": f"more than {PATIENCE}", "times": f"more than {PATIENCE / seconds:.0f}"}
    if said.returncode:
        return {"failed": said.stderr.strip().splitlines()[-1:]}
    lines = [tuple(map(int, line.split())) for line in out.read_text().splitlines()]
    theirs = {line[1:]: line[0] for line in lines}
    wanted = {pattern: count for pattern, count in ours.items() if peer != "seq2pat" or len(pattern) > 1}
    took = float(said.stdout)
    return {"seconds": took, "times": took / seconds, "patterns": len(theirs), "same": theirs == wanted}


def memory() -> dict[str, Any]:
    """Peak of a process that reads 200,000 histories and mines them, and what it held before mining."""
    made = generated(200_000, 20, 10_000)
    WORK.mkdir(exist_ok=True)
    np.savez(WORK / "histories.npz", offsets=made.offsets, symbols=made.symbols, places=made.places)
    code = (
        "import sys; from pathlib import Path; import numpy as np, polars as pl; from segue.patterns.mining import frequent;"
        "from segue.patterns.sequences import Sequences; kept = np.load(sys.argv[1]);"
        "made = Sequences(kept['offsets'], kept['symbols'], kept['places'], None, pl.Series(range(10_001)));"
        "frequent(made.take(np.arange(10)), 10, 2);"
        # Not getrusage: its peak begins with that of the process that started this one.
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) / 1e3; before = peak();"
        "tree = frequent(made, 200, 64); print(before, peak(), len(tree))"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(WORK / "histories.npz")], text=True)
    before, peak, patterns = map(float, output.split())
    return {"least": 200, "patterns": int(patterns), "before_mb": before, "peak_mb": peak}


def scaling() -> dict[str, Any]:
    """Ten times the events at the same relative support."""
    found: dict[str, Any] = {}
    for users in (20_000, 200_000):
        made = generated(users, 20, 10_000)
        seconds = []
        for _ in range(4):
            began = time.perf_counter()
            tree = frequent(made, users // 1_000, 64)
            seconds.append(time.perf_counter() - began)
        found[str(users)] = {"seconds": min(seconds[1:]), "patterns": len(tree)}
    found["times"] = found["200000"]["seconds"] / found["20000"]["seconds"]
    return found


def run(data: Path, python: Callable[[], str], again: bool = False) -> None:
    for name in CASES:
        if name not in ("beauty",) or (data / name).exists():
            measured(f"mining-{name}", lambda name=name: case(name, data, python()), again)
    measured("mining-memory", memory, again)
    measured("mining-scaling", scaling, again)
