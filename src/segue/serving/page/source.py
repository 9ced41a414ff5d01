"""What the page asks of the service, in plain values; how the service answers is ``service_source``'s.

Ids are text here and moments are text for people, so that the page has no opinion about either. All questions are plain
functions that may take a while; the page gives them to ``PageSource.run``, which keeps them off the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """A question of the form; see ``answers.questions.Question``. ``at`` is text as it was typed, None is now."""

    user_id: str | None = None
    items: list[str] | None = None
    at: str | None = None
    action: str | None = None
    k: int = 10
    categories: list[str] = field(default_factory=list)
    price_min: float | None = None
    price_max: float | None = None
    in_stock: bool | None = None
    exclude: list[str] = field(default_factory=list)
    diversity: float = 0.0
    explain: bool = True


@dataclass(frozen=True)
class Item:
    """A row of the catalogue."""

    item_id: str
    title: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranked:
    """An item of a list, with its score and the reasons in words."""

    item_id: str
    title: str
    score: float
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Shown:
    """A list: which model gave it, under which id, in how many milliseconds, and what it was asked about."""

    model: str
    recommendation_id: str
    items: Sequence[Ranked]
    milliseconds: float
    history_length: int
    unknown_items: int = 0


@dataclass(frozen=True)
class Past:
    """Something that a user did."""

    item_id: str
    title: str
    moment: str
    action: str | None = None


@dataclass(frozen=True)
class Happened:
    """An event of the store."""

    seq: int
    moment: str
    user_id: str
    item_id: str
    title: str
    action: str | None = None
    recommendation_id: str | None = None


@dataclass(frozen=True)
class Feed:
    """Events after a number, newest last; how many were left out; and how many came in each of the last 60 seconds."""

    events: Sequence[Happened]
    left_out: int
    seq: int
    per_second: Sequence[int]


@dataclass(frozen=True)
class Counted:
    """Impressions, clicks and conversions of one model, at one place and in one hour; None where not told apart."""

    model: str
    position: int | None
    hour: str | None
    impressions: int
    clicks: int
    conversions: int


@dataclass(frozen=True)
class Model:
    """A registered model; ``active``, ``shadow`` or ``waiting``."""

    name: str
    role: str
    weight: float
    created: str
    note: str = ""


@dataclass(frozen=True)
class Alert:
    """An alert that is on, or a change of one in the past."""

    name: str
    state: str
    at: str
    detail: str = ""


@dataclass(frozen=True)
class Health:
    """How the service is.

    Attributes:
        ready: whether it takes requests; ``why`` not.
        tiles: the figures that matter most: name, value, what it means.
        groups: everything else, in groups of names and values.
    """

    ready: bool
    why: str
    tiles: Sequence[tuple[str, str, str]]
    groups: dict[str, Sequence[tuple[str, str]]]
    models: Sequence[Model]
    alerts: Sequence[Alert]
    past_alerts: Sequence[Alert]
    can_roll_back: bool = False


@dataclass(frozen=True)
class Patterns:
    """What people do after what.

    Attributes:
        about: which events it was counted over.
        paths: symbols in order, how many users have them, and their share of all.
        names: of the rows and columns of ``shares``.
        shares: of the users of the row's symbol, how many took the column's directly after it.
        week: (7, 24) how often anything was done in an hour of a weekday, Monday first; empty without a clock.
    """

    about: str
    paths: Sequence[tuple[Sequence[str], int, float]]
    names: Sequence[str]
    shares: Sequence[Sequence[float]]
    week: Sequence[Sequence[int]]


class PageSource(Protocol):
    """What the page needs of the service. What is not ``async`` is a plain call for :meth:`run` or :meth:`look`."""

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a question, worked on off the event loop and within the service's limits."""

    async def look(self, call: Callable[[], T]) -> T:
        """The result of a look at the service itself, off the event loop; it must work when the service is full."""

    async def feedback(self, user_id: str, item_id: str, action: str, recommendation_id: str | None) -> None:
        """Commit an event that happened now, and wait until the next answer knows it."""

    def locked(self) -> bool:
        """Whether keys exist, so that a login is asked for."""

    def admitted(self, secret: str) -> str | None:
        """The id of an admin's key; None where the secret is none."""

    def still_admitted(self, key_id: str) -> bool:
        """Whether that key is still an admin's."""

    def choices(self) -> tuple[list[str], list[str]]:
        """Kinds of action that may be asked for, and categories to filter by; empty where there are none."""

    def feedback_actions(self) -> tuple[str, str]:
        """What the buttons of a list send: a click and a conversion."""

    def users(self, text: str, limit: int) -> list[str]:
        """Ids of users that begin with the text."""

    def history(self, ask: Ask, newest: int) -> list[Past]:
        """What is known of who asks, up to the moment asked about; newest first."""

    def recommend(self, ask: Ask) -> Shown:
        """A list."""

    def generate(self, ask: Ask, n: int) -> Shown:
        """The next ``n`` items, each as if those before had been taken."""

    def search(self, text: str, limit: int) -> list[Item]:
        """Items whose id or title has the text."""

    def item(self, item_id: str) -> Item | None:
        """One item, with its attributes."""

    def similar(self, item_id: str, k: int) -> list[Ranked]:
        """Items like it."""

    def put_item(self, row: dict[str, Any]) -> None:
        """Add or change a row of the catalogue; it counts within a second."""

    def feed(self, after: int, limit: int) -> Feed:
        """The newest events after a number."""

    def rates(self) -> list[Counted]:
        """What became of what was shown, as finely as it is known."""

    def health(self) -> Health:
        """How the service is."""

    def activate(self, name: str) -> None:
        """Let a model answer in place of the others."""

    def roll_back(self) -> str:
        """Undo the newest activation; gives what answers now."""

    def patterns(self, step: Callable[[float, str], None]) -> Patterns:
        """Count what people do after what; ``step`` is told the share that is done, and what is being done."""
