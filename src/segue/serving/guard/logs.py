"""One line of JSON for each request, and no secret in any line.

A line has the route's template, never the address as it was asked; no query, no header, no body. Users appear as a
keyed hash (HMAC-SHA-256), the same for the same user as long as the key file is the same, unless the switch is off.
An error nobody foresaw is logged by its type and the places it went through; its text may hold data, and is left out,
whichever library logs it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from segue.config import Config
from segue.errors import ConfigValue, Unforeseen
from segue.serving.guard.refusing import App, Message, Receive, Scope, Send, header, refuse

logger = logging.getLogger("segue.serving")
# Last defence, for lines of other libraries: keys, and passwords in addresses.
_SECRETS = re.compile(r"(segue_[0-9a-f]{8}_)[\w-]{20,}|(://[^\s:/@]*:)[^\s@]+(?=@)")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_TRACE_IDS = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACE = re.compile(rf"00{_TRACE_IDS}|(?!00|ff)[0-9a-f]{{2}}{_TRACE_IDS}(?:-[\w-]{{1,200}})?", re.ASCII)
_HEAD = re.compile(r"[\n(<:'\"]")


class LogsConfig(Config):
    """What the log says of people."""

    pseudonymise: bool = True
    """Users as a keyed hash; off: their ids as they are."""
    secret_file: Path | None = None
    """Where the key of that hash is kept (made, readable by its owner alone, when missing); without one a new key is
    drawn at each start, and a user looks different after it."""


class Pseudonyms:
    """User ids to what the log shows of them; raises ``ConfigValue`` for a ``secret_file`` that is of no use."""

    def __init__(self, settings: LogsConfig | None = None) -> None:
        settings = settings or LogsConfig()
        self._key = _key(settings.secret_file) if settings.pseudonymise else None

    def of(self, user_id: str) -> str:
        """16 hexadecimal characters of HMAC-SHA-256 of the id, or the id where the switch is off."""
        if self._key is None:
            return user_id
        return hmac.new(self._key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


class AccessLog:
    """ASGI middleware: an id for each request, a line for each answer, and an answer where the code below failed.

    Routes may leave ``model`` and ``user_id`` in ``request.state``; the doorman leaves ``route`` and ``key``.
    """

    def __init__(self, app: App, pseudonyms: Pseudonyms | None = None) -> None:
        self.app = app
        self.pseudonyms = pseudonyms or Pseudonyms()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then tell."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id, trace = _identity(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        own = [(b"x-request-id", request_id.encode()), *([] if trace is None else [(b"traceparent", trace.encode())])]
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        failed: dict[str, Any] = {}
        try:
            await self.app(scope, receive, told)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered and logged, not shown
            failed = {"failed": type(error).__name__, "where": _places(error.__traceback__)}
            if not status:
                await refuse(scope, told, Unforeseen(request_id=request_id))
        level = logging.ERROR if failed else logging.INFO
        if logger.isEnabledFor(level):
            line = {
                "method": scope["method"],
                "route": state.get("route"),
                "status": status or 499,  # the client left first
                "ms": round((time.perf_counter() - began) * 1000, 2),
                "request_id": request_id,
                "trace_id": None if trace is None else trace.split("-")[1],
                "key": state.get("key"),
                "model": state.get("model"),
                "user": None if state.get("user_id") is None else self.pseudonyms.of(str(state["user_id"])),
            }
            said = {name: value for name, value in line.items() if value is not None} | failed
            logger.log(level, "request", extra={"fields": said})


def _identity(scope: Scope) -> tuple[str, str | None]:
    """The id of a request and its trace context: those that came in where they are well-formed.

    ``X-Request-Id`` is up to 128 letters, digits and ``-_.:``, else one is drawn. ``traceparent`` follows W3C Trace
    Context, level 1: version, trace id, parent id and flags in small hexadecimal digits, no id of zeros, and of version
    00 nothing more.
    """
    asked = header(scope, b"x-request-id") or ""
    request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
    trace = (header(scope, b"traceparent") or "").strip()
    return request_id, trace if _TRACE.fullmatch(trace) else None


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and the record's ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the text of exceptions and with secrets blotted out."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = _said(record)
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"failed": record.exc_info[0].__name__, "where": _places(record.exc_info[2])}
        return blot(json.dumps(line, default=str, ensure_ascii=False))


def blot(text: str) -> str:
    """The text with API keys and the passwords of addresses replaced by stars."""
    return _SECRETS.sub(lambda found: (found[1] or found[2]) + "***", text)


def write_lines(stream: TextIO | None = None, level: int = logging.INFO) -> logging.Handler:
    """Send what anything in this process logs to a stream (stderr), as lines of JSON; returns the handler.

    Of other libraries warnings and errors are kept. What ends a thread is such a line too, and not a bare traceback.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("segue").setLevel(level)
    for name in ("segue", "uvicorn", "uvicorn.access", "uvicorn.error", "nicegui"):
        each = logging.getLogger(name)
        each.handlers, each.propagate = [], True
    threading.excepthook = _thread_failed
    return handler


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        told = type(failed.exc_value), failed.exc_value, failed.exc_traceback
        logger.error("a thread failed", exc_info=told)


def _said(record: logging.LogRecord) -> str:
    """A record's message; of an exception in another library what cannot be its text, for it may hold data."""
    if record.exc_info and not record.name.startswith("segue"):
        return (
            type(record.msg).__name__ if isinstance(record.msg, BaseException) else _HEAD.split(record.getMessage())[0]
        )
    return record.getMessage()


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-8:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _key(path: Path | None) -> bytes:
    if path is None:
        return secrets.token_bytes(32)
    try:
        # Never readable by others, not even for a moment.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigValue(name="secret_file", owner="logs", value=path, reason=error.strerror) from None
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigValue(name="secret_file", owner="logs", value=path, reason=error.strerror) from None
    if len(key) < 16:
        raise ConfigValue(name="secret_file", owner="logs", value=path, reason="it holds less than 16 bytes")
    return key
