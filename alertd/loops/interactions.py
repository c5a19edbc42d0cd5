"""Answer buttons and questions in chat, on the replica that receives them. Permissions are checked by the notifier.

notifier.listen -> core.actions.interactions (too late? answered before? possible?) -> write  (compare-and-set)
                -> the last evaluation's statuses that a question names, as live events

Live messages, which follow a budget through its period, are updated here, too. Nothing is announced.

store.conversations -> core.evaluation.summaries (is what is shown old?) -> notifier.refresh -> store.remember
An update may be repeated, so replicas need not agree; a failed one is tried again in a later round.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions.interactions import answer
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import AWAITING, Act, acts, open_actions
from alertd.core.evaluation.interactions import APPROVE, named_in
from alertd.core.evaluation.routing import conversation
from alertd.core.evaluation.state import State
from alertd.core.evaluation.summaries import PLACE, SHOWN, SHOWN_AT, is_due, live_event, shown
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event, with_command_options
from alertd.core.messages.rich_text import clean
from alertd.ports import (
    Clock,
    DeliveryError,
    Interaction,
    Notifier,
    ReceivesInteractions,
    ShowsLiveMessages,
    Step,
    Store,
    StoreError,
)

#: The wait after a notifier failed, unless it asks for another wait.
_PATIENCE: Final = timedelta(minutes=5)
#: The most messages of one notifier per round: chats accept about one update a second.
_A_ROUND: Final = 20


@dataclass(frozen=True, slots=True)
class LiveMessageInputs:
    """What the evaluation saw last, which notifiers there are, and where the pages are."""

    statuses: Sequence[BudgetStatus]
    notifiers: Mapping[str, Notifier]
    public_url: str = ""
    command_options: str = ""


def live_events(inputs: LiveMessageInputs, state: State, now: datetime) -> list[Event]:
    """Every status as its message shows it: its figures, its open alerts, the actions that wait."""
    actions = open_actions(state.records)
    events = [
        live_event(status, state, now, actions.get(status.name, ()), inputs.public_url) for status in inputs.statuses
    ]
    return [with_command_options(event, inputs.command_options) for event in events]


class LiveMessageLoop:
    """Keeps live messages up to date. `tick` is one round; how many were brought up to date."""

    def __init__(self, store: Store, clock: Clock, inputs: Callable[[], LiveMessageInputs]) -> None:
        self._store, self._clock, self._inputs = store, clock, inputs
        self._not_before: dict[str, datetime] = {}

    async def tick(self) -> int:
        inputs, now = self._inputs(), self._clock.now()
        lively = {name: one for name, one in inputs.notifiers.items() if isinstance(one, ShowsLiveMessages)}
        if not lively or not inputs.statuses:
            return 0
        state = State.of(await self._store.memory())
        events = {conversation(event): event for event in live_events(inputs, state, now)}
        total = 0
        for name, notifier in lively.items():
            if now >= self._not_before.get(name, now):
                total += await self._round(name, notifier, events)
        return total

    async def _round(self, name: str, notifier: ShowsLiveMessages, events: Mapping[str, Event]) -> int:
        """One notifier's messages, the one updated longest ago first."""
        now, count = self._clock.now(), 0
        known = await self._store.conversations(name)
        shown_before = [(memory, where) for where, memory in known.items() if where in events and memory.get(PLACE)]
        for memory, where in sorted(shown_before, key=lambda one: one[0].get(SHOWN_AT, "")):
            event = events[where]
            showing = shown(event, now)
            if not is_due(memory, showing, now):
                continue
            try:
                after = await notifier.refresh(event, memory)
            except DeliveryError as error:
                self._not_before[name] = now + max(error.retry_after or _PATIENCE, timedelta(seconds=1))
                log.warning("%s: a message could not be brought up to date: %s", name, error)
                return count
            seen = {**after, SHOWN: showing, SHOWN_AT: now.isoformat()}
            if seen != memory:
                await self._store.remember(name, where, memory, seen, now)
            count += 1
            if count == _A_ROUND:
                break
        return count


log = logging.getLogger(__name__)

