"""Worlds of several sources, each late in its own way, held to an oracle that knows the spend by the second.

Sources are counters (by the hour, read to the present) and daily files (whole UTC days, some days late), with outages
in which nothing is read and late days that come afterwards; budgets are by day, week or month of several zones, over
month ends and changes of the clock. At every evaluation: the spend is what the sources have shown, to the microdollar;
over is said exactly where that reaches the amount; each threshold is announced once and at once; no message is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.evaluation.values import Alert, BudgetStatus, SourceView
from alertd.core.events import Event
from alertd.core.ledger.columns import SeriesRow, UsageRow
from alertd.core.messages import compose, text_of
from alertd.core.money import Money
from alertd.core.periods import PeriodRule
from alertd.core.usage import Committed
from tests.scenario import Scenario, budget

QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
THRESHOLDS = ["actual 50%", "actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 6h and 1h above 5 USD"]
#: Before ends of months, and before the clocks change in Europe, America and at Lord Howe Island.
BEGINS = ["2026-10-20", "2026-03-22", "2026-02-20", "2026-12-25", "2026-10-28", "2026-04-01"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
NAMES = ["gateway", "bill", "proxy", "file"]
MICRO = Decimal("0.000001")


@dataclass
class Truth:
    """One source: what is spent through it in each hour, in microdollars, and up to when it was read."""

    name: str
    begin: datetime
    hourly: Sequence[int]
    daily: bool
    lag: int
    outages: Sequence[tuple[int, int]]
    fed: int = 0
    until: datetime = field(init=False)

    def __repr__(self) -> str:
        kind = "daily" if self.daily else "hourly"
        return f"{self.name} {kind} lag {self.lag} dark {self.outages} sum {sum(self.hourly)}"

    def __post_init__(self) -> None:
        self.until = self.begin

    def read(self, now: datetime) -> None:
        """Up to the present, or to the last whole day some days ago; nothing in an outage."""
        hours = (now - self.begin) // HOUR
        if any(first <= hours < last for first, last in self.outages):
            return
        whole = max(0, hours // 24 - self.lag) * 24 if self.daily else hours
        self.until = max(self.until, self.begin + whole * HOUR)

    def spent(self, start: datetime, end: datetime) -> Decimal:
        """What was spent in a span of whole quarters of an hour, as far as it was read, in dollars."""
        first, last = (max(0, (at - self.begin) // QUARTER) for at in (start, min(end, self.until)))
        return sum((Decimal(self.hourly[at // 4]) / 4 for at in range(first, last)), Decimal(0)) * MICRO

    def is_exact(self, start: datetime) -> bool:
        """Whether a period's start is a border of what the source tells."""
        return not self.daily or (start - self.begin) % DAY == timedelta(0) or start <= self.begin


