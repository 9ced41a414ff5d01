"""Errors of the event store (V020-V039): where it is, whether it takes a row, and what it can promise."""

from __future__ import annotations

from typing import ClassVar

from segue.errors.serving import ServiceError


class StoreError(ServiceError):
    """The store could not do what was asked; nothing of it was written."""

    status: ClassVar[int] = 503


class StoreUrlBad(StoreError):
    code = "V020"
    template = "{url!r} is not the address of a store: {reason}."
    remedy = "Give sqlite:///file.db or postgresql+psycopg://user@host/name."


class StoreUnavailable(StoreError):
    code = "V021"
    template = "The store {url} does not answer: {reason}."
    remedy = (
        "Nothing was acknowledged; send it again with the same event ids. It goes on by itself when the store is back."
    )


class StoreFull(StoreError):
    status = 507
    code = "V022"
    template = "The store {url} has no room left: {reason}."
    remedy = "Nothing was written. Free some space on its disk; it goes on by itself."


class StoreTooNew(StoreError):
    code = "V023"
    template = "The store {url} has version {found}; this version of segue reads up to {known}."
    remedy = "Upgrade segue."


class StoreForeign(StoreError):
    code = "V024"
    template = "{url} holds tables that are not a store of segue: {reason}."
    remedy = "Give a database of its own; nothing was changed in that one."


class StoreNotMigrated(StoreError):
    code = "V025"
    template = "The store {url} has version {found}, not {known}."
    remedy = "Open it once with migrate=True, or start the service."


class StoreCorrupt(StoreError):
    code = "V026"
    template = "The store {url} is damaged: {reason}."
    remedy = "Bring it back from a copy; stop the service first."


class RowRefused(StoreError):
    status = 422
    code = "V027"
    template = "This cannot be stored: {reason}."
    remedy = "Nothing of the batch was written. Ids are text of 1 to {longest} characters without NUL."


class StoreBusy(StoreError):
    status = 429
    code = "V028"
    template = "{waiting} events already wait to be written, and {limit} may."
    remedy = "Send them again in a moment, with the same event ids."

    @property
    def headers(self) -> dict[str, str]:
        """When to come back, in seconds: a commit takes far less."""
        return {"Retry-After": "1"}


class AppendLate(StoreError):
    status = 504
    code = "V029"
    template = "The events were not known to be stored after {seconds} s."
    remedy = "Send them again with the same event ids: what was stored is not stored twice."


class ErasureUnfinished(StoreError):
    code = "V030"
    template = "The rows are erased from {url}, but a reader keeps their bytes in its log file."
    remedy = "Ask for the erasure again in a moment."


class ErasureIncomplete(StoreError):
    status = 500
    code = "V105"
    template = (
        "The user is not erased everywhere: artefacts that failed: {artefacts}; rows that were written since: {rows}."
    )
    remedy = (
        "Bring each failed artefact back from a copy, or remove its directory (and the model: segue models remove NAME "
        "--store URL), and stop sending events of this user; then send the same request again."
    )


class BackupInTheWay(StoreError):
    status = 409
    code = "V100"
    template = "{path} is there already."
    remedy = "Choose another name, or replace it with --force."


class BackupDamaged(StoreError):
    code = "V101"
    template = "{path} is not sound: {reason}."
    remedy = "Take another backup; of a store, restore one: segue store restore FILE --store URL --force."


class BackupToolMissing(StoreError):
    code = "V102"
    template = "{tool} of PostgreSQL is not installed here; {url} needs it."
    remedy = "Install PostgreSQL's client programs (Debian: apt-get install postgresql-client)."


class BackupToolFailed(StoreError):
    code = "V103"
    template = "{tool} failed on {url}: {reason}."
    remedy = "Nothing was changed. See that the server runs, and that its version is not newer than {tool}'s."


class StoreInUse(StoreError):
    status = 409
    code = "V104"
    template = "Another process has {path} open."
    remedy = "Stop the service, then restore."


class StoreMissing(StoreError):
    status = 404
    code = "V031"
    template = "There is no store at {url}."
    remedy = "See that its name is spelt as in: segue serve DIR --store URL, which makes a store that is not there."
