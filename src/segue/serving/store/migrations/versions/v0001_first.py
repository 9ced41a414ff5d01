"""Events, items, lists served, models and keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("action", sa.Text),
        sa.Column("value", sa.Double),
        sa.Column("recommendation_id", sa.Text),
        sa.Column("received", sa.BigInteger, nullable=False),
    )
    op.create_index("events_once", "events", ["event_id"], unique=True)
    op.create_index("events_of_user", "events", ["user_id", "timestamp", "seq"])
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("items_in_order", "items", ["seq"], unique=True)
    op.create_table(
        "served",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("recommendation_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("moment", sa.BigInteger),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("action", sa.Text),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("propensities", sa.Text),
    )
    op.create_index("served_once", "served", ["recommendation_id", "model"], unique=True)
    op.create_index("served_to_user", "served", ["user_id"])
    op.create_table(
        "models",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("learnt_to_seq", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
    )
    for name in ("events", "items", "served", "models"):
        op.execute(sa.text("INSERT INTO marks (name, value) VALUES (:name, 0)").bindparams(name=name))
