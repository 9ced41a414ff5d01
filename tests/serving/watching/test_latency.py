"""Seconds by route template: unknown paths share one label, refusals are counted, the last minute is told apart."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.testclient import TestClient

from segue.serving.watching.latency import LastMinute, Latency
from segue.serving.watching.metrics import OTHER, Metrics

from .test_metrics import samples


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> TestClient:
    router = APIRouter(prefix="/v1")

    @router.get("/items/{item_id}/similar")
    def similar(item_id: str) -> str:
        if item_id == "slow":
            raise HTTPException(504)
        if item_id == "busy":
            raise HTTPException(429)
        if item_id == "broken":
            raise RuntimeError
        assert metrics.in_flight == 1
        return item_id

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(Latency, metrics=metrics)
    return TestClient(app, raise_server_exceptions=False)


def count(metrics: Metrics, *labels: str) -> float:
    return samples(metrics).get(("segue_request_seconds_count", labels), 0)


def test_requests_are_counted_by_template_and_status(client: TestClient, metrics: Metrics) -> None:
    for item in ("a", "b", "slow", "busy", "broken"):
        client.get(f"/v1/items/{item}/similar")
    template = "/v1/items/{item_id}/similar"
    assert [count(metrics, template, status) for status in ("200", "504", "429", "500")] == [2, 1, 1, 1]
    now = samples(metrics)
    assert now["segue_refused_total", ()] == now["segue_deadline_passed_total", ()] == 1
    assert metrics.in_flight == 0


def test_unknown_paths_share_one_label(client: TestClient, metrics: Metrics) -> None:
    for number in range(50):
        client.get(f"/nothing/{number}")
    assert count(metrics, OTHER, "404") == 50
    assert sum(name == "segue_request_seconds_count" for name, _ in samples(metrics)) == 1


def test_statuses_without_end_share_one_label(metrics: Metrics) -> None:
    latency = Latency(None, metrics)  # type: ignore[arg-type]
    series = {id(latency._of("/v1/x", status)) for status in range(2000)}
    assert len(series) == 513


def test_a_client_that_leaves_is_told_apart_and_no_longer_in_flight(metrics: Metrics) -> None:
    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(10)

    async def leave() -> None:
        task = asyncio.create_task(Latency(waits, metrics)({"type": "http"}, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert metrics.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert count(metrics, OTHER, "499") == 1
    assert metrics.in_flight == 0


def test_what_is_no_request_passes(metrics: Metrics) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(Latency(app, metrics)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]
    assert not any(name.startswith("segue_request_seconds") for name, _ in samples(metrics))


def test_the_last_minute_forgets_what_is_older(metrics: Metrics) -> None:
    minute = LastMinute(metrics)
    assert minute.read(0.0).requests == 0
    fast, slow = metrics.requests.labels("/v1/recommend", "200"), metrics.requests.labels("/v1/generate", "503")
    for _ in range(98):
        fast.observe(0.004)
    for _ in range(2):
        slow.observe(0.4)
    metrics.requests.labels("/ui", "200").observe(9)
    metrics.requests.labels("/v1/users/{user_id:path}", "200").observe(9)  # an erasure may take its time
    metrics.requests.labels(OTHER, "404").observe(9)
    now = minute.read(5.0)
    assert (now.requests, now.errors, now.refused) == (100, 0.02, 0.0)
    assert now.p99 == pytest.approx(0.375)  # half of the way through the bucket from 0.25 to 0.5
    for second in range(10, 66, 5):
        minute.read(float(second))
    assert minute.read(70.0).requests == 0
    assert minute.read(70.0).p99 is None
    metrics.requests.labels(OTHER, "429").observe(0.001)
    refused = minute.read(75.0)
    assert (refused.requests, refused.refused) == (1, 1.0)


def test_a_request_slower_than_every_bucket_is_given_the_last_bound(metrics: Metrics) -> None:
    minute = LastMinute(metrics)
    metrics.requests.labels("/v1/recommend", "200").observe(100)
    assert minute.read(0.0).p99 == 10


def test_a_request_pays_less_than_30_microseconds(metrics: Metrics) -> None:
    async def empty(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def nobody(message: Any) -> None:
        pass

    async def seconds(app: Any) -> float:
        began = time.perf_counter()
        for _ in range(1000):
            await app({"type": "http"}, None, nobody)
        return time.perf_counter() - began

    measured = Latency(empty, metrics)
    cost = min(asyncio.run(seconds(measured)) - asyncio.run(seconds(empty)) for _ in range(7))
    assert cost / 1000 < 30e-6
