"""A ``Service`` from an artefact, a store and settings: each part made, and told of those that it needs.

What the parts do is theirs; starting and stopping them is ``service``'s.
"""

from __future__ import annotations

from pathlib import Path

from segue.serving.answers.answers import Answers
from segue.serving.answers.exploration import Explorer
from segue.serving.erasing import follow
from segue.serving.guard.admission import Admission
from segue.serving.guard.gate import Gate
from segue.serving.guard.keys import Keys
from segue.serving.learning.online import Online
from segue.serving.learning.schedule import Schedule
from segue.serving.learning.steering import Steering
from segue.serving.models.models import Models
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from segue.serving.state import State
from segue.serving.store import Follower, Pruner, Store, Writer
from segue.serving.store.breaker import Breaker
from segue.serving.watching.watch import Watch


def build(directory: str | Path | None, settings: ServiceConfig | None = None, *, activate: bool = False) -> Service:
    """Make a service that is ready to be started.

    Args:
        directory: an artefact; None serves what the store says.
        settings: all settings; ``settings.store.url`` names the store.
        activate: let the artefact answer in place of all that the store names.

    Raises:
        StoreUrlBad, StoreUnavailable, StoreTooNew, StoreCorrupt: see ``Store.open``.
        NoModelServes, ArtefactError, ModelNeedsTorch: see ``Models.open``.
        WebhookRefused: alerts may not be sent to the address given.
    """
    settings = settings or ServiceConfig()
    store = Store.open(settings.store.url)
    try:
        return _joined(store, directory, settings, activate)
    except BaseException:
        store.close()
        raise


def _joined(store: Store, directory: str | Path | None, settings: ServiceConfig, activate: bool) -> Service:
    keys = Keys(store)
    watch = Watch(settings.alerts, settings.feedback, settings.drift)
    alarm = watch.alerts.alarm
    models = Models.open(store, directory, activate=activate, settings=settings.models, alarm=alarm)
    newest = store.newest()
    follower = Follower(
        store,
        events=newest["events"],
        items=newest["items"],
        models=newest["models"],
        poll_seconds=settings.store.poll_seconds,
    )
    kept, shown = settings.store, settings.feedback.impression
    writer = Writer(store, queue=kept.queue, batch=kept.batch, deadline_seconds=kept.deadline_seconds)
    writer.wake = follower.wake
    follower.subscribe_items(models.wake)
    follower.subscribe_models(models.wake)
    online = steering = None
    if settings.online.on:
        learns = settings.online.feedback.model_copy(update={"impressions": shown})
        online = Online(settings.online.model_copy(update={"feedback": learns}), store.served, alarm)
        steering = Steering(online, models, store)
        follower.subscribe(online.feed)
        follower.subscribe_models(steering.follow)
    # A file is read within the process; a server may hang, and its reads get a time limit.
    limit = None if store.address.startswith("sqlite") else kept.read_seconds
    breaker = Breaker(store.address, limit, kept.retry_seconds)
    state = State(store, settings.state.newest, shown, breaker)
    state.note_erasures(store.erasures_after(0))
    follower.subscribe_erasures(state.note_erasures)
    explorer = Explorer(settings.explore) if settings.explore.on else None
    answers = Answers(models, state, writer.log, online=online, explorer=explorer, config=settings.answers)
    gate = Gate.of(settings.gate)
    service = Service(
        settings,
        store=store,
        writer=writer,
        follower=follower,
        state=state,
        models=models,
        answers=answers,
        gate=gate,
        changes=Gate(capacity=2, queue=16, deadline_seconds=60.0),
        keys=keys,
        admission=Admission(gate, keys, watch.metrics.refused_unread),
        watch=watch,
        online=online,
        steering=steering,
        schedule=Schedule(store, kept.url, settings.schedule, alarm, shown=shown) if settings.schedule.on else None,
        pruner=Pruner(store, kept.served_days),
    )
    follow(service)
    return service
