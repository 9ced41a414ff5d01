"""What requests about events and lists take and give, as the OpenAPI document shows it; closed to unknown names.

The bounds here are the most that the interface ever takes; ``limits`` in the settings may lower them. Ids are text or
whole numbers, as in the log and the catalogue.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from segue.serving.answers.settings import BATCH, HISTORY, STEPS, TEXT, K
from segue.serving.store.trouble import ID_LENGTH

NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT, pattern=NO_NUL)]
Number = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH, pattern=NO_NUL)]
"""What the store keeps as an id or a kind of action."""
Id = Name | Number
Moment = Annotated[
    Annotated[float, Field(strict=True, allow_inf_nan=False)] | Number | Text,
    Field(
        description="ISO 8601 (a text without a zone is in that of the log), seconds since 1970, or 'now'; a number "
        "where the log's timestamps are an order.",
        examples=["2024-05-01T12:00:00Z", 1714564800],
    ),
]
Value = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False, description="A rating, a price, a number.")]
Action = Annotated[Name, Field(description="A kind of action, such as 'view' or 'purchase'.", examples=["purchase"])]


class Body(BaseModel):
    """Base of what requests bring."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


# -- events ----------------------------------------------------------------------------------------------------


class EventIn(Body):
    """Something a person did, or was shown."""

    user_id: Id
    """Who."""
    item_id: Id
    """With which item; it need not be in the catalogue yet."""
    event_id: Id | None = None
    """Chosen by the sender: a request that is sent again with the same ids stores nothing twice. Without it the
    service makes one, and sending again stores again."""
    timestamp: Moment | None = None
    """When; now, if it is not said."""
    action: Action | None = None
    """What was done."""
    value: Value | None = None
    """A rating, a price, a number of pieces."""
    recommendation_id: Name | None = None
    """The list that this answers; it closes the loop from recommendations to clicks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_id": "e-1", "user_id": "u1", "item_id": "i7", "timestamp": 1714564800, "action": "view"}
            ]
        }
    )


class EventBatch(Body):
    """Several events."""

    events: Annotated[list[EventIn], Field(fail_fast=True, min_length=1, max_length=BATCH)]
    """Stored together or not at all."""


def _form(body: Any) -> str:
    if isinstance(body, list):
        return "several"
    return "batch" if isinstance(body, dict) and "events" in body else "one"


EventsIn = Annotated[
    Annotated[EventIn, Tag("one")]
    | Annotated[list[EventIn], Field(fail_fast=True, min_length=1, max_length=BATCH), Tag("several")]
    | Annotated[EventBatch, Tag("batch")],
    Discriminator(_form),
]


class EventsOut(BaseModel):
    """What became of the events, after they are durable."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stored: int
    """Events that are new."""
    known: int
    """Events whose id was stored before."""
    unknown_items: int
    """Events (stored all the same) on items that the catalogue lacks."""
    conflicts: list[str] = []
    """Ids among those known under which another event is stored; that one stays."""
    event_ids: list[str] | None = None
    """Ids of all events in order, where the service made any."""


# -- recommendations -------------------------------------------------------------------------------------------


class HistoryEvent(Body):
    """An event of a history that is given in the request."""

    item_id: Id
    """With which item."""
    timestamp: Moment | None = None
    """When. All events have one, or none has: then their order counts, oldest first."""
    action: Action | None = None
    """What was done."""
    value: Value | None = None
    """A rating, a price, a number of pieces."""


def _kind(history: Any) -> str:
    mapped = isinstance(history, list) and bool(history) and isinstance(history[0], dict)
    return "of events" if mapped else "of ids"


History = Annotated[
    Annotated[list[Id], Field(fail_fast=True, max_length=HISTORY), Tag("of ids")]
    | Annotated[list[HistoryEvent], Field(fail_fast=True, max_length=HISTORY), Tag("of events")],
    Discriminator(_kind),
]


