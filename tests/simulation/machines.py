"""The machines that the daemons run on: a network and a database that fail as told, and processes that can be killed.

A process that is killed stops where it stands: nothing that it awaits ever comes, and nothing more is done for it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast

import httpx

from alertd.ports import StoreError
from alertd.stores.postgres import PostgresDatabase
from alertd.stores.sqlite import in_memory
from alertd.stores.transaction import Answer, Job, Work
from alertd.stores.urls import read_url

#: The process in whose name something is asked of the world.
PROCESS: Final[ContextVar[Process]] = ContextVar("process")
#: Virtual seconds that a call to a healthy machine takes at most.
_QUICK: Final = 0.02

Answerer = Callable[[httpx.Request], httpx.Response]


@dataclass(eq=False)
class Process:
    """A process of the operating system: its clock's error, and whether it is alive."""

    name: str
    skew: timedelta = timedelta()
    alive: bool = True
    #: It dies at its so manieth call from now on, between what was asked for and the answer.
    doomed_in: int | None = None
    died: Callable[[], None] = lambda: None
    #: Frozen processes (SIGSTOP, a long pause of the virtual machine) do nothing until this is set.
    running: asyncio.Event = field(default_factory=asyncio.Event)
    #: What it does at which signal.
    handlers: dict[int, Callable[[], object]] = field(default_factory=dict)
    #: Signals that came before.
    pending: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.running.set()

    def signal(self, number: int) -> None:
        """Send it a signal; one that it does not listen to yet is kept until it does, as `alertd run` has it."""
        if number not in self.handlers:
            self.pending.add(number)
            return
        token = PROCESS.set(self)
        try:
            self.handlers[number]()
        finally:
            PROCESS.reset(token)

    def listen(self, number: int, handler: Callable[[], object]) -> None:
        """Do something at a signal from now on."""
        self.handlers[number] = handler
        if number in self.pending:
            self.pending.remove(number)
            self.signal(number)

    async def step(self, seconds: float) -> None:
        """Something that takes time: nobody returns from it to a process that was killed meanwhile."""
        if self.doomed_in is not None and self.alive:
            self.doomed_in -= 1
            if self.doomed_in < 0:
                self.died()
        if self.alive:
            await asyncio.sleep(seconds)
            await self.running.wait()
        if not self.alive:
            await asyncio.get_running_loop().create_future()


@dataclass
class Clock:
    """What a process believes the time to be."""

    true: Callable[[], datetime]
    process: Process

    def now(self) -> datetime:
        return self.true() + self.process.skew


class Disk:
    """The database that all replicas share: SQLite in memory, or the PostgreSQL at `url`.

    `fault` is what it says instead of working, or "".
    """

    def __init__(self, chance: random.Random, url: str = "", latency: float = _QUICK) -> None:
        self.chance, self.fault, self.latency = chance, "", latency
        #: How many seconds a call takes at most, where it is slow.
        self.slowness = 0.0
        self.faults: Counter[str] = Counter()
        self._postgres = PostgresDatabase(read_url(url)) if url else None
        self._sqlite = None if url else in_memory()
        if self._postgres is not None:
            _in_place(self._postgres.open())

    def takes(self) -> float:
        """How many seconds it takes to reach it now."""
        return self.chance.random() * max(self.latency, self.slowness)

    def commit(self, work: Work[Answer]) -> Answer:
        """Run one piece of work in a transaction of its own."""
        if self._sqlite is None:
            assert self._postgres is not None
            return _in_place(self._postgres.write(work))
        job = Job(work)
        job.future.set_running_or_notify_cancel()
        self._sqlite.commit([job])
        return job.future.result()

    def read(self, work: Work[Answer]) -> Answer:
        """Run work that writes nothing."""
        if self._sqlite is None:
            assert self._postgres is not None
            return _in_place(self._postgres.read(work))
        return self._sqlite.read(work)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a question of the oracle."""
        return self.read(lambda tx: tx.rows(sql, *values))

    def close(self) -> None:
        """Let the database go."""
        if self._postgres is not None:
            asyncio.run(self._postgres.close())  # the story's own loop has ended
        if self._sqlite is not None:
            self._sqlite.close()


def _in_place(work: Coroutine[Any, Any, Answer]) -> Answer:
    """What a coroutine answers that waits for nothing, as those do here that hand their work to a thread."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("Answer", end.value)
    raise AssertionError("it waits for something")


@dataclass
class Database:
    """The database port of one process: every call takes a little while before and after it is carried out."""

    disk: Disk
    process: Process

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def alone(self) -> bool:
        return False

    async def is_contended(self) -> bool:
        return False  # as with PostgreSQL: several daemons may share it

    async def write(self, work: Work[Answer], *, small: bool = False) -> Answer:
        await self._reach()
        answer = self.disk.commit(work)
        await self.process.step(self.disk.takes())
        return answer

    async def read(self, work: Work[Answer]) -> Answer:
        await self._reach()
        return self.disk.read(work)

    async def _reach(self) -> None:
        await self.process.step(self.disk.takes())
        if self.disk.fault:
            self.disk.faults[self.disk.fault] += 1
            raise StoreError(f"memory: {self.disk.fault}")


@dataclass
class Network:
    """Who answers at which host, and what is wrong on the way: kinds by host, each with its share of the requests."""

    chance: random.Random
    hosts: dict[str, Answerer] = field(default_factory=dict)
    faults: dict[str, dict[str, float]] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    #: What a host says with an error, beside that it is busy.
    complaints: dict[str, str] = field(default_factory=dict)

    async def carry(self, request: httpx.Request) -> httpx.Response:
        """The answer of the host; an error of httpx where something is wrong."""
        process, host = PROCESS.get(), request.url.host
        await request.aread()
        fault = self._fault(host)
        await process.step(self.chance.random() * _QUICK)
        if fault:
            self.injected[f"{host} {fault}"] += 1
        if fault == "refused":
            raise httpx.ConnectError("connection refused")
        if fault == "silent":
            await asyncio.sleep(3600)
        answer = (
            httpx.Response(503, text=f"busy {self.complaints.get(host, '')}")
            if fault == "error"
            else self.hosts[host](request)
        )
        if fault == "cut after":
            raise httpx.ReadError("the connection was cut")
        await process.step(self.chance.uniform(1, 25) if fault == "slow" else self.chance.random() * _QUICK)
        # What arrives is a stream that nobody has read yet.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    def _fault(self, host: str) -> str:
        for kind, share in self.faults.get(host, {}).items():
            if self.chance.random() < share:
                return kind
        return ""


@contextmanager
def network_of(network: Network) -> Iterator[None]:
    """While this lasts, every HTTP conversation of the process goes over `network`."""
    real = httpx.AsyncHTTPTransport.handle_async_request

    async def carry(_self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return await network.carry(request)

    httpx.AsyncHTTPTransport.handle_async_request = carry  # type: ignore[method-assign]
    try:
        yield
    finally:
        httpx.AsyncHTTPTransport.handle_async_request = real  # type: ignore[method-assign]


def answer_json(value: Any, status: int = 200) -> httpx.Response:
    """An answer as JSON."""
    return httpx.Response(status, json=value)
