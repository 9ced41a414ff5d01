"""Who was erased, as keyed hashes: for lists that are still on their way, and for other processes."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table, its number, and the key of its hashes."""
    op.create_table(
        "erased",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("moment", sa.BigInteger, nullable=False),
    )
    op.create_index("erased_at", "erased", ["moment"])
    insert = sa.text("INSERT INTO marks (name, value) VALUES (:name, :value)")
    op.execute(insert.bindparams(name="erased", value=0))
    op.execute(insert.bindparams(name="key", value=secrets.randbits(62)))
