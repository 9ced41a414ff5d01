"""A service in memory for the page: a real recommender on a generated log of films, real events, and no store.

``python -m tests.serving.page.fake PORT [locked]`` serves its page alone. What only tests may do (send many events,
raise an alert, let a call fail) is asked of ``/control``.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import polars as pl

import segue
from segue.errors import NotFitted, SegueError
from segue.patterns.pictures import next_shares, week
from segue.patterns.sequences import sequences
from segue.recommenders.patterns import PatternRecommender
from segue.serving.guard.guarding import guard
from segue.serving.guard.keys import Keys
from segue.serving.page.source import (
    Alert,
    Ask,
    Counted,
    Feed,
    Happened,
    Health,
    Item,
    Model,
    Past,
    Patterns,
    Ranked,
    Shown,
)
from segue.serving.store.rows import KeyRow

T = TypeVar("T")
KEY = "segue_0123abcd_the-secret-of-the-admin"
CANARY = "<script>window.canary=1</script><img src=x onerror='window.canary=2'>"
_FIRST = ("Quiet", "Last", "Northern", "Hidden", "Broken", "Golden", "Long", "Silent", "Distant", "Second")
_SECOND = ("Harbour", "Winter", "Orchard", "Station", "Letter", "Garden", "River", "Border")
_GENRES = ("drama", "comedy", "crime", "adventure")


def films() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A log in which films are seen in the order of a series more often than not, and its catalogue."""
    names = [f"The {first} {second}" for second in _SECOND for first in _FIRST]
    rng = np.random.default_rng(1)
    successor = np.arange(1, len(names) + 1) % len(names)
    rows = []
    for user in range(120):
        item = int(rng.integers(len(names)))
        moment = 1_760_000_000 + int(rng.integers(20 * 86_400))
        for _ in range(int(rng.integers(4, 20))):
            rows.append((f"u{user}", f"f{item}", moment, "view" if rng.random() < 0.9 else "purchase"))
            item = int(successor[item]) if rng.random() < 0.75 else int(rng.integers(len(names)))
            moment += int(rng.integers(3_600, 3 * 86_400))
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "action"], orient="row").sort("timestamp")
    items = pl.DataFrame(
        {
            "item_id": [f"f{n}" for n in range(len(names))],
            "title": [f"{name} ({1950 + 7 * n % 70})" for n, name in enumerate(names)],
            "genres": [[_GENRES[n % 4]] for n in range(len(names))],
            "price": [3.0 + n % 10 for n in range(len(names))],
        }
    )
    return log, items


@dataclass
class _KeyRows:
    """What of a store keys need."""

    rows: list[KeyRow]

    def key_rows(self) -> list[KeyRow]:
        return list(self.rows)

    def add_key(self, row: KeyRow) -> None:
        self.rows.append(row)

    def revoke_key(self, key_id: str) -> bool:
        self.rows = [row for row in self.rows if row.key_id != key_id]
        return True


def _row() -> KeyRow:
    return KeyRow("0123abcd", hashlib.sha256(KEY.encode()).hexdigest(), ["admin"], 0, None)