class FiltersIn(Body):
    """Which items may be listed; all that is said must hold."""

    categories: list[Text] = Field([], max_length=BATCH)
    """Items of any of these; capital letters do not matter."""
    price_min: Value | None = None
    """The lowest price, included. Items without a price are left out."""
    price_max: Value | None = None
    """The highest price, included. Items without a price are left out."""
    in_stock: bool | None = None
    """True: what is known to be in stock; false: what is not."""
    exclude: list[Id] = Field([], max_length=HISTORY)
    """Never these."""

    @model_validator(mode="after")
    def _in_order(self) -> FiltersIn:
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError("price_min is above price_max")
        return self


class Asking(Body):
    """Who asks, and for what."""

    user_id: Id | None = None
    """Whose history is read; with ``history`` it only decides which model answers, and names the list."""
    history: History | None = None
    """A history for anyone, oldest first: item ids, or events. Items that the catalogue lacks are skipped and counted.
    Without it and without ``user_id`` nothing is known of who asks."""
    at: Moment | None = None
    """The moment that is asked about; later events are not read. Default: now."""
    action: Action | None = None
    """What the items are wanted for, such as 'purchase'; one that the log has."""
    exclude_seen: bool | None = None
    """Leave out items of the history; by default as suits the log."""
    filters: FiltersIn = Field(default_factory=FiltersIn)
    """Which items may be listed."""
    diversity: float = Field(0.0, ge=0, le=1)
    """From 0, the best items, to 1, items that are least alike."""
    explain: bool = False
    """Whether each item comes with reasons."""


class RecommendIn(Asking):
    """A request for a ranked list."""

    k: int = Field(10, ge=1, le=K, strict=True)
    """Length of the list; shorter only where nothing else may be listed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "u1", "k": 5},
                {"history": ["i3", "i7"], "filters": {"categories": ["drama"]}, "diversity": 0.3, "explain": True},
                {"history": [{"item_id": "i3", "timestamp": "2024-05-01T12:00:00Z", "action": "view"}]},
            ]
        }
    )


class GenerateIn(Asking):
    """A request for a sequence."""

    n: int = Field(10, ge=1, le=STEPS, strict=True)
    """How many items; each is chosen as if those before it had been taken, and none comes twice."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"history": ["i3", "i7"], "n": 5}]})


class ContributionOut(BaseModel):
    """What one part adds to a score."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    part: str
    """A member of a blend, the trend, habits, the online correction, or the model itself."""
    value: float
    """Against the catalogue's mean; the online correction as it is added."""


class ReasonOut(BaseModel):
    """Why an item is listed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    text: str
    """For a person. Text of the catalogue stands in it as it is: show it as text, never as HTML."""
    because: Id | None = None
    """An item of the history."""
    title: str | None = None
    """Its title."""
    drop: float | None = None
    """By how much the score falls where the history lacks that item; null where that cannot be compared."""
    kind: Literal["event", "habit", "popularity", "parts", "exploration"]
    """What the reason is about."""
    contributions: list[ContributionOut]
    """Parts of the score; they sum to the score less the mean of the catalogue."""


class ListedOut(BaseModel):
    """An item at its place."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    item_id: Id
    """As in the catalogue."""
    title: str | None = None
    """Null where the catalogue has none."""
    score: float
    """Comparable within one answer."""
    rank: int
    """From 1."""
    reasons: list[ReasonOut] | None = None
    """Only where ``explain`` was asked."""
    propensity: float | None = None
    """How likely the item was to stand there, where exploration took part."""


class AnswerOut(BaseModel):
    """A ranked list, or a sequence."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    recommendation_id: str
    """Events that name it tell what became of the list."""
    model: str
    """Which model answered."""
    user_id: Id | None
    """Who asked."""
    at: str | int | None
    """The moment that was answered about, ISO 8601 in UTC; a number where the log knows an order alone."""
    cold: bool
    """Whether nothing was known of who asked, or only items that the model has learnt nothing of."""
    history_length: int
    """Events that were read."""
    unknown_items: int
    """Events that were skipped, for the catalogue lacks their items."""
    items: list[ListedOut]
    """Best first; of a sequence in its order."""
    history_source: Literal["model"] | None = None
    """``model`` where the store did not answer: the history is that of the model's own log, without later events."""
    explained: int | None = None
    """How many items have reasons, where the list is longer than what is explained."""
