"""SIGKILL at random while an artefact is rewritten: a reader finds the old one or the new one, whole.

``python -m tests.faults.rewriting FOLDER ROUNDS VERB [in_place]``: each round forks a process that runs the verb over
the same artefact again and again, and tells when one is staged and when it is there; it is killed at a random moment,
every other time soon after something was staged. Prints what it found as JSON, and exits with 1 where the promise is
broken. The verbs are ``export``, ``forget`` (one person after the other) and ``update`` (beside, in ``DIR.versions``).

``in_place`` is the broken twin: what was staged is written over the artefact, file by file.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import segue
from segue import artefacts
from segue.errors import ArtefactError
from segue.evaluation.refresh import Learnt
from segue.recommenders.forgetting import forget_user
from segue.serving.learning.update import update
from segue.serving.models.lease import Lease
from segue.serving.models.models import Models
from segue.serving.models.registry import Registry
from segue.serving.store import Event, Store
from segue.testing.logs import make_log

_SOON_S, _LONGEST_S = 0.004, 0.4
_USERS = 2_000


def prepare_export(folder: Path) -> None:
    from segue.deploy.export import ExportConfig, export

    model = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=1, max_length=8, refit=False)
    model.fit(segue.Dataset.from_frames(make_log()), progress=False).save(folder / "trained")
    export(folder / "trained", folder / "m", ExportConfig(users=1))


def prepare_forget(folder: Path) -> None:
    segue.FirstOrder().fit(segue.Dataset.from_frames(make_log(users=_USERS))).save(folder / "m")


def prepare_update(folder: Path) -> None:
    segue.Popular().fit(segue.Dataset.from_frames(make_log())).save(folder / "m")
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    Models.open(store, folder / "m")
    store.close()


def export_for_ever(folder: Path) -> Iterator[None]:
    from segue.deploy.export import ExportConfig, export

    while True:
        export(folder / "trained", folder / "m", ExportConfig(users=1))
        yield


def forget_for_ever(folder: Path) -> Iterator[None]:
    known = [user for user in segue.load(folder / "m").user_vocabulary.ids if not user.startswith("forgotten")]
    for user in known:
        forget_user(folder / "m", user)
        yield


def update_for_ever(folder: Path) -> Iterator[None]:
    store = Store.open(f"sqlite:///{folder / 'store.db'}")

    def learnt(recommender: segue.Recommender, *_: object, **__: object) -> Learnt:
        return Learnt(recommender, "update")

    while True:
        store.append([Event(f"{time.time_ns()}", "u1", "item 1", 1, "view")])
        update(store, folder / "m", always=True, learn=learnt, lease=Lease(store, holder="rewriting"))
        yield


VERBS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Iterator[None]]]] = {
    "export": (prepare_export, export_for_ever),
    "forget": (prepare_forget, forget_for_ever),
    "update": (prepare_update, update_for_ever),
}


def in_place(staging: Path, target: Path, files: set[str]) -> None:
    """The broken twin of ``artefacts._publish``."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in sorted(staging.iterdir()):
        artefacts._write_synced(target / file.name, file.read_bytes())


def rewrite(folder: Path, verb: str, told: int) -> None:
    """Run the verb until killed; path and hash of each artefact are told when it is staged and when it is there."""
    publish = artefacts._publish

    def telling(staging: Path, target: Path, files: set[str]) -> None:
        line = f"{target} {json.loads((staging / artefacts.MANIFEST).read_bytes())['sha256']}\n"
        os.write(told, f"staged {line}".encode())
        publish(staging, target, files)
        os.write(told, f"there {line}".encode())

    artefacts._publish = telling
    for _ in VERBS[verb][1](folder):
        pass


def torn(path: Path, hashes: set[str | None]) -> str | None:
    """What is wrong with an artefact that must have one of these hashes; None stands for nothing there."""
    if None in hashes and not path.exists():
        return None
    try:
        found = artefacts.read(path).manifest["sha256"]
    except ArtefactError as error:
        return f"{type(error).__name__}: {error}"
    return None if found in hashes else f"{path} is neither the old nor the new one"


def registered(folder: Path) -> list[Path]:
    """The artefacts that a reader may look for; one that an update has taken out of the store may be half removed."""
    if not (folder / "store.db").exists():
        return [folder / "m"]
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    try:
        return [Path(row.path) for row in Registry(store).rows()]
    finally:
        store.close()


def prepared(folder: Path, verb: str) -> int:
    """In a process of its own: where polars has worked, its threads are missing after a fork."""
    pid = os.fork()
    if pid == 0:
        VERBS[verb][0](folder)
        os._exit(0)
    return pid


def one_round(folder: Path, verb: str, wait_s: float, staged_first: bool) -> tuple[int, str | None]:
    """Start, wait, kill, read; how many were there, and what is wrong."""
    there: dict[Path, str | None] = {path: artefacts.read(path).manifest["sha256"] for path in registered(folder)}
    staged: dict[Path, str] = {}
    listen, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(listen)
            rewrite(folder, verb, told)
        except BaseException:  # noqa: BLE001 - told, and the fork ends here whatever it was
            traceback.print_exc()
        finally:
            os._exit(3)
    os.close(told)
    with os.fdopen(listen) as each:
        lines = [each.readline()] if staged_first else []
        time.sleep(wait_s)
        os.kill(pid, signal.SIGKILL)
        lines += each.readlines()
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it ended before it was killed"
    for state, place, digest in (line.split() for line in lines):
        if state == "there":
            there[Path(place)] = digest
            staged.clear()
        else:
            staged = {Path(place): digest}
    wrong = [
        torn(path, {there.get(path), staged.get(path, there.get(path))}) for path in {*registered(folder), *staged}
    ]
    return sum(line.startswith("there") for line in lines), next(filter(None, wrong), None)


def main(folder: Path, rounds: int, verb: str, twin: str = "") -> int:
    """Run the rounds; 1 where one of them found something torn."""
    if verb == "export":
        importlib.import_module("segue.deploy.export")  # once, and not after each fork
    _, status = os.waitpid(prepared(folder, verb), 0)
    assert status == 0, "nothing to rewrite"
    if twin:
        artefacts._publish = in_place
    dice, written = random.Random(0), 0
    for number in range(rounds):
        soon = number % 2 == 0
        made, wrong = one_round(folder, verb, dice.uniform(0, _SOON_S if soon else _LONGEST_S), soon)
        written += made
        if wrong is not None:
            print(json.dumps({"verb": verb, "rounds": number + 1, "written": written, "torn": wrong}))
            return 1
    print(json.dumps({"verb": verb, "rounds": rounds, "written": written, "torn": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
