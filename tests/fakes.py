"""Parts of the house that keep their contract and tell a story: a clock that stands, channels that fail as told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alertd.core.events import Event
from alertd.ports import Delivery, Receipt

#: What happens to one send: taken (with what the channel says to remember), or an error that it raises.
Act = dict[str, str] | BaseException


@dataclass
class StoppedClock:
    """Stands until it is moved."""

    at: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Channel:
    """A notifier whose sends go as `story` has it, one act each; when it is over, everything is taken."""

    name: str = "ops"
    people: bool = False
    story: Iterable[Act] = ()
    taken: list[Delivery] = field(default_factory=list)
    tried: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._acts = iter(self.story)

    @property
    def keys(self) -> list[str]:
        """The keys of what arrived, in order."""
        return [delivery.key for delivery in self.taken]

    def address(self, event: Event) -> str:
        return event.channel

    async def send(self, delivery: Delivery) -> Receipt:
        self.tried.append(delivery)
        act = next(self._acts, {})
        if isinstance(act, BaseException):
            raise act
        self.taken.append(delivery)
        return Receipt("taken", act)

    async def look(self) -> str:
        return "a fake"

    async def close(self) -> None: ...


@dataclass
class Hanging(Channel):
    """Takes a message and never answers, until it is let go."""

    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cut: int = 0

    async def send(self, delivery: Delivery) -> Receipt:
        self.taken.append(delivery)
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        return Receipt("at last")


@dataclass
class Interrupted(Channel):
    """Does something of the outside's in the middle of a send, after the receiver took it."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def send(self, delivery: Delivery) -> Receipt:
        receipt = await super().send(delivery)
        if self.meanwhile is not None:
            await self.meanwhile()
        return receipt


@dataclass
class Slow(Channel):
    """Does something on the way to its post, and asks for the lease right before it, as every notifier does."""

    meanwhile: Callable[[Delivery], Awaitable[object]] | None = None

    async def send(self, delivery: Delivery) -> Receipt:
        if self.meanwhile is not None:
            await self.meanwhile(delivery)
        delivery.require_lease()
        return await super().send(delivery)
