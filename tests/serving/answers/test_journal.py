"""Lists go to the log behind the requests' back, whatever becomes of the log meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence

from segue.serving.answers.journal import Journal
from segue.serving.store.rows import ServedList


def test_a_sink_that_fails_in_any_way_is_given_the_lists_again() -> None:
    taken: list[str] = []
    calls: list[int] = []

    def sink(lists: Sequence[ServedList]) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("not ours")
        taken.extend(each.recommendation_id for each in lists)

    journal = Journal(sink)
    journal.start()
    try:
        for name in ("a", "b"):
            journal.note(ServedList(name, None, "shop", False, None, 0, None, ["i1"], [1.0]))
        end = time.monotonic() + 10
        while not taken and time.monotonic() < end:
            time.sleep(0.02)
        assert taken == ["a", "b"]
    finally:
        journal.stop()
    assert journal.lost == 0
