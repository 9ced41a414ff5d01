"""One line for each request, and nothing in it that should not be."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.errors import ConfigValue, NoModelServes
from segue.serving import building
from segue.serving.guard.keys import Keys
from segue.serving.guard.logs import JsonLines, LogsConfig, Pseudonyms, blot, write_lines
from tests.cli.test_verbs import refused, segue
from tests.serving.guard.shop import KeysInMemory, client, guarded


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as it is written."""
    names = (None, "segue", "uvicorn", "uvicorn.access", "uvicorn.error", "nicegui")
    loggers = [logging.getLogger(name) for name in names]
    before = [(each.level, each.handlers, each.propagate) for each in loggers]
    hook = threading.excepthook
    stream = io.StringIO()
    write_lines(stream)
    yield stream
    threading.excepthook = hook
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers, each.propagate = handlers, propagate


def ask(path: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    async def asked() -> Any:
        async with client(guarded(**more)) as asking:
            return await asking.get(path, headers=headers)

    return asyncio.run(asked())


def test_a_line_says_what_happened_without_the_address_as_it_was_asked(lines: io.StringIO) -> None:
    keys = Keys(KeysInMemory())
    secret = keys.create(["recommend"])
    answer = ask("/v1/recommend/anna?k=3", {"X-API-Key": secret}, keys=keys)
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert {name: line[name] for name in ("method", "route", "status", "model", "key")} == {
        "method": "GET",
        "route": "/v1/recommend/{user_id}",
        "status": 200,
        "model": "films",
        "key": secret.split("_")[1],
    }
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["ms"] >= 0
    assert line["time"].endswith("+00:00")
    assert "anna" not in lines.getvalue()
    assert "k=3" not in lines.getvalue()


def test_users_are_pseudonyms_by_default_and_plain_by_a_switch(lines: io.StringIO) -> None:
    ask("/v1/recommend/anna")
    ask("/v1/recommend/anna", logs=LogsConfig(pseudonymise=False))
    users = [json.loads(text)["user"] for text in lines.getvalue().splitlines()]
    assert users[0] != "anna"
    assert len(users[0]) == 16
    assert users[1] == "anna"


def test_a_pseudonym_is_the_same_as_long_as_the_secret_is(tmp_path: Path) -> None:
    kept = LogsConfig(secret_file=tmp_path / "secret")
    first = Pseudonyms(kept)
    assert first.of("anna") == Pseudonyms(kept).of("anna") != first.of("anne")
    assert Pseudonyms().of("anna") != Pseudonyms().of("anna")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path / "empty", tmp_path, tmp_path / "none" / "secret"):
        with pytest.raises(ConfigValue, match="secret_file"):
            Pseudonyms(LogsConfig(secret_file=path))


def test_what_nobody_foresaw_is_logged_by_its_place_and_not_by_its_words(lines: io.StringIO) -> None:
    answer = ask("/broken?text=confidential")
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "V058"
    assert line["request_id"] in answer.json()["error"]["remedy"]
    assert (line["level"], line["failed"], line["status"]) == ("error", "ValueError", 500)
    assert any("broken" in place for place in line["where"])
    assert "confidential" not in lines.getvalue()
    assert "shop.py" not in answer.text


def test_an_exception_in_another_library_or_thread_is_a_line_without_its_words(
    lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forgotten() -> None:
        async def fails() -> None:
            raise ValueError("anna was here")

        failing = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        del failing

    asyncio.run(forgotten())
    gc.collect()
    try:
        raise KeyError("anna again")
    except KeyError as error:
        logging.getLogger("nicegui").exception(error)  # as that library does
        logging.getLogger("some.library").exception("no room for %s", "'anna'")

    def ends() -> None:
        raise LookupError("anna once more")

    thread = threading.Thread(target=ends)
    thread.start()
    thread.join()
    told = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert [(line["logger"], line["failed"]) for line in told] == [
        ("asyncio", "ValueError"),
        ("nicegui", "KeyError"),
        ("some.library", "KeyError"),
        ("segue.serving", "LookupError"),
    ]
    assert told[0]["message"] == "Task exception was never retrieved"
    assert "anna" not in lines.getvalue()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("lines")
def test_what_is_logged_while_a_service_is_built_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    root.handlers = []
    found = []

    def build(*_: Any, **__: Any) -> None:
        found.extend(type(handler.formatter) for handler in root.handlers)
        raise NoModelServes(reason="it is a test")

    monkeypatch.setattr(building, "build", build)
    refused(segue("serve", "nothing"), "V062", "it is a test")
    assert found == [JsonLines]


def test_a_line_stays_one_line_whatever_a_message_holds() -> None:
    record = logging.LogRecord("segue", logging.INFO, "", 0, "a\nb\u2028 %s", ('"}\x00',), None)
    text = JsonLines().format(record)
    assert len(text.split("\n")) == 1
    assert json.loads(text)["message"] == 'a\nb\u2028 "}\x00'


def test_keys_and_passwords_in_other_libraries_lines_are_blotted_out() -> None:
    secret = Keys(KeysInMemory()).create(["admin"])
    told = blot(f"no {secret} at postgresql+psycopg://shop:hunter2@db.example/shop and redis://:pw@x")
    assert secret.split("_", 2)[2] not in told
    assert secret.split("_")[1] in told
    assert "hunter2" not in told
    assert "pw@" not in told
    assert "db.example/shop" in told


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_id_and_the_trace_of_a_request_come_back_and_are_in_the_log(lines: io.StringIO) -> None:
    answer = ask("/v1/recommend/anna", {"X-Request-Id": "shop-7:a_b.c", "traceparent": TRACE})
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert answer.headers["x-request-id"] == line["request_id"] == "shop-7:a_b.c"
    assert answer.headers["traceparent"] == TRACE
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("name", ["a" * 129, "", 'x"y', "a b", "<script>", "{}"])
def test_an_id_of_a_request_that_is_too_long_or_unsafe_is_replaced(name: str, lines: io.StringIO) -> None:
    answer = ask("/v1/recommend/anna", {"X-Request-Id": name})
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert len(answer.headers["x-request-id"]) == 16
    assert line["request_id"] == answer.headers["x-request-id"] != name


@pytest.mark.parametrize(
    ("trace", "good"),
    [
        (TRACE, True),
        ("01" + TRACE[2:] + "-more", True),
        ("ff" + TRACE[2:], False),
        (TRACE + "-more", False),
        (TRACE.upper(), False),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", False),
        (TRACE[:-3], False),
        ("01" + TRACE[2:] + "-" + "x" * 500, False),
    ],
)
def test_a_trace_context_is_read_as_w3c_has_it(trace: str, good: bool, lines: io.StringIO) -> None:
    answer = ask("/v1/recommend/anna", {"traceparent": trace})
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert answer.headers.get("traceparent") == (trace if good else None)
    assert ("trace_id" in line) == good
