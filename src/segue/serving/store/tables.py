"""The tables of the store as the code expects them; how a file got there is ``migrations``' matter.

Every table that is followed has numbers ``seq`` taken from a row of ``marks``. Taking them locks that row until the
commit, so that numbers are seen in the order of commits, on both databases.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData()


class Document(TypeDecorator[Any]):
    """A value of JSON as text: whatever JSON can say comes back from both databases as it was."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Raises ``ValueError`` or ``TypeError`` for what is no JSON; numbers that are none count as that."""
        return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value again."""
        return None if value is None else json.loads(value)


# SQLite stores rows under an INTEGER key itself, without a second tree.
_Number = BigInteger().with_variant(Integer, "sqlite")

marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""The newest number of each table that is followed."""

events = Table(
    "events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("action", Text),
    Column("value", Double),
    Column("recommendation_id", Text),
    Column("received", BigInteger, nullable=False),
    Index("events_once", "event_id", unique=True),
    Index("events_of_user", "user_id", "timestamp", "seq"),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("document", Document, nullable=False),
    Index("items_in_order", "seq", unique=True),
)

served = Table(
    "served",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("recommendation_id", Text, nullable=False),
    Column("user_id", Text),
    Column("model", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("moment", BigInteger),
    Column("received", BigInteger, nullable=False),
    Column("action", Text),
    Column("items", Document, nullable=False),
    Column("scores", Document, nullable=False),
    Column("propensities", Document),
    Index("served_once", "recommendation_id", "model", unique=True),
    Index("served_to_user", "user_id"),
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("weight", Double, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("learnt_to_seq", BigInteger, nullable=False),
    Column("document", Document, nullable=False),
    Column("generation", BigInteger, nullable=False),
)

erased = Table(
    "erased",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("moment", BigInteger, nullable=False),
    Index("erased_at", "moment"),
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("scopes", Document, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("rate", Double),
    Column("concurrency", BigInteger),
)