class FakeSource:
    """See ``segue.serving.page.source.PageSource``."""

    def __init__(self, log: Any, items: Any, locked: bool = False) -> None:
        self.data = segue.Dataset.from_frames(log, items)
        self.model = PatternRecommender().fit(self.data)
        self.items = {row["item_id"]: row for row in items.to_dicts()}
        self.known: dict[str, list[tuple[str, int, str]]] = {}
        for user, item, moment, action in log.select("user_id", "item_id", "timestamp", "action").iter_rows():
            self.known.setdefault(str(user), []).append((item, int(moment), action))
        self.events: list[Happened] = []
        self.moments: list[float] = []
        self.counted: list[Counted] = []
        self.models = [
            Model("films-0002", "active", 1.0, "2026-01-03 10:12"),
            Model("films-0001", "waiting", 0.0, "2026-01-02 09:40", "learnt to event 0"),
        ]
        self.before: list[str] = []
        self.alerts: list[Alert] = []
        self.past: list[Alert] = [Alert("store_unavailable", "cleared", "2026-01-03 08:00", "1.2 s")]
        self.fails: SegueError | Exception | None = None
        self.asks = self.slow = 0
        self.keys = Keys(_KeyRows([_row()] if locked else []))
        self._lock = threading.Lock()

    async def run(self, call: Callable[[], T]) -> T:
        self.asks += 1
        if self.fails is not None:
            raise self.fails
        return await asyncio.to_thread(call)

    async def look(self, call: Callable[[], T]) -> T:
        return await self.run(call)

    async def feedback(self, user_id: str, item_id: str, action: str, recommendation_id: str | None) -> None:
        await asyncio.to_thread(self.happen, user_id, item_id, action, recommendation_id)

    def happen(self, user_id: str, item_id: str, action: str, list_id: str | None = None) -> None:
        now = time.time()
        with self._lock:
            self.known.setdefault(user_id, []).append((item_id, int(now), action))
            title = self.title(item_id)
            self.events.append(
                Happened(len(self.events) + 1, _told(now, "%H:%M:%S"), user_id, item_id, title, action, list_id)
            )
            self.moments.append(now)

    def title(self, item_id: str) -> str:
        return str(self.items.get(item_id, {}).get("title") or item_id)

    def locked(self) -> bool:
        return not self.keys.open

    def admitted(self, secret: str) -> str | None:
        key = self.keys.check(secret)
        return key.key_id if key is not None and "admin" in key.allowed else None

    def still_admitted(self, key_id: str) -> bool:
        return any(row.key_id == key_id for row in self.keys.rows())

    def choices(self) -> tuple[list[str], list[str]]:
        return ["view", "purchase"], sorted({each for row in self.items.values() for each in row.get("genres") or ()})

    def feedback_actions(self) -> tuple[str, str]:
        return "click", "purchase"

    def users(self, text: str, limit: int) -> list[str]:
        return [user for user in self.known if user.startswith(text)][:limit]

    def _read(self, ask: Ask) -> list[tuple[str, int, str]]:
        if ask.items is not None:
            by_title = {row["title"].lower(): item for item, row in self.items.items()}
            return [(by_title.get(line.lower(), line), 0, "") for line in ask.items]
        until = float("inf") if ask.at is None else datetime.fromisoformat(ask.at).replace(tzinfo=UTC).timestamp()
        return [event for event in self.known.get(ask.user_id or "", []) if event[1] <= until]

    def history(self, ask: Ask, newest: int) -> list[Past]:
        return [
            Past(item, self.title(item), _told(moment) if moment else "", action)
            for item, moment, action in reversed(self._read(ask)[-newest:])
        ]

    def recommend(self, ask: Ask) -> Shown:
        began = time.perf_counter()
        read = [item for item, *_ in self._read(ask)]
        history = [item for item in read if item in self.items]
        found = self.model.recommend(histories=[history], k=len(self.items), progress=False)
        wanted = [
            (item, score)
            for item, score in found.select("item_id", "score").iter_rows()
            if (not ask.categories or set(ask.categories) & set(self.items[item].get("genres") or ()))
            and (ask.price_max is None or self.items[item].get("price", 0) <= ask.price_max)
            and item not in ask.exclude
        ][: ask.k]
        why: dict[str, list[str]] = {}
        if ask.explain and wanted:
            told = self.model.explain(histories=[history], items=[item for item, _ in wanted], habits=1)
            for item, text in told.select("item_id", "text").iter_rows():
                why.setdefault(item, []).append(text)
        return Shown(
            "films-0002",
            f"{self.asks:08x}4c1e",
            [Ranked(item, self.title(item), score, why.get(item, ())) for item, score in wanted],
            1_000 * (time.perf_counter() - began),
            len(history),
            len(read) - len(history),
        )

    def generate(self, ask: Ask, n: int) -> Shown:
        shown, items, seen = self.recommend(ask), [], [item for item, *_ in self._read(ask)]
        for _ in range(n):
            best = next(each for each in self.recommend(Ask(items=seen, k=99)).items if each.item_id not in seen)
            items.append(best)
            seen.append(best.item_id)
        return Shown(shown.model, shown.recommendation_id, items, shown.milliseconds, shown.history_length)

    def search(self, text: str, limit: int) -> list[Item]:
        wanted = text.lower()
        return [
            Item(item, str(row["title"]), row)
            for item, row in self.items.items()
            if wanted in item or wanted in str(row["title"]).lower()
        ][:limit]

    def item(self, item_id: str) -> Item | None:
        row = self.items.get(item_id)
        return (
            None if row is None else Item(item_id, str(row["title"]), {k: v for k, v in row.items() if k[:4] != "item"})
        )

    def similar(self, item_id: str, k: int) -> list[Ranked]:
        if item_id not in self.data.items["item_id"]:
            return []
        found = self.model.similar_items([item_id], k)
        return [Ranked(i, self.title(i), s) for i, s in found.select("similar_item_id", "score").iter_rows()]

    def put_item(self, row: dict[str, Any]) -> None:
        self.items[row["item_id"]] = {"title": row["item_id"], **row}

    def feed(self, after: int, limit: int) -> Feed:
        now = int(time.time())
        recent = [at for at in self.moments[-10_000:] if at > now - 59]
        counts = (
            np.bincount([int(at) - (now - 59) for at in recent], minlength=60)[:60] if recent else np.zeros(60, int)
        )
        new = self.events[after:]
        return Feed(new[-limit:], max(0, len(new) - limit), len(self.events), counts.tolist())

    def rates(self) -> list[Counted]:
        return list(self.counted)

    def health(self) -> Health:
        return Health(
            not self.alerts,
            "The store answers, and a model is loaded." if not self.alerts else "An alert is on.",
            [
                ("p50", "1.9 ms", "half of the answers of the last minute"),
                ("p99", "11 ms", "99 of 100 of them"),
                ("waiting", "0 of 64", "requests in the queue"),
                ("memory", "212 MB", "of this process"),
                ("behind", "0.1 s", "newest event not yet known here"),
            ],
            {
                "Store": [("address", "sqlite:///shop.db"), ("events", f"{len(self.events):,}")],
                "Drift": [("item popularity (PSI)", "0.03 of 0.25"), ("cold users", "4%"), ("cold items", "1%")],
                "Updates": [
                    ("every", "6 hours"),
                    ("last", "2026-01-03 10:12, activated"),
                    ("next", "2026-01-03 16:12"),
                ],
            },
            list(self.models),
            list(self.alerts),
            list(self.past),
            bool(self.before),
        )

    def activate(self, name: str) -> None:
        self.before.append(next(model.name for model in self.models if model.role == "active"))
        self._let(name)

    def roll_back(self) -> str:
        self._let(self.before.pop())
        return self.models[0].name

    def _let(self, name: str) -> None:
        self.models = [
            Model(m.name, "active" if m.name == name else "waiting", float(m.name == name), m.created, m.note)
            for m in self.models
        ]

    def patterns(self, step: Callable[[float, str], None]) -> Patterns:
        step(0.1, "Searching for common paths")
        time.sleep(self.slow)
        found = segue.mine(self.data, min_support=4, max_length=3, progress=False)
        found = found.filter(pl.col("length") > 1).sort("support", descending=True).head(20)
        paths = [
            ([self.title(item) for item in pattern], support, share)
            for pattern, support, share in found.select("pattern", "support", "users_share").iter_rows()
        ]
        step(0.7, "Counting what comes next")
        made = sequences(self.data)
        codes, counts, users = next_shares(made)
        names = [self.title(item) for item in made.labels.gather(codes[:8]).to_list()]
        shares = (counts / users[:, None])[:8, :8].tolist()
        return Patterns(
            f"{len(self.data):,} events of {made.users} users.", paths, names, shares, week(self.data).tolist()
        )

    def control(self, what: str, count: int) -> None:
        """What a test brings about."""
        rng = np.random.default_rng(count)
        if what == "events":
            for n in range(count):
                self.happen(f"u{n % 50}", f"f{rng.integers(80)}", ("view", "click", "purchase")[n % 3], f"{n:08x}")
        elif what == "canary":
            self.items["canary"] = {"item_id": "canary", "title": CANARY, "genres": [CANARY], "price": 1.0}
            self.happen(CANARY, "canary", CANARY)
        elif what == "alert":
            self.alerts = [Alert("p99_seconds", "raised", "2026-01-03 11:00", "0.4 (limit 0.1)")]
        elif what == "calm":
            self.alerts, self.fails = [], None
        elif what == "slow":
            self.slow = count
        elif what == "fail":
            self.fails = NotFitted(owner="a model") if count else RuntimeError("a broken part")
        elif what == "rates":
            hours = [f"2026-01-03 {hour:02}:00" for hour in range(8, 12)]
            self.counted = []
            for model, rate in (("films-0001", 0.05), ("films-0002", 0.09))[: 2 * count]:
                for place in range(1, 6):
                    for hour in hours:
                        clicks = int(rng.binomial(500, rate / place))
                        self.counted.append(Counted(model, place, hour, 500, clicks, clicks // 5))
        elif what == "revoke":
            self.keys.revoke("0123abcd")


def _told(moment: float, form: str = "%Y-%m-%d %H:%M") -> str:
    return datetime.fromtimestamp(moment, UTC).strftime(form)


def application(source: FakeSource) -> Any:
    """The page on an application that has one route of its own."""
    from fastapi import FastAPI
    from nicegui import ui

    from segue.serving.page.mount import PATH, POLICY, mount
    from segue.serving.page.parts import Tag

    app = FastAPI()

    @app.post("/control/{what}")
    async def control(what: str, count: int = 1) -> int:
        source.control(what, count)
        return source.asks

    @app.get("/asks")
    async def asks() -> int:
        return source.asks

    mount(app, source)

    @ui.page("/twin")
    def twin() -> None:
        """What the page must never do: a text put in as HTML."""
        with Tag("div", classes="section"):
            ui.html(CANARY.partition("</script>")[2], sanitize=False)
            ui.html("<img src='http://elsewhere.example/x.png'>", sanitize=False)

    declared = dict.fromkeys(
        [PATH, "/control/{what}", "/asks", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"]
    )
    guard(app, source.keys, declared=declared, pages={PATH: POLICY})
    return app


if __name__ == "__main__":
    import uvicorn

    made = FakeSource(*films(), locked="locked" in sys.argv)
    uvicorn.run(application(made), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
