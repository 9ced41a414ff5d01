"""Addresses of stores: which are understood, and how one is shown without its password."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from segue.errors import StoreUrlBad

_SECRET = ("password", "sslpassword", "passfile", "token")


def read_url(text: str) -> URL:
    """The address as SQLAlchemy reads it; raises ``StoreUrlBad``, which never shows a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        scheme = str(text).partition(":")[0]
        raise StoreUrlBad(url=f"{scheme}:...", reason="it cannot be read") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite":
        _refuse_no_file(url)
    elif url.drivername != "postgresql+psycopg":
        raise StoreUrlBad(url=shown(url), reason=f"{url.drivername!r} is not a database that it can be kept in")
    elif not url.database:
        raise StoreUrlBad(url=shown(url), reason="it names no database")
    return url


def shown(url: URL) -> str:
    """The address for people and logs: without any secret."""
    hidden = {name: "***" for name in url.query if name.lower() in _SECRET}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def there(url: URL) -> bool:
    """Whether there is something at the address; of a server only a connection can tell, so there it is True."""
    if url.get_backend_name() != "sqlite":
        return True
    file = Path(str(url.database))
    return file.exists() and (not file.is_file() or file.stat().st_size > 0)


def _refuse_no_file(url: URL) -> None:
    if url.database in (None, "", ":memory:"):
        raise StoreUrlBad(url=shown(url), reason="memory forgets; a store is a file")
    if url.query or str(url.database).startswith("file:"):
        raise StoreUrlBad(url=shown(url), reason="options of SQLite are set by the store itself")
    folder = Path(str(url.database)).absolute().parent
    if not folder.is_dir():
        raise StoreUrlBad(url=shown(url), reason=f"there is no folder {folder}")
