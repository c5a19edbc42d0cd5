"""Answer buttons and questions in chat, on the replica that receives them. Permissions are checked by the notifier.

notifier.listen -> core.actions.interactions (too late? answered before? possible?) -> write  (compare-and-set)
                -> the last evaluation's statuses that a question names, as live events
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from alertd.core.actions.interactions import answer
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import AWAITING, Act, acts
from alertd.core.evaluation.interactions import APPROVE, named_in
from alertd.core.evaluation.state import State
from alertd.core.events import Event
from alertd.core.messages.rich_text import clean
from alertd.loops.live_messages import LiveMessageInputs, live_events
from alertd.ports import Clock, Interaction, Notifier, ReceivesInteractions, Step, Store, StoreError

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
