"""What the store promises when processes die, disks fill and databases go away; each with a twin that must fail.

How often each is tried: a few times here, as often as the promises ask for in the long form (``make bench``).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.errors import StoreError, StoreFull, StoreUnavailable
from segue.serving.store import Event, Store, Writer
from tests import postgres
from tests.faults import store_twins
from tests.faults.appending import BATCH, append_for_ever, batch
from tests.faults.server import rounds
from tests.system_tools import need

KILLS = rounds(5, 50)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


def lost_or_repeated(url: str, acknowledged: set[str]) -> list[str]:
    """Acknowledged events that are not in the store exactly once; also checks SQLite's file."""
    store = Store.open(url)
    times = Counter(e.event_id for e in all_events(store))
    if url.startswith("sqlite"):
        with store._readers.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    store.close()
    assert set(times.values()) <= {1}
    return sorted(each for each in acknowledged if times[each] != 1)


def all_events(store: Store) -> Iterator[Event]:
    seq = 0
    while events := store.events_after(seq):
        yield from events
        seq = events[-1].seq


# -- 1: a process dies ---------------------------------------------------------------------------------------------


def killed(url: str, times: int, writer: str, seed: int = 0) -> set[str]:
    """Let a process append until it is killed without warning, again and again; what it had acknowledged."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.appending"])
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    for _ in range(times):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=append_for_ever, args=(url, theirs, writer), daemon=True)
        process.start()
        theirs.close()
        assert ours.poll(30), "nothing was acknowledged"
        until = time.monotonic() + chance.uniform(0.0, 0.3)
        while time.monotonic() < until:
            if ours.poll(0.005):
                acknowledged.update(ours.recv_bytes().decode().split())
        process.kill()
        with contextlib.suppress(EOFError):
            while True:
                acknowledged.update(ours.recv_bytes().decode().split())
        process.join()
        ours.close()
    return acknowledged


def test_no_acknowledged_event_is_lost_when_the_process_is_killed(url: str) -> None:
    acknowledged = killed(url, KILLS, "Writer")
    assert len(acknowledged) >= KILLS * BATCH
    assert lost_or_repeated(url, acknowledged) == []


def test_a_writer_that_acknowledges_before_the_commit_is_found_out(sqlite_url: str) -> None:
    assert lost_or_repeated(sqlite_url, killed(sqlite_url, 2, "EagerWriter"))


# -- 2: the power fails --------------------------------------------------------------------------------------------


def acknowledged_without_a_sync(url: str, count: int, folder: Path, *mode: str) -> tuple[int, int]:
    """How many batches were acknowledged, and how many of them with no sync call since they were asked for."""
    need("strace")
    trace = folder / "trace"
    what = "trace=fsync,fdatasync,write"
    program = [sys.executable, "-m", "tests.faults.appending", url, str(count), *mode]
    subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-e", what, "-o", str(trace), *program],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=200,
    )
    acknowledged = unsynced = 0
    synced = False
    for line in trace.read_text().splitlines():
        if re.search(r"f(data)?sync(\(.*| resumed>.*)= 0$", line):
            synced = True
        elif '"ASKED' in line:
            synced = False
        elif '"ACKNOWLEDGED' in line:
            acknowledged += 1
            unsynced += not synced
    return acknowledged, unsynced


def test_a_sync_call_precedes_each_acknowledgement(sqlite_url: str, tmp_path: Path) -> None:
    count = rounds(100, 1_000)
    assert acknowledged_without_a_sync(sqlite_url, count, tmp_path) == (count, 0)


def test_commits_that_do_not_wait_for_the_disk_are_found_out(sqlite_url: str, tmp_path: Path) -> None:
    acknowledged, unsynced = acknowledged_without_a_sync(sqlite_url, 20, tmp_path, "normal")
    assert acknowledged == 20
    assert unsynced >= 15


def is_a_prefix(url: str, batches: list[list[str]]) -> bool:
    """Whether the store holds the first batches, whole, and nothing else."""
    store = Store.open(url)
    found = [e.event_id for e in all_events(store)]
    with store._readers.connect() as connection:
        sound = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    store.close()
    whole = len(found) % BATCH == 0
    return sound and whole and found == [each for batch in batches for each in batch][: len(found)]


def test_a_log_that_was_cut_anywhere_opens_as_a_prefix(tmp_path: Path) -> None:
    whole, copy = tmp_path / "whole.db", tmp_path / "copy.db"
    store = Store.open(f"sqlite:///{whole}")
    store.checkpoint()  # the tables are in the file, so that every cut leaves a store
    batches = [batch(0) for _ in range(40)]
    for each in batches:
        store.append(each)
    log = Path(f"{whole}-wal").read_bytes()
    ids = [[e.event_id for e in each] for each in batches]
    chance = random.Random(0)
    lengths = set()
    for _ in range(rounds(25, 200)):
        for stale in tmp_path.glob("copy.db*"):
            stale.unlink()
        shutil.copy(whole, copy)
        Path(f"{copy}-wal").write_bytes(log[: chance.randrange(len(log) + 1)])
        assert is_a_prefix(f"sqlite:///{copy}", ids)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            lengths.add(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    assert len(lengths) > 5
    store.close()


def test_a_store_with_a_hole_is_no_prefix(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    batches = [batch(0) for _ in range(4)]
    for each in batches:
        store.append(each)
    with store._writers.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM events WHERE seq > {BATCH} AND seq <= {2 * BATCH}")
    store.close()
    assert not is_a_prefix(sqlite_url, [[e.event_id for e in each] for each in batches])


# -- 3: the same event again ---------------------------------------------------------------------------------------


def times_stored(url: str, times: int) -> int:
    """Send one event again and again, from several threads and over restarts; how often it is there."""
    same = Event("the-same", "u", "i", 1)
    restarts, threads = 5, 4
    for _ in range(restarts):
        store = Store.open(url)
        writer = Writer(store, deadline_seconds=60)

        def send(writer: Writer = writer) -> None:
            for _ in range(times // restarts // threads):
                writer.append_now([same])

        running = [threading.Thread(target=send) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        writer.close()
        store.close()
    store = Store.open(url)
    found = sum(e.event_id == same.event_id for e in all_events(store))
    store.close()
    return found


def test_an_event_sent_a_thousand_times_is_stored_once(url: str) -> None:
    assert times_stored(url, 1_000) == 1


def test_a_store_without_the_unique_key_is_found_out(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    store_twins.forget_unique_key(store)
    store.close()
    assert times_stored(sqlite_url, 40) > 1


# -- 4: the disk is full -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own where one may be mounted; otherwise the test is told so by its absence."""
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    if subprocess.run(mounted, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no file system may be mounted here; test_a_store_at_its_limit_says_so stands for it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(store: Store, most: int = 4_000) -> tuple[set[str], StoreError | None]:
    """Append until the store refuses; what was acknowledged, and how it refused."""
    writer = Writer(store, deadline_seconds=30)
    acknowledged: set[str] = set()
    refused = None
    for number in range(most):
        events = [Event(f"{number}-{n}-" + "x" * 300, "u", "i", n) for n in range(10)]
        try:
            writer.append_now(events)
        except StoreError as error:
            refused = error
            break
        acknowledged.update(e.event_id for e in events)
    writer.close()
    return acknowledged, refused


def append_for_long(store: Store) -> None:
    for number in range(50):
        store.append([Event(f"after-{number}-{n}-" + "x" * 300, "u2", "i", 1) for n in range(10)])


def check_full(store: Store, url: str, acknowledged: set[str], refused: StoreError | None, free: Path) -> None:
    """Refused by name, old data readable, and well again by itself when there is room."""
    assert isinstance(refused, StoreFull)
    assert refused.status == 507
    assert {e.event_id for e in all_events(store)} == acknowledged
    assert len(store.history("u", 10)) == 10
    with pytest.raises(StoreFull):
        append_for_long(store)
    free.unlink()
    assert store.append(batch(0)).stored == BATCH
    assert not lost_or_repeated(url, acknowledged)


def test_a_full_disk_is_named_and_recovered_from(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 3) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"\0" * 1_000_000)
        url = f"sqlite:///{disk / 'store.db'}"
        store = Store.open(url)
        acknowledged, refused = filled(store)
        check_full(store, url, acknowledged, refused, ballast)
        store.close()


