"""The page's questions put to the parts of a ``Service``; health is ``figures``', patterns are ``habits``'.

Ids are text on the page and of the catalogue's own type in the service; a pasted line may be an id or a title.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError

from segue.errors import FieldUnreadable
from segue.recommenders.base import Recommender
from segue.serving.answers import moments
from segue.serving.answers.questions import Answer, Filters, Listed, Question
from segue.serving.api.common import through_gate
from segue.serving.api.routes_items import taken
from segue.serving.api.schemas_admin import ItemIn
from segue.serving.page import figures
from segue.serving.page.source import (
    Ask,
    Counted,
    Feed,
    Happened,
    Health,
    Item,
    Past,
    Patterns,
    Ranked,
    Shown,
)
from segue.serving.service import Service
from segue.serving.store.rows import Event, StoredEvent
from segue.serving.store.tombstones import Erasure, among

T = TypeVar("T")
_KEPT = 500  # events for the feed
_MINUTE = 60
_CHOICES = 60  # categories to choose from


class ServiceSource:
    """See ``source.PageSource``.

    Args:
        service: joined, and not started yet, so that no event is missed.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._figures = figures.Figures(service)
        self._events: deque[StoredEvent] = deque(maxlen=_KEPT)
        self._arrived: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._titles: tuple[Any, dict[str, Any]] = (None, {})
        if service.follower is not None:
            service.follower.subscribe(self._took)
            service.follower.subscribe_erasures(self._forget)

    async def run(self, call: Callable[[], T]) -> T:
        """Through the gate, as a request."""
        return await through_gate(self.service, call)

    async def look(self, call: Callable[[], T]) -> T:
        """Beside the gate."""
        return await asyncio.to_thread(call)

    async def feedback(self, user_id: str, item_id: str, action: str, recommendation_id: str | None) -> None:
        """By the writer, as every event."""
        event = Event(uuid.uuid4().hex, user_id, item_id, moments.now(), action, None, recommendation_id)
        appended = await self.service.writer.append([event])
        if self.service.watch is not None:
            self.service.watch.stored(appended)

    # -- who may ask -------------------------------------------------------------------------------------------

    def locked(self) -> bool:
        """Whether a key was ever there."""
        return self.service.keys is not None and not self.service.keys.open

    def admitted(self, secret: str) -> str | None:
        """The id of an admin's key."""
        key = None if self.service.keys is None else self.service.keys.check(secret)
        return key.key_id if key is not None and "admin" in key.allowed else None

    def still_admitted(self, key_id: str) -> bool:
        """Whether the key is there, has not expired and is an admin's."""
        for row in self.service.keys.rows():
            if row.key_id == key_id:
                return "admin" in row.scopes and (row.expires is None or row.expires > moments.now())
        return False

    # -- questions ---------------------------------------------------------------------------------------------

    def choices(self) -> tuple[list[str], list[str]]:
        """Kinds of action of the log, and the most frequent categories."""
        model = self._model()
        actions = [model.target] if model.target is not None else list(model.action_names)
        return actions, self.service.answers.catalogue(model).category_names(_CHOICES)

    def feedback_actions(self) -> tuple[str, str]:
        """The first click and the first conversion of the settings."""
        feedback = self.service.settings.feedback
        return (*feedback.click[:1], "click")[0], (*feedback.conversion[:1], "purchase")[0]

    def users(self, text: str, limit: int) -> list[str]:
        """Users of the log, and those who were heard of lately."""
        known = self._model().user_vocabulary.ids.cast(pl.String)
        found = known.filter(known.str.starts_with(text)).head(limit).to_list()
        with self._lock:
            recent = [event.user_id for event in self._events if event.user_id.startswith(text)]
        return list(dict.fromkeys([*found, *reversed(recent)]))[:limit]

    def history(self, ask: Ask, newest: int) -> list[Past]:
        """As the model that answers reads it."""
        if ask.items is not None:
            model = self._model()
            ids = self._ids(model, ask.items)
            return [Past(str(each), self._title(model, each), "") for each in reversed(ids[-newest:])]
        if ask.user_id is None:
            return []
        served = self.service.models.choose(ask.user_id)
        model = served.recommender
        at = None if ask.at is None else moments.read(ask.at, model.clock, model.time_zone)
        known = self.service.state.of(served, ask.user_id, at).histories
        items = model.item_vocabulary.decode(known.items[-newest:]).to_list()
        stamps = [None] * len(items) if known.timestamps is None else known.timestamps[-newest:].tolist()
        actions = [0] * len(items) if known.actions is None else known.actions[-newest:].tolist()
        return [
            Past(str(item), self._title(model, item), figures.told(stamp, model.clock), _action(model, action))
            for item, stamp, action in zip(reversed(items), reversed(stamps), reversed(actions), strict=True)
        ]

    def recommend(self, ask: Ask) -> Shown:
        """By ``Answers.recommend``, and counted as every answer."""
        began = time.perf_counter()
        return self._shown(self.service.answers.recommend(self._question(ask)), began, "recommend")

    def generate(self, ask: Ask, n: int) -> Shown:
        """By ``Answers.generate``."""
        began = time.perf_counter()
        return self._shown(self.service.answers.generate(self._question(ask), n), began, "generate")

    def _shown(self, answer: Answer, began: float, kind: str) -> Shown:
        seconds = time.perf_counter() - began
        if self.service.watch is not None:
            self.service.watch.answered(answer, seconds, kind)
        return Shown(
            answer.model,
            answer.recommendation_id,
            [_ranked(each) for each in answer.items],
            1_000 * seconds,
            answer.history_length,
            answer.unknown_items,
        )

    def _question(self, ask: Ask) -> Question:
        filters = Filters(
            tuple(ask.categories),
            ask.price_min,
            ask.price_max,
            ask.in_stock,
            tuple(self._ids(self._model(), ask.exclude)),
        )
        return Question(
            user_id=ask.user_id,
            items=None if ask.items is None else self._ids(self._model(), ask.items),
            at=ask.at,
            action=ask.action,
            k=ask.k,
            filters=filters,
            diversity=ask.diversity,
            explain=ask.explain,
        )

    def _ids(self, model: Recommender, texts: Sequence[str]) -> list[Any]:
        """Ids of lines that are ids or titles; what is neither stays as it is."""
        codes = model.item_vocabulary.encode(texts).tolist()
        titles = self._by_title(model) if 0 in codes else {}
        return [
            text if code else titles.get(text.strip().lower(), text) for text, code in zip(texts, codes, strict=True)
        ]

    def _by_title(self, model: Recommender) -> dict[str, Any]:
        known, titles = self._titles
        if known is not model.items:
            titles = {title.strip().lower(): each for each, title in model.titles.items() if title}
            self._titles = model.items, titles
        return titles

    # -- the catalogue -----------------------------------------------------------------------------------------

    def search(self, text: str, limit: int) -> list[Item]:
        """By ``Answers.search``."""
        model = self._model()
        _, rows = self.service.answers.search(text, limit)
        return [_item(model, row) for row in rows]

    def item(self, item_id: str) -> Item | None:
        """The row of the catalogue."""
        model = self._model()
        code = model.item_vocabulary.code_of(item_id)
        if not code:
            return None
        ids = model.item_vocabulary.decode([code]).to_list()
        return _item(model, self.service.answers.catalogue(model).rows(ids)[0])

    def similar(self, item_id: str, k: int) -> list[Ranked]:
        """By ``Answers.similar``."""
        return [_ranked(each) for each in self.service.answers.similar(item_id, k)[1]]

    def put_item(self, row: dict[str, Any]) -> None:
        """As ``PUT /v1/items`` does; texts become what the catalogue's columns are."""
        model = self._model()
        kinds = {} if model.items is None else dict(model.items.schema)
        try:
            checked = ItemIn.model_validate({name: _typed(name, value, kinds.get(name)) for name, value in row.items()})
        except ValidationError as error:
            first = error.errors()[0]
            raise FieldUnreadable(
                name=str(first["loc"][0]), value=str(first["input"])[:60], form=first["msg"]
            ) from None
        rows = [checked.model_dump()]
        taken(self.service, rows)
        self.service.store.put_items(rows)
        self.service.models.wake()

    # -- what happens ------------------------------------------------------------------------------------------

    def feed(self, after: int, limit: int) -> Feed:
        """Of the newest events that are kept."""
        now = int(time.time())
        with self._lock:
            new = [event for event in self._events if event.seq > after]
            counts = [self._arrived[second] for second in range(now - _MINUTE + 1, now + 1)]
        model = self._model()
        shown = [
            Happened(
                event.seq,
                figures.told(event.received, "time", seconds=True)[11:],
                event.user_id,
                event.item_id,
                self._title_of_text(model, event.item_id),
                event.action,
                event.recommendation_id,
            )
            for event in new[-limit:]
        ]
        return Feed(shown, len(new) - len(shown), new[-1].seq if new else after, counts)

    def _took(self, events: list[StoredEvent]) -> None:
        """From the follower's thread."""
        with self._lock:
            self._events.extend(events[-_KEPT:])
            self._arrived.update(event.received // 1_000_000 for event in events)
            oldest = int(time.time()) - _MINUTE
            for second in [each for each in self._arrived if each < oldest]:
                del self._arrived[second]

    def _forget(self, erasures: list[Erasure]) -> None:
        """Let nobody see an event of who was erased; from the follower's thread."""
        with self._lock:
            gone = among(erasures, {event.user_id for event in self._events})
            kept = [event for event in self._events if event.user_id not in gone]
            self._events.clear()
            self._events.extend(kept)

    def rates(self) -> list[Counted]:
        """By ``Rates.table``."""
        if self.service.watch is None:
            return []
        return [
            Counted(row.model or "", row.position, figures.told(row.start, "time"), row.impressions, row.clicks,
                    row.conversions)
            for row in self.service.watch.rates.table(("model", "position", "hour"))
        ]  # fmt: skip

    def health(self) -> Health:
        """By ``figures``."""
        return self._figures.read()

    def activate(self, name: str) -> None:
        """By ``Models.activate``."""
        self.service.models.activate(name)

    def roll_back(self) -> str:
        """By ``Models.roll_back``."""
        return ", ".join(self.service.models.roll_back())

    def patterns(self, step: Callable[[float, str], None]) -> Patterns:
        """By ``habits``."""
        from segue.serving.page import habits  # the miner takes a while to load, and few starts ask for it

        return habits.found(self._model(), self.service.store, self.service.settings.feedback.impression, step)

    def _model(self) -> Recommender:
        model: Recommender = self.service.models.choose(None).recommender
        return model

    def _title(self, model: Recommender, item: Any) -> str:
        return model.titles.get(item) or str(item)

    def _title_of_text(self, model: Recommender, text: str) -> str:
        code = model.item_vocabulary.code_of(text)
        return self._title(model, model.item_vocabulary.listed[code - 1]) if code else text


def _ranked(listed: Listed) -> Ranked:
    reasons = tuple(reason.text for reason in listed.reasons or ())
    return Ranked(str(listed.item_id), listed.title or str(listed.item_id), listed.score, reasons)


def _item(model: Recommender, row: dict[str, Any]) -> Item:
    item = row["item_id"]
    return Item(str(item), model.titles.get(item) or str(item), {k: v for k, v in row.items() if k != "item_id"})


def _action(model: Recommender, code: int) -> str | None:
    return model.action_names[code - 1] if 0 < code <= len(model.action_names) else None


def _typed(name: str, text: Any, kind: pl.DataType | None) -> Any:
    """A text as a column's kind of value."""
    if kind is None or name in ("item_id", "title") or not isinstance(text, str):
        return text
    if isinstance(kind, pl.List):
        return [each.strip() for each in text.split(",") if each.strip()]
    try:
        if kind.is_integer():
            return int(text)
        if kind.is_numeric():
            return float(text)
    except ValueError:
        raise FieldUnreadable(name=name, value=text[:60], form="a number, as the catalogue has it") from None
    return text.lower() in ("true", "yes", "1") if kind == pl.Boolean else text
