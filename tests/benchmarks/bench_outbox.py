"""Messages a second from the outbox to a local receiver, each durable before and after; others that are dead.

    python -m tests.benchmarks.bench_outbox [MESSAGES]

The receiver is a process of its own that answers every post with 204. `raw` posts over kept connections with nothing
in between: it shows the outbox. `webhook` is the real notifier, signed. Floors: the same posts without an outbox, and
appends to a file with an fsync each. Of the dead receivers every second one refuses, the others never answer.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytest

from alertd.core.events import Event
from alertd.daemon import SystemClock
from alertd.loops.deliver import Deliver
from alertd.notifiers import webhook
from alertd.ports import Delivery, DeliveryError, NewMessage, Notifier, Receipt, Store
from tests.databases import Place, postgres_server, schema
from tests.fakes import Channel, Hanging

DEADS = (0, 1, 5)


class Raw(Channel):
    """Posts an event over one of a few kept connections, by hand."""

    def __init__(self, port: int) -> None:
        super().__init__("raw")
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, delivery: Delivery) -> Receipt:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        body = webhook.render(delivery.events[0])
        head = f"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {delivery.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        self._idle.append((reader, writer))
        return Receipt(answer[9:12].decode())

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def serve(listening: socket.socket) -> None:
    """Take every post with 204."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def forever() -> None:
        server = await asyncio.start_server(take, sock=listening, limit=1 << 20)
        server._loop.set_exception_handler(lambda *_: None)  # a client that leaves is no news
        await server.serve_forever()

    asyncio.run(forever())


def messages(count: int, notifier: str) -> list[NewMessage]:
    """Each in a conversation of its own."""
    at = datetime.now(UTC)
    return [
        NewMessage(
            f"{notifier}{n}", notifier, f"{n}", (Event(f"{notifier}{n}", "threshold", "warning", at, "research"),)
        )
        for n in range(count)
    ]


def dead(name: str) -> Channel:
    """Every second one refuses, the others hang."""
    if int(name[4:]) % 2:
        return Hanging(name)
    return Channel(name, story=iter(lambda: DeliveryError("connection refused"), None))


async def a_second(store: Store, notifier: Notifier, count: int, deads: int) -> float:
    """Messages delivered to the live receiver in a second, while others are dead."""
    names = [f"dead{n}" for n in range(deads)]
    for name in (notifier.name, *names):
        assert await store.commit_decisions([], messages(count if name == notifier.name else 100, name), {})
    channels = {notifier.name: notifier, **{name: dead(name) for name in names}}
    deliver = Deliver(store, channels, SystemClock(), {}, send=timedelta(seconds=60))
    stop = asyncio.Event()
    began = perf_counter()
    running = asyncio.create_task(deliver.run(stop))
    while notifier.name in await store.outbox_depth():  # noqa: ASYNC110  the outbox tells nobody that it is empty
        await asyncio.sleep(0.02)
    took = perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await notifier.close()
    return count / took


async def bare_posts(notifier: Notifier, count: int) -> float:
    """The same posts without an outbox, 64 at a time."""
    todo = [Delivery(m.key, m.notifier, m.conversation, m.events) for m in messages(count, notifier.name)]
    began = perf_counter()
    for start in range(0, count, 64):
        await asyncio.gather(*map(notifier.send, todo[start : start + 64]))
    took = perf_counter() - began
    await notifier.close()
    return count / took


def appends(count: int) -> float:
    """Lines appended to a file, each with its fsync."""
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("ab", buffering=0) as file:
        began = perf_counter()
        for _ in range(count):
            file.write(b"x" * 500)
            os.fsync(file.fileno())
        return count / (perf_counter() - began)


def real_webhook(port: int) -> Notifier:
    return webhook.build("webhook", webhook.Options(url=f"http://127.0.0.1:{port}/hook", secret="s" * 16))


def measure(place: Callable[[], Place], port: int, count: int) -> None:
    """One table row a notifier and number of dead receivers."""

    async def run(make: Callable[[int], Notifier], deads: int) -> float:
        async with place().open() as store:
            return await a_second(store, make(port), count, deads)

    for make in (Raw, real_webhook):
        rates = [asyncio.run(run(make, deads)) for deads in DEADS]
        told = "   ".join(f"{deads} dead {rate:7,.0f}/s" for deads, rate in zip(DEADS, rates, strict=True))
        print(f"{place().kind:9} {make.__name__.removeprefix('real_').lower():8} {told}")


def main(count: int) -> None:
    """Print the table."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listening.getsockname()[1]
    receiver = multiprocessing.get_context("fork").Process(target=serve, args=(listening,), daemon=True)
    receiver.start()
    listening.close()
    print(f"floor     one fsync a message {appends(min(count, 500)):,.0f}/s")
    for make in (Raw, real_webhook):
        name, rate = make.__name__.removeprefix("real_").lower(), asyncio.run(bare_posts(make(port), count))
        print(f"floor     {name} posts alone {rate:,.0f}/s")
    with TemporaryDirectory() as folder, ExitStack() as stack:
        files = (Place("sqlite", f"sqlite:///{folder}/{n}.db") for n in range(99))
        measure(_each(files), port, count)
        try:
            url = stack.enter_context(postgres_server(durable=True))
        except pytest.skip.Exception as reason:
            print(reason)
        else:
            measure(lambda: Place("postgres", stack.enter_context(schema(url))), port, count)
    receiver.kill()


def _each(places: Any) -> Callable[[], Place]:
    return lambda: next(places)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
