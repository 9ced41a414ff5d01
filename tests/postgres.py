"""A real PostgreSQL for tests, from Debian's package: started in a directory of its own, with fsync on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
from filelock import FileLock

from tests.system_tools import POSTGRESQL, need


def binaries() -> Path:
    """The folder of initdb and pg_ctl of the newest PostgreSQL."""
    need("postgresql")
    return max(POSTGRESQL.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])).parent


class Server:
    """One server behind a socket in ``home``; it refuses to run as root, so root hands it to ``postgres``."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def made(cls) -> Server:
        server = cls(Path(tempfile.mkdtemp(prefix="segue-pg-", dir="/tmp")))
        if os.getuid() == 0:
            shutil.chown(server.home, "postgres", "postgres")
        options = ("--auth=trust", "--username=segue", "--encoding=UTF8", "--no-locale", "--no-sync")
        server._run("initdb", "--pgdata", str(server.home / "data"), *options)
        return server

    def start(self) -> None:
        options = f"-k {self.home} -c listen_addresses='' -c max_connections=60 -c shared_buffers=32MB"
        log = str(self.home / "log")
        self._run("pg_ctl", "--pgdata", str(self.home / "data"), "--log", log, "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "--pgdata", str(self.home / "data"), "-m", mode, "-w", "stop")

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://segue@/{database}?host={self.home}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, dropped afterwards."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        with psycopg.connect(f"host={self.home} user=segue dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        other = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        subprocess.run(
            [str(binaries() / program), *arguments],
            check=True,
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=60,
            **other,  # type: ignore[call-overload]
        )


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[Server]:
    """One server for all workers of a test run; the last to leave stops it."""
    binaries()
    notes, lock = folder / "postgres.json", FileLock(folder / "postgres.lock")
    with lock:
        found = json.loads(notes.read_text()) if notes.exists() else {"home": None, "users": 0}
        if not found["users"]:
            made = Server.made()
            made.start()
            found["home"] = str(made.home)
        found["users"] += 1
        notes.write_text(json.dumps(found))
    server = Server(Path(found["home"]))
    try:
        yield server
    finally:
        with lock:
            left = json.loads(notes.read_text())["users"] - 1
            notes.write_text(json.dumps({"home": str(server.home), "users": left}))
            if not left:
                server.remove()
