"""Events for tests of the store."""

from __future__ import annotations

import itertools
from typing import Any

from segue.serving.store import Event, ServedList

_numbers = itertools.count()


def event(user_id: str = "u1", item_id: str = "i1", timestamp: int = 1, **others: Any) -> Event:
    """An event with an id of its own, unless one is given."""
    others.setdefault("event_id", f"event-{next(_numbers)}")
    return Event(user_id=user_id, item_id=item_id, timestamp=timestamp, **others)


def shown(recommendation_id: str = "r1", user_id: str | None = "u1", **others: Any) -> ServedList:
    """A list that was served."""
    given = {"model": "m", "shadow": False, "moment": None, "received": 5, "action": None}
    given |= {"items": ["a", "b"], "scores": [0.5, 0.25], "propensities": None, **others}
    return ServedList(recommendation_id=recommendation_id, user_id=user_id, **given)
