"""Addresses: what is understood, what is refused, and that no secret is shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from segue.errors import StoreError, StoreUnavailable, StoreUrlBad
from segue.serving.store import Store
from segue.serving.store.urls import read_url, shown

SECRET = "hush-4711"


@pytest.mark.parametrize(
    "bad",
    [
        "shop.db",
        "",
        f"mysql://me:{SECRET}@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file.db?mode=ro",
        "sqlite:////no/such/folder/store.db",
        f"postgresql+psycopg://me:{SECRET}@host",
        f"postgresql+psycopg2://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}@host:port/db",
        f"postgres//me:{SECRET}@host/db",
    ],
)
def test_what_is_no_address_of_a_store_is_refused_without_its_password(bad: str) -> None:
    with pytest.raises(StoreUrlBad) as raised:
        Store.open(bad)
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_the_short_name_of_postgresql_means_the_driver_that_is_there() -> None:
    assert read_url("postgresql://host/db").drivername == "postgresql+psycopg"


def test_no_secret_is_shown_wherever_it_stands() -> None:
    text = f"postgresql+psycopg://me:{SECRET}@host/db?password={SECRET}&sslpassword={SECRET}&sslmode=require"
    assert SECRET not in shown(make_url(text))
    assert "sslmode=require" in shown(make_url(text))


@pytest.mark.parametrize("place", [f"me:{SECRET}@127.0.0.1:9/db", f"127.0.0.1:9/db?password={SECRET}"])
def test_a_store_that_cannot_be_reached_keeps_its_password_out_of_error_and_log(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreUnavailable) as raised:
        Store.open(f"postgresql+psycopg://{place}")
    assert SECRET not in f"{raised.value!r} {raised.value.values} {caplog.text}"


def test_an_error_of_the_database_shows_no_row(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(StoreError) as raised:
        store.put_items([{"item_id": "hidden-person", "x": object()}])
    assert "hidden-person" not in str(raised.value)
    store.close()
