"""Admission: who is refused at the head of a request, fairness between keys, heavy requests, limits of a key."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from segue.errors import Busy, KeyBusy, KeyTooFast
from segue.serving.guard.admission import Admission
from segue.serving.guard.gate import Gate
from segue.serving.guard.keys import Keys
from tests.serving.guard.shop import KeysInMemory, client, guarded
from tests.serving.guard.test_gate import Latch, in_loop, until

HEAD = b"/v1/recommend", [(b"host", b"127.0.0.1")]


def admission_of(gate: Gate, **limits: Any) -> tuple[Admission, str, str]:
    """An admission with one key; its id and its secret."""
    keys = Keys(KeysInMemory())
    secret = keys.create(["recommend"], **limits)
    return Admission(gate, keys), secret.split("_")[1], secret


@in_loop
async def test_a_full_gate_refuses_at_the_head_with_the_coded_problem_and_health_passes() -> None:
    gate, latch = Gate(capacity=1, queue=1, deadline_seconds=20), Latch()
    admission, _, _ = admission_of(gate)
    assert admission.refusal(*HEAD) is None
    held = [asyncio.create_task(gate.run(latch)) for _ in range(2)]
    await latch.wait_begun(1)
    head, _, body = (admission.refusal(*HEAD) or b"").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: " in head
    assert b"\r\nx-request-id: " in head
    assert f"content-length: {len(body)}".encode() in head
    assert b'"code": "V040"' in body
    assert admission.refusal(b"/healthz", []) is None
    assert admission.refusal(b"/v1/events", []) is None
    latch.open.set()
    await asyncio.gather(*held)
    assert admission.refusal(*HEAD) is None
    gate.close()


@in_loop
async def test_one_free_place_lets_one_head_pass_and_not_all_that_are_parsed_before_it_is_taken() -> None:
    gate = Gate(capacity=1, queue=2)
    admission, _, _ = admission_of(gate)
    passed = 0
    for _ in range(50):
        if admission.refusal(*HEAD) is None:
            passed += admission.reserve(HEAD[0])
    assert passed == 3
    admission.release()
    assert admission.refusal(*HEAD) is None
    gate.close()


def served_in_turn(gate: Gate, waiting: list[tuple[str, float]]) -> list[str]:
    """In which order the jobs of some keys are computed by one worker."""
    order: list[str] = []

    async def run() -> None:
        latch = Latch()
        first = asyncio.create_task(gate.run(latch))
        await latch.wait_begun(1)
        jobs = []
        for key, cost in waiting:
            jobs.append(asyncio.create_task(gate.run(partial(order.append, key), cost_ms=cost, key=key)))
        await until(lambda: gate.stats().waiting == len(waiting))
        latch.open.set()
        await asyncio.gather(first, *jobs)
        gate.close()

    asyncio.run(run())
    return order


FLOOD = [("heavy", 20.0)] * 12 + [("light", 1.0)] * 3


def test_a_key_that_floods_the_queue_waits_for_itself_and_not_the_other_key_for_it() -> None:
    order = served_in_turn(Gate(capacity=1, deadline_seconds=20), FLOOD)
    assert order[:4].count("light") == 3


def test_its_twin_serves_who_came_first() -> None:
    order = served_in_turn(Gate(capacity=1, deadline_seconds=20), [("", cost) for _, cost in FLOOD])
    assert len(order) == 15
    one_flow = served_in_turn(Gate(capacity=1, deadline_seconds=20), [("heavy", 20.0)] * 12 + [("heavy", 1.0)] * 3)
    assert one_flow == ["heavy"] * 15


@in_loop
async def test_heavy_requests_never_take_the_last_worker() -> None:
    gate, latch = Gate(capacity=2, queue=10, deadline_seconds=20), Latch()
    heavy = [asyncio.create_task(gate.run(latch, cost_ms=50, key="a")) for _ in range(3)]
    await latch.wait_begun(1)
    assert await asyncio.wait_for(gate.run(lambda: "light", cost_ms=1, key="b"), 10) == "light"
    assert gate.stats().running == 1
    assert gate.stats().waiting == 2
    latch.open.set()
    assert await asyncio.gather(*heavy) == ["answered"] * 3
    gate.close()


@in_loop
async def test_its_twin_without_a_class_of_heavy_requests_leaves_no_worker() -> None:
    gate, latch = Gate(capacity=2, queue=10, deadline_seconds=20, heavy_ms=1e9), Latch()
    heavy = [asyncio.create_task(gate.run(latch, cost_ms=50, key="a")) for _ in range(3)]
    await latch.wait_begun(2)
    light = asyncio.create_task(gate.run(lambda: "light", cost_ms=1, key="b"))
    await asyncio.sleep(0.05)
    assert not light.done()
    latch.open.set()
    await asyncio.gather(*heavy, light)
    gate.close()


@in_loop
async def test_work_that_would_wait_past_its_deadline_is_refused_at_once() -> None:
    gate, latch = Gate(capacity=2, queue=60, deadline_seconds=1.0), Latch()
    held = [asyncio.create_task(gate.run(latch, cost_ms=400, key="a")) for _ in range(2)]
    await latch.wait_begun(1)
    with pytest.raises(Busy, match=r"0\.8 s of such requests ahead"):
        await gate.run(latch, cost_ms=400, key="a")
    assert await gate.run(lambda: 1, cost_ms=1, key="a") == 1
    latch.open.set()
    await asyncio.gather(*held)
    gate.close()


@in_loop
async def test_estimates_follow_what_calls_take() -> None:
    gate, turn = Gate(capacity=1, deadline_seconds=20), threading.Event()
    for _ in range(60):
        await gate.run(lambda: turn.wait(0.004), cost_ms=1)
    assert 3 < gate._scale < 12
    gate.close()


def test_a_key_has_at_most_its_requests_in_flight_and_without_a_limit_three_quarters_of_the_places() -> None:
    admission, key, secret = admission_of(Gate(capacity=2, queue=6), concurrency=2)
    admission.enter(key)
    admission.enter(key)
    with pytest.raises(KeyBusy) as refused:
        admission.enter(key)
    assert (refused.value.code, refused.value.status) == ("V110", 429)
    for name, value in ((b"x-api-key", secret), (b"authorization", f"Bearer {secret}")):
        asyncio.run(refused_at_head(admission, [(name, value.encode())]))
    admission.leave(key)
    admission.enter(key)
    assert admission.refusal(b"/v1/recommend", []) is None

    admission, key, _ = admission_of(Gate(capacity=2, queue=6))
    for _ in range(6):
        admission.enter(key)
    with pytest.raises(KeyBusy):
        admission.enter(key)


async def refused_at_head(admission: Admission, headers: list[tuple[bytes, bytes]]) -> None:
    refusal = admission.refusal(b"/v1/recommend", headers)
    assert refusal is not None
    assert b'"V110"' in refusal
    assert admission.refusal(b"/healthz", headers) is None


def test_a_key_sends_no_more_than_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("segue.serving.guard.admission.time.monotonic", lambda: clock[0])
    admission, key, _ = admission_of(Gate(), rate=5.0)

    refused: list[KeyTooFast] = []

    def sent(seconds: float) -> int:
        passed, end = 0, clock[0] + seconds
        while clock[0] < end:
            try:
                admission.enter(key)
            except KeyTooFast as error:
                refused.append(error)
            else:
                admission.leave(key)
                passed += 1
            clock[0] += 0.01
        return passed

    assert 10 <= sent(1.0) <= 16  # what two seconds gather, and those of this one
    assert 49 <= sent(10.0) <= 51
    assert {error.code for error in refused} == {"V111"}
    assert min(int(error.headers["Retry-After"]) for error in refused) >= 1


@in_loop
async def test_a_key_at_its_limit_is_refused_before_its_body_is_read_and_other_keys_are_not() -> None:
    store = KeysInMemory()
    keys = Keys(store)
    slow, other = keys.create(["admin"], rate=0.01), keys.create(["admin"])
    app = guarded(keys, admission=Admission(Gate(), keys))
    async with client(app) as asking:

        async def ask(secret: str) -> int:
            return (await asking.post("/v1/events", content=b"x", headers={"x-api-key": secret})).status_code

        assert [await ask(slow) for _ in range(3)] == [200, 429, 429]
        assert await ask(other) == 200
        changed = replace(store.rows[slow.split("_")[1]], rate=None)
        store.rows[changed.key_id] = changed
        keys.refresh()
        assert await ask(slow) == 200


def test_rotation_keeps_the_limits_of_a_key() -> None:
    keys = Keys(KeysInMemory())
    old = keys.create(["events"], rate=2.5, concurrency=7)
    new = keys.row(keys.rotate(old.split("_")[1]).split("_")[1])
    assert new is not None
    assert (new.rate, new.concurrency) == (2.5, 7)
