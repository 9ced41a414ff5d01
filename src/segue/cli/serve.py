"""``segue serve``: an artefact as a service."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.shared import console


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="An artefact: what segue train saved, or better what segue export made of it. Without it the store "
            "says which models serve.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="SEGUE_STORE",
            help="Where events are kept: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.  "
            "[default: sqlite:///segue.db]",
            show_default=False,
        ),
    ] = None,
    activate: Annotated[
        bool,
        typer.Option(
            "--activate",
            help="Let MODEL answer in place of all that the store names; without it one is activated only where none "
            "answers.",
        ),
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on; others than loopback need a key. Also SEGUE_HOST.  [default: 127.0.0.1]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Port to listen on; 0 for any free one. Also SEGUE_PORT.  [default: 8000]",
            show_default=False,
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="debug, info, warning or error. Also SEGUE_LOG_LEVEL.  [default: info]",
            show_default=False,
        ),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Without a key, answer requests that come through a proxy or under any host name too: whoever "
            "reaches the proxy may ask, change and erase.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="SEGUE_CONFIG", help="Settings, a TOML file with a table for each group.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="group.name=value: gate.capacity=2, online.on=true, ... Also SEGUE_GATE_CAPACITY=2, ...",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve recommendations, listen to what people do, and let it count at once.

    [bold]Example[/bold]  segue serve models/shop --store sqlite:///shop.db

    Then  curl -X POST localhost:8000/v1/recommend -H 'content-type: application/json' -d '{"history": ["i1", "i2"]}'
    and the page at  http://localhost:8000/ui
    """
    from segue.serving.collecting import paused

    with paused():
        from segue.serving.app import create_app
        from segue.serving.building import build
        from segue.serving.guard.logs import write_lines
        from segue.serving.run import serve as run
        from segue.serving.settings import ServiceConfig

        write_lines()  # before anything can fail
        flags = {"store.url": store, "listen.host": host, "listen.port": port, "listen.log_level": log_level}
        flags["connections.open"] = open_ or None
        given = [f"{name}={json.dumps(value)}" for name, value in flags.items() if value is not None]
        read = ServiceConfig.read(config, [*given, *(settings or [])], os.environ)
        write_lines(level=getattr(logging, read.listen.log_level.upper()))
        service = build(model, read, activate=activate)
        app = create_app(service)

    def ready(address: str) -> None:
        names = ", ".join(served.name for served in service.models.serving())
        console.print(f"{names} answers at {address}/v1, events go to {service.store.address}", **_AS_IT_IS)
        if service.models.told is not None:
            console.print(service.models.told, **_AS_IT_IS)
        if read.page.on:
            console.print(f"The page: {address}/ui", **_AS_IT_IS)
        if service.keys.open:
            console.print(_OPEN if read.connections.open else _CLOSED, **_AS_IT_IS)

    def drain() -> None:
        service.draining = True

    open_to_all = service.keys.open
    code = run(
        app,
        read.listen.host,
        read.listen.port,
        read.connections,
        admission=service.admission,
        open_to_all=open_to_all,
        on_ready=ready,
        on_drain=drain,
    )
    raise typer.Exit(code)


_CLOSED = (
    "No key is needed, from this machine alone: requests through a proxy or under another host name are refused. "
    "segue keys create makes a key."
)
_OPEN = "No key is needed, and --open lets requests through a proxy in: whoever reaches it may ask, change and erase."
_AS_IT_IS: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False}
