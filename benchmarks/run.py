"""``make bench``: all figures, one after the other; what is in ``results/`` is not measured again.

    python -m benchmarks.run --data DIR [--only NAME ...] [--again]

The peers run in an environment of their own (``benchmarks/peers/requirements.txt``), made on first use.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks import (
    bare_machine,
    by_time,
    cold,
    continual,
    cross_domain,
    export,
    faults,
    few_shot,
    hybrid,
    item_text,
    language_ranker,
    mining,
    online,
    pattern_routes,
    patterns_recommender,
    pretraining,
    quality,
    rules,
    speed,
    text,
    toolkit,
)
from benchmarks import service as whole_service
from benchmarks import store as event_store
from benchmarks import tuning as modes_of_tuning
from benchmarks.encoders import encoders
from benchmarks.long import long_histories
from benchmarks.results_file import WORK, measured
from segue.datasets.catalogue import READY

LOGS = {"ml-100k": (0, 1, 2), "ml-1m": (0,), "beauty": (0,), "sports_and_outdoors": (0,)}


def peers_python(kind: str = "") -> str:
    """The interpreter of the peers' environment, or of the ``text`` peers'; ``PEERS_PYTHON`` or ``PEERS_PYTHON_TEXT``
    names one that is there already."""
    if own := os.environ.get(f"PEERS_PYTHON_{kind.upper()}".rstrip("_")):
        return own
    home = WORK / f"peers-{kind}".rstrip("-")
    if not (home / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        requirements = Path(__file__).parent / "peers" / f"{f'requirements-{kind}'.rstrip('-')}.txt"
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "-q", "-r", str(requirements)], check=True)
        (home / ".installed").touch()
    return str(home / "bin/python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    measures = {
        "import": speed.import_time,
        "store": event_store.store,
        "preparation": speed.preparation,
        "softmax": speed.softmax,
        "long": long_histories,
        "continual": continual.slices,
        "batch-recommendation": speed.batch_recommendation,
        "training-speed": lambda: speed.training(peers_python()),
        "encoders": lambda: encoders(peers_python()),
        "rules": lambda: rules.beside_mlxtend(peers_python("patterns")),
        "text-encoding": lambda: text.encoding(peers_python("text")),
    }
    for name, measure_on in {
        "few-shot-users": few_shot.few_users,
        "few-shot-events": few_shot.few_events,
        "cross-domain-departments": cross_domain.departments,
        "cross-domain-movies": cross_domain.movies,
        "online": online.online,
    }.items():
        measures[name] = partial(measure_on, asked.data)
    measures |= whole_service.PARTS
    measures |= export.PARTS
    if all(name in READY or (asked.data / name).exists() for name in patterns_recommender.LOGS):
        measures["pattern-recommender"] = partial(patterns_recommender.habits, asked.data)
    if (asked.data / modes_of_tuning.LOG).exists():
        measures |= {name: partial(part, asked.data) for name, part in modes_of_tuning.PARTS.items()}
    if not asked.only or "faults" in asked.only:
        faults.faults(asked.again)
    for name, measure in measures.items():
        if not asked.only or name in asked.only:
            measured(name, measure, asked.again)
    if (not asked.only or "bare-machine" in asked.only) and bare_machine.possible():
        measured("bare-machine", bare_machine.both_commands, asked.again)
    if not asked.only or "toolkit" in asked.only:
        toolkit.measure(asked.again)
    if not asked.only or "pretraining" in asked.only:
        pretraining.run(asked.data, asked.again)
    if (not asked.only or "cold-items" in asked.only) and (asked.data / item_text.LOG).exists():
        cold.run(asked.data, asked.again)
    if (not asked.only or "item-text" in asked.only) and (asked.data / item_text.LOG).exists():
        item_text.run(asked.data, asked.again)
    if (not asked.only or "language-ranker" in asked.only) and (asked.data / language_ranker.LOG).exists():
        language_ranker.run(asked.data)
    if not asked.only or "mining" in asked.only:
        mining.run(asked.data, partial(peers_python, "patterns"), asked.again)
    if not asked.only or "hybrid" in asked.only:
        there = (name for name in hybrid.LOGS if name in READY or (asked.data / name).exists())
        hybrid.run(asked.data, tuple(there), asked.again)
    if not asked.only or "pattern-routes" in asked.only:
        pattern_routes.run(asked.data, asked.again)
    for name, seeds in LOGS.items():
        if (not asked.only or name in asked.only) and (name in READY or (asked.data / name).exists()):
            quality.run(name, asked.data, seeds)
    for name in by_time.LOGS:
        if not asked.only or f"by-time-{name}" in asked.only:
            by_time.run(name, peers_python())


if __name__ == "__main__":
    main()
