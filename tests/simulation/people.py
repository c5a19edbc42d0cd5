"""What people do to the daemons: buttons, commands, and the configuration. Each in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from alertd.core.actions.state_machine import AWAITING, STUCK, VERIFIED, Act, acts
from alertd.core.budgets import Amount
from alertd.core.config_errors import SettingsError
from alertd.core.evaluation.interactions import Interaction
from alertd.operations.values import By, OperationError
from alertd.ports import StoreError
from alertd.stores.sql import SqlStore
from tests.simulation.machines import PROCESS, Database, Process

if TYPE_CHECKING:
    from tests.simulation.story import Replica, Story
    from tests.simulation.world import Key

#: What a person is told instead, and does nothing about.
_REFUSED: Final = (SettingsError, StoreError, OperationError)
_ANA: Final = By("ana", reason="needed")


@dataclass
class Raised:
    """An amount that somebody raised a budget's scope to: since when it may hold, and since when it surely does."""

    of: tuple[str, str]
    begun: datetime
    amount: Decimal
    done: datetime | None = None


@dataclass
class Pause:
    """When actions were surely paused: from the answer on, until somebody began to end it."""

    since: datetime
    until: datetime | None = None


@dataclass
class Silenced:
    """Alerts that somebody silenced: of which budget or keys, from when on surely, and until when."""

    where: dict[str, tuple[str, ...]]
    since: datetime
    until: datetime

    def covers(self, budget: str, alias: str, at: datetime) -> bool:
        """Whether it is surely in force for a budget's scope."""
        if not self.since <= at < self.until:
            return False
        return alias in self.where.get("key", ()) or bool({budget, "*"} & set(self.where.get("budget", ())))


