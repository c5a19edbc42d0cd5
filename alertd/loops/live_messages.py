"""Update live messages, which follow a budget through its period. Announces nothing.

store.conversations -> core.evaluation.summaries (is what is shown old?) -> notifier.refresh -> store.remember
An update may be repeated, so replicas need not agree; a failed one is tried again in a later round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alertd.core.actions.state_machine import open_actions
from alertd.core.evaluation.routing import conversation
from alertd.core.evaluation.state import State
from alertd.core.evaluation.summaries import PLACE, SHOWN, SHOWN_AT, is_due, live_event, shown
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event, with_command_options
from alertd.ports import Clock, DeliveryError, Notifier, ShowsLiveMessages, Store

log = logging.getLogger(__name__)

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
