"""Which models answer now: what the registry names, loaded beside the requests and taken into service in one step.

Requests call :meth:`Models.choose` and never wait: they read one tuple, which a thread of its own replaces when the
store names other models or has new items. An artefact that cannot be loaded leaves those that serve in service and
raises the alarm ``model_refused``. A user is asked of the same model as long as the weights stay, after a restart and
on every replica. What is kept of models is ``registry``'s.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from segue import artefacts
from segue.config import Config
from segue.errors import ArtefactForeign, ArtefactNotFound, NoModelServes, SegueError
from segue.recommenders.forgetting import forget_user
from segue.serving.models.dealing import Serving, share_of
from segue.serving.models.lease import Lease
from segue.serving.models.registry import ModelStore, Registry, Role, arm_of, checked, joined
from segue.serving.models.served import Served
from segue.serving.models.starting import know
from segue.serving.store.rows import ModelRow

Key = tuple[str, str, int]
"""Name, path, and how often the artefact was rewritten."""
Alarm = Callable[[str, str | None], None]
"""Called with the name of an alarm and what is the matter, or with None when it is over."""
REFUSED = "model_refused"
_RETRY_S = 30.0  # an artefact that was refused is looked at again, should somebody have brought it back
_log = logging.getLogger(__name__)


class ModelsConfig(Config):
    """Which model a user is asked of, and how soon a change is seen."""

    salt: str = "segue"
    """Another text deals users anew to the models of an A/B test."""
    poll_seconds: float = Field(0.2, ge=0.01)
    """How often the store is asked for other models and new items."""


@dataclass(frozen=True)
class ModelInfo:
    """A registered model, and whether it is loaded here."""

    row: ModelRow
    loaded: bool
    refused: str | None = None


@dataclass(frozen=True)
class ArtefactErasure:
    """What the erasure of a user did to one artefact.

    Attributes:
        path: the artefact's directory.
        state: ``erased`` (it named the user), ``unknown`` (it did not), ``missing`` (there is no such artefact), or
            ``failed`` (it may still name the user).
        error: why it failed.
    """

    path: str
    state: Literal["erased", "unknown", "missing", "failed"]
    error: SegueError | None = None


class Models:
    """The models of one process.

    Args:
        store: where the registry and new items are.
        settings: see :class:`ModelsConfig`.
        alarm: told of an artefact that was refused.
        load: how a row becomes a :class:`Served`.

    Attributes:
        told: why the artefact it was opened with does not answer, None where it does.
    """

    def __init__(
        self,
        store: ModelStore,
        settings: ModelsConfig | None = None,
        alarm: Alarm | None = None,
        load: Callable[[ModelRow], Served] = Served.load,
    ) -> None:
        self.registry = Registry(store)
        self.settings = settings or ModelsConfig()
        self._store, self._load = store, load
        self.alarm: Alarm = alarm or (lambda name, message: None)
        self.told: str | None = None
        self._serving = Serving()
        self._loaded: dict[Key, Served] = {}
        self._refused: dict[Key, tuple[float, str]] = {}
        self._subscribers: list[tuple[Callable[[Served], None], Callable[[str], None]]] = []
        self._rows: list[ModelRow] = []
        self._seen: tuple[int, int] | None = None  # the newest numbers in the store that were followed
        self._busy = threading.Lock()  # one refresh at a time
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls, store: ModelStore, directory: str | Path | None = None, *, activate: bool = False, **options: Any
    ) -> Self:
        """Load what the store says should serve.

        Args:
            directory: an artefact. The first one is registered and activated. Where models answer already it changes
                nothing, so that what was learnt since goes on after a restart; one that is new there waits.
            activate: let it answer in place of all others.
            options: see the class.

        Raises:
            NoModelServes: nothing is registered, or nothing of it can be loaded.
            ArtefactError, ModelNeedsTorch: ``directory`` cannot serve.
        """
        models = cls(store, **options)
        if directory is not None:
            models.told = know(models.registry, Path(directory), models._load, activate)
        models.refresh()
        if not models._serving.active:
            models._fall_back()
        return models

    # -- asked by requests -------------------------------------------------------------------------------------

    def choose(self, user_id: str | None = None) -> Served:
        """The model that answers a user; without a user, one by chance. Both by the weights of the active ones.

        Raises ``NoModelServes``.
        """
        serving = self._serving
        if len(serving.active) == 1:
            return serving.active[0]
        return serving.at(random.random() if user_id is None else share_of(self.settings.salt, user_id))

    def main(self) -> Served:
        """The active model of the greatest weight, of equals the first; raises ``NoModelServes``."""
        return self._serving.main()

    def shadows(self) -> tuple[Served, ...]:
        """Models that are asked and not shown."""
        return self._serving.shadows

    def serving(self) -> tuple[Served, ...]:
        """All models in memory: active ones and shadows."""
        return self._serving.active + self._serving.shadows

    def named(self, name: str) -> Served | None:
        """The model of that name, if it is in memory."""
        return next((served for served in self.serving() if served.name == name), None)

    def all(self) -> list[ModelInfo]:
        """All registered models, the oldest first."""
        here = {served.name for served in self.serving()}
        refused = {name: why for (name, *_), (_, why) in self._refused.items()}
        return [ModelInfo(row, row.name in here, refused.get(row.name)) for row in self.registry.rows()]

    # -- changes, by an admin ----------------------------------------------------------------------------------

    def add(
        self,
        path: str | Path,
        name: str | None = None,
        role: Role = "waiting",
        weight: float = 1.0,
        source: str | Path | None = None,
    ) -> str:
        """Register an artefact that is whole; gives its name (default: that of its directory).

        One that is registered by that name already keeps what is known of it, and takes the role.

        Raises ``ArtefactError``, ``ModelNameBad``, ``ModelNameTaken``, and what ``Registry.set_role`` raises.
        """
        row = checked(path, name, source)
        self.registry.change(lambda rows: joined(rows, row, role, weight))
        self.wake()
        return row.name

    def activate(self, name: str, *, instead_of: str | None = None) -> None:
        """Let a registered model answer, in place of one other or (None) of all; refused where it is not whole.

        Raises ``ModelNotThere``, ``ArtefactError``.
        """
        artefacts.read(self.registry.row(name).path)
        self.registry.activate(name, instead_of=instead_of)
        self.wake()

    def roll_back(self) -> list[str]:
        """Undo the newest activation; gives the names that answer now. Raises ``NothingToRollBackTo``."""
        names = self.registry.roll_back()
        self.wake()
        return names

    def set_role(self, name: str, role: Role, weight: float = 1.0) -> None:
        """Let a model answer beside the others, shadow them, or wait; see ``Registry.set_role``."""
        if role != "waiting":
            artefacts.read(self.registry.row(name).path)
        self.registry.set_role(name, role, weight)
        self.wake()

    def remove(self, name: str) -> ModelRow:
        """Unregister a model; its directory stays. See ``Registry.remove``."""
        row = self.registry.remove(name)
        self.wake()
        return row

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Weights of the active models; see ``Registry.set_weights``."""
        self.registry.set_weights(weights)
        self.wake()

    def forget(self, user_id: str) -> list[ArtefactErasure]:
        """Remove a user from every registered artefact, on disk and in memory; the outcome of each artefact.

        Other replicas load the rewritten artefacts within a second. A running update removes the user before its
        model is registered. One artefact that fails does not keep the others from being rewritten.
        """
        outcomes: dict[str, ArtefactErasure] = {}
        looked: set[str] = set()
        lease = Lease(self._store)
        lease.note_erased(user_id)
        # An update that began since may have read the person and registered what it made: look until nothing is new.
        while paths := {each for row in self.registry.rows() for each in (row.path, row.source)} - looked:
            for path in paths:
                outcomes[path] = _erased_from(path, user_id)
            looked |= paths
            lease.note_erased(user_id)
        changed = {path for path, outcome in outcomes.items() if outcome.state == "erased"}
        if changed:
            self.registry.change(lambda rows: {name: _rewritten(row, changed) for name, row in rows.items()})
            self.refresh()
        return sorted(outcomes.values(), key=lambda outcome: outcome.path)

    def subscribe(self, loaded: Callable[[Served], None], left: Callable[[str], None] = lambda name: None) -> None:
        """Be told of models, by the thread that follows the store; a call that raises is logged and changes nothing.

        Args:
            loaded: called with each model, as its artefact holds it, before it is taken into service.
            left: called with the name of one that is in memory no more.
        """
        self._subscribers.append((loaded, left))

    # -- following the store -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow the store in a thread."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._follow, name="models", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self, *_: Any) -> None:
        """Look at the store now; may be given to a follower as it is."""
        self._woken.set()

    def refresh(self) -> None:
        """Bring what serves to what the store says; whatever is loaded is loaded before it is taken into service."""
        with self._busy:
            rows = self.registry.rows()
            wanted = [row for row in rows if row.role != "waiting"]
            kept = {_key(row) for row in wanted}
            before = self._serving
            for row in wanted:
                self._bring(row)
            self._take_items()
            self._rows = rows
            self._serve(wanted, before)
            # Those that left are forgotten here; who still asks one keeps it alive until the answer is out.
            staying = {id(served) for served in self.serving()}
            names = {name for name, *_ in self._loaded}
            self._loaded = {key: each for key, each in self._loaded.items() if key in kept or id(each) in staying}
            for name in sorted(names - {name for name, *_ in self._loaded}):
                self._announce(1, name)
            self._refused = {key: told for key, told in self._refused.items() if key in kept}
            self._tell()

    def _follow(self) -> None:
        # At the priority of requests: a thread that gives way to other processes would do so with the lock of the
        # interpreter in its hands, and requests would wait for it (half a second, on a busy machine).
        failed: type[Exception] | None = None
        while not self._ended.is_set():
            self._woken.wait(self.settings.poll_seconds)
            self._woken.clear()
            if self._ended.is_set():
                return
            try:
                newest = self._store.newest()
                now = newest["models"], newest["items"]
                if now != self._seen or self._refused:
                    self.refresh()
                    self._seen = now
                if failed is not None:
                    failed = None
                    _log.info("models: the store is followed again")
            except Exception as error:  # noqa: BLE001 - an unreachable store is no reason to stop
                if failed is not type(error):  # five times a second it would say the same
                    failed = type(error)
                    _log.exception("models: the store could not be followed")

    def _bring(self, row: ModelRow) -> None:
        """Load the artefact of a row, unless it is there, or was refused a moment ago."""
        key = _key(row)
        if key in self._loaded or time.monotonic() < self._refused.get(key, (0.0, ""))[0]:
            return
        began = time.perf_counter()
        try:
            self._loaded[key] = self._load(row)
        except Exception as error:  # noqa: BLE001 - whatever an artefact holds, those that serve go on
            why = str(error) if isinstance(error, SegueError) else f"{type(error).__name__}: {error}"
            self._refused[key] = time.monotonic() + _RETRY_S, why
            _log.error("model %s is refused: %s", row.name, why)
            return
        self._refused.pop(key, None)
        self._announce(0, self._loaded[key])
        _log.info("model %s is loaded in %.2f s", row.name, time.perf_counter() - began)

    def _take_items(self) -> None:
        """Let every loaded model know the rows of the catalogue that came since."""
        if not self._loaded:
            return
        while rows := self._store.items_after(min(served.items_to for served in self._loaded.values())):
            for key, served in self._loaded.items():
                self._loaded[key] = served.with_items([each for each in rows if each[0] > served.items_to])

    def _announce(self, which: int, told: Any) -> None:
        for calls in self._subscribers:
            try:
                calls[which](told)
            except Exception:  # noqa: BLE001 - what is learnt beside a model is no reason to keep it away
                _log.exception("models: a subscriber failed")

    def _serve(self, wanted: list[ModelRow], before: Serving) -> None:
        active: dict[str, tuple[Served, float]] = {}
        present = {arm: self._newest(served) for arm, served in zip(before.arms, before.active, strict=True)}
        for row in sorted(wanted, key=arm_of):
            if row.role == "active" and row.weight > 0:
                served = self._loaded.get(_key(row)) or present.get(arm_of(row))
                if served is not None:
                    active[arm_of(row)] = served, row.weight
        if not active:  # none of those named can serve: those that do stay
            self._serving = Serving(tuple(present.values()), before.arms, before.shares, before.shadows)
            return
        sums = list(itertools.accumulate(weight for _, weight in active.values()))
        shadows = (self._loaded.get(_key(row)) for row in wanted if row.role == "shadow")
        self._serving = Serving(
            tuple(served for served, _ in active.values()),
            tuple(active),
            tuple(each / sums[-1] for each in sums),
            tuple(served for served in shadows if served is not None),
        )

    def _newest(self, served: Served) -> Served:
        """The same model with the items that came since."""
        found = [each for (name, *_), each in self._loaded.items() if name == served.name]
        return found[-1] if found else served

    def _tell(self) -> None:
        told = "; ".join(f"{name}: {why}" for (name, *_), (_, why) in self._refused.items())
        self.alarm(REFUSED, told or None)

    # -- beginning ---------------------------------------------------------------------------------------------

    def _fall_back(self) -> None:
        """At the start, where nothing that is active can be loaded: what answered before it, if that can."""
        rows = {row.name: row for row in self._rows}
        wanted = [row for row in rows.values() if row.role == "active"]
        earlier = [name for names in self.registry.answered() for name in names if name in rows] if wanted else []
        for name in dict.fromkeys(earlier):
            self._bring(rows[name])
            if (served := self._loaded.get(_key(rows[name]))) is not None:
                refused = ", ".join(row.name for row in wanted)
                _log.error("model %s answers instead of %s, which is refused", name, refused)
                self._serving = Serving((served,), (arm_of(wanted[0]),), (1.0,))
                break
        if not self._serving.active:
            told = "; ".join(why for _, why in self._refused.values())
            raise NoModelServes(reason=told or "none is registered as active")
        self._tell()


def _erased_from(path: str, user_id: str) -> ArtefactErasure:
    try:
        return ArtefactErasure(path, "erased" if forget_user(path, user_id) else "unknown")
    except (ArtefactNotFound, ArtefactForeign):
        return ArtefactErasure(path, "missing")
    except SegueError as error:
        return ArtefactErasure(path, "failed", error)


def _rewritten(row: ModelRow, paths: Collection[str]) -> ModelRow:
    """The row saying that its artefact is another one now, where it is among ``paths``."""
    if row.path not in paths:
        return row
    return replace(row, document={**row.document, "rewritten": int(row.document.get("rewritten", 0)) + 1})


def _key(row: ModelRow) -> Key:
    """What tells whether a row's artefact is in memory."""
    return row.name, row.path, int(row.document.get("rewritten", 0))
