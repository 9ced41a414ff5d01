"""A guarded service whose model is a latch: ``python -m tests.faults.guarded TWIN PORT STORE GROUP.NAME=VALUE ...``

The guard, the gate and the process are the real ones; only the answers are not. ``TWIN`` breaks one promise first.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from tests.faults.server import Server

PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@dataclass
class Guarded(Server):
    """The service of this module, as a process."""

    def command(self) -> list[str]:
        """What is run."""
        return [sys.executable, "-m", __name__, self.twin or "whole", str(self.port), self.store, *self.more]


def whole() -> None:
    """Nothing is broken."""


def unbounded_queue() -> None:
    """Everybody is admitted."""
    from segue.serving.guard.gate import Gate, GateConfig

    Gate.of = classmethod(lambda cls, s: cls(s.capacity, 10**9, s.deadline_seconds, s.lost))  # type: ignore[method-assign]
    assert Gate.of(GateConfig()).queue == 10**9


def first_come() -> None:
    """Every request waits for all before it, whatever they cost and whoever sent them."""
    from segue.serving.guard.gate import Gate

    run = Gate.run

    async def plain(self: Gate, call: Any, *, cost_ms: float = 1.0, key: str | None = None) -> Any:
        return await run(self, call)

    Gate.run = plain  # type: ignore[method-assign]


def refuses_in_the_application() -> None:
    """A full service reads a request before it refuses it."""
    from segue.serving.guard.admission import Admission, AdmissionMiddleware

    async def through(self: AdmissionMiddleware, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    Admission.refusal = lambda self, url, headers: None  # type: ignore[method-assign]
    Admission.refusal_of = lambda self, data: None  # type: ignore[method-assign]
    AdmissionMiddleware.__call__ = through  # type: ignore[method-assign]


def cancel_without_release() -> None:
    """The deadline tells the client, and keeps the place."""
    from segue.errors import DeadlinePassed
    from segue.serving.guard.gate import Gate

    def expire(self: Gate, job: Any) -> None:
        job.answer.set_exception(DeadlinePassed(seconds=self.deadline_seconds))

    Gate._expire = expire  # type: ignore[method-assign]


def no_limit_of_bodies() -> None:
    """Bodies of any size and depth."""
    from segue.serving.guard.limits import BodyLimit

    async def through(self: BodyLimit, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    BodyLimit.__call__ = through  # type: ignore[method-assign]


def no_clock_of_heads() -> None:
    """A head may take for ever."""
    from segue.serving.guard.connections import GuardedProtocol

    GuardedProtocol._start_head = lambda self: None  # type: ignore[method-assign]


def sigint_only() -> None:
    """An orderly end by Ctrl-C, and none by an orchestrator."""
    import signal

    from segue.serving import run

    run.SIGNALS = (signal.SIGINT,)  # type: ignore[assignment]


def logs_headers() -> None:
    """A line with everything in it."""
    from segue.serving.guard import logs

    called = logs.AccessLog.__call__

    async def told(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            logs.logger.info("request %s %s", scope["query_string"], scope["headers"])
        await called(self, scope, receive, send)

    logs.AccessLog.__call__ = told  # type: ignore[method-assign]


def links_followed() -> None:
    """Files are given out wherever a link leads."""
    from starlette.staticfiles import StaticFiles

    made = StaticFiles.__init__

    def following(self: Any, **options: Any) -> None:
        made(self, **{**options, "follow_symlink": True})

    StaticFiles.__init__ = following  # type: ignore[method-assign]


TWINS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        whole,
        unbounded_queue,
        first_come,
        refuses_in_the_application,
        cancel_without_release,
        no_limit_of_bodies,
        no_clock_of_heads,
        sigint_only,
        logs_headers,
        links_followed,
    )
}


def main(twin: str, port: str, store: str, *assignments: str) -> int:
    """Build it, serve it."""
    TWINS[twin]()
    from starlette.staticfiles import StaticFiles

    from segue.errors import SegueError
    from segue.serving.guard.admission import Admission
    from segue.serving.guard.gate import Gate
    from segue.serving.guard.guarding import guard
    from segue.serving.guard.keys import Keys
    from segue.serving.guard.logs import write_lines
    from segue.serving.guard.scopes import needs
    from segue.serving.run import serve
    from segue.serving.settings import ServiceConfig
    from segue.serving.store import Store

    write_lines()
    settings = ServiceConfig.read(None, assignments)
    keys, gate, latch = Keys(Store.open(store)), Gate.of(settings.gate), threading.Event()
    keys.start()
    admission = Admission(gate, keys)
    app = FastAPI(docs_url=None, redoc_url=None)
    draining = threading.Event()

    @app.exception_handler(SegueError)
    async def named(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"error": {"code": error.code}}, error.status, headers=getattr(error, "headers", None))

    @app.get("/healthz", dependencies=[Depends(needs(None))])
    async def healthz() -> dict[str, Any]:
        return asdict(gate.stats())

    @app.get("/readyz", dependencies=[Depends(needs(None))])
    async def readyz() -> JSONResponse:
        return JSONResponse({}, 503 if draining.is_set() else 200)

    @app.post("/release", dependencies=[Depends(needs(None))])
    async def release() -> None:
        latch.set()

    @app.post("/v1/recommend", dependencies=[Depends(needs("recommend"))])
    async def recommend(request: Request, question: dict[str, Any] = Body()) -> int:  # noqa: B008
        def answer() -> int:
            if question.get("hold"):
                latch.wait(60)
            time.sleep(question.get("stall", 0))
            return len(question.get("history", []))

        cost_ms = 1 + 1_000 * question.get("stall", 0)
        return await gate.run(answer, cost_ms=cost_ms, key=getattr(request.state, "key", None))

    @app.get("/v1/broken", dependencies=[Depends(needs("recommend"))])
    async def broken(request: Request) -> None:
        raise ValueError(f"{request.url} {request.headers} {await request.body()!r}")

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page")
        page.mkdir()
        (page / "index.html").write_text("hello")
        (Path(folder) / "outside.txt").write_text("OUTSIDE")
        (page / "link.txt").symlink_to("../outside.txt")
        (page / "folder").symlink_to("..")
        app.mount("/page", StaticFiles(directory=page))
        guard(
            app,
            keys,
            declared={"/openapi.json": "admin", "/page": None},
            pages={"/page": PAGE_POLICY},
            limits=settings.body,
            logs=settings.logs,
            connections=settings.connections,
            admission=admission,
        )
        return serve(
            app,
            port=int(port),
            settings=settings.connections,
            admission=admission,
            open_to_all=keys.open,
            on_drain=draining.set,
        )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
