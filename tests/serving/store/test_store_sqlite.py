"""The store in SQLite: the contract, and what only SQLite has to promise."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from segue.errors import ErasureUnfinished, StoreCorrupt, StoreMissing
from segue.serving.store import Store, erase
from tests.serving.store.contract import StoreContract
from tests.serving.store.makers import event, shown


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "store.db"

    @pytest.fixture
    def url(self, file: Path) -> str:
        return f"sqlite:///{file}"

    def test_every_connection_waits_for_the_disk_and_zeroes_what_is_deleted(self, store: Store) -> None:
        taken = [store._readers.connect() for _ in range(8)] + [store._writers.connect()]
        for connection in taken:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("synchronous", "journal_mode", "secure_delete", "foreign_keys", "busy_timeout")
            }
            full = {"synchronous": 2, "journal_mode": "wal", "secure_delete": 1, "foreign_keys": 1}
            assert found == {**full, "busy_timeout": 10_000}
        for connection in taken:
            connection.close()

    def test_a_misspelt_file_is_not_made_and_an_empty_one_is_no_store(self, url: str, file: Path) -> None:
        with pytest.raises(StoreMissing):
            Store.open(url, create=False)
        assert list(file.parent.iterdir()) == []
        file.touch()
        with pytest.raises(StoreMissing):
            Store.open(url, create=False)
        assert [each.name for each in file.parent.iterdir()] == [file.name]

    def test_one_connection_writes(self, store: Store) -> None:
        assert store._writers.pool.size() == 1  # type: ignore[attr-defined]
        assert store._writers.pool._max_overflow == 0  # type: ignore[attr-defined]

    def test_many_threads_may_write_and_read(self, store: Store) -> None:
        def work() -> None:
            for _ in range(20):
                store.append([event()])
                store.history("u1", 3)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.last_seq() == 120

    def test_no_byte_of_an_erased_person_is_in_any_file(self, store: Store, file: Path) -> None:
        """Ids in random order split pages again and again; what a split moves must not stay behind either."""
        name = "person-7f3a91"
        for batch in range(60):
            others = [event(f"other-{(batch * 7_919 + n * 104_729) % 9_973}", timestamp=n) for n in range(40)]
            store.append([*others, event(name, event_id=f"{name}-{batch}", timestamp=batch)])
            store.log_served([shown(f"r{batch}", name), shown(f"s{batch}", f"other-{batch}")])
        assert self.files_with(file, name)
        store.erase(name)
        assert not self.files_with(file, name)

    def test_the_search_of_bytes_finds_what_a_plain_delete_leaves(self, store: Store, file: Path) -> None:
        name = "person-7f3a91"
        store.append([event(name)])
        store.checkpoint()
        with store._writers.begin() as connection:
            connection.exec_driver_sql("PRAGMA secure_delete=OFF")
            erase.erase(connection, name)
        store.checkpoint()
        assert store.traces(name) == {"events": 0, "served": 0}
        assert self.files_with(file, name)

    def files_with(self, file: Path, name: str) -> list[str]:
        return [each.name for each in file.parent.glob(f"{file.name}*") if name.encode() in each.read_bytes()]

    def test_a_reader_that_keeps_old_pages_makes_an_erasure_unfinished(
        self, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("segue.serving.store.erase.BUSY_S", 0.1)
        store.append([event("gone")])
        with sqlite3.connect(file) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            with pytest.raises(ErasureUnfinished):
                store.erase("gone")
            assert store.traces("gone")["events"] == 0
            assert store.append([event()]).stored == 1
        reader.close()
        store.erase("gone")
        assert not self.files_with(file, "gone")

    def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(self, file: Path, url: str) -> None:
        file.write_bytes(b"this is not a database at all, but a text of some length " * 20)
        before = file.read_bytes()
        with pytest.raises(StoreCorrupt):
            Store.open(url)
        assert file.read_bytes() == before
