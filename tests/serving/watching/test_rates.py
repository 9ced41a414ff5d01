"""Rates: each item of a list counts once in each role, whatever the order and however often events come."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.errors import ConfigValue
from segue.serving.store.rows import Event, ServedList, StoredEvent
from segue.serving.store.store import Store
from segue.serving.watching.rates import FeedbackConfig, Rates
from segue.serving.watching.replay import Replay

from .makers import HOUR, NOW, Clock, event, shown


def rates(clock: Clock | None = None, **config: Any) -> Rates:
    return Rates(FeedbackConfig.parse(config), clock or Clock())


def counts(of: Rates, *by: Any) -> list[tuple[Any, ...]]:
    return [(r.model, r.position, r.start, r.impressions, r.clicks, r.conversions) for r in of.table(by)]


def nothing(name: str) -> None:
    return None


def test_events_on_a_list_count_for_its_model_and_position() -> None:
    of = rates()
    of.listed([shown("1"), shown("2", model="b")])
    of.took(
        [event("1", "x", "impression"), event("1", "y", "impression"), event("1", "y"), event("2", "z", "purchase")]
    )
    assert counts(of, "model") == [("a", None, None, 2, 1, 0), ("b", None, None, 1, 0, 1)]
    assert counts(of, "model", "position") == [
        ("a", 1, None, 1, 0, 0),
        ("a", 2, None, 1, 1, 0),
        ("b", 3, None, 1, 0, 1),
    ]
    assert counts(of) == [(None, None, None, 3, 1, 1)]


def test_an_item_of_a_list_counts_once_in_each_role() -> None:
    of = rates()
    of.listed([shown("1")])
    for _ in range(3):
        of.took([event("1", "x", "impression"), event("1", "x", "click"), event("1", "x", "view")])
    assert counts(of) == [(None, None, None, 1, 1, 0)]


def test_what_was_clicked_or_bought_was_seen() -> None:
    of = rates()
    of.listed([shown("1")])
    of.took([event("1", "x", "purchase"), event("1", "y", "click"), event("1", "y", "impression")])
    assert counts(of) == [(None, None, None, 2, 1, 1)]


def test_events_without_a_list_a_role_or_a_place_on_it_do_not_count() -> None:
    of = rates()
    of.listed([shown("1"), shown("3", shadow=True)])
    of.took([event(None, "x"), event("1", "x", "rate"), event("1", "x", None), event("1", "elsewhere")])
    of.took([event("3", "x")])
    of.settle(nothing)
    assert counts(of) == []


def test_hours_and_days_are_those_in_which_the_list_was_shown() -> None:
    clock = Clock()
    of = rates(clock)
    hour = int(NOW * 1e6)
    of.listed([shown("1"), shown("2", at=NOW - 3600)])
    clock.now += 7200
    of.took([event("1", "x", at=clock.now), event("2", "x", at=clock.now)])
    assert [row[2:5] for row in counts(of, "hour")] == [(hour - HOUR, 1, 1), (hour, 1, 1)]
    assert [row[2:5] for row in counts(of, "day")] == [(hour // (24 * HOUR) * 24 * HOUR, 2, 2)]
    assert [row.clicks for row in of.table((), since=hour)] == [1]
    assert [row.clicks for row in of.table((), until=hour - 1)] == [1]


def test_hours_beyond_those_kept_are_forgotten() -> None:
    clock = Clock()
    of = rates(clock, hours=2)
    of.listed([shown("1")])
    of.took([event("1", "x")])
    clock.now += 3600
    assert counts(of)[0][4] == 1
    clock.now += 3600
    assert counts(of) == []
    of.took([event("1", "y")])
    assert (counts(of), of.unknown, of._cells) == ([], 1, {})
    assert of.totals("clicks") == {("a",): 1.0}


def test_positions_beyond_those_told_apart_count_as_the_last() -> None:
    of = rates(positions=2)
    of.listed([shown("1", items="abcdef")])
    of.took([event("1", item) for item in "abcdef"])
    assert [row[1:5:3] for row in counts(of, "position")] == [(1, 1), (2, 5)]


def test_where_nobody_sends_impressions_the_lists_are_them() -> None:
    of = rates(served_as_impressions=True)
    of.listed([shown("1"), shown("2"), shown("3", shadow=True)])
    of.took([event("1", "x"), event("1", "x", "impression")])
    assert counts(of, "position") == [(None, 1, None, 2, 1, 0), (None, 2, None, 2, 0, 0), (None, 3, None, 2, 0, 0)]


def test_an_event_waits_for_its_list_and_is_given_up_in_the_end() -> None:
    clock = Clock()
    of = rates(clock)
    of.took([event("late", "x"), event("never", "x")])
    of.settle(nothing)
    assert counts(of) == []
    of.settle(lambda name: shown("late") if name == "late" else None)
    assert counts(of)[0][4] == 1
    clock.now += 61
    of.settle(nothing)
    assert (of.unknown, len(of._waiting)) == (1, 0)


def test_what_waits_goes_on_waiting_while_the_store_is_away() -> None:
    of = rates()

    def away(name: str) -> None:
        raise OSError

    of.took([event("1", "x")])
    with pytest.raises(OSError):
        of.settle(away)
    of.settle(lambda name: shown(name))
    assert counts(of)[0][4] == 1


def test_memory_is_bounded_and_nothing_counts_twice_for_it() -> None:
    of = rates(lists=100, recent_lists=100, waiting=100)
    lists = [shown(f"l{n}", at=NOW + n / 1000) for n in range(1000)]
    for each in lists:
        of.listed([each])
        of.took([event(each.recommendation_id, "x")])
    assert len(of._shown) <= 100
    assert len(of._counted) <= 101
    assert counts(of)[0][4] == 1000
    by_name = {each.recommendation_id: each for each in lists}
    for each in lists:
        of.took([event(each.recommendation_id, "x")])
        of.settle(by_name.get)
    assert counts(of)[0][4] == 1000
    of.took([event(f"bogus {n}", "x") for n in range(1000)])
    assert len(of._waiting) == 100
    for n in range(200):
        of.listed([shown(f"m{n}", model=f"m{n}")])
        of.took([event(f"m{n}", "x")])
    assert len(of.table()) <= 65


def test_two_models_are_compared() -> None:
    of = rates()
    of.listed([shown(f"a{n}") for n in range(300)] + [shown(f"b{n}", model="b") for n in range(300)])
    of.took([event(f"{m}{n}", "x", "impression") for n in range(300) for m in "ab"])
    of.took([event(f"a{n}", "x") for n in range(30)] + [event(f"b{n}", "x") for n in range(90)])
    found = of.compare("a", "b")
    assert found is not None
    assert (found.first, found.second) == (0.1, 0.3)
    assert 0.1 < found.low < 0.2 < found.high < 0.3
    assert found.p < 1e-6
    assert of.compare("a", "c") is None
    row = of.table()[0]
    assert row.click_rate == 0.1
    assert row.click_interval[0] < 0.1 < row.click_interval[1]
    assert row.conversion_rate == 0
    assert row.conversion_interval[0] == 0


def test_a_drop_of_the_click_rate_is_told_where_it_is_no_chance() -> None:
    clock = Clock()
    of = rates(clock, recent_hours=2)

    def hours(count: int, clicks: int) -> None:
        for _ in range(count):
            names = [f"{clock.now}-{n}" for n in range(200)]
            of.listed([shown(name, at=clock.now) for name in names])
            of.took([event(name, "x", "impression", at=clock.now) for name in names])
            of.took([event(name, "x", at=clock.now) for name in names[:clicks]])
            clock.now += 3600

    hours(6, 40)
    assert of.click_rate_drops() == {}
    hours(2, 37)
    assert of.click_rate_drops() == {}  # fewer, but by chance
    hours(2, 10)
    clock.now -= 3600
    assert of.click_rate_drops()["a"] == pytest.approx(0.75, abs=0.03)


def test_an_action_has_one_role() -> None:
    with pytest.raises(ConfigValue, match="two roles"):
        FeedbackConfig.parse({"click": ["view", "purchase"]})


ACTIONS = st.sampled_from(["impression", "click", "view", "purchase", "rate", None])
TOLD = st.lists(st.tuples(st.sampled_from(["0", "1", "2", "3", "bogus", None]), st.sampled_from("wxyz"), ACTIONS))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TOLD, st.lists(st.integers(0, 30)), st.booleans(), st.integers(0, 3))
def test_a_replay_of_the_store_gives_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory, told: list[Any], cuts: list[int], served: bool, early: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = Store.open(f"sqlite:///{folder / 'events.db'}")
    try:
        _same_numbers(store, told, cuts, served, early)
    finally:
        store.close()


def _same_numbers(store: Store, told: list[Any], cuts: list[int], served: bool, early: int) -> None:
    """Events in batches, each list logged before or after the events on it, each batch told live; then read again."""
    config = FeedbackConfig(served_as_impressions=served)
    live = Rates(config)
    follow = Replay(store, live)
    follow.rebuild()
    lists = [shown(str(n), model="ab"[n % 2], at=time.time(), shadow=n == 3) for n in range(4)]
    store.log_served(lists[:early])
    batches = [told[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(told)], strict=True)]
    seq = 0
    for number, batch in enumerate(batches):
        events = [Event(f"{number}-{n}", "u", i, 1, a, None, r) for n, (r, i, a) in enumerate(batch)]
        store.append(events)
        new: list[StoredEvent] = store.events_after(seq)
        live.took(new)
        live.took(new)  # a follower may tell twice
        seq = new[-1].seq if new else seq
        follow.step()
    store.log_served(lists[early:])
    follow.step()
    again = Rates(config)
    Replay(store, again).rebuild()
    by = ("model", "position", "hour")
    assert again.table(by) == live.table(by)
    assert again.totals("clicks") == live.totals("clicks")


def test_a_replay_reads_only_the_hours_that_are_kept() -> None:
    clock = Clock()

    class Kept:
        """A store of 100,000 events, one each second, that counts what is read."""

        read = 0

        def newest(self) -> dict[str, int]:
            return {"events": 100_000, "served": 100_000}

        def events_after(self, seq: int, limit: int) -> list[StoredEvent]:
            rows = [event(str(n), "x", seq=n, at=NOW - 100_000 + n) for n in self._after(seq, limit)]
            return rows

        def served_after(self, seq: int, limit: int) -> list[tuple[int, ServedList]]:
            return [(n, shown(str(n), at=NOW - 100_000 + n)) for n in self._after(seq, limit)]

        def served(self, name: str) -> None:
            raise AssertionError("it was read just before")

        def _after(self, seq: int, limit: int) -> range:
            rows = range(seq + 1, min(seq + limit, 100_000) + 1)
            self.read += len(rows)
            return rows

    store = Kept()
    of = Rates(FeedbackConfig(hours=2), clock)
    replay = Replay(store, of)
    while not replay.done:
        replay.rebuild(seconds=0.0)
    assert counts(of) == [(None, None, None, 3601, 3601, 0)]
    assert store.read < 12_000
