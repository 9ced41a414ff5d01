"""What every store keeps, whatever database it is in; inherited by the tests of each with a fixture ``url``."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, text

from segue.errors import (
    RowRefused,
    StoreError,
    StoreForeign,
    StoreMissing,
    StoreNotMigrated,
    StoreTooNew,
    StoreUnavailable,
)
from segue.serving.store import Event, KeyRow, ModelRow, Store, migrating, tombstones
from segue.serving.store.items import is_removed
from segue.serving.store.tables import metadata
from tests.serving.store.makers import event, shown
from tests.serving.store.version_1 import EVENTS, write_version_1

MODEL = ModelRow("m1", "models/m1", "given", "active", 1.0, 7, 3, {"note": "ü"})


class StoreContract:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = Store.open(url)
        yield store
        store.close()

    # -- events

    def test_the_events_of_one_user_come_in_the_order_of_the_store(self, store: Store) -> None:
        store.append([event(timestamp=9, action="impression"), event("other"), event(timestamp=3), event(timestamp=5)])
        found = store.events_of("u1", 0, 2)
        assert [each.timestamp for each in found] == [9, 3]
        assert [each.timestamp for each in store.events_of("u1", found[-1].seq, 2)] == [5]
        assert store.events_of("nobody", 0, 2) == []

    def test_an_event_comes_back_as_it_was_sent(self, store: Store) -> None:
        sent = event("ü", "é🎬", -5, action="view", value=0.1, recommendation_id="r")
        store.append([sent])
        (back,) = store.events_after(0)
        assert {field.name: getattr(back, field.name) for field in dataclasses.fields(Event)} == dataclasses.asdict(
            sent
        )
        assert back.received > 1_600_000_000_000_000

    def test_what_is_absent_stays_absent(self, store: Store) -> None:
        store.append([event(value=math.nan)])
        (back,) = store.events_after(0)
        assert (back.action, back.value, back.recommendation_id) == (None, None, None)

    def test_an_id_is_stored_once_within_a_batch_and_over_batches(self, store: Store) -> None:
        first, second = event(event_id="a"), event(event_id="b")
        appended = store.append([first, second, first])
        assert (appended.stored, appended.known) == (2, 1)
        appended = store.append([second, event(event_id="c")])
        assert (appended.stored, appended.known) == (1, 1)
        assert [e.event_id for e in store.events_after(0)] == ["a", "b", "c"]

    def test_the_first_of_two_events_with_one_id_is_the_one_that_is_kept(self, store: Store) -> None:
        store.append([event(event_id="a", item_id="first"), event(event_id="a", item_id="second")])
        assert store.history("u1", 5).items == ["first"]

    def test_an_id_that_comes_again_with_something_else_is_a_conflict(self, store: Store) -> None:
        store.append([event(event_id="a", value=0.1), event(event_id="b", value=math.nan)])
        same = [event(event_id="a", value=0.1), event(event_id="b")]
        assert store.append(same).conflicts == ()
        others = [event("bob", event_id="a", value=0.1), event(event_id="b", value=2.0)]
        batches = [others, same, [event(event_id="c"), event(event_id="c", item_id="other")], [event(event_id="d")]]
        together = store.append_batches(batches)
        assert [each.conflicts for each in together] == [("a", "b"), (), ("c",), ()]
        assert [(each.stored, each.known) for each in together] == [(0, 2), (0, 2), (1, 1), (1, 0)]

    def test_a_moment_that_the_service_made_is_no_conflict(self, store: Store) -> None:
        store.append([event(event_id="a", timestamp=5)])
        assert store.append([event(event_id="a", timestamp=6, dated=False)]).conflicts == ()
        assert store.append([event(event_id="a", timestamp=6)]).conflicts == ("a",)

    def test_batches_written_together_hear_each_of_their_own(self, store: Store) -> None:
        store.append([event(event_id="old")])
        batches = [[event(event_id="x"), event(event_id="old")], [], [event(event_id="x"), event(event_id="y")]]
        together = store.append_batches(batches)
        assert [(each.stored, each.known) for each in together] == [(1, 1), (0, 0), (1, 1)]

    def test_an_empty_batch_is_stored_already(self, store: Store) -> None:
        assert store.append([]).stored == 0

    def test_numbers_grow_and_the_newest_is_told(self, store: Store) -> None:
        first, second = store.append([event()]).seq, store.append([event(), event()]).seq
        assert 0 < first < second == store.last_seq()
        assert [e.seq for e in store.events_after(first)] == [second - 1, second]

    def test_a_number_is_not_given_again_after_an_erasure(self, store: Store) -> None:
        seq = store.append([event("gone")]).seq
        store.erase("gone")
        assert store.append([event()]).seq > seq

    @pytest.mark.parametrize("bad", [{"timestamp": 2**63}, {"timestamp": None}, {"value": object()}])
    def test_a_batch_is_stored_whole_or_not_at_all(self, store: Store, bad: dict[str, Any]) -> None:
        with pytest.raises(RowRefused):
            store.append([event(), event(**bad)])
        assert store.events_after(0) == []

    @pytest.mark.parametrize("bad", ["", "a\0b", "x" * 501, "\ud800"])
    @pytest.mark.parametrize("place", ["event_id", "user_id", "item_id"])
    def test_an_id_that_one_database_would_not_take_is_refused_by_both(
        self, store: Store, place: str, bad: str
    ) -> None:
        with pytest.raises(RowRefused):
            store.append([dataclasses.replace(event(), **{place: bad})])
        assert store.events_after(0) == []

    def test_the_longest_id_of_the_widest_characters_is_taken(self, store: Store) -> None:
        widest = "🎬" * 500
        store.append([event(widest, widest, event_id=widest)])
        assert store.history(widest, 1).items == [widest]

    @settings(max_examples=15, suppress_health_check=[*HealthCheck])
    @given(texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
    def test_any_text_comes_back(self, store: Store, texts: list[str]) -> None:
        seq = store.last_seq()
        store.append([event(action=each or None) for each in texts])
        assert [e.action for e in store.events_after(seq)] == [each or None for each in texts]

    def test_a_history_is_in_time_order_and_ties_in_the_order_of_the_store(self, store: Store) -> None:
        moments = [5, 1, 5, 3, 5]
        store.append([event(item_id=f"i{n}", timestamp=at, value=n) for n, at in enumerate(moments)])
        found = store.history("u1", 10)
        assert found.items == ["i1", "i3", "i0", "i2", "i4"]
        assert found.timestamps.tolist() == [1, 3, 5, 5, 5]
        assert found.values.dtype == np.float32
        assert found.values.tolist() == [1, 3, 0, 2, 4]

    def test_a_history_is_the_newest_of_one_user_until_a_moment_without_some_actions(self, store: Store) -> None:
        store.append([event(item_id=f"i{n}", timestamp=n, action=("view", "seen", None)[n % 3]) for n in range(9)])
        store.append([event("other", timestamp=n) for n in range(9)])
        assert store.history("u1", 2).items == ["i7", "i8"]
        assert store.history("u1", 2, until=6).items == ["i5", "i6"]
        assert store.history("u1", 9, without=("seen", "x")).items == ["i0", "i2", "i3", "i5", "i6", "i8"]
        assert len(store.history("nobody", 5)) == 0

    def test_a_frame_holds_the_events_between_two_numbers(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("segue.serving.store.events._CHUNK", 3)
        store.append([event(f"u{n}", timestamp=n, value=n / 2) for n in range(10)])
        frame = store.events_frame(after=2, until=9)
        assert frame.columns == ["user_id", "item_id", "timestamp", "action", "value", "seq"]
        assert frame["seq"].to_list() == [3, 4, 5, 6, 7, 8, 9]
        assert frame["user_id"].to_list() == [f"u{n}" for n in range(2, 9)]
        assert store.events_frame(after=10).schema == frame.schema

    def test_numbers_are_seen_in_the_order_of_commits(self, url: str, store: Store) -> None:
        """Whoever reads after the newest number misses nothing, though several stores write at once."""
        others = [Store.open(url) for _ in range(3)]
        seen: list[int] = []
        done = threading.Event()

        def write(into: Store) -> None:
            for _ in range(25):
                into.append([event(), event()])

        def follow() -> None:
            while True:
                last = done.is_set()
                news = store.events_after(seen[-1] if seen else 0)
                seen.extend(e.seq for e in news)
                if last and not news:
                    return

        writers = [threading.Thread(target=write, args=(each,)) for each in others]
        follower = threading.Thread(target=follow)
        for thread in [*writers, follower]:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        follower.join()
        for each in others:
            each.close()
        assert seen == list(range(1, 151))

    # -- catalogue, lists, models, keys

    def test_a_row_of_the_catalogue_that_changes_takes_a_new_number(self, store: Store) -> None:
        first = store.put_items([{"item_id": "a", "price": 0.1}, {"item_id": "b", "tags": ["ü"]}])
        second = store.put_items([{"item_id": "a", "price": 2}])
        assert store.items_after(0) == [(2, {"item_id": "b", "tags": ["ü"]}), (3, {"item_id": "a", "price": 2})]
        assert (first, second) == (2, 3)
        assert store.items_after(second) == []

    def test_columns_that_a_later_row_does_not_tell_stay(self, store: Store) -> None:
        store.put_items([{"item_id": "a", "title": "Old", "price": 1}])
        store.put_items([{"item_id": "a", "price": 2}, {"item_id": "a", "stock": 3}])
        assert store.items_after(1) == [(2, {"item_id": "a", "title": "Old", "price": 2, "stock": 3})]

    def test_an_item_that_is_removed_leaves_a_tombstone_and_comes_back_afresh(self, store: Store) -> None:
        store.put_items([{"item_id": "a", "title": "Old", "price": 1}])
        assert [store.remove_item("a"), store.remove_item("a"), store.remove_item("b")] == [True, False, True]
        tombstones = store.items_after(1)
        assert [(seq, row["item_id"], is_removed(row)) for seq, row in tombstones] == [(2, "a", True), (3, "b", True)]
        store.put_items([{"item_id": "a", "price": 2}])
        assert store.items_after(3) == [(4, {"item_id": "a", "price": 2})]

    def test_the_last_of_two_rows_of_one_item_holds(self, store: Store) -> None:
        store.put_items([{"item_id": 7, "price": 1}, {"item_id": 7, "price": 2}])
        assert [row["price"] for _, row in store.items_after(0)] == [2]

    def test_a_row_that_is_no_json_is_refused(self, store: Store) -> None:
        for bad in ({"item_id": "a", "price": math.nan}, {"item_id": "a", "price": object()}, {"item_id": ""}):
            with pytest.raises(RowRefused):
                store.put_items([{"item_id": "b"}, bad])
        assert store.items_after(0) == []

    def test_whatever_json_can_say_comes_back(self, store: Store) -> None:
        said = {"item_id": "a", "x": [None, True, 0.1, 1e300, "\0\ud800ü", {"": []}]}
        store.put_items([said])
        assert store.items_after(0) == [(1, said)]

    def test_a_list_that_was_served_is_found_and_its_shadow_is_told_apart(self, store: Store) -> None:
        first = shown(propensities=[0.9, 0.1], moment=3, action="view")
        shadow = shown(model="new", shadow=True)
        store.log_served([shadow, first])
        store.log_served([first])
        assert store.served("r1") == first
        assert store.served("r2") is None
        assert [row for _, row in store.served_after(0)] == [shadow, first]
        assert store.served_after(2) == []

    def test_an_id_of_a_list_that_one_database_would_not_take_is_refused_by_both(self, store: Store) -> None:
        for bad in (shown(user_id="🎬" * 501), shown("🎬" * 501), shown(user_id="a\0b"), shown(user_id="\ud800")):
            with pytest.raises(RowRefused):
                store.log_served([bad])
        widest = "🎬" * 500
        store.log_served([shown(widest, widest)])
        assert [row.user_id for _, row in store.served_after(0)] == [widest]

    def test_models_change_as_a_whole_and_only_changed_rows_take_the_new_generation(self, store: Store) -> None:
        store.write_model_rows(lambda rows: [MODEL])
        second = dataclasses.replace(MODEL, name="m2", created=8)
        rows = store.write_model_rows(lambda rows: [*rows, second])
        assert [(row.name, row.generation) for row in rows] == [("m1", 1), ("m2", 2)]
        assert dataclasses.replace(rows[0], generation=0) == MODEL
        store.write_model_rows(lambda rows: [])
        assert (store.model_rows(), store.newest()["models"]) == ([], 3)

    def test_a_change_of_models_that_fails_changes_nothing(self, store: Store) -> None:
        store.write_model_rows(lambda rows: [MODEL])
        with pytest.raises(ZeroDivisionError):
            store.write_model_rows(lambda rows: rows[: 1 // 0])
        assert len(store.model_rows()) == 1
        assert store.newest()["models"] == 1

    def test_two_changes_of_models_at_once_both_count(self, url: str, store: Store) -> None:
        other = Store.open(url)
        store.write_model_rows(lambda rows: [MODEL])

        def heavier(each: Store) -> None:
            for _ in range(10):
                each.write_model_rows(lambda rows: [dataclasses.replace(rows[0], weight=rows[0].weight + 1)])

        threads = [threading.Thread(target=heavier, args=(each,)) for each in (store, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        other.close()
        assert store.model_rows()[0].weight == 21

    def test_keys_come_and_go(self, store: Store) -> None:
        row = KeyRow("k1", "hash", ["events", "admin"], 1, None)
        store.add_key(row)
        assert store.key_rows() == [row]
        with pytest.raises(StoreError):
            store.add_key(row)
        assert store.revoke_key("k1")
        assert not store.revoke_key("k1")
        assert store.key_rows() == []

    # -- people

    def test_an_erased_person_is_in_no_table(self, store: Store) -> None:
        store.append([event("gone"), event("gone"), event("stays")])
        store.log_served([shown("r1", "gone"), shown("r2", "stays"), shown("r3", None)])
        assert store.traces("gone") == {"events": 2, "served": 1}
        assert store.erase("gone") == {"events": 2, "served": 1}
        assert set(store.traces("gone").values()) == {0}
        assert store.history("stays", 5).items == ["i1"]
        assert [row.recommendation_id for _, row in store.served_after(0)] == ["r2", "r3"]

    def test_a_list_from_before_an_erasure_is_not_written_after_it(self, url: str, store: Store) -> None:
        """Another process may hold it still; one that is asked for later is a new one."""
        now = time.time_ns() // 1_000
        store.erase("gone")
        other = Store.open(url)
        other.log_served([shown("r1", "gone", received=now), shown("r2", "stays", received=now), shown("r3", None)])
        other.log_served([shown("r4", "gone", received=time.time_ns() // 1_000 + 1)])
        other.close()
        assert [row.recommendation_id for _, row in store.served_after(0)] == ["r2", "r3", "r4"]

    def test_erasures_are_told_by_hashes_that_only_those_who_know_the_person_read(self, store: Store) -> None:
        for user in ("gone", "other", "gone"):
            store.erase(user)
        told = store.erasures_after(0)
        assert [each.seq for each in told] == [2, 3] == [each.seq for each in store.erasures_after(1)]
        assert store.newest()["erased"] == 3
        assert "gone" not in str(told)
        assert tombstones.among(told, ["gone", "stays", "other"]) == {"gone", "other"}
        assert tombstones.among(told[:0], ["gone"]) == set()

    def test_erasures_are_kept_for_days_alone(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.erase("gone")
        monkeypatch.setattr(tombstones, "KEPT_S", -1)
        store.erase("other")
        assert len(store.erasures_after(0)) == 1

    def test_every_table_with_a_user_id_is_searched_and_erased(self, store: Store) -> None:
        named = {table.name for table in metadata.tables.values() if "user_id" in table.c}
        assert set(store.traces("u")) == set(store.erase("u")) == named

    # -- the store itself

    def test_a_store_outlives_its_process(self, url: str) -> None:
        writer = (
            "import sys; from segue.serving.store import Store, Event\n"
            "Store.open(sys.argv[1]).append([Event('e', 'u', 'i', 1)])"
        )
        subprocess.run([sys.executable, "-c", writer, url], check=True, timeout=60)
        store = Store.open(url)
        assert store.history("u", 1).items == ["i"]
        store.close()

    def test_processes_that_open_a_new_store_at_once_all_succeed(self, url: str) -> None:
        opener = "import sys; from segue.serving.store import Store; Store.open(sys.argv[1]).ping()"
        running = [subprocess.Popen([sys.executable, "-c", opener, url], stderr=subprocess.PIPE) for _ in range(3)]
        assert [process.communicate(timeout=60)[1] for process in running] == [b"", b"", b""]

    def test_a_store_made_at_once_and_one_made_step_by_step_are_those_of_the_code(self, store: Store, url: str) -> None:
        assert self.differences(store) == []
        began = self.begun(store)
        with store._writers.begin() as connection:
            metadata.drop_all(connection)
            connection.exec_driver_sql(f"DROP TABLE {migrating.VERSION_TABLE}")
            migrating._upgrade(connection, migrating.VERSIONS[-1])
        assert self.differences(store) == []
        assert self.begun(store) == began
        Store.open(url, migrate=False).close()

    def begun(self, store: Store) -> tuple[list[tuple[str, bool]], str]:
        """The marks of an empty store, the key's by whether there is one, and its version."""
        with store._readers.connect() as connection:
            rows = connection.execute(text("SELECT name, value FROM marks ORDER BY name")).all()
            version = connection.execute(text(f"SELECT version_num FROM {migrating.VERSION_TABLE}")).scalar_one()
        return [(name, value > 0) for name, value in rows], str(version)

    def test_the_comparison_of_tables_finds_a_missing_one(self, store: Store) -> None:
        extra = Table("forgotten_in_migrations", metadata)
        try:
            assert self.differences(store)
        finally:
            metadata.remove(extra)

    def differences(self, store: Store) -> list[object]:
        with store._readers.connect() as connection:
            options = {"version_table": migrating.VERSION_TABLE, "compare_type": True}
            return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    def test_a_store_of_the_first_version_is_brought_up_and_read(self, url: str) -> None:
        write_version_1(url)
        store = Store.open(url)
        assert [(e.seq, e.event_id, e.item_id, e.value) for e in store.events_after(0)] == EVENTS
        assert store.served("r").items == ["a"]  # type: ignore[union-attr]
        assert store.append([event()]).seq == 4
        assert self.differences(store) == []
        store.close()

    def test_a_store_of_a_later_version_is_refused_by_name(self, url: str, store: Store) -> None:
        self.execute(store, f"UPDATE {migrating.VERSION_TABLE} SET version_num = '9999'")
        with pytest.raises(StoreTooNew, match="9999"):
            Store.open(url)

    def test_an_empty_database_is_refused_where_it_may_not_be_migrated(self, url: str) -> None:
        with pytest.raises(StoreNotMigrated):
            Store.open(url, migrate=False)
        Store.open(url).close()
        Store.open(url, migrate=False).close()

    def test_what_is_no_store_yet_is_refused_where_none_may_be_made(self, url: str) -> None:
        for _ in range(2):  # the first has left nothing that the second could take for one
            with pytest.raises(StoreMissing, match="There is no store at"):
                Store.open(url, create=False)
        Store.open(url).close()
        Store.open(url, create=False).close()

    def test_a_database_of_others_is_refused_and_left_as_it_is(self, url: str, store: Store) -> None:
        self.execute(store, f"DROP TABLE {migrating.VERSION_TABLE}")
        self.execute(store, "DROP TABLE marks")
        with pytest.raises(StoreForeign):
            Store.open(url)
        with pytest.raises(StoreUnavailable):
            store.last_seq()

    def execute(self, store: Store, statement: str) -> None:
        with store._writers.begin() as connection:
            connection.execute(text(statement))
