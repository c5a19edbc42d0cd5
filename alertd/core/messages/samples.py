"""Sample events of every kind: what `alertd test-notify` sends and what the gallery shows. All figures are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from alertd.core.events import Contributor, Event, Unpriced
from alertd.core.periods import PeriodRule

_ZONE: Final = "Europe/Berlin"
_MONTH: Final = PeriodRule("month", ZoneInfo(_ZONE))
#: The instant that pictures of samples are taken at: a Saturday morning in Berlin.
NOW: Final = datetime(2026, 11, 21, 7, 5, tzinfo=UTC)

_SATURDAY: Final = 5
_RUNAWAY: Final = "burn_rate 10x over 1h and 5m: 41.30 USD in the last hour"


def _part(label: str, value: str, spent: str, paces: str, volume: float) -> Contributor:
    before, now = map(Decimal, paces.split())
    return Contributor(label, value, Decimal(spent), now, before, volume)


def _sample(now: datetime, kind: str, severity: str, **changes: Any) -> Event:
    period = _MONTH.containing(now)
    event = Event(
        id=f"sample/{kind}",
        kind=kind,
        severity=severity,
        at=now,
        budget="research",
        period_start=period.start,
        period_end=period.end,
        zone=_ZONE,
        amount=Decimal(500),
        currency="USD",
        spent=Decimal("323.60"),
        projected={"0.1": Decimal("514.80"), "0.5": Decimal("563.90"), "0.9": Decimal("640.20")},
        probability_over=0.93,
        exhausted_low=now + timedelta(days=4),
        exhausted_at=now + timedelta(days=6),
        exhausted_high=now + timedelta(days=9),
        pace=Decimal("28.10"),
        pace_allowed=Decimal("17.92"),
        contributors=(
            _part("key", "rag-indexer", "148.10", "2.10 14.30", 6.8),
            _part("key", "evals-nightly", "102.20", "8.00 8.20", 1.0),
            _part("key", "notebooks", "48.90", "4.10 3.90", 0.97),
        ),
        contributor_count=7,
        data_until=now - timedelta(minutes=2),
        owner="@ana",
        runbook_url="https://wiki.example.com/llm-budget",
        details={"handle": "4f2"},
    )
    changed = replace(event, **changes)
    return replace(changed, details={"daily": _daily(changed, now), **changed.details})


def _daily(event: Event, now: datetime) -> list[list[Any]]:
    """The days of a month with quiet week-ends that gathers speed, up to what is spent."""
    begin, spent = event.period_start or now, event.spent or Decimal(0)
    first = begin.astimezone(ZoneInfo(_ZONE)).date()
    days = [first + timedelta(days=count) for count in range((min(now, event.period_end or now) - begin).days + 1)]
    weights = [(3 if day.weekday() >= _SATURDAY else 12) + count**2 // 20 for count, day in enumerate(days)]
    return [[day.isoformat(), spent * weight / sum(weights)] for day, weight in zip(days, weights, strict=True)]


def _actual(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "information",
        basis="actual",
        level=Decimal(50),
        levels=(Decimal(50),),
        threshold="actual 50%",
        spent=Decimal("251.40"),
        pace=Decimal("15.90"),
        pace_allowed=Decimal("26.16"),
        probability_over=0.24,
        projected={"0.1": Decimal(412), "0.5": Decimal(452), "0.9": Decimal(507)},
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        contributors=(
            _part("model", "claude-sonnet", "148.10", "8.70 9.10", 1.05),
            _part("model", "gpt-5", "71.90", "4.90 4.60", 0.94),
        ),
    )


def _ahead(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "warning",
        basis="actual",
        level=Decimal(80),
        levels=(Decimal(50), Decimal(80)),
        threshold="actual 80%",
        spent=Decimal("406.20"),
        pace_allowed=Decimal("9.53"),
        probability_over=0.99,
        projected={"0.1": Decimal(571), "0.5": Decimal(640), "0.9": Decimal(742)},
        exhausted_low=now + timedelta(days=2),
        exhausted_at=now + timedelta(days=3),
        exhausted_high=now + timedelta(days=5),
    )


def _over(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "critical",
        basis="actual",
        level=Decimal(100),
        levels=(Decimal(100),),
        threshold="actual 100%",
        spent=Decimal("503.20"),
        pace_allowed=Decimal(0),
        probability_over=1.0,
        projected={"0.1": Decimal(690), "0.5": Decimal(748), "0.9": Decimal(851)},
        exhausted_low=None,
        exhausted_at=now - timedelta(minutes=25),
        exhausted_high=None,
    )


def _forecast(now: datetime) -> Event:
    return _sample(now, "threshold", "warning", basis="forecast", level=Decimal(100), threshold="forecast 100%")


def _burn_rate(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "critical",
        basis="burn_rate",
        level=Decimal(10),
        spent=Decimal("424.50"),
        threshold="burn_rate 10x over 1h and 5m above 20 USD",
        probability_over=0.99,
        projected={"0.1": Decimal(505), "0.5": Decimal(890), "0.9": Decimal(2400)},
        pace=Decimal("19.80"),
        pace_allowed=Decimal("7.72"),
        exhausted_low=None,
        exhausted_at=now + timedelta(minutes=107),
        exhausted_high=None,
        contributors=(
            _part("key", "rag-indexer", "189.40", "2.10 44.10", 21),
            _part("key", "evals-nightly", "102.20", "8.00 8.20", 1.0),
            _part("key", "notebooks", "48.90", "4.10 3.90", 0.97),
        ),
        details={
            "handle": "b81",
            "window": "1h",
            "window_spent": Decimal("41.30"),
            "window_usual": Decimal("0.30"),
            "factor": Decimal(59),
            "rising": True,
            "since": now - timedelta(minutes=60),
            "culprit": {"label": "key", "value": "rag-indexer"},
            "main": {"label": "model", "value": "gpt-5", "share": Decimal("0.98")},
            "requests": 1840,
            "requests_usual": 12,
            "readings": [now - timedelta(minutes=7), now - timedelta(minutes=2)],
            "proposed": {
                "what": "block this key",
                "reversible": True,
                "handle": "a7f",
                "expires": now + timedelta(minutes=60),
            },
        },
    )


def _anomaly(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "warning",
        basis="anomaly",
        level=Decimal(99),
        threshold="anomaly p99",
        spent=Decimal("212.40"),
        probability_over=0.31,
        pace=Decimal("11.20"),
        pace_allowed=Decimal("29.42"),
        projected={"0.1": Decimal(331), "0.5": Decimal(402), "0.9": Decimal(566)},
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        details={
            "handle": "c07",
            "window": "1d",
            "window_spent": Decimal("41.30"),
            "usual_low": Decimal("2.10"),
            "usual_high": Decimal("9.40"),
        },
    )


def _balance(now: datetime) -> Event:
    return _sample(
        now,
        "threshold",
        "warning",
        basis="balance",
        level=Decimal(50),
        amount=Decimal(50),
        threshold="balance 50 USD",
        budget="openrouter-credit",
        projected={},
        probability_over=None,
        pace=Decimal("8.60"),
        pace_allowed=None,
        exhausted_low=now + timedelta(days=4),
        exhausted_at=now + timedelta(days=5),
        exhausted_high=now + timedelta(days=7),
        details={"handle": "d11", "balance": Decimal("42.10")},
    )


def _recovered(now: datetime) -> Event:
    return _sample(
        now,
        "recovered",
        "information",
        basis="forecast",
        level=Decimal(100),
        probability_over=0.22,
        projected={"0.1": Decimal(421), "0.5": Decimal(463), "0.9": Decimal(515)},
        pace=Decimal("14.20"),
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        details={"since": now - timedelta(days=3)},
    )


def _about_source(now: datetime, kind: str, severity: str, details: Mapping[str, Any]) -> Event:
    return Event(id=f"sample/{kind}", kind=kind, severity=severity, at=now, zone=_ZONE, details=details)


def _source_stale(now: datetime) -> Event:
    return _about_source(
        now,
        "source_stale",
        "critical",
        {
            "source": "gateway",
            "since": now - timedelta(minutes=22),
            "error": "Prometheus answers 503",
            "retry_every": "1m",
            "budgets": 12,
            "actions_paused": True,
            "nearest": {"budget": "research", "spent": Decimal("424.50"), "amount": Decimal(500), "currency": "USD"},
        },
    )


def _source_back(now: datetime) -> Event:
    return _about_source(
        now,
        "recovered",
        "information",
        {
            "source": "gateway",
            "since": now - timedelta(minutes=66),
            "until": now - timedelta(minutes=22),
            "missed": {"USD": Decimal("12.40")},
            "crossed": 0,
        },
    )


def _unpriced(now: datetime) -> Event:
    return _sample(
        now,
        "unpriced",
        "warning",
        details={"share": Decimal("0.07")},
        unpriced=(
            Unpriced("openai", "gpt-6-mini", "input", 5_200_000, "in no price list", "gpt-5-mini"),
            Unpriced("openai", "gpt-6-mini", "output", 310_000, "in no price list", "gpt-5-mini"),
        ),
    )


def _unmatched(now: datetime) -> Event:
    return Event(
        id="sample/unmatched",
        kind="unmatched",
        severity="warning",
        at=now,
        budget="research",
        zone=_ZONE,
        period_start=_MONTH.containing(now).start,
        period_end=_MONTH.containing(now).end,
        data_until=now - timedelta(minutes=2),
        owner="@ana",
        details={
            "wanted": {"team": "reserch"},
            "nearest": {"label": "team", "value": "research"},
            "known": ["research", "search", "support", "web"],
        },
    )


def _uncovered(now: datetime) -> Event:
    return Event(
        id="sample/uncovered",
        kind="unmatched",
        severity="warning",
        at=now,
        zone=_ZONE,
        currency="USD",
        data_until=now - timedelta(minutes=2),
        details={
            "uncovered": {"USD": Decimal("31.40")},
            "uncovered_by": [
                {"label": "key", "value": "old-demo", "spent": Decimal("27.10")},
                {"label": "key", "value": "jane-laptop", "spent": Decimal("4.30")},
            ],
        },
    )


def _closed(now: datetime) -> Event:
    return _sample(
        now,
        "summary",
        "information",
        period_start=_MONTH.previous(_MONTH.containing(now)).start,
        period_end=_MONTH.containing(now).start,
        spent=Decimal("483.20"),
        projected={},
        probability_over=None,
        pace=Decimal("15.10"),
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        pace_allowed=None,
        details={"occasion": "period_closed", "state": "ok", "previous": Decimal("391.70"), "alerts": 2},
    )


def _action(now: datetime) -> Event:
    return _sample(
        now,
        "action",
        "critical",
        spent=Decimal("424.50"),
        reason=_RUNAWAY,
        details={
            "action": "stop-research",
            "state": "verified",
            "what": "blocked a key",
            "target": "rag-indexer",
            "by": "@ana",
            "restore": "alertd actions restore a7f",
        },
    )


def _proposed(now: datetime) -> Event:
    return _sample(
        now,
        "action",
        "critical",
        spent=Decimal("424.50"),
        reason=_RUNAWAY,
        details={
            "action": "stop-research",
            "state": "proposed",
            "what": "block a key",
            "target": "rag-indexer",
            "reversible": True,
            "handle": "a7f",
            "expires": now + timedelta(minutes=60),
        },
    )


def _test(now: datetime) -> Event:
    return _sample(now, "test", "information", details={"notifier": "ops"})


def digest(now: datetime, occasion: str = "digest", count: int = 14) -> tuple[Event, ...]:
    """Summary events of `count` scopes of one budget, from far over to quiet, as a digest or a first start has them."""
    names = ("search", "support", "web", "data", "mobile", "billing", "growth", "security", "legal", "design")
    return tuple(
        _scope(now, occasion, names[index % len(names)] + ("" if index < len(names) else f"-{index}"), index)
        for index in range(count)
    )


def _scope(now: datetime, occasion: str, team: str, index: int) -> Event:
    spent = Decimal(520) / (1 + Decimal(index) / 3)
    likely = spent * Decimal("1.5")
    over, risk = spent >= Decimal(500), likely >= Decimal(500)
    return _sample(
        now,
        "summary",
        "information",
        id=f"sample/{occasion}/{team}",
        budget="teams",
        scope=(("team", team),),
        spent=spent,
        probability_over=0.99 if over else 0.8 if risk else 0.04,
        projected={"0.1": likely * Decimal("0.9"), "0.5": likely, "0.9": likely * Decimal("1.15")},
        exhausted_at=now + timedelta(days=6) if risk and not over else None,
        exhausted_low=None,
        exhausted_high=None,
        details={"occasion": occasion, "state": "over" if over else "risk" if risk else "ok"},
    )


#: What `--event` takes, and what the gallery shows, in its order.
SAMPLES: Final[Mapping[str, Callable[[datetime], tuple[Event, ...]]]] = {
    "actual": lambda now: (_actual(now),),
    "ahead": lambda now: (_ahead(now),),
    "over": lambda now: (_over(now),),
    "forecast": lambda now: (_forecast(now),),
    "burn_rate": lambda now: (_burn_rate(now),),
    "anomaly": lambda now: (_anomaly(now),),
    "balance": lambda now: (_balance(now),),
    "recovered": lambda now: (_recovered(now),),
    "source_stale": lambda now: (_source_stale(now),),
    "source_back": lambda now: (_source_back(now),),
    "unpriced": lambda now: (_unpriced(now),),
    "unmatched": lambda now: (_unmatched(now),),
    "uncovered": lambda now: (_uncovered(now),),
    "first_start": lambda now: digest(now, "first_start"),
    "period_closed": lambda now: (_closed(now),),
    "digest": digest,
    "proposed": lambda now: (_proposed(now),),
    "action": lambda now: (_action(now),),
    "test": lambda now: (_test(now),),
}
