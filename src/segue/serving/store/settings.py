"""Settings of the store, its writer and its follower."""

from __future__ import annotations

from pydantic import Field

from segue.config import Config


class StoreConfig(Config):
    """Where events are kept and how long anyone waits for it."""

    url: str = "sqlite:///segue.db"
    """``sqlite:///file.db`` or ``postgresql+psycopg://user@host/name``."""
    queue: int = Field(20_000, ge=1)
    """Events that may wait to be written; more are refused."""
    batch: int = Field(5_000, ge=1)
    """Events written in one transaction at most."""
    deadline_seconds: float = Field(5.0, gt=0)
    """How long a request waits until its events are stored."""
    read_seconds: float = Field(0.5, gt=0)
    """How long a request waits for a user's history in PostgreSQL; then the model's own log is the history."""
    retry_seconds: float = Field(1.0, gt=0)
    """After a read that failed: how long requests do not try the store again."""
    needed_for_readiness: bool = True
    """Whether /readyz answers 503 while the store does not answer. False: the service stays ready and answers from
    the models' own logs."""
    served_days: float | None = Field(90.0, gt=0)
    """How long lists that were served are kept, for rates, estimates and online mode; None keeps all."""
    poll_seconds: float = Field(0.1, gt=0)
    """How often the store is asked for what other processes wrote."""
