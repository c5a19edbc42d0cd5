"""A workspace with alertd in it, on a stopped clock: evaluation, outbox, Slack, messages that move, buttons."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from alertd.core.evaluation.routing import Receiver, route
from alertd.core.evaluation.state import LIFECYCLES, AlertLifecycle, State
from alertd.loops.deliver import Deliver
from alertd.loops.interactions import InteractionDeps, InteractionLoop, LiveMessageInputs, LiveMessageLoop
from alertd.notifiers.slack import Options, Slack
from alertd.ports import NewMessage, Notifier, Store
from tests.fakes import Channel, StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import Scenario, budget
from tests.servers.slack import APP_TOKEN, TOKEN, SlackServer
from tests.servers.socketmode import APP_ID

ANA: Final = "U0000ANA"
BEN: Final = "U0000BEN"


class SlackScenario:
    """One replica. `world` spends, `look` judges, sends and shows."""

    def __init__(self, server: SlackServer, world: Scenario | None = None, store: Store | None = None, **options: Any):
        self.server = server
        self.world = world or Scenario(budget(thresholds=["actual 50%", "actual 100%"]))
        self.store = store or MemoryStore()
        self.clock = StoppedClock(self.world.now)
        given = {"bot_token": TOKEN, "channel": "#ops", "api_url": server.api_url, "fallback": "mail", **options}
        self.slack = Slack("ops", Options(**given), now=self.clock.now)
        self.mail = Channel("mail", people=True)
        self.notifiers: dict[str, Notifier] = {"ops": self.slack, "mail": self.mail}
        self.deliver = Deliver(self.store, self.notifiers, self.clock, {"ops": "mail"}, jitter=lambda: 0.5)
        self.follow = LiveMessageLoop(self.store, self.clock, self._scene)
        self.presses = InteractionLoop(
            self.store, self.clock, InteractionDeps(lambda: self.notifiers, dict, self._write, shown=self._scene)
        )

    async def look(self, *, minutes: float = 0) -> None:
        """Time passes; what is new is evaluated and sent; what has moved is shown."""
        self.clock.move(minutes=minutes)
        self.world.now = self.clock.at
        alerts = self.world.tick()
        hears = {"ops": Receiver("ops", people=True, address=self.slack.address)}
        messages = route(alerts, {one.name: one for one in self.world.budgets}, hears)
        notes = await self.store.memory()
        changed = {
            n: (v, notes.get(n, (None, 0))[1]) for n, v in self.world.state.records.items() if _of(notes, n) != v
        }
        written = [NewMessage(m.key, m.notifier, m.conversation, m.events) for m in messages]
        assert await self.store.commit_decisions([], written, changed)
        await self.send()

    async def send(self) -> None:
        for _ in range(4):
            await self.deliver.tick()
            self.clock.move(seconds=2)
        await self.follow.tick()

    async def life(self) -> AlertLifecycle:
        """The one life that there is, as the store has it."""
        ((_, life),) = LIFECYCLES.items(State.of(await self.store.memory()))
        return life

    async def learn(self) -> None:
        """The evaluation reads what was written meanwhile, as it does before each look."""
        self.world.state = State.of(await self.store.memory())

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Buttons are heard meanwhile."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.presses.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)

    async def close(self) -> None:
        await self.slack.close()

    def _scene(self) -> LiveMessageInputs:
        return LiveMessageInputs(self.world.evaluate().statuses, self.notifiers, "https://alertd.example.com")

    async def _write(self, _events: Any, steps: Any, notes: Any) -> bool:
        return await self.store.commit_decisions([], [], notes, steps)


def roots(server: SlackServer) -> list[dict[str, Any]]:
    """The messages that stand in the channel itself."""
    return [one for one in server.messages if "thread_ts" not in one]


def replies(server: SlackServer) -> list[dict[str, Any]]:
    return [one for one in server.messages if "thread_ts" in one]


def words(message: dict[str, Any]) -> str:
    return json.dumps(message["blocks"], ensure_ascii=False)


def button(message: dict[str, Any], name: str) -> dict[str, Any]:
    """The button of a message whose action id ends so."""
    elements = [one for block in message["blocks"] if block["type"] == "actions" for one in block["elements"]]
    (found,) = [one for one in elements if str(one["action_id"]).removeprefix("alertd.") == name]
    return found


def payload(chat: SlackScenario, message: dict[str, Any], name: str, user: str = ANA, **changes: Any) -> dict[str, Any]:
    """What Slack tells of a press of that button, now."""
    found = button(message, name)
    action = {"action_id": found["action_id"], "value": found["value"], "type": "button",
              "action_ts": f"{chat.clock.at.timestamp():.6f}"}  # fmt: skip
    return {
        "type": "block_actions",
        "api_app_id": APP_ID,
        "user": {"id": user, "username": user[5:].lower(), "team_id": "T1"},
        "container": {"message_ts": message["ts"], "channel_id": message["channel"]},
        "channel": {"id": message["channel"]},
        "message": {"ts": message["ts"]},
        "actions": [{**action, **changes}],
    }


async def until(what: str, found: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first answer of `found` that is true."""
    for _ in range(int(seconds / 0.02)):
        answer = found()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited {seconds:g} s for {what}")


def _of(notes: dict[str, tuple[Any, int]], name: str) -> Any:
    return notes.get(name, (None, 0))[0]


HEARING: Final = {"app_token": APP_TOKEN, "users": [ANA]}
PATIENCE: Final = timedelta(minutes=10)
