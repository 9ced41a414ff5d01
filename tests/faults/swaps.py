"""SIGKILL at random while models are saved, registered and activated: the store names the old one or the new one.

``python -m tests.faults.swaps FOLDER ROUNDS KIND``: each round forks a process that makes one version after the other
as an update does, kills it at a random moment, and then reads what is there as a restart does. Prints what it found
as JSON, and exits with 1 where a promise is broken:

- exactly one model is active, whatever was cut off;
- its artefact is whole, and is that model's;
- what was acknowledged before the kill is not undone;
- the model before it is there to go back to.

The kind ``two_transactions`` is the broken twin: it takes the old model out of service in one transaction and puts the
new one into it in the next.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from segue import artefacts
from segue.serving.learning.update import _register, _remove, next_version
from segue.serving.models.lease import Lease
from segue.serving.models.registry import Registry
from segue.serving.store import ModelRow, Store

_LONGEST_S = 0.15


def save(path: Path, number: int) -> None:
    with artefacts.writing(path, "Sample", {"number": number}) as artefact:
        artefact.tensors("arrays", {"x": np.full(10_000, number)})


def row_of(path: Path, root: Path, number: int) -> ModelRow:
    return ModelRow(path.name, str(path), str(path), "waiting", 1.0, number, number, {"root": str(root)})


def in_one(registry: Registry, lease: Lease, old: ModelRow, new: ModelRow) -> list[ModelRow]:
    return _register(registry, lease, old, new, keep=2)[1]


def in_two(registry: Registry, lease: Lease, old: ModelRow, new: ModelRow) -> list[ModelRow]:
    registry.change(lambda rows: {**rows, old.name: replace(rows[old.name], role="waiting")})
    registry.change(lambda rows: {**rows, new.name: replace(new, role="active")})
    return []


KINDS: dict[str, Callable[[Registry, Lease, ModelRow, ModelRow], list[ModelRow]]] = {
    "one_transaction": in_one,
    "two_transactions": in_two,
}


def swap_for_ever(folder: Path, kind: str, told: int) -> None:
    """Make versions until killed; the number of each that is in service is written to ``told``."""
    store, root = Store.open(f"sqlite:///{folder / 'store.db'}"), folder / "m"
    registry, lease = Registry(store), Lease(store, holder="swaps")
    with lease.held():
        os.write(told, b"0\n")
        while True:
            (old,) = [row for row in registry.rows() if row.role == "active"]
            number, place = next_version(registry.rows(), root)
            path = place / f"m-{number:04d}"
            save(path, number)
            dropped = KINDS[kind](registry, lease, old, row_of(path, root, number))
            os.write(told, f"{number}\n".encode())
            _remove(place, dropped)


def broken(folder: Path, acknowledged: int) -> str | None:
    """What a restart finds wrong, or None."""
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    try:
        rows, earlier = Registry(store).rows(), Registry(store).answered()
    finally:
        store.close()
    active = [row for row in rows if row.role == "active"]
    if len(active) != 1:
        return f"{len(active)} models are active"
    (row,) = active
    number = artefacts.read(row.path).manifest["config"]["number"]
    if row.learnt_to_seq != number or int(artefacts.read(row.path).tensors("arrays")["x"][0]) != number:
        return f"{row.name} names an artefact of another model"
    if number < acknowledged:
        return f"{row.name} is active, though {acknowledged} was acknowledged"
    before = set(next(iter(earlier), []))
    if not before <= {each.name for each in rows}:
        return f"{before} is not there to go back to"
    for name in before:
        artefacts.read(next(each.path for each in rows if each.name == name))
    return None


def one_round(folder: Path, kind: str, wait_s: float) -> tuple[int, str | None]:
    """Start, wait, kill, look; how many swaps were acknowledged, and what is broken."""
    listen, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(listen)
            swap_for_ever(folder, kind, told)
        finally:
            os._exit(3)
    os.close(told)
    with os.fdopen(listen) as lines:
        assert lines.readline() == "0\n", "the process did not begin"
        time.sleep(wait_s)
        os.kill(pid, signal.SIGKILL)
        numbers = [int(line) for line in lines]
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it ended before it was killed"
    return len(numbers), broken(folder, numbers[-1] if numbers else 0)


def main(folder: Path, rounds: int, kind: str, seed: int = 0) -> int:
    """Run the rounds; 1 where one of them found something broken."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "m", 1)
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    Registry(store).add(replace(row_of(folder / "m", folder / "m", 1), role="active"))
    store.close()
    dice, swaps = random.Random(seed), 0
    for number in range(rounds):
        made, wrong = one_round(folder, kind, dice.uniform(0, _LONGEST_S))
        swaps += made
        if wrong is not None:
            print(json.dumps({"kind": kind, "rounds": number + 1, "swaps": swaps, "broken": wrong}))
            return 1
    print(json.dumps({"kind": kind, "rounds": rounds, "swaps": swaps, "broken": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
