"""Limits of a key: requests a second, and requests in flight."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; keys that are there have no limits of their own."""
    op.add_column("keys", sa.Column("rate", sa.Double))
    op.add_column("keys", sa.Column("concurrency", sa.BigInteger))
