"""Association rules on a million generated baskets, beside FP-growth of mlxtend on the same baskets in the same run.

The baskets follow the generator of Agrawal and Srikant (VLDB 1994): each is some of 2,000 hidden patterns of about four
of 1,000 items, every item of them dropped with a chance of a quarter. Both read prepared input (a data set, a sparse
frame), run on one core, and must find the same rules. Process time is told beside the wall clock, since others may use
the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import segue
from benchmarks.results_file import WORK

PEER = Path(__file__).parent / "peers" / "mlxtend_rules.py"
ITEMS, PATTERNS = 1_000, 2_000
CONFIDENCE, LENGTH, REPEATS = 0.3, 3, 3
SUPPORTS = (0.01, 0.002)


def generated(baskets: int, seed: int = 0) -> pl.DataFrame:
    """``basket`` and ``item``, each pair once, in the order of the baskets."""
    rng = np.random.default_rng(seed)
    weight, taste = rng.exponential(size=PATTERNS), rng.exponential(size=ITEMS)
    lengths = np.clip(rng.poisson(4, PATTERNS), 1, 10)
    ends = np.cumsum(lengths)
    pool = rng.choice(ITEMS, p=taste / taste.sum(), size=ends[-1])
    many = np.maximum(1, rng.poisson(3, baskets))
    chosen = rng.choice(PATTERNS, p=weight / weight.sum(), size=many.sum())
    held = lengths[chosen]
    items = pool[np.arange(held.sum()) + np.repeat(ends[chosen] - np.cumsum(held), held)]
    basket = np.repeat(np.repeat(np.arange(baskets), many), held)
    kept = rng.random(len(items)) < 0.75
    return pl.DataFrame({"basket": basket[kept], "item": items[kept]}).unique(maintain_order=True)


def beside_mlxtend(peers_python: str | None, baskets: int = 1_000_000) -> dict[str, Any]:
    """Seconds of both, and whether the rules agree, for each least support."""
    from segue.patterns.rules import rules

    WORK.mkdir(exist_ok=True)
    entries = generated(baskets)
    file, out = WORK / f"baskets-{baskets}.parquet", WORK / "mlxtend-rules.parquet"
    entries.write_parquet(file)
    log = entries.rename({"basket": "user_id", "item": "item_id"}).with_columns(timestamp=pl.lit(0))
    data = segue.Dataset.from_frames(log)
    asked: dict[str, Any] = {"min_confidence": CONFIDENCE, "max_length": LENGTH, "progress": False}
    rules(data.where(pl.col("user") <= 1_000), **asked)  # compiled before the clock starts
    units = entries["basket"].n_unique()
    found: dict[str, Any] = {"baskets": units, "entries": len(entries), "items": ITEMS, "load": os.getloadavg()[0]}
    for support in SUPPORTS:
        least = int(np.ceil(support * units))
        times = []
        for _ in range(REPEATS):
            fresh = data.where(pl.lit(True))  # its histories are not made yet
            began, used = time.perf_counter(), time.process_time()
            ours = rules(fresh, min_support=least, **asked)
            times.append((time.perf_counter() - began, time.process_time() - used))
        each: dict[str, Any] = {"rules": len(ours), "seconds": min(wall for wall, _ in times)}
        each["core_seconds"] = min(core for _, core in times)
        if peers_python is not None:
            # Of the baskets numbered, a few are empty: mlxtend counts them in its share.
            share = (least - 0.5) / (int(entries["basket"].max()) + 1)  # type: ignore[arg-type]
            command = [peers_python, str(PEER), str(file), str(out), str(share), str(CONFIDENCE), str(LENGTH)]
            output = subprocess.run(command, capture_output=True, text=True, check=True)
            each["mlxtend"] = json.loads(output.stdout.splitlines()[-1])
            each["same_rules"] = _same(ours, pl.read_parquet(out))
            each["times_mlxtend"] = each["mlxtend"]["seconds"] / each["seconds"]
            each["times_mlxtend_in_core_seconds"] = each["mlxtend"]["core_seconds"] / each["core_seconds"]
        found[f"min_support_{support}"] = each
    return found


def _same(ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    """Whether both have the same rules with the same confidence."""
    left = ours.select(pl.col("antecedent").list.sort(), pl.col("consequent"), "confidence")
    right = theirs.select(antecedent="antecedents", consequent="consequents", theirs="confidence")
    both = left.join(right, on=["antecedent", "consequent"], how="full", coalesce=True)
    return both.select(((pl.col("confidence") - pl.col("theirs")).abs() < 1e-9).fill_null(False).all()).item()
