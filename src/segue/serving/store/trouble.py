"""What a driver complains of, said as one of our errors: no room, no answer, not storable, damaged.

Messages of drivers hold no password and, with ``hide_parameters``, no user id; ours show the address without secrets.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import psycopg
from sqlalchemy import exc

from segue.errors import RowRefused, StoreCorrupt, StoreError, StoreFull, StoreUnavailable

ID_LENGTH = 500
"""Characters of an id: a key of an index of PostgreSQL holds no more than 2,704 bytes."""

_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_POSTGRES_FULL = {"53100"}
_POSTGRES_DAMAGED = {"XX001", "XX002"}
_POSTGRES_BEYOND = "54"
"""A row beyond what PostgreSQL takes, such as one too large for an index."""


@contextlib.contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise our errors for those of the drivers; whatever was begun has been rolled back by then."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _ours(error.orig, address) from None
    except exc.TimeoutError:
        raise StoreUnavailable(url=address, reason="all its connections are taken") from None
    except (sqlite3.Error, psycopg.Error) as error:
        raise _ours(error, address) from None
    except (UnicodeEncodeError, OverflowError, exc.StatementError) as error:
        reason = error.orig if isinstance(error, exc.StatementError) else error
        raise RowRefused(reason=_words(reason), longest=ID_LENGTH) from None


def _ours(error: BaseException | None, address: str) -> StoreError:
    reason = _words(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in _SQLITE_FULL or code & 0xFF == sqlite3.SQLITE_FULL:
            return StoreFull(url=address, reason=reason)
        if code & 0xFF in _SQLITE_DAMAGED:
            return StoreCorrupt(url=address, reason=reason)
        refused = isinstance(error, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.ProgrammingError)
        if refused or code & 0xFF == sqlite3.SQLITE_TOOBIG:
            return RowRefused(reason=reason, longest=ID_LENGTH)
        return StoreUnavailable(url=address, reason=reason)
    state = getattr(error, "sqlstate", None) or ""
    if state in _POSTGRES_FULL:
        return StoreFull(url=address, reason=reason)
    if state in _POSTGRES_DAMAGED:
        return StoreCorrupt(url=address, reason=reason)
    beyond = state.startswith(_POSTGRES_BEYOND)  # an operational error to the driver, but waiting does not help
    not_sendable = isinstance(error, psycopg.ProgrammingError) and not state
    if beyond or not_sendable or isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return RowRefused(reason=reason, longest=ID_LENGTH)
    return StoreUnavailable(url=address, reason=reason)


def _words(error: BaseException | None) -> str:
    """The first line: what follows it quotes rows."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
