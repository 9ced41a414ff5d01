"""Limits of bodies: size, depth, number of values, pace."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.serving.guard.limits import BodyConfig, BodyLimit, depth


async def ask(
    limit: dict[str, Any], chunks: list[bytes], declared: int | None = None, ends: bool = True
) -> tuple[int, dict[str, Any], list[bytes]]:
    """Status, body of the answer, and what the application got."""
    got: list[bytes] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert not message["more_body"]
        got.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    left = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    if ends:
        left[-1]["more_body"] = False

    async def receive() -> Any:
        if left:
            return left.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"transfer-encoding", b"chunked")] if declared is None else [(b"content-length", b"%d" % declared)]
    guarded = BodyLimit(app, BodyConfig(**limit))
    await guarded({"type": "http", "headers": headers}, receive, send)
    assert guarded._held == 0
    return sent[0]["status"], json.loads(sent[1]["body"]), got


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_a_small_body_arrives_whole() -> None:
    assert asyncio.run(ask({}, [b'{"a"', b": 1}"])) == (200, {}, [b'{"a": 1}'])


@pytest.mark.parametrize(
    ("limit", "chunks", "declared", "status", "code"),
    [
        ({"body_bytes": 10}, [b"[1]"], 11, 413, "V051"),
        ({"body_bytes": 10}, [b"[1,2,", b"3,4,5,6]"], None, 413, "V051"),
        ({"body_bytes": 10}, [b"[1,2,", b"3,4,5,6]"], 5, 413, "V051"),
        ({"json_depth": 5}, [nested(6)], None, 422, "V052"),
        ({"json_depth": 5}, [b'{"a":' * 6 + b"1" + b"}" * 6], None, 422, "V052"),
        ({"json_values": 5}, [b"[1,2,3,4,5,6]"], None, 422, "V052"),
        ({"bodies_bytes": 5}, [b"[1,2,3,4,5,6]"], None, 429, "V040"),
    ],
)
def test_past_a_limit_it_is_refused_and_the_application_never_asked(
    limit: dict[str, Any], chunks: list[bytes], declared: int | None, status: int, code: str
) -> None:
    answered, told, got = asyncio.run(ask(limit, chunks, declared))
    assert (answered, told["error"]["code"], got) == (status, code, [])


def test_at_a_limit_it_is_taken() -> None:
    assert asyncio.run(ask({"json_depth": 6}, [nested(6)]))[0] == 200
    assert asyncio.run(ask({"body_bytes": 12}, [nested(6)], 12))[0] == 200
    assert asyncio.run(ask({"json_values": 3}, [b"[1,2,3]"]))[0] == 200


def test_a_body_that_does_not_arrive_is_answered_after_a_while() -> None:
    status, told, got = asyncio.run(ask({"body_seconds": 0.05}, [b"[1"], ends=False))
    assert (status, told["error"]["code"], got) == (408, "V053", [])


def plain_depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max((plain_depth(v) for v in value), default=0) if isinstance(value, list) else 0


texts = st.text(alphabet='ab"\\[]{},\n\u20ac', max_size=6)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=20,
)


@given(values, st.booleans())
def test_the_depth_is_that_of_the_parsed_value_whatever_the_strings_hold(value: Any, ascii_only: bool) -> None:
    assert depth(json.dumps(value, ensure_ascii=ascii_only).encode()) == plain_depth(value)


@given(st.binary(max_size=60))
def test_no_bytes_trip_the_count(body: bytes) -> None:
    assert 0 <= depth(body) <= len(body)


@given(values, st.integers(0, 5))
def test_the_short_cut_never_says_too_little(value: Any, enough: int) -> None:
    body = json.dumps(value).encode()
    assert (depth(body, enough) > enough) == (depth(body) > enough) or depth(body, enough) <= enough
    assert depth(body, enough) >= min(depth(body), enough)
