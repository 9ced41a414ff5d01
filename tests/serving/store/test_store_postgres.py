"""The store in PostgreSQL: the contract, and what only PostgreSQL has to promise."""

from __future__ import annotations

import psycopg
import pytest

from segue.errors import RowRefused, StoreUnavailable
from segue.serving.store import Store
from tests import postgres
from tests.serving.store.contract import StoreContract
from tests.serving.store.makers import event, shown


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_a_commit_waits_for_the_disk_though_the_database_is_set_not_to(
        self, url: str, postgres_server: postgres.Server
    ) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        store = Store.open(url)
        with store._writers.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
            assert connection.exec_driver_sql("SHOW fsync").scalar_one() == "on"
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "15s"
        store.close()

    def test_a_row_that_is_too_large_for_an_index_is_refused_and_not_tried_for_ever(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("segue.serving.store.served.ID_LENGTH", 10_000)
        letters = "".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))  # nothing that could be compressed
        with pytest.raises(RowRefused):
            store.log_served([shown(user_id=letters)])

    def test_connections_that_were_cut_are_made_anew(self, url: str, store: Store) -> None:
        store.append([event()])
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store.append([event()]).stored == 1
        assert len(store.history("u1", 5)) == 2

    def test_a_server_that_is_not_there_is_unavailable_within_seconds(self) -> None:
        with pytest.raises(StoreUnavailable) as raised:
            Store.open("postgresql+psycopg://me:hush-hush@127.0.0.1:9/none")
        assert "hush" not in str(raised.value)
