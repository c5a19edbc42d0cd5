"""Public incidents of agents as traces: what was usual, how fast it went, and the budget that would have stood there.

Amounts and lengths are as their reporters told them. Where none told what was usual, a quiet day of 10 USD is assumed.
The budget is 30 times the median quiet day before the incident.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from tests.scenario import Scenario, budget

#: What docs/agents.md gives for budgets of agents.
AGENTS: Final = (
    "actual 80%", "actual 100%", "forecast 100% p90",
    "burn_rate 25x over 1h and 5m", "burn_rate 30x over 5m above usual",
)  # fmt: skip
DEFAULT: Final = ("actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m above 20 USD")
ASSUMED: Final = 10.0
#: A Wednesday night, 30 days of history before it.
BEGIN: Final = datetime(2026, 11, 18, 2, tzinfo=UTC)
HISTORY: Final = 30
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Incident:
    """`spent` US dollars in `hours`, evenly; `usual` on a quiet day."""

    name: str
    spent: float
    hours: float
    usual: float = ASSUMED


INCIDENTS: Final = (
    Incident("claude-code#57719, a daemon calls `claude -p` all night", 313, 8.5),
    Incident("claude-code#73795, 52 automatic reloads in four hours", 1_771, 4, 1.1),
    Incident("82,314 USD in 48 hours, a stolen Gemini key", 82_314, 48, 6),
    Incident("claude-code#96048, a stolen key, 12.8M tokens in an hour", 194.96, 1, 2.5),
    Incident("claude-code#35166, the same request once a minute", 500, 6),
    Incident("claude-code#15909, one subagent, 27M tokens", 81, 4.6),
    Incident("claude-code#49275, 280 subagent sessions in an hour", 51, 1, 5),
    Incident("gemini-cli#5375, 133 USD in a day", 133, 14, 1),
    Incident("claude-code#91682, a pipeline that retries for ever", 50, 5, 2),
    Incident("claude-code#51950, a key in the browser, 148.67 USD in a day", 148.67, 24, 1),
)


@dataclass(frozen=True)
class Told:
    """The first message of an incident: what of the budget was lost by then, and how long it had lasted."""

    incident: Incident
    share: float
    minutes: float
    basis: str


def quiet_day(
    usual: float, day: datetime, dice: random.Random, *, evenings: bool = False
) -> Iterator[tuple[datetime, float]]:
    """The spend of a working day by five minutes: sessions with pauses, a heavy tail, days that differ.

    With `evenings` somebody works on for two hours at a time of night that differs, on one day of ten.
    """
    if day.weekday() >= 5:
        return
    whole = usual * dice.lognormvariate(0, 0.4)
    weights = [dice.lognormvariate(0, 1.0) if dice.random() < 0.6 else 0.0 for _ in range(108)]
    for place, weight in enumerate(weights):
        if weight:
            yield day + timedelta(hours=9, minutes=5 * place), whole * weight / sum(weights)
    if evenings and dice.random() < 0.1:
        begin = day + timedelta(hours=dice.choice((19, 20, 21)))
        late = [dice.lognormvariate(0, 1.0) if dice.random() < 0.6 else 0.0 for _ in range(24)]
        yield from (
            (begin + timedelta(minutes=5 * place), 0.3 * whole * weight / sum(late))
            for place, weight in enumerate(late)
            if weight
        )


def told(incident: Incident, thresholds: Sequence[str] = AGENTS, begin: datetime = BEGIN) -> Told | None:
    """The first message about an incident, evaluated once a minute; None where none came within it."""
    dice = random.Random(incident.name)
    amount = round(30 * incident.usual, 2)
    scenario = Scenario(budget("agents", f"{amount} USD", thresholds=list(thresholds)), at=begin)
    for number in range(HISTORY, 0, -1):
        day = (begin - timedelta(days=number)).replace(hour=0)
        for at, spent in quiet_day(incident.usual, day, dice):
            scenario.spend(f"{spent:.6f}", at=at)
    scenario.tick()
    each, lost = Decimal(repr(incident.spent)) / Decimal(repr(incident.hours * 60)), Decimal(0)
    for minute in range(int(incident.hours * 60)):
        scenario.spend(f"{each:.6f}")
        lost += each
        scenario.now += _MINUTE
        loud = [alert.event for alert in scenario.tick() if alert.event.kind == "threshold"]
        loud = [event for event in loud if event.severity != "info"]
        if loud:
            return Told(incident, float(lost) / amount, minute + 1, loud[0].basis)
    return None


def false_messages(
    teams: int,
    days: int = 90,
    thresholds: Sequence[str] = AGENTS,
    usual: float = ASSUMED,
    *,
    evenings: bool = False,
) -> list[str]:
    """The bases of the messages on quiet traces of some teams that no crossing followed: burn rates, and forecasts."""
    found: list[str] = []
    for team in range(teams):
        dice = random.Random(team)
        start = datetime(2026, 8, 1, tzinfo=UTC)
        amount = Decimal(repr(30 * usual))
        scenario = Scenario(budget("agents", f"{amount} USD", thresholds=list(thresholds)), at=start)
        crossed: set[str] = set()
        forecasts: list[str] = []
        for number in range(days):
            day = start + timedelta(days=number)
            for at, spent in quiet_day(usual, day, dice, evenings=evenings):
                scenario.now = at + timedelta(minutes=4)
                scenario.spend(f"{spent:.6f}", at=at)
                # What no burn rate could be crossed by is looked at once an hour.
                if spent < float(amount) * 0.002 and at.minute:
                    continue
                for alert in scenario.tick():
                    event, month = alert.event, f"{alert.event.period_start}"
                    if event.kind != "threshold":
                        continue
                    if event.basis == "actual" and event.level and event.level >= 100:
                        crossed.add(month)
                    elif event.basis == "forecast":
                        forecasts.append(month)
                    elif event.basis != "actual":
                        found.append(event.basis)
        found += ["forecast" for month in forecasts if month not in crossed]
    return found
