"""Sample events besides thresholds: sources, prices, scopes, summaries, actions, the test message."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from alertd.core.events import (
    ActionStep,
    BudgetUnmatched,
    Contributor,
    Digest,
    Event,
    FirstStart,
    ModelsUnpriced,
    NearestBudget,
    NotifierTest,
    PeriodClosed,
    SourceReturned,
    SourceStale,
    SpendUncovered,
    UnpricedUsage,
)
from alertd.core.messages.samples.figures import MONTH, RUNAWAY, ZONE, about_source, left, sample


def source_stale(now: datetime) -> Event:
    """A source cannot be seen."""
    return about_source(
        now,
        "source_stale",
        "critical",
        handle="c2e",
        since=now - timedelta(minutes=22),
        details=SourceStale(
            "Prometheus answers 503", "1m", 12, NearestBudget("research", (), Decimal("424.50"), Decimal(500), "USD")
        ),
    )


def source_back(now: datetime) -> Event:
    """It can be seen again."""
    return about_source(
        now,
        "recovered",
        "info",
        since=now - timedelta(minutes=66),
        until=now - timedelta(minutes=22),
        details=SourceReturned({"USD": Decimal("12.40")}),
    )


def unpriced(now: datetime) -> Event:
    """A model that no price list knows."""
    return sample(
        now,
        "unpriced",
        "warning",
        handle="",
        details=ModelsUnpriced(0.07),
        unpriced=(
            UnpricedUsage("openai", "gpt-6-mini", "input", 5_200_000, "in no price list", "gpt-5-mini"),
            UnpricedUsage("openai", "gpt-6-mini", "output", 310_000, "in no price list", "gpt-5-mini"),
        ),
    )


def unmatched(now: datetime) -> Event:
    """A budget that matches nothing."""
    return Event(
        id="sample/unmatched",
        kind="unmatched",
        severity="warning",
        at=now,
        budget="research",
        zone=ZONE,
        period_start=MONTH.containing(now).start,
        period_end=MONTH.containing(now).end,
        data_until=now - timedelta(minutes=2),
        owner="@ana",
        details=BudgetUnmatched({"team": "reserch"}, ("team", "research"), ("research", "search", "support", "web")),
    )


def uncovered(now: datetime) -> Event:
    """Spend that no budget covers."""
    return Event(
        id="sample/uncovered",
        kind="unmatched",
        severity="warning",
        at=now,
        zone=ZONE,
        currency="USD",
        data_until=now - timedelta(minutes=2),
        details=SpendUncovered(
            {"USD": Decimal("31.40")},
            (Contributor("key", "old-demo", Decimal("27.10")), Contributor("key", "jane-laptop", Decimal("4.30"))),
        ),
    )


def closed(now: datetime) -> Event:
    """Last month's figures."""
    return sample(
        now,
        "summary",
        "info",
        period_start=MONTH.previous(MONTH.containing(now)).start,
        period_end=MONTH.containing(now).start,
        spent=Decimal("483.20"),
        projected={},
        probability_over=None,
        pace=Decimal("15.10"),
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        pace_allowed=None,
        handle="",
        details=PeriodClosed(2, Decimal("391.70")),
    )


def action(now: datetime) -> Event:
    """A key was blocked."""
    return sample(
        now,
        "action",
        "critical",
        spent=Decimal("424.50"),
        reason=RUNAWAY,
        handle="",
        details=ActionStep(
            "stop-research",
            "verified",
            "block this key at the gateway",
            "rag-indexer",
            by="@ana",
            restore="alertd actions restore a7f",
        ),
    )


def proposed(now: datetime) -> Event:
    """A key may be blocked."""
    return sample(
        now,
        "action",
        "critical",
        spent=Decimal("424.50"),
        reason=RUNAWAY,
        handle="a7f",
        details=ActionStep(
            "stop-research",
            "proposed",
            "block this key at the gateway",
            "rag-indexer",
            reversible=True,
            impact="1,840 requests an hour, last used just now, no other user is seen",
            expires=now + timedelta(minutes=60),
        ),
    )


def test(now: datetime) -> Event:
    """What test-notify sends."""
    return sample(now, "test", "info", handle="", details=NotifierTest("ops"))


def digest(now: datetime, summary: str = "digest", count: int = 14) -> tuple[Event, ...]:
    """Summary events of `count` scopes of one budget, from far over to quiet, as a digest or a first start has them."""
    names = ("search", "support", "web", "data", "mobile", "billing", "growth", "security", "legal", "design")
    return tuple(
        _scope(now, summary, names[index % len(names)] + ("" if index < len(names) else f"-{index}"), index)
        for index in range(count)
    )


def _scope(now: datetime, summary: str, team: str, index: int) -> Event:
    spent = Decimal(520) / (1 + Decimal(index) / 3)
    likely = spent * Decimal("1.5")
    over, risk = spent >= Decimal(500), likely >= Decimal(500)
    return sample(
        now,
        "summary",
        "info",
        id=f"sample/{summary}/{team}",
        budget="teams",
        scope=(("team", team),),
        spent=spent,
        probability_over=0.99 if over else 0.8 if risk else 0.04,
        projected={"0.1": likely * Decimal("0.9"), "0.5": likely, "0.9": likely * Decimal("1.15")},
        exhausted_at=left(now, 0.6) if risk and not over else None,
        exhausted_low=None,
        exhausted_high=None,
        handle="",
        details=FirstStart() if summary == "first_start" else Digest(),
    )
