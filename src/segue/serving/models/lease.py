"""One update at a time, over all replicas: a lease in the store that ends by itself when its holder dies.

The lease is a row beside the models, so that taking it, renewing it and registering what was learnt under it are
transactions of the same table. The row also tells what came of the update before, to whichever replica asks, and who
was erased while an update is at work with what it had read of them: as keyed hashes, for a row outlives its holder.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from segue.errors import SegueError, UpdateRunning
from segue.serving.models.registry import LEASE, ModelStore
from segue.serving.store.rows import ModelRow
from segue.serving.store.tombstones import hash_of

_NAME = "(update)"
SECONDS = 60.0
_log = logging.getLogger(__name__)


class ErasedMeanwhile(Exception):
    """Somebody was erased whom a new model still knows; it is to forget them, and then to be registered."""


class Lease:
    """The right to update models of a store.

    Args:
        store: where it is kept.
        seconds: how long it lasts unless it is renewed; clocks of replicas may differ by less than that.
        holder: who takes it.
    """

    def __init__(self, store: ModelStore, seconds: float = SECONDS, holder: str | None = None) -> None:
        self.store, self.seconds = store, seconds
        self.holder = holder or f"process {os.getpid()} on {platform.node()}, {time.time():.6f}"

    def state(self) -> dict[str, Any]:
        """``holder`` and ``until`` (microseconds) of whoever is at work, and ``last``: what came of the one before."""
        return _document(self.store.model_rows())

    def busy(self) -> bool:
        """Whether an update is at work now, in any process."""
        return _now() < int(self.state().get("until", 0))

    @contextlib.contextmanager
    def held(self) -> Iterator[Lease]:
        """Hold it while the block runs, renewed by a thread. Raises ``UpdateRunning`` where another holds it."""
        self._write(self._taken)
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended,), name="lease", daemon=True)
        keeper.start()
        try:
            yield self
        finally:
            ended.set()
            keeper.join()
            with contextlib.suppress(SegueError):  # it ends by itself
                self._write(self._given_back)

    def guard(self, rows: list[ModelRow], forgotten: Collection[str] = ()) -> None:
        """Refuse a change of the models by whoever has lost the lease; runs in the transaction of the change.

        Raises ``UpdateRunning``, and ``ErasedMeanwhile`` where somebody was erased who is not among ``forgotten``.
        """
        told = _document(rows)
        if told.get("holder") != self.holder or not _held(told):
            raise _running(told)
        if not set(told.get("erased", [])) <= set(forgotten):
            raise ErasedMeanwhile

    def erased(self) -> list[str]:
        """Hashes of people erased since the lease was taken: what was made under it forgets them before it serves."""
        return list(self.state().get("erased", []))

    def names(self, hashes: Collection[str]) -> Callable[[str], bool]:
        """Whether an id is that of one of them."""
        key, wanted = str(self.state().get("key", "")), set(hashes)
        return lambda user_id: hash_of(user_id, key) in wanted

    def note_erased(self, user_id: str) -> None:
        """Tell whoever is at work that a person was erased; nothing is written where nobody is.

        A holder that is late may renew the lease and go on, so it is told as well.
        """

        def noted(told: Mapping[str, Any]) -> Mapping[str, Any]:
            name = hash_of(user_id, str(told.get("key", "")))
            return {**told, "erased": sorted({*told.get("erased", []), name})} if _held(told) else told

        if _held(self.state()):
            self._write(noted)

    def report(self, outcome: Mapping[str, Any]) -> None:
        """Tell all replicas what came of the update."""
        self._write(lambda told: {**told, "last": {**outcome, "finished": _now()}})

    def _taken(self, told: Mapping[str, Any]) -> dict[str, Any]:
        if told.get("holder") != self.holder and _now() < int(told.get("until", 0)):
            raise _running(told)
        renewed = {"holder": self.holder, "until": _now() + round(self.seconds * 1e6)}
        if told.get("holder") == self.holder and _held(told):
            return {**told, **renewed}
        return {**told, **renewed, "erased": [], "key": secrets.token_hex(16)}

    def _given_back(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**told, "until": 0, "erased": []} if told.get("holder") == self.holder else told

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(self.seconds / 4):
            try:
                self._write(self._taken)
            except SegueError as error:
                _log.warning("the lease of the update was not renewed: %s", error)

    def _write(self, change: Any) -> None:
        def rewritten(rows: list[ModelRow]) -> list[ModelRow]:
            known = next((row for row in rows if row.role == LEASE), ModelRow(_NAME, "", "", LEASE, 0.0, 0))
            others = [row for row in rows if row.role != LEASE]
            return [*others, replace(known, document=dict(change(_document(rows))))]

        self.store.write_model_rows(rewritten)


def _document(rows: list[ModelRow]) -> dict[str, Any]:
    return next((dict(row.document) for row in rows if row.role == LEASE), {})


def _held(told: Mapping[str, Any]) -> bool:
    """Whether it was not given back; its holder may be dead."""
    return int(told.get("until", 0)) > 0


def _running(told: Mapping[str, Any]) -> UpdateRunning:
    until = dt.datetime.fromtimestamp(int(told.get("until", 0)) / 1e6, dt.UTC).isoformat(timespec="seconds")
    return UpdateRunning(holder=told.get("holder", "unknown"), until=until)


def _now() -> int:
    return int(time.time() * 1e6)
