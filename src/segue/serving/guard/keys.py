"""API keys: made of 32 random bytes, shown once, kept as a hash, compared in constant time.

A key reads ``segue_<id>_<secret>``. The id is public: by it the key is found, listed, rotated and revoked. The store
holds SHA-256 of the whole key; a slow hash would add nothing, since 256 random bits cannot be guessed. ``Keys`` keeps
the rows in memory and reads the store again twice a second, so that a revoked key is refused everywhere within one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from segue.errors import KeyUnknown, nearest
from segue.serving.guard.scopes import SCOPES, known_scope
from segue.serving.store.rows import KeyRow
from segue.serving.ticker import Ticker

REFRESH_SECONDS = 0.5
_NOBODY = hashlib.sha256(b"").hexdigest()


class KeyStore(Protocol):
    """What of the store the keys need."""

    def key_rows(self) -> Sequence[KeyRow]:
        """All keys."""

    def add_key(self, row: KeyRow) -> None:
        """Keep a new key."""

    def revoke_key(self, key_id: str) -> bool:
        """Drop a key; False where there was none."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was shown and is valid."""

    key_id: str
    scopes: tuple[str, ...]

    @property
    def allowed(self) -> frozenset[str]:
        """All scopes it opens; admin includes the others."""
        return frozenset(SCOPES if "admin" in self.scopes else self.scopes)


class Keys:
    """The keys of a store.

    Args:
        store: an open store.

    Raises:
        StoreUnavailable: the store cannot be read (now; later the last rows stay valid until it can be again).
    """

    def __init__(self, store: KeyStore) -> None:
        self.store = store
        self._rows: dict[str, KeyRow] = {}
        self._seen = False
        self._ticker = Ticker("segue-keys", REFRESH_SECONDS, self.refresh)
        self.refresh()

    @property
    def open(self) -> bool:
        """Whether no key was ever there while this process ran; the last key's end opens nothing."""
        return not self._seen

    def check(self, secret: str) -> Key | None:
        """The key, or None where it is unknown, revoked or expired."""
        parts = secret.split("_", 2)
        row = self._rows.get(parts[1]) if len(parts) == 3 and parts[0] == "segue" else None
        same = hmac.compare_digest(_hash(secret), _NOBODY if row is None else row.hash)
        if row is None or not same or (row.expires is not None and row.expires <= _now()):
            return None
        return Key(row.key_id, tuple(row.scopes))

    def create(
        self,
        scopes: Iterable[str],
        days: float | None = None,
        rate: float | None = None,
        concurrency: int | None = None,
    ) -> str:
        """Make a key; returns it, this once.

        Args:
            scopes: what it opens.
            days: how long it is valid; None: until revoked.
            rate: requests a second; None: no limit.
            concurrency: requests in flight at once; None: three quarters of the service's places.

        Raises:
            ScopeUnknown: a scope that does not exist.
        """
        chosen = [known_scope(scope) for scope in dict.fromkeys(scopes)]
        key_id = secrets.token_hex(4)
        secret = f"segue_{key_id}_{secrets.token_urlsafe(32)}"
        now = _now()
        expires = None if days is None else now + round(days * 86_400_000_000)
        self.store.add_key(KeyRow(key_id, _hash(secret), chosen, now, expires, rate, concurrency))
        self.refresh()
        return secret

    def rotate(self, key_id: str, keep_hours: float = 24.0) -> str:
        """Make a key of the same scopes, limits and length of life, and let the old one live ``keep_hours`` more.

        Raises:
            KeyUnknown: there is no such key.
        """
        old = self._row(key_id)
        days = None if old.expires is None else (old.expires - old.created) / 86_400_000_000
        secret = self.create(old.scopes, days, old.rate, old.concurrency)
        end = _now() + round(keep_hours * 3_600_000_000)
        self.store.revoke_key(old.key_id)
        if keep_hours > 0:
            self.store.add_key(replace(old, expires=end if old.expires is None else min(end, old.expires)))
        self.refresh()
        return secret

    def revoke(self, key_id: str) -> None:
        """End a key at once. Raises ``KeyUnknown``."""
        self.store.revoke_key(self._row(key_id).key_id)
        self.refresh()

    def row(self, key_id: str) -> KeyRow | None:
        """A key's row as last read; None where there is none."""
        return self._rows.get(key_id)

    def rows(self) -> list[KeyRow]:
        """All keys as last read, oldest first."""
        return sorted(self._rows.values(), key=lambda row: row.created)

    def refresh(self) -> None:
        """Read the store again."""
        rows = {row.key_id: row for row in self.store.key_rows()}
        self._seen = self._seen or bool(rows)
        self._rows = rows

    def start(self) -> None:
        """Follow the store from a thread; while it cannot be read, the keys as last read stay valid."""
        self._ticker.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._ticker.stop(timeout=2)

    def _row(self, key_id: str) -> KeyRow:
        self.refresh()
        if key_id.startswith("segue_"):  # a whole key: its secret belongs in no message
            key_id = key_id.split("_", 2)[1]
        if key_id not in self._rows:
            raise KeyUnknown(key_id=key_id, hint=nearest(key_id, self._rows))
        return self._rows[key_id]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> int:
    return time.time_ns() // 1000
