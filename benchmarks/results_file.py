"""Results as JSON files that say on what they were measured; a finished one is not measured again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
WORK = Path(__file__).parent / "work"


def machine() -> dict[str, Any]:
    names = ("segue", "torch", "lightning", "polars", "numpy", "numba")
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cores": os.cpu_count(),
        "processor": model[0] if model else platform.processor(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
    }


def measured(name: str, measure: Callable[[], dict[str, Any]], again: bool = False) -> dict[str, Any]:
    """The result of ``name``: read when it is there, measured and written otherwise."""
    file = RESULTS / f"{name}.json"
    if file.exists() and not again:
        print(f"{name}: already measured")
        return dict(json.loads(file.read_text()))
    print(f"{name}: measuring", flush=True)
    result = {**measure(), "machine": machine()}
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(file)
    print(json.dumps({key: value for key, value in result.items() if key != "machine"}, indent=1), flush=True)
    return result
