"""The webhook: JSON arrives, failures are tried again, redirects are not followed, the address stays secret."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from segue.errors import WebhookRefused
from segue.serving.watching import webhook
from segue.serving.watching.alerts import Alerts, AlertsConfig
from segue.serving.watching.webhook import Webhook


class Receiver:
    """A server on this machine that answers with statuses in turn, the last one for ever."""

    def __init__(self) -> None:
        self.statuses, self.got = [200], []  # type: list[int], list[tuple[str, Any]]
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
                receiver.hold.wait(5)
                receiver.got.append((self.path, body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/S3CRET"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.hold.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def told_of(url: str, documents: int, **options: Any) -> list[str]:
    """What became of some documents."""
    outcomes: list[str] = []
    sender = Webhook(url, told=outcomes.append, **{"pause": 0.01, **options})
    for number in range(documents):
        sender.send({"number": number})
    sender.close(5)
    return outcomes


def test_alerts_arrive_as_json(receiver: Receiver) -> None:
    outcomes: list[str] = []
    alerts = Alerts(AlertsConfig.parse({"webhook": receiver.url}), told=outcomes.append, wall=lambda: 0.0)
    alerts.raise_alert("model_refused", "shop-0002 is damaged")
    alerts.clear("model_refused")
    alerts.close()
    assert outcomes == ["sent", "sent"]
    path, first = receiver.got[0]
    assert path == "/hook/S3CRET"
    assert first == {
        "service": "segue",
        "text": "segue: alert raised: model_refused, shop-0002 is damaged",
        "name": "model_refused",
        "state": "raised",
        "at": "1970-01-01T00:00:00.000+00:00",
        "value": None,
        "limit": None,
        "detail": "shop-0002 is damaged",
    }
    assert receiver.got[1][1]["state"] == "cleared"


def test_a_failure_is_tried_again_until_it_succeeds(receiver: Receiver) -> None:
    receiver.statuses = [500, 429, 200]
    assert told_of(receiver.url, 1) == ["sent"]
    assert len(receiver.got) == 3


def test_attempts_end_and_the_next_document_is_sent(receiver: Receiver) -> None:
    receiver.statuses = [500, 500, 200]
    assert told_of(receiver.url, 2, attempts=2) == ["failed", "sent"]


def test_what_the_receiver_refuses_is_not_tried_again(receiver: Receiver) -> None:
    receiver.statuses = [404]
    assert told_of(receiver.url, 1) == ["failed"]
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    assert told_of(receiver.url, 1) == ["failed"]
    assert [path for path, _ in receiver.got] == ["/hook/S3CRET"]


def test_a_sender_that_follows_redirects_is_found(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_NoRedirect", urllib.request.HTTPRedirectHandler)
    receiver.statuses = [303, 200]
    assert told_of(receiver.url, 1) == ["sent"]
    assert "/elsewhere" in [path for path, _ in receiver.got]


def test_nobody_waits_and_the_queue_is_bounded(receiver: Receiver) -> None:
    receiver.hold.clear()
    outcomes: list[str] = []
    sender = Webhook(receiver.url, room=3, told=outcomes.append)
    for number in range(50):
        sender.send({"number": number})
    assert len(receiver.got) == 0
    assert outcomes.count("dropped") >= 46
    receiver.hold.set()
    sender.close(5)
    assert outcomes.count("sent") == 50 - outcomes.count("dropped")


def test_a_receiver_that_is_silent_or_away_does_not_hold_the_end(receiver: Receiver) -> None:
    receiver.hold.clear()
    assert told_of(receiver.url, 1, timeout=0.05, attempts=2) == ["failed"]
    assert told_of("http://127.0.0.1:9/nobody", 1, attempts=2) == ["failed"]


def test_the_address_is_in_no_log_line(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.statuses = [500]
    told_of(receiver.url, 1, attempts=1)
    told_of("http://127.0.0.1:9/S3CRET", 1, attempts=1)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert not any("S3CRET" in line for line in lines)
    assert lines[0] == "an alert could not be sent to the webhook at 127.0.0.1: HTTP 500"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/S3CRET",
        "ftp://127.0.0.1/S3CRET",
        "file:///S3CRET",
        "https://user:S3CRET@hooks.example/",
        "https:///S3CRET",
        "https://hooks.example:port/S3CRET",
        "https://hooks.example/S3CRET x",
        "https://[::1/S3CRET",
        "S3CRET",
    ],
)
def test_an_address_that_alerts_may_not_go_to_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        Webhook(url)
    assert "S3CRET" not in str(refused.value)


def test_plain_http_elsewhere_needs_a_word() -> None:
    Webhook("http://hooks.example/x", plain_http=True).close()
    Webhook("https://hooks.example/x").close()
    Webhook("http://[::1]:8/x").close()
