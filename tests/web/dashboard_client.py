"""A daemon seen from outside, without one: a world's standings, kept rows, and a client. No socket is opened."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import sin
from typing import Any

import httpx

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act
from alertd.core.budgets import Override
from alertd.core.evaluation.breakdown import ScopeUsage
from alertd.core.evaluation.event_builder import event_of
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.events import Event
from alertd.core.loop_stats import DeliveryStats, Durations, LoopStats, Sent
from alertd.operations.changes import Operations
from alertd.ports import AlertRow, SentMessage, Step, StoreError
from alertd.web.server import BudgetStatuses, View, build
from tests.fakes import StoppedClock
from tests.scenario import NOVEMBER, Scenario, budget

NOW = datetime(2026, 11, 17, 9, 40, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
SHOUT = "<!channel>"
#: With so many scopes the month is evaluated at its end only: a test waits for it.
MANY = 100
ALL = ["actual 50%", "actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m above 20 USD"]


@dataclass
class StoredRows:
    """What a store would hold. With `dead` every call fails as one of a lost database does."""

    rows: list[AlertRow] = field(default_factory=list)
    notes: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 1
    waiting: Mapping[str, tuple[int, datetime | None]] = field(default_factory=dict)
    dead: bool = False
    ended: dict[str, datetime] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    sent: list[SentMessage] = field(default_factory=list)

    async def audit(self, acts: Collection[str] | None = None) -> list[Step]:
        self._answer()
        return [step for step in self.steps if acts is None or step.act in acts]

    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]:
        self._answer()
        return [one for one in self.sent if begin <= one.created <= end]

    async def alerts(self, since: datetime) -> list[AlertRow]:
        self._answer()
        return [row for row in self.rows if row.at >= since]

    async def memory(self) -> dict[str, tuple[Any, int]]:
        self._answer()
        return {name: (value, self.revision) for name, value in self.notes.items()}

    async def write(self, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]) -> bool:
        """As a store commits: nothing where a record was changed meanwhile."""
        self._answer()
        if any(revision != (self.revision if name in self.notes else 0) for name, (_, revision) in notes.items()):
            return False
        changed = {**self.notes, **{name: value for name, (value, _) in notes.items()}}
        self.notes = {name: value for name, value in changed.items() if value is not None}
        self.revision += 1
        self.steps += steps
        return True

    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]:
        self._answer()
        return dict(self.waiting)

    async def writable(self) -> None:
        self._answer()

    async def end_session(self, session: str, until: datetime) -> None:
        self._answer()
        self.ended[session] = until

    async def has_ended(self, session: str) -> bool:
        self._answer()
        return session in self.ended

    def _answer(self) -> None:
        if self.dead:
            raise StoreError("/var/lib/alertd/alertd.db: the disk is full")


def november(*, scopes: int = 5, blind: bool = False) -> tuple[Scenario, StoredRows]:
    """Half a month: budgets on pace, at risk, over and without data, teams with hostile names, one unknown model."""
    world = Scenario(
        budget("research", "500 USD", where={"team": "research"}, thresholds=ALL, owner="@ana",
               runbook_url="https://wiki.example.com/llm"),
        budget("platform", "900 USD", where={"team": "platform"}, thresholds=ALL),
        budget("evaluation", "120 USD", where={"team": "evaluation"}, thresholds=ALL),
        budget("marketing", "100 USD", where={"team": "marketing"}, thresholds=ALL),
        budget("tokens", "2B tokens", thresholds=["actual 80%", "forecast 100%"]),
        budget("teams", "200 USD", per=("team",), table={("legal",): Override(owner="@law")}),
    )  # fmt: skip
    kept = StoredRows()
    teams = [f"team-{number:03}" for number in range(scopes)]
    for step in range(NOW.day):
        at = NOVEMBER + timedelta(days=step, hours=9)
        world.now = min(at + timedelta(hours=3), NOW)
        wave = 1 + 0.3 * sin(step)
        world.spend(round(11 * wave, 2), at=at, team="research", key="rag-indexer")
        world.spend(round((14 if step > 11 else 3) * wave, 2), at=at, team="research", key="chat")
        world.spend(round(20 * wave, 2), at=at, team="platform", key="gateway")
        world.spend(round(9 * wave, 2), at=at, team="evaluation", key="nightly")
        world.spend(4, at=at, team=HOSTILE)
        world.spend(2, at=at, team=SHOUT)
        world.spend(1, at=at)
        for number, team in enumerate(teams):
            world.spend(1 + number % 17, at=at, team=team)
        if scopes < MANY:
            _remember(world, kept)
    world.spend(3, model="gpt-9-mystery", team="platform", key="gateway")
    world.now = NOW
    _remember(world, kept)
    if blind:
        seen = NOW - timedelta(minutes=42)
        world.sources["gateway"] = SourceView(
            "gateway", seen, timedelta(minutes=15), failing_since=seen, error="Prometheus answers 503"
        )
    return world, kept


def _remember(world: Scenario, kept: StoredRows) -> None:
    for alert in world.tick():
        kept.rows += [AlertRow(key, world.now, alert.event) for key in alert.keys]
    kept.notes = dict(world.state.records)


def lasted(*seconds: float) -> Durations:
    found = Durations()
    for one in seconds:
        found.add(one)
    return found


STOP = ActionPolicy("stop-research", "turn this key off", "turn it on again", mode="approve", approvers=("ana",))
LATER = ActionPolicy(
    "stop-teams", "turn this key off", lacks="a token of its own: ALERTD_ACTIONS__STOP_TEAMS__TOKEN_FILE"
)


def with_acts(world: Scenario, kept: StoredRows) -> None:
    """One key was stopped with an approval, one proposal of a hostile name waits, and bill and estimate differ."""
    named = {position.budget.name: position for position in world.evaluate().statuses if not position.scope}
    team = next(one for one in world.evaluate().statuses if ("team", HOSTILE) in one.scope)
    stopped = proposed("a1b2c3d4e5", "stop-research", "rag-indexer", named["research"], NOW - timedelta(hours=3))
    held = {"values": {"status": "active", "api_token": SECRET}, "said": "status active"}
    steps = [
        ("ask", "alertd", ""), ("approve", "ana", "looks wrong"), ("begin", "alertd", ""),
        ("read", "alertd", "status active"), ("send", "alertd", ""), ("verify", "alertd", "status inactive"),
    ]  # fmt: skip
    acts = [
        _through(kept, stopped, steps, {"read": held}),
        _through(
            kept, proposed("ffee00aa11", "stop-teams", SHOUT, team, NOW - timedelta(minutes=5)), [("ask", "alertd", "")]
        ),
    ]
    acts[1] = replace(acts[1], expires=NOW + timedelta(minutes=55))
    kept.notes = {**kept.notes, **{act.note: act.to_json() for act in acts}, "comparison": COMPARED}


#: What a provider's answer might hold; it must never be shown.
SECRET = "sk-very-secret-0123456789"
COMPARED = {
    "at": (NOW - timedelta(minutes=20)).isoformat(),
    "compared": [
        {
            "provider": "openai", "scope": {}, "currency": "USD", "from": "2026-11-01", "to": "2026-11-14",
            "estimated": "412.50", "billed": "330.00", "drift_percent": "25.00", "factor": "0.8000",
            "used_by": ["gateway"], "billed_by": ["bill"], "against": "bill",
            "causes": [{"kind": "price_differs", "said": "gpt-4o: billed 0.80 times the estimate on every day"}],
        }
    ],
    "duplicate_sources": [f"{SHOUT} and gateway look like the same traffic"],
}  # fmt: skip


def proposed(number: str, action: str, target: str, position: BudgetStatus, at: datetime) -> tuple[Act, Step]:
    reason = "It spent $12.50 in the last hour: 62% of what this budget spent then"
    event = event_of(position, "action", "critical", number, at, reason=reason)
    act = Act(
        number, action, target, "key", position.name, "threshold/actual 50%", "actual", "turn this key off",
        reversible=True, grade="disable", event=event.to_json(), evidence={"share": "0.62", "spent": "12.50"},
    )  # fmt: skip
    return act.after("propose", at, audited=dict(act.evidence))


def _through(
    kept: StoredRows,
    begun: tuple[Act, Step],
    steps: list[tuple[str, str, str]],
    evidence: Mapping[str, Any] | None = None,
) -> Act:
    act, step = begun
    kept.steps.append(step)
    for number, (what, by, reason) in enumerate(steps, 1):
        audited = (evidence or {}).get(what, {})
        act, step = act.after(what, step.at + timedelta(minutes=number), by, reason, audited=audited)
        kept.steps.append(step)
    return act


def view_of(world: Scenario, kept: StoredRows, **more: Any) -> View:
    decisions = world.evaluate()
    standings = BudgetStatuses(world.now, decisions.statuses, world.sources)
    loops = more.pop(
        "loops",
        [LoopStats("evaluate", timedelta(minutes=10), runs=3, durations=lasted(0.1, 0.1, 0.1), last_end=world.now)],
    )
    clock, facts = StoppedClock(world.now), world.facts()
    view = View(
        clock=clock,
        operations=Operations(
            kept,
            clock,
            kept.write,
            budgets=lambda: {position.budget.name: position.budget for position in decisions.statuses},
            policies=lambda: {STOP.name: STOP, LATER.name: LATER},
        ),
        started=world.now - timedelta(days=2),
        version="0.1.0",
        records=kept,
        standings=lambda: standings,
        loops=lambda: loops,
        book=lambda: world.book,
        lines=lambda: {row.line for row in world.ledger.series},
        delivery_stats=lambda: [
            DeliveryStats(
                "ops", Sent(delivered=5, retried=1), failures=Counter({"unavailable": 1}), durations=lasted(0.2, 12)
            )
        ],
        actions=lambda: [STOP, LATER],
        usage=lambda position: ScopeUsage(facts, position),
    )
    return replace(view, **more)


@dataclass(frozen=True)
class Browser:
    """Asks the application in this process; `origin` is what the Host header says."""

    app: Any
    origin: str = "http://localhost:9480"

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=self.app), base_url=self.origin, trust_env=False
            ) as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())


def browser(view: View, *, token: str | None = None, open_metrics: bool = False, loopback: bool = True) -> Browser:
    return Browser(build(view, token=token, open_metrics=open_metrics, loopback=loopback))
