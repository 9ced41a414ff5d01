"""Ranked lists and sequences over HTTP."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

import segue


def test_a_user_is_answered_by_what_the_log_knows(client: TestClient, ease: segue.EASE) -> None:
    answer = client.get("/v1/recommend/u3", params={"k": 5}).json()
    expected = ease.recommend(["u3"], k=5)
    assert [item["item_id"] for item in answer["items"]] == expected["item_id"].to_list()
    assert [item["score"] for item in answer["items"]] == pytest.approx(expected["score"].to_list())
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    assert answer["model"] == "model-1"
    assert answer["user_id"] == "u3"
    assert answer["items"][0]["title"].startswith("Film number")
    assert not answer["cold"]


def test_anyone_is_answered_by_a_history_in_the_body(client: TestClient, ease: segue.EASE) -> None:
    answer = client.post("/v1/recommend", json={"history": ["i1", "i2"], "k": 4}).json()
    assert [item["item_id"] for item in answer["items"]] == ease.recommend(histories=[["i1", "i2"]], k=4)[
        "item_id"
    ].to_list()
    assert answer["history_length"] == 2
    assert answer["user_id"] is None


def test_an_event_counts_in_the_next_answer(client: TestClient) -> None:
    before = client.get("/v1/recommend/somebody-new").json()
    told = client.post("/v1/events", json={"event_id": "e1", "user_id": "somebody-new", "item_id": "i4"})
    after = client.get("/v1/recommend/somebody-new").json()
    assert before["cold"]
    assert told.status_code == 201
    assert after["history_length"] == 1
    assert not after["cold"]
