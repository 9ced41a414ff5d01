"""A client of an application around a service that lives in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.app import create_app
from segue.serving.service import Service
from tests.serving.fakes import service_of


@pytest.fixture
def service(ease: segue.EASE) -> Service:
    return service_of(ease)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), "http://localhost", raise_server_exceptions=False) as client:
        yield client
