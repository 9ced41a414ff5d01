"""Ranked lists and sequences over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.app import create_app
from segue.serving.service import Service
from tests.serving.fakes import FakeServed, service_of


def ids(answer: dict[str, Any]) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]


def test_a_user_is_answered_by_what_the_log_knows(client: TestClient, ease: segue.EASE) -> None:
    answer = client.get("/v1/recommend/u3", params={"k": 5}).json()
    expected = ease.recommend(["u3"], k=5)
    assert ids(answer) == expected["item_id"].to_list()
    assert [item["score"] for item in answer["items"]] == pytest.approx(expected["score"].to_list())
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    assert (answer["model"], answer["user_id"], answer["cold"]) == ("model-1", "u3", False)
    assert answer["items"][0]["title"].startswith("Film number")
    assert set(answer["items"][0]) == {"item_id", "title", "score", "rank"}


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["ease", "habits"])
def test_the_library_and_the_service_answer_alike(request: pytest.FixtureRequest, name: str, diversity: float) -> None:
    model = request.getfixturevalue(name)  # with item vectors, and with categories alone
    options: dict[str, Any] = {
        "at": "2020-11-01T00:00:00Z",
        "exclude": ["i1", "i7"],
        "diversity": diversity,
        "exclude_seen": True,
    }
    body = {**options, "user_id": "u3", "filters": {"exclude": options["exclude"]}}
    del body["exclude"]
    with TestClient(create_app(service_of(model)), "http://localhost") as client:
        for n in (4, 100):
            listed = client.post("/v1/recommend", json={**body, "k": n}).json()
            generated = client.post("/v1/generate", json={**body, "n": n}).json()
            expected = model.recommend(["u3"], n, **options), model.generate(["u3"], n, **options)
            for answer, frame in zip((listed, generated), expected, strict=True):
                assert ids(answer) == frame["item_id"].to_list()
                assert [item["score"] for item in answer["items"]] == pytest.approx(frame["score"].to_list())


def test_a_user_in_the_body_is_the_user_in_the_path(client: TestClient) -> None:
    by_path = client.get("/v1/recommend/u3", params={"explain": True, "at": 1_600_500_000, "diversity": 0.4}).json()
    in_body = {"user_id": "u3", "explain": True, "at": "2020-09-19T07:20:00Z", "diversity": 0.4}
    by_body = client.post("/v1/recommend", json=in_body).json()
    assert by_path.pop("recommendation_id") != by_body.pop("recommendation_id")
    assert by_path == by_body
    assert by_path["at"] == "2020-09-19T07:20:00Z"
    assert by_path["items"][0]["reasons"][0].keys() == {
        "text", "because", "title", "drop", "kind", "contributions"
    }  # fmt: skip


def test_anyone_is_answered_by_a_history_in_the_body(client: TestClient, ease: segue.EASE) -> None:
    answer = client.post("/v1/recommend", json={"history": ["i1", "i2", "none"], "k": 4}).json()
    assert ids(answer) == ease.recommend(histories=[["i1", "i2"]], k=4)["item_id"].to_list()
    assert (answer["history_length"], answer["unknown_items"], answer["user_id"]) == (2, 1, None)


def test_a_history_may_come_as_events(client: TestClient) -> None:
    events = [
        {"item_id": "i2", "timestamp": "2022-01-01", "action": "purchase", "value": 3},
        {"item_id": "i1", "timestamp": 1_600_000_000.5},
    ]
    answer = client.post("/v1/recommend", json={"history": events, "at": "2021-01-01", "k": 3})
    assert answer.status_code == 200
    assert answer.json()["history_length"] == 1


def test_a_half_timed_history_is_refused(client: TestClient) -> None:
    events = [{"item_id": "i2", "timestamp": 1_600_000_000}, {"item_id": "i1"}]
    answer = client.post("/v1/recommend", json={"history": events})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "V006")


def test_nothing_known_gets_what_suits_it(client: TestClient) -> None:
    for answer in (client.post("/v1/recommend", json={}), client.get("/v1/recommend/nobody")):
        assert answer.json()["cold"]
        assert len(answer.json()["items"]) == 10


def test_an_event_counts_in_the_next_answer(client: TestClient) -> None:
    before = client.get("/v1/recommend/somebody-new").json()
    told = client.post("/v1/events", json={"event_id": "e1", "user_id": "somebody-new", "item_id": "i4"})
    after = client.get("/v1/recommend/somebody-new").json()
    assert before["cold"]
    assert told.status_code == 201
    assert after["history_length"] == 1
    assert not after["cold"]


@pytest.mark.parametrize(
    ("filters", "allowed"),
    [
        ({"categories": ["drama"]}, lambda n: n % 3 == 0),
        ({"categories": ["DRAMA", "crime"]}, lambda n: n % 3 in (0, 2)),
        ({"categories": ["drama"], "price_max": 12}, lambda n: n % 3 == 0 and n % 7 and n <= 12),
        ({"price_min": 5, "price_max": 9}, lambda n: n in (5, 6, 8, 9)),
        ({"in_stock": True}, lambda n: n % 4 > 0),
        ({"in_stock": False}, lambda n: n % 4 == 0),
        ({"exclude": ["i1", "i2", "unheard of"]}, lambda n: n not in (1, 2)),
        ({"categories": ["none such"]}, lambda n: False),
    ],
)
def test_filters_leave_what_passes_all_of_them(client: TestClient, filters: dict[str, Any], allowed: Any) -> None:
    answer = client.post("/v1/recommend", json={"filters": filters, "k": 100, "exclude_seen": False}).json()
    assert sorted(ids(answer)) == sorted(f"i{n}" for n in range(42) if allowed(n))


def test_a_filter_on_a_column_that_is_not_there_is_refused(data: segue.Dataset, service: Service) -> None:
    service.models.active = [FakeServed("films", segue.Popular().fit(data))]
    with TestClient(create_app(service), "http://localhost") as client:
        for filters in ({"price_max": 3}, {"in_stock": True}):
            answer = client.post("/v1/recommend", json={"filters": filters})
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "V004")
            assert "item_id, title, categories" in answer.json()["error"]["message"]
        assert client.post("/v1/recommend", json={"filters": {"categories": ["drama"]}}).status_code == 200


def test_a_sequence_has_the_items_asked_for(client: TestClient) -> None:
    answer = client.post("/v1/generate", json={"history": ["i1"], "n": 7, "diversity": 0.5, "explain": True}).json()
    assert len(set(ids(answer))) == 7
    assert [item["rank"] for item in answer["items"]] == list(range(1, 8))
    assert all(item["reasons"] for item in answer["items"])


def test_ids_may_be_numbers(shop: segue.Dataset, service: Service) -> None:
    import polars as pl

    log = pl.DataFrame(
        {"user_id": [1, 1, 2], "item_id": [10, 20, 10], "timestamp": [1_600_000_000 + n for n in range(3)]}
    )
    service.models.active = [FakeServed("numbers", segue.Popular().fit(segue.Dataset.from_frames(log)))]
    with TestClient(create_app(service), "http://localhost") as client:
        answer = client.post("/v1/recommend", json={"history": [10, "20"], "exclude_seen": False}).json()
        known = client.get("/v1/recommend/1").json()
    assert ids(answer) == [10, 20]
    assert (answer["history_length"], known["history_length"]) == (2, 2)


def test_the_first_hundred_items_are_explained_and_a_longer_list_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.serving.answers.answers.EXPLAINED", 3)
    body = {"history": ["i1", "i2"], "k": 5, "explain": True}
    answer = client.post("/v1/recommend", json=body).json()
    assert answer["explained"] == 3
    assert ["reasons" in each for each in answer["items"]] == [True] * 3 + [False] * 2
    assert "explained" not in client.post("/v1/recommend", json={**body, "k": 3}).json()
    assert "explained" not in client.post("/v1/recommend", json={**body, "explain": False}).json()