def test_a_store_that_swallows_a_full_disk_is_found_out(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 2) as disk:
        url = f"sqlite:///{disk / 'store.db'}"
        store = store_twins.SwallowingStore.open(url)
        acknowledged, refused = filled(store, most=1_000)
        assert refused is None
        found = {e.event_id for e in all_events(store)}
        store.close()
        assert acknowledged - found


def test_a_store_at_its_limit_says_so_and_works_again_above_it(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)

    def limit(pages: int) -> None:
        with store._writers.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    limit(200)
    acknowledged, refused = filled(store)
    assert isinstance(refused, StoreFull)
    assert {e.event_id for e in all_events(store)} == acknowledged
    limit(100_000)
    assert store.append(batch(0)).stored == BATCH
    store.close()
    assert lost_or_repeated(sqlite_url, acknowledged) == []


# -- PostgreSQL goes away ------------------------------------------------------------------------------------------


def test_a_database_that_stops_under_load_loses_nothing_and_comes_back_by_itself() -> None:
    """Stopped at once, as in a crash, while clients append; then started; only named errors, and they end."""
    server = postgres.Server.made()
    try:
        server.start()
        with server.database() as url:
            store = Store.open(url)
            writer = Writer(store, deadline_seconds=30)
            acknowledged: set[str] = set()
            errors: list[Exception] = []
            ending = threading.Event()

            def client(number: int) -> None:
                while not ending.is_set():
                    events = batch(number)
                    try:
                        writer.append_now(events)
                    except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
                        errors.append(error)
                        time.sleep(0.02)
                        continue
                    acknowledged.update(e.event_id for e in events)

            clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
            for thread in clients:
                thread.start()
            for _ in range(rounds(1, 10)):
                time.sleep(0.5)
                server.stop("immediate")
                before = len(errors)
                wait_until(lambda before=before: len(errors) > before + 2)
                with pytest.raises(StoreUnavailable):
                    store.history("u0", 1)
                server.start()
                since, known = time.monotonic(), len(acknowledged)
                wait_until(lambda known=known: len(acknowledged) > known + 4 * BATCH)
                assert time.monotonic() - since < 20
            ending.set()
            for thread in clients:
                thread.join()
            writer.close()
            store.close()
            assert errors
            assert {type(error) for error in errors} == {StoreUnavailable}
            assert lost_or_repeated(url, acknowledged) == []
    finally:
        server.remove()


def test_a_full_disk_under_postgresql_is_named_and_recovered_from(tmp_path: Path) -> None:
    server = postgres.Server.made()
    try:
        server.start()
        with small_disk(server.home / "small", 24) as disk:
            ballast = disk / "ballast"
            ballast.write_bytes(b"\0" * 4_000_000)
            space = disk / "space"
            space.mkdir()
            if os.getuid() == 0:
                shutil.chown(space, "postgres", "postgres")
            server.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
            server.execute("CREATE DATABASE small TABLESPACE small")
            url = server.url("small")
            store = Store.open(url)
            acknowledged, refused = filled(store)
            check_full(store, url, acknowledged, refused, ballast)
            store.close()
            server.stop("immediate")
    finally:
        server.remove()


def wait_until(true: object, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)
