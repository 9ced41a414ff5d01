"""A process that appends through the writer and tells which events were acknowledged; made to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from multiprocessing.connection import Connection

from segue.errors import StoreError
from segue.serving.store import Event, Store, Writer
from tests.faults import store_twins

CLIENTS, BATCH = 4, 5


def batch(client: int) -> list[Event]:
    return [Event(uuid.uuid4().hex, f"u{client}", f"i{n}", n, "view", 1.0) for n in range(BATCH)]


def append_for_ever(url: str, told: Connection, writer_name: str = "Writer") -> None:
    """Four clients; the ids of a batch go to ``told`` as soon as the batch is acknowledged."""
    writer: Writer = store_twins.WRITERS[writer_name](Store.open(url))

    async def client(number: int) -> None:
        while True:
            events = batch(number)
            try:
                await writer.append(events, 30)
            except StoreError:
                await asyncio.sleep(0.02)
                continue
            told.send_bytes("\n".join(e.event_id for e in events).encode())

    async def clients() -> None:
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))

    asyncio.run(clients())


def append_in_turn(url: str, count: int, normal: bool) -> None:
    """One batch after the other, with a mark before each and after its acknowledgement; for ``strace``."""
    store = Store.open(url)
    if normal:
        store_twins.sync_less(store)
    writer = Writer(store)

    async def client() -> None:
        for _ in range(count):
            events = batch(0)
            os.write(1, b"ASKED\n")
            await writer.append(events)
            os.write(1, b"ACKNOWLEDGED\n")

    asyncio.run(client())
    writer.close()


if __name__ == "__main__":
    append_in_turn(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["normal"])
