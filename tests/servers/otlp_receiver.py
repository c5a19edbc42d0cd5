"""A receiver of OTLP metrics as the daemon has it: server, source, collect loop and a ledger that outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from alertd.loops.collect import Collect
from alertd.ports import Pushed, SourceRow, Store, StoreError
from alertd.registry import load
from alertd.web.otlp import Receivers, Receiving
from alertd.web.server import WebServer
from tests.memory_store import MemoryStore

#: Long before whatever a test sends.
SINCE = timedelta(days=1)


class Now:
    """The machine's clock: what senders stamp is of now, too."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FailsAsTold(MemoryStore):
    """A database that fails at the commits whose turn is True in `failures`."""

    failures: Iterator[bool] = iter(())

    async def commit_counters(self, row: SourceRow, *rest: Any) -> bool:
        if next(self.failures, False):
            raise StoreError("the database is away")
        return await super().commit_counters(row, *rest)


class OtlpReceiver:
    """Serves `/v1/metrics` in a thread. `lose` says for each answer whether it is lost on its way: 503 instead."""

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        store: Store | None = None,
        lose: Iterable[bool] = (),
    ) -> None:
        self.store = store or MemoryStore()
        self.url = ""
        self.statuses: list[int] = []
        self._options, self._lose = dict(options or {}), iter(lose)
        self._port = 0
        self._thread: threading.Thread | None = None

    def start(self) -> OtlpReceiver:
        """Serve, at the same address as before."""
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            plugin = load("sources", "otlp")
            source = plugin.build("agents", plugin.Options.model_validate(self._options))
            collect = Collect(source, self.store, Now(), lambda now: now - SINCE)

            async def take_in(_name: str) -> bool:
                try:
                    await collect.tick()
                except StoreError:
                    return False
                return True

            receiving = Receiving(Now(), take_in)
            await receiving.start({"agents": source})
            assert isinstance(source, Pushed)
            app = Receivers(None, {source.path: source}, Now(), loopback=True)

            async def answer(scope: Scope, receive: Receive, send: Send) -> None:
                is_lost = next(self._lose, False)

                async def send_on(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        self.statuses.append(message["status"])
                    if not is_lost:
                        await send(message)

                await app(scope, receive, send_on)
                if is_lost:
                    await Response("lost", 503, {"retry-after": "0"})(scope, receive, send)

            server = WebServer(answer, "127.0.0.1", self._port)
            self.url = f"{await server.start()}{source.path}"
            self._port = int(self.url.rsplit(":", 1)[1].partition("/")[0])
            self._stop = asyncio.Event()
            started.set()
            await self._stop.wait()
            await server.stop(0.5)
            await receiving.stop()
            await source.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        assert started.wait(20)
        return self

    def stop(self) -> None:
        """Stop serving; the ledger stays."""
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def totals(self, *labels: str) -> Counter[tuple[str, ...]]:
        """What the ledger holds, by these labels (`meter` and `model` among them)."""

        async def read() -> Counter[tuple[str, ...]]:
            series = {row.id: row for row in await self.store.series()}
            rows, _ = await self.store.usage(datetime(2000, 1, 1, tzinfo=UTC))
            found: Counter[tuple[str, ...]] = Counter()
            for row in rows:
                named = series[row.series].all_labels()
                key = tuple(named.get(label, "") for label in labels)
                found[key] += row.quantity
            return found

        return asyncio.run(read())

    def meters(self) -> dict[str, int]:
        """The ledger's totals by meter; money is under ""."""
        return {meter: n for (meter,), n in self.totals("meter").items() if n}


@contextmanager
def receiving(options: Mapping[str, Any] | None = None, **more: Any) -> Iterator[OtlpReceiver]:
    """A receiver for the length of a block."""
    receiver = OtlpReceiver(options, **more).start()
    try:
        yield receiver
    finally:
        receiver.stop()
