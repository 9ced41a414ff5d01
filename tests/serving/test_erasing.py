"""A person is forgotten everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.service import Service
from segue.serving.settings import ServiceSettings

USER = "u3"


@pytest.fixture
def service(ease: segue.EASE, tmp_path: Path) -> Service:
    ease.save(tmp_path / "shop")
    settings = ServiceSettings.grouped({"store": {"url": f"sqlite:///{tmp_path}/events.db"}})
    return build(tmp_path / "shop", settings)


def test_nothing_is_left_of_a_person(service: Service, tmp_path: Path) -> None:
    with TestClient(create_app(service), "http://localhost") as client:
        assert client.post("/v1/events", json={"user_id": USER, "item_id": "i4"}).status_code == 201
        before = client.get(f"/v1/recommend/{USER}").json()
        answer = client.delete(f"/v1/users/{USER}").json()
        after = client.get(f"/v1/recommend/{USER}").json()
        again = client.delete("/v1/users/nobody").json()
        other = client.get("/v1/recommend/u4").json()
    assert not before["cold"]
    assert (answer["removed"]["events"], answer["removed"]["served"], answer["artefacts"]) == (1, 1, 1)
    assert set(answer["traces"].values()) == {0}
    assert after["cold"]
    assert not other["cold"]
    assert (sum(again["removed"].values()), again["artefacts"]) == (0, 0)
    # The list of the last question about them is the only row; it came after the erasure.
    loaded = segue.load(tmp_path / "shop")
    assert not loaded.user_vocabulary.code_of(USER)
    assert loaded.user_vocabulary.code_of("u4")


def test_a_list_that_waits_does_not_bring_the_name_back(service: Service) -> None:
    with TestClient(create_app(service), "http://localhost") as client:
        for _ in range(5):
            client.get(f"/v1/recommend/{USER}")
            assert client.delete(f"/v1/users/{USER}").json()["removed"]["served"] == 1
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(service.answers.journal, "flush", lambda: None)
            client.get(f"/v1/recommend/{USER}")
            assert client.delete(f"/v1/users/{USER}").json()["removed"]["served"] == 0
