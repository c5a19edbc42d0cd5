"""A made-up budget that every sample is a variation of: research, 500 USD a month, three keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from alertd.core.events import Contributor, Event
from alertd.core.periods import PeriodRule

ZONE: Final = "Europe/Berlin"


MONTH: Final = PeriodRule("month", ZoneInfo(ZONE))


_SATURDAY: Final = 5
_HALF: Final = 0.5


RUNAWAY: Final = "It spent $40 in the last hour, normally 30¢: 98% of what this budget spent then"


def part(label: str, value: str, spent: str, paces: str, volume: float) -> Contributor:
    """A contributor; `paces` are its daily pace before and now."""
    before, now = map(Decimal, paces.split())
    return Contributor(label, value, Decimal(spent), now, before, volume)


def left(now: datetime, part: float) -> datetime:
    """An instant in what is left of the month."""
    return now + (MONTH.containing(now).end - now) * part


def sample(now: datetime, kind: str, severity: str, **changes: Any) -> Event:
    """An event of the made-up budget, changed as given."""
    period = MONTH.containing(now)
    event = Event(
        id=f"sample/{kind}",
        kind=kind,
        severity=severity,
        at=now,
        budget="research",
        period_start=period.start,
        period_end=period.end,
        zone=ZONE,
        amount=Decimal(500),
        currency="USD",
        spent=Decimal("323.60"),
        projected={"0.1": Decimal("514.80"), "0.5": Decimal("563.90"), "0.9": Decimal("640.20")},
        probability_over=0.93,
        exhausted_low=left(now, 0.4),
        exhausted_at=left(now, 0.6),
        exhausted_high=left(now, 0.95),
        pace=Decimal("28.10"),
        pace_allowed=Decimal("17.92"),
        contributors=(
            part("key", "rag-indexer", "148.10", "2.10 14.30", 6.8),
            part("key", "evals-nightly", "102.20", "8.00 8.20", 1.0),
            part("key", "notebooks", "48.90", "4.10 3.90", 0.97),
        ),
        contributor_count=7,
        data_until=now - timedelta(minutes=2),
        owner="@ana",
        runbook_url="https://wiki.example.com/llm-budget",
        handle="4f2",
    )
    changed = replace(event, **changes)
    if not changed.status and changed.budget:
        changed = replace(changed, status=_status(changed))
    return changed if changed.daily is not None else replace(changed, daily=_daily(changed, now))


def _status(event: Event) -> str:
    """The status that such figures have."""
    if event.spent is None or event.amount is None:
        return "unknown"
    if event.spent >= event.amount:
        return "over"
    if event.basis == "burn_rate":
        return "runaway"
    return "at_risk" if (event.probability_over or 0) >= _HALF else "on_track"


def _daily(event: Event, now: datetime) -> tuple[tuple[str, Decimal], ...]:
    """The days of a month with quiet week-ends that gathers speed, up to what is spent."""
    begin, spent = event.period_start or now, event.spent or Decimal(0)
    first = begin.astimezone(ZoneInfo(ZONE)).date()
    days = [first + timedelta(days=count) for count in range((min(now, event.period_end or now) - begin).days + 1)]
    weights = [(3 if day.weekday() >= _SATURDAY else 12) + count**2 // 20 for count, day in enumerate(days)]
    return tuple((day.isoformat(), spent * weight / sum(weights)) for day, weight in zip(days, weights, strict=True))


def about_source(now: datetime, kind: str, severity: str, **changes: Any) -> Event:
    """An event about a source, which has no budget."""
    event = Event(id=f"sample/{kind}", kind=kind, severity=severity, at=now, zone=ZONE, source="gateway")
    return replace(event, **changes)