class Mixed:
    """A world, its truths, and the rounds that are played."""

    def __init__(self, truths: Sequence[Truth], amount: int, rule: PeriodRule, commitment: int) -> None:
        self.truths = truths
        self.world = Scenario(budget("all", f"{amount} USD", thresholds=THRESHOLDS, period=rule), at=truths[0].begin)
        self.world.ledger.add_series(
            [SeriesRow(at + 1, one.name, "acme", "plain", "input", (), "", {"key": one.name})
             for at, one in enumerate(truths)]
        )  # fmt: skip
        if commitment:
            cost = Money(Decimal(commitment), "USD")
            one = Committed("acme", truths[0].begin, None, cost, name="endpoint", per="day")
            self.world.commitments = [("contract", one)]
        self.announced: dict[tuple[str, Decimal], int] = {}

    def __repr__(self) -> str:
        (one,) = self.world.budgets
        return f"{one.amount} {one.period} {self.world.commitments} {self.truths}"

    def evaluate(self, now: datetime) -> tuple[BudgetStatus, list[Alert]]:
        self.world.now = now
        views, rows = {}, list[UsageRow]()
        for at, one in enumerate(self.truths):
            one.read(now)
            whole = (one.until - one.begin) // HOUR
            for hour in range(one.fed, whole, 24 if one.daily else 1):
                start = int((one.begin + hour * HOUR).timestamp())
                if one.daily:
                    rows.append(UsageRow(at + 1, start, 86400, sum(one.hourly[hour : hour + 24])))
                else:
                    rows += [UsageRow(at + 1, start + 900 * part, 900, one.hourly[hour] // 4) for part in range(4)]
            one.fed = whole
            stale = timedelta(days=one.lag + 2) if one.daily else timedelta(minutes=30)
            views[one.name] = SourceView(one.name, one.until, stale, last_ok=now)
        self.world.ledger.apply([row for row in rows if row.quantity])
        self.world.sources = views
        (position,) = self.world.evaluate().statuses
        return position, self.world.tick(seen=False)


def check(mixed: Mixed, position: BudgetStatus, alerts: Sequence[Alert]) -> None:
    """One evaluation against the truth."""
    truths, period, amount, now = mixed.truths, position.period, position.amount.value, mixed.world.now
    known = sum((one.spent(period.start, period.end) for one in truths), Decimal(0))
    if all(one.is_exact(period.start) for one in truths):
        assert position.spent == known
    assert (position.status == "over") == (position.spent >= amount)
    if position.certain_total > amount:
        assert position.status in {"over", "runaway", "at_risk"}
    if position.projection is None:
        assert position.status != "on_track"
    seen = max(one.until for one in truths)
    reached = {level for level in (50, 80, 100) if position.spent * 100 >= amount * level}
    for alert in alerts:
        if alert.event.basis == "actual" and alert.event.period_start == period.start:
            for level in alert.event.levels:
                key = (period.key, level)
                mixed.announced[key] = mixed.announced.get(key, 0) + 1
        hold(alert.event, position, seen, now)
    announced = {int(level) for (name, level), times in mixed.announced.items() if name == period.key}
    assert announced >= reached, "what is certain is announced in the evaluation that can know it"
    assert set(mixed.announced.values()) <= {1}


def hold(event: Event, position: BudgetStatus, seen: datetime, now: datetime) -> None:
    """That a message says nothing false."""
    message = compose([event], now)
    said = "\n".join(text_of(line) for line in (message.headline, *message.body, message.footer))
    if event.budget and event.period_start == position.period.start:
        assert event.spent in {None, position.spent}
        assert event.status == position.status
        for level in event.levels if event.basis == "actual" else ():
            assert position.spent * 100 >= position.amount.value * level
        if position.spent < position.amount.value and event.exhausted_at is not None:
            assert event.exhausted_at >= seen
        if event.kind == "recovered":
            assert position.certain_total <= position.amount.value
        if event.status != "on_track":
            assert "on track" not in said
        if "runaway" in position.flags:
            assert "no action needed" not in said
    if event.kind == "source_stale":
        assert event.since is not None
        assert event.since <= now
    assert "None" not in said


hours = st.integers(0, 14 * 24)
outages = st.lists(st.tuples(hours, st.integers(3, 60)).map(lambda span: (span[0], span[0] + span[1])), max_size=2)
shapes = st.tuples(
    st.integers(0, 100_000),  # a quarter of an hour's pace, in microdollars
    st.lists(st.tuples(hours, st.integers(1, 30), st.integers(0, 5_000_000)), max_size=3),  # bursts: from, hours, each
    st.booleans(), st.integers(0, 4), outages,
)  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Mixed, list[datetime]]:
    begin = datetime.fromisoformat(draw(st.sampled_from(BEGINS))).replace(tzinfo=UTC)
    truths = []
    for number, (pace, bursts, daily, lag, dark) in enumerate(draw(st.lists(shapes, min_size=1, max_size=4))):
        hourly = [pace * 4] * (15 * 24)
        for first, length, each in bursts:
            for hour in range(first, min(first + length, len(hourly))):
                hourly[hour] += each * 4
        truths.append(Truth(NAMES[number], begin, hourly, daily, lag, dark))
    rule = PeriodRule(draw(st.sampled_from(["day", "week", "month"])), ZoneInfo(draw(st.sampled_from(ZONES))))
    mixed = Mixed(truths, draw(st.sampled_from([3, 50, 400])), rule, draw(st.sampled_from([0, 0, 7])))
    steps = draw(st.lists(st.integers(1, 40), min_size=3, max_size=12))
    moments, at = [], begin
    for step in steps:
        at += step * HOUR
        moments.append(at)
    return mixed, [moment for moment in moments if moment <= begin + 15 * DAY]


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_in_any_mix_of_sources_what_is_certain_is_announced_at_once_and_nothing_false_is(
    played: tuple[Mixed, list[datetime]],
) -> None:
    mixed, moments = played
    for moment in moments:
        check(mixed, *mixed.evaluate(moment))


@pytest.mark.parametrize("zone", ZONES)
def test_a_gateway_beside_a_late_bill_over_a_month_end_and_a_change_of_the_clock(zone: str) -> None:
    begin = datetime(2026, 10, 22, tzinfo=UTC)
    gateway = Truth("gateway", begin, [200_000] * 360, daily=False, lag=0, outages=[(60, 75)])
    bill = Truth("bill", begin, [100_000] * 360, daily=True, lag=2, outages=[(150, 230)])
    mixed = Mixed([gateway, bill], 20, PeriodRule("month", ZoneInfo(zone)), 0)
    for hour in range(1, 300, 5):
        check(mixed, *mixed.evaluate(begin + hour * HOUR))


def test_a_source_that_returns_says_what_was_spent_meanwhile_to_the_cent() -> None:
    begin = datetime(2026, 11, 3, tzinfo=UTC)
    gateway = Truth("gateway", begin, [400_000] * 200, daily=False, lag=0, outages=[(100, 120)])
    other = Truth("other", begin, [4_000_000] * 200, daily=False, lag=0, outages=[])
    mixed = Mixed([gateway, other], 5000, PeriodRule("month", UTC), 0)
    found = [alert.event for hour in range(1, 130) for alert in mixed.evaluate(begin + hour * HOUR)[1]]
    (gone,) = [event for event in found if event.kind == "source_stale"]
    (back,) = [event for event in found if event.kind == "recovered" and event.source == "gateway"]
    assert "you get one message when it returns, with what was spent meanwhile" in spoken(gone)
    # last read at the 99th hour, seen again in the 120th
    assert back.details.missed == {"USD": Decimal("8.4")}
    assert "Spent meanwhile: $8.40, now counted" in spoken(back)


def spoken(event: Event) -> str:
    message = compose([event], event.at)
    return "\n".join(text_of(line) for line in (message.headline, *message.body, message.footer))