class People:
    """Those who are told, and what they do."""

    def __init__(self, story: Story) -> None:
        self.story = story
        #: Every approval: which key's name, and when.
        self.approved: list[tuple[str, Any]] = []
        self.restored: set[str] = set()
        #: What they were shown, which must hold no secret.
        self.shown: list[str] = []
        #: What somebody raised, in order.
        self.raised: list[Raised] = []
        #: Which keys alertd was told to leave as they are, and when actions were paused: from the answer to the end.
        self.disowned: list[tuple[str, datetime]] = []
        self.pauses: list[Pause] = []
        #: Set when everything is to be well.
        self.calm = asyncio.Event()
        self.silences: list[Silenced] = []
        self._doing: set[asyncio.Task[None]] = set()
        self._count = 0

    def do(self, kind: str, chance: random.Random, key: Key) -> None:
        """Begin what somebody does; `key` is what it is about, where it is about one."""
        what = {"acknowledges": self._acknowledge, "snoozes": self._snooze, "silences": self._silence,
                "raises": self._raise, "approves": self._approve, "refuses": self._refuse,
                "restores": self._restore, "looks": self._look, "disowns": self._disown,
                "pauses": self._pause}[kind.removeprefix("somebody ")]  # fmt: skip
        self._count += 1
        process = Process(f"person.{self._count}")
        token = PROCESS.set(process)
        task = asyncio.create_task(self._unless_refused(what, chance, key), name=kind)
        PROCESS.reset(token)
        self._doing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.story.oracle.fail("what people do never breaks", f"{task.get_name()}: {error!r}")

    async def _unless_refused(
        self, what: Callable[[random.Random, Key], Awaitable[None]], chance: random.Random, key: Key
    ) -> None:
        try:
            await what(chance, key)
        except _REFUSED as error:
            self.shown.append(str(error))

    def _store(self) -> SqlStore:
        return SqlStore(Database(self.story.disk, PROCESS.get()))

    def _replica(self, chance: random.Random) -> Replica | None:
        alive = [one for one in self.story.replicas if one.app is not None and one.process is not None]
        return chance.choice(alive) if alive else None

    async def _press(self, chance: random.Random, what: str, on: str, until: timedelta | None = None) -> None:
        """A button is heard by one daemon, sometimes by two."""
        now = self.story.loop.now
        press = Interaction(
            f"press {self._count}", what, (on,), "ana", "@ana", now, None if until is None else now + until
        )
        hearers = [self._replica(chance) for _ in range(chance.choice((1, 1, 2)))]
        for one in hearers:
            if one is not None and one.app is not None and one.process is not None:
                token = PROCESS.set(one.process)
                try:
                    self.shown.append(await one.app.interactions.take(press))
                finally:
                    PROCESS.reset(token)

    def _alert(self, chance: random.Random) -> str | None:
        told = [one.event["id"] for one in self.story.receivers.told if one.event["event"] == "threshold"]
        return chance.choice(told[-8:]) if told else None

    async def _acknowledge(self, chance: random.Random, _key: Key) -> None:
        if (alert := self._alert(chance)) is not None:
            await self._press(chance, "acknowledge", alert)

    async def _snooze(self, chance: random.Random, _key: Key) -> None:
        if (alert := self._alert(chance)) is not None:
            await self._press(chance, "snooze", alert, timedelta(minutes=chance.choice((3, 10))))

    async def _silence(self, chance: random.Random, key: Key) -> None:
        now, minutes = self.story.loop.now, chance.choice((5, 10, 20))
        alias = key.alias
        where: dict[str, tuple[str, ...]] = chance.choice(({"key": (alias,)}, {"budget": ("all",)}, {"budget": ("*",)}))
        await self.story.command().operations.silence(where, timedelta(minutes=minutes), _ANA, f"s{self._count}")
        self.silences.append(Silenced(where, self.story.loop.now, now + timedelta(minutes=minutes)))

    async def _raise(self, chance: random.Random, key: Key) -> None:
        story = self.story
        budget = story.settings().budgets[chance.choice(("all", "keys", "keys", "keys"))]
        alias = key.alias if budget.per else ""
        before = max([budget.amount.value, *(one.amount for one in self.raised if one.of == (budget.name, alias))])
        amount = Amount(before * chance.choice((2, 4)), budget.amount.unit)
        one = Raised((budget.name, alias), story.loop.now, amount.value)
        self.raised.append(one)
        scope = (("key", alias),) if alias else ()
        await story.command().operations.raise_amount(budget.name, scope, str(amount), _ANA)
        one.done = story.loop.now

    async def _acts(self) -> list[Act]:
        notes = await self._store().memory()
        return list(acts({name: value for name, (value, _) in notes.items()}).values())

    async def _approve(self, chance: random.Random, key: Key) -> None:
        waiting = [act for act in await self._acts() if act.state == AWAITING]
        if waiting:
            act = _of(key, waiting, chance)
            self.approved.append((act.target, self.story.loop.now))
            await self._press(chance, "approve", act.id)

    async def _refuse(self, chance: random.Random, _key: Key) -> None:
        waiting = [act for act in await self._acts() if act.state == AWAITING]
        if waiting:
            await self._press(chance, "refuse", chance.choice(waiting).id)

    async def _restore(self, chance: random.Random, key: Key) -> None:
        done = [act for act in await self._acts() if act.state in {VERIFIED, STUCK}]
        if done:
            act = _of(key, done, chance)
            self.restored.add(act.target)
            await self.story.command().operations.restore(act.id, _ANA)

    async def _disown(self, chance: random.Random, key: Key) -> None:
        done = [act for act in await self._acts() if act.state in {VERIFIED, STUCK}]
        if done:
            act = _of(key, done, chance)
            await self.story.command().operations.disown(act.id, _ANA)
            self.disowned.append((act.target, self.story.loop.now))

    async def _pause(self, chance: random.Random, _key: Key) -> None:
        """Nothing is to be done to keys for a while."""
        operations = self.story.command().operations
        await operations.pause(_ANA)
        pause = Pause(self.story.loop.now)
        self.pauses.append(pause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60 * chance.choice((6, 15))):
                await self.calm.wait()
        pause.until = self.story.loop.now
        while True:
            with contextlib.suppress(*_REFUSED):
                await operations.resume(_ANA)
                return
            await asyncio.sleep(60)

    async def _look(self, chance: random.Random, _key: Key) -> None:
        replica = self._replica(chance)
        if replica is not None and replica.app is not None and replica.process is not None:
            PROCESS.set(replica.process)
            await self.story.oracle.look_at_pages(replica.app)


def _of(key: Key, found: list[Act], chance: random.Random) -> Act:
    """An action on the key that it is about, where there is one."""
    return chance.choice([act for act in found if act.target == key.alias] or found)
