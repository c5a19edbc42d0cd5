"""A provider's keys for tests, and alertd on a stopped clock that may act on them: world, store, both loops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alertd.core.actions.plan import Withheld
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act, Step, acts, replayed
from alertd.core.events import Event
from alertd.core.messages import compose, text_of
from alertd.loops.execute import ActionLoop, LastEvaluation
from alertd.loops.executor import Action, ActionConfig
from alertd.ports import Done, NewMessage, Observed, Operation, Revoker, RevokerError, Store, Target
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import Scenario

OPERATION = Operation("disable this key", "enable this key")


@dataclass
class FakeKeyProvider:
    """Keys by name, active or not. `story` is what happens to one request after another: None, or an error.

    An error that is `uncertain` is raised after the request was carried out, as a timeout is.
    """

    keys: dict[str, str] = field(default_factory=lambda: {"rag-indexer": "active", "web": "active"})
    story: Iterable[RevokerError | None] = ()
    operation: Operation = OPERATION
    name: str = "ring"
    lacks: str = ""
    written: list[tuple[str, str]] = field(default_factory=list)
    unreadable: bool = False

    def __post_init__(self) -> None:
        self._acts = iter(self.story)

    async def find(self, target: str) -> Target:
        if target not in self.keys:
            raise RevokerError(f"there is no key {target!r}", permanent=True)
        return Target(f"id-{target}", target, hint=f"sk-{target}...{target[-4:]}")

    async def read(self, target: Target) -> Observed:
        name = target.id.removeprefix("id-")
        if self.unreadable:
            return Observed(acted=None)
        if name not in self.keys:
            return Observed(acted=True, present=False, said="there is no such key any more")
        status = self.keys[name]
        return Observed(acted=status == "inactive", values={"status": status}, said=f"status {status}")

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        return self._write(target, "inactive")

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        return self._write(target, before.values.get("status", "active"))

    async def look(self) -> str:
        return f"{len(self.keys)} keys"

    async def close(self) -> None: ...

    def _write(self, target: Target, status: str) -> Done:
        trouble = next(self._acts, None)
        if trouble is not None and not trouble.uncertain:
            raise trouble
        name = target.id.removeprefix("id-")
        self.keys[name] = status
        self.written.append((name, status))
        if trouble is not None:
            raise trouble
        return Done(f"status {status}", f"req_{len(self.written)}")


class ActionScenario:
    """A world in which the act loop follows each evaluation. `round` is both; what is told is kept as events."""

    def __init__(
        self, world: Scenario, *, key_provider: Revoker | None = None, store: Store | None = None, **terms: Any
    ) -> None:
        self.world = world
        self.key_provider = key_provider or FakeKeyProvider()
        self.store = store or MemoryStore()
        self.clock = StoppedClock(world.now)
        self.told: list[Event] = []
        self._seen: LastEvaluation | None = None
        self.actors = [self.replica(self.key_provider, **terms)]

    def replica(self, key_provider: Revoker, name: str = "stop", **terms: Any) -> ActionLoop:
        """One more act loop over the same store."""
        operation = key_provider.operation
        given = {"mode": "approve", "what": operation.what, "grade": operation.grade,
                 "reversible": operation.reversible, "lacks": key_provider.lacks, **terms}  # fmt: skip
        config = ActionConfig(
            {name: Action(ActionPolicy(name, **given), key_provider)}, ("sk-own-secret",), messages=self._messages
        )
        return ActionLoop(self.store, self.clock, config, lambda: self._seen)

    async def round(self, *, seen: bool = True, minutes: float = 5) -> list[str]:
        """Time passes, the evaluation looks, the act loop follows; what was said of actions, a state each."""
        self.clock.move(minutes=minutes)
        self.world.now = self.clock.at
        before = len(self.told)
        self.world.tick(seen=seen)
        await self._remember()
        decisions = self.world.evaluate()
        self._seen = LastEvaluation(self.world.facts(), decisions.statuses)
        for actor in self.actors:
            await actor.tick()
        return [event.details.state for event in self.told[before:]]

    async def acts(self) -> list[Act]:
        notes = await self.store.memory()
        return list(acts({name: value for name, (value, _) in notes.items()}).values())

    async def only(self) -> Act:
        (act,) = await self.acts()
        return act

    async def answer(self, what: str, by: str = "@ana", **changes: Any) -> None:
        """Somebody approves, refuses or restores the only act."""
        act = await self.only()
        after, step = act.after(what, self.clock.at, by, **changes)
        if what == "approve":
            after = type(after).from_json({**after.to_json(), "approved_by": by})
        notes = await self.store.memory()
        assert await self.actors[0].write((), (step,), {act.note: (after.to_json(), notes[act.note][1])})

    async def refrained(self) -> list[Withheld]:
        assert self._seen is not None
        return list((await self.actors[0].preview(self._seen)).withheld)

    async def sound_audit(self) -> list[Step]:
        """The steps of all acts; each act's lead exactly to where it stands."""
        steps = await self.store.audit()
        for act in await self.acts():
            assert replayed([step for step in steps if step.act == act.id]) == act.state
        return steps

    def words(self) -> list[str]:
        """Every message about actions as people read it, headline first."""
        return [_text(event, self.clock.at) for event in self.told]

    def _messages(self, events: Iterable[Event]) -> list[NewMessage]:
        self.told += events
        return []

    async def _remember(self) -> None:
        stored = await self.store.memory()
        changed = {
            n: (v, stored.get(n, (None, 0))[1])
            for n, v in self.world.state.records.items()
            if stored.get(n, (0, 0))[0] != v
        }
        assert await self.store.commit_decisions([], [], changed)


def _text(event: Event, now: datetime) -> str:
    message = compose([event], now)
    return "\n".join([text_of(message.headline), *map(text_of, message.body), text_of(message.footer)])