#: A press that other replicas were quicker with is looked at again so often.
_TRIES: Final = 8
#: How soon one that broke, or that a reload added, is listened to.
_LOOK_SECONDS: Final = 2.0
#: The same where nobody is listened to.
_IDLE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class InteractionDeps:
    """What an interaction needs: the notifiers, the configured actions, and the function that commits its effect.

    `shown` is what a question is answered from.
    """

    notifiers: Callable[[], Mapping[str, Notifier]]
    terms: Callable[[], Mapping[str, ActionPolicy]]
    write: Callable[[Sequence[Event], Sequence[Step], Mapping[str, tuple[Any, int]]], Awaitable[bool]]
    lost: Callable[[Act], Awaitable[str]] | None = None
    shown: Callable[[], LiveMessageInputs] | None = None


class InteractionLoop:
    """Answers interactions. `run` listens to every notifier that receives them, also those that a reload adds."""

    def __init__(
        self, store: Store, clock: Clock, deps: InteractionDeps, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._clock, self._to, self._wake = store, clock, deps, wake

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a notifier that a reload replaced is not listened to any more."""
        listening: dict[int, asyncio.Task[None]] = {}
        try:
            while not stop.is_set():
                wanted = {
                    id(one): one for one in self._to.notifiers().values() if isinstance(one, ReceivesInteractions)
                }
                for number in [n for n, task in listening.items() if n not in wanted or _broke(task)]:
                    listening.pop(number).cancel()
                for number in wanted.keys() - listening.keys():
                    listening[number] = asyncio.create_task(wanted[number].listen(self.take, self.ask), name="listen")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK_SECONDS if listening else _IDLE_SECONDS)
        finally:
            for task in listening.values():
                task.cancel()
            await asyncio.gather(*listening.values(), return_exceptions=True)

    async def take(self, interaction: Interaction) -> str:
        """What to show the person; "" where that was shown before."""
        try:
            return await self._answered(interaction)
        except StoreError as error:
            log.warning("a press of %s could not be written: %s", interaction.by, error)
            return "alertd cannot write to its database; nothing was done. Press again later."

    async def ask(self, text: str) -> Sequence[Event] | str:
        """The live status of every budget and scope that a question names; else a sentence that says why none is."""
        inputs = self._to.shown() if self._to.shown is not None else None
        if inputs is None or not inputs.statuses:
            return "alertd has not evaluated the budgets yet; ask again in a minute."
        named = named_in(text, inputs.statuses)
        if not named:
            return f"No budget is called {clean(text, 60)!r}; ask without a name to see all of them."
        try:
            state = State.of(await self._store.memory())
        except StoreError as error:
            log.warning("a question could not be answered: %s", error)
            return "alertd cannot read its database; ask again later."
        return await asyncio.to_thread(live_events, replace(inputs, statuses=named), state, self._clock.now())

    async def _answered(self, interaction: Interaction) -> str:
        for _ in range(_TRIES):
            state = State.of(await self._store.memory())
            lost = await self._lost(interaction, state)
            if lost:
                log.info("%s chose %s: %s", interaction.by, interaction.what, lost)
                return f"Not approved: {lost}; nothing was done."
            found = answer(interaction, state, self._clock.now(), self._to.terms())
            if not found.changes:
                log.info("%s chose %s: %s", interaction.by, interaction.what, found.said or "heard before")
                return found.said
            if await self._to.write(found.events, found.steps, state.revised(found.changes)):
                log.info("%s chose %s: %s", interaction.by, interaction.what, found.said)
                self._wake()
                return found.said
        return "alertd was too busy; nothing was done. Press again."

    async def _lost(self, interaction: Interaction, state: State) -> str:
        """Why what would be approved has no reason any more; "" for every other press."""
        if interaction.what != APPROVE or self._to.lost is None:
            return ""
        waiting = [act for act in acts(state.records).values() if act.id.startswith(interaction.on)]
        return await self._to.lost(waiting[0]) if len(waiting) == 1 and waiting[0].state == AWAITING else ""


def _broke(task: asyncio.Task[None]) -> bool:
    """Whether it ended with an unexpected error, which is logged; it is started again."""
    if not task.done() or task.cancelled() or task.exception() is None:
        return False
    log.error("listening for interactions failed", exc_info=task.exception())
    return True
