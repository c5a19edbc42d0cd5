"""The process that is killed while it stops keys: the real act loop over a real store, asking a real server for keys.

Beside the keys that run away in an automatic budget there are keys of a budget that asks first. That budget is raised,
and only then a person approves, without looking: their reason is gone, so they must never be written.
It kills itself where `Death` says: before, inside (written, not committed) or after the nth transaction, before or
after the nth request that changes a key. Time runs a hundred times as fast, so that a lease ends within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import AWAITING, Act, acts
from alertd.core.budgets import Amount
from alertd.core.evaluation.state import RAISED, RaisedAmount
from alertd.loops.execute import ActionLoop, LastEvaluation
from alertd.loops.executor import Action, ActionConfig
from alertd.ports import Store, StoreError
from alertd.revokers.anthropic import Anthropic, Options, build
from alertd.stores import decisions
from alertd.stores.sql import SqlStore
from tests.scenario import Scenario, budget
from tests.system.crash_child import Death, executioner
from tests.system.crash_child import build as store_of

SUNDAY: Final = datetime(2026, 11, 15, 2, tzinfo=UTC)
DECEMBER: Final = datetime(2026, 12, 1, 1, tzinfo=UTC)
SPEED: Final = 100
BOUND: Final = timedelta(seconds=1.0)
LEASE: Final = timedelta(seconds=1.3 * SPEED)
POINTS: Final = (
    ("commit", "before"), ("commit", "inside"), ("commit", "after"), ("write", "before"), ("write", "after"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """What a child is to do: on which database, with how many keys of which provider, in which month, since when."""

    kind: str
    url: str
    provider: str
    count: int
    december: bool
    epoch: float


class FastClock:
    """A time in November, or in December for what the next period undoes; a hundred times as fast, the same for all."""

    def __init__(self, task: Task) -> None:
        self._begin, self._epoch = DECEMBER if task.december else SUNDAY, task.epoch

    def now(self) -> datetime:
        return self._begin + timedelta(seconds=(time.time() - self._epoch) * SPEED)


def names(count: int) -> list[str]:
    """The keys that run away."""
    return [f"key-{number:03}" for number in range(count)]


def names_without_reason(count: int) -> list[str]:
    """Keys that run away in a budget that is raised before anybody approves."""
    return [f"gone-{number:03}" for number in range(max(1, count // 3))]


def run(task: Task, death: Death | None) -> None:
    """The life of the child: until every key is where it belongs, or it dies."""
    logging.disable(logging.CRITICAL)
    die = executioner(death)
    _watch_commits(die)
    asyncio.run(_live(store_of(task.kind, task.url), task, die))


async def _live(store: Store, task: Task, die: Callable[[str, str], None]) -> None:
    await store.open()
    revoker = build("stop", Options.model_validate({"url": task.provider, "token": "acting-token"}))
    _watch_writes(revoker, die)
    terms = ActionPolicy(
        "stop",
        revoker.operation.what,
        mode="auto",
        on=("burn_rate",),
        who="all",
        max_per_hour=10**6,
        expiry=timedelta(days=9999),
    )
    asks = replace(terms, name="ask", mode="approve")
    config = ActionConfig({"stop": Action(terms, revoker), "ask": Action(asks, revoker)})
    seen, raised = _seen(task.count)
    turn = 0
    is_raised = False

    def look() -> LastEvaluation:
        return raised if is_raised else seen[turn % len(seen)]

    clock = FastClock(task)
    actor = ActionLoop(store, clock, config, look, bound=BOUND, lease=LEASE)
    wanted = {"stop": "restored" if task.december else "verified", "ask": "expired"}
    count = task.count + len(names_without_reason(task.count))
    while True:
        turn += 1
        with contextlib.suppress(StoreError):
            await actor.tick()
            notes = await store.memory()
            found = acts({name: value for name, (value, _) in notes.items()}).values()
            if len(found) == count and all(act.state == wanted[act.action] for act in found):
                break
            is_raised = any(name.startswith(RAISED.prefix) for name in notes)
            waiting = [act for act in found if act.state == AWAITING]
            if is_raised:
                await _approve(actor, waiting, notes, clock.now())
            elif len(waiting) == count - task.count:
                await _raise(store, waiting[0].position, clock.now())
        await asyncio.sleep(0.005)
    await revoker.close()
    await store.close()


async def _raise(store: Store, position: str, now: datetime) -> None:
    amount = RaisedAmount(Decimal(10**6), "USD", "ana", now)
    changed = {name: (value, 0) for name, value in RAISED.put(amount, position).items()}
    await store.commit_decisions([], [], changed)


async def _approve(actor: ActionLoop, waiting: list[Act], notes: Mapping[str, tuple[Any, int]], now: datetime) -> None:
    """A person who approves what has no reason any more, without looking."""
    for act in waiting:
        after, step = act.after("approve", now, "@ana", approved_by="@ana", expires=now + timedelta(days=9999))
        await actor.write((), (step,), {act.note: (after.to_json(), notes[act.note][1])})


def _seen(count: int) -> tuple[list[LastEvaluation], LastEvaluation]:
    """Readings of the same runaway, five minutes apart, each with as much new spend; and one after the raise."""
    asks = budget("small", thresholds=["burn_rate 2x over 1h and 5m"], actions=("ask",), where={"key": "gone-*"})
    auto = budget(thresholds=["burn_rate 2x over 1h and 5m"], actions=("stop",), where={"key": "key-*"})
    world = Scenario(auto, asks, at=SUNDAY)
    found = []
    for _ in range(5):
        world.pass_time(minutes=5)
        for name in (*names(count), *names_without_reason(count)):
            world.spend(4, key=name)
        world.tick()
        found.append(LastEvaluation(world.facts(), world.evaluate().statuses))
    (small,) = [one.name for one in found[-1].statuses if one.budget.name == "small"]
    world.raised[small] = Amount(Decimal(10**6), "USD")
    return found[1:], LastEvaluation(
        world.facts(), world.evaluate().statuses
    )  # the first bucket was not over when it was read


def _watch_commits(die: Callable[[str, str], None]) -> None:
    work, told = decisions.commit_decisions, SqlStore.commit_decisions

    def watched(*args: Any, **named: Any) -> Any:
        die("commit", "before")
        answer = work(*args, **named)
        die("commit", "inside")
        return answer

    async def after(*args: Any, **named: Any) -> Any:
        answer = await told(*args, **named)
        die("commit", "after")
        return answer

    decisions.commit_decisions = watched
    SqlStore.commit_decisions = after


def _watch_writes(revoker: Anthropic, die: Callable[[str, str], None]) -> None:
    write = revoker._write

    async def watched(*args: Any) -> Any:
        die("write", "before")
        answer = await write(*args)
        die("write", "after")
        return answer

    revoker._write = watched
