"""What columns say of many scopes at once is what a plain sum over each one's buckets says, to the last digit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import TOKENS, Amount, Budget, Where, parse_threshold
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.values import EvaluationContext, SourceView
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.core.periods import PeriodRule
from alertd.core.pricing.costing import NoPrice, UnitPrice

NOW = datetime(2026, 9, 20, 12, 2, tzinfo=UTC)
UNTIL = {"gateway": NOW - timedelta(minutes=2), "other": NOW - timedelta(minutes=7)}
DEARER = date(2026, 9, 11)
#: The price of a unit before and from DEARER on; more digits than a float has.
PRICES = {
    "gpt-5": (Decimal("0.00000125"), Decimal("0.000002")),
    "odd": (Decimal("0.0000001234567890123456789"), Decimal(3)),
}
MONTH = PeriodRule("month", UTC)
WINDOWS = (timedelta(minutes=5), timedelta(hours=1))
BURN = parse_threshold("burn_rate 2x over 1h and 5m")


class Prices:
    """Two models with a price that changed once; others have none."""

    version = "test"

    def zone(self, _provider):
        return "UTC"

    def rate_of(self, _lines, _day, _unit, _exchange):
        return None

    def runs(self, line, first, _last):
        if line.model not in PRICES:
            return [(first, NoPrice("unknown"))]
        before, after = PRICES[line.model]
        steps = [(first, UnitPrice(before, "USD")), (DEARER, UnitPrice(after, "USD"))]
        return steps if first < DEARER else [(first, steps[1][1])]


rows = st.lists(
    st.builds(
        lambda key, model, source, ago, n: (key, model, source, ago, n),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["gpt-5", "odd", "nobody's"]),
        st.sampled_from(["gateway", "other"]),
        st.one_of(st.integers(0, 30), st.integers(0, 45 * 288)),
        st.one_of(st.integers(-5, 10**6), st.integers(0, 10**15)),
    ),
    max_size=40,
)


def filled(made):
    ids, usage = {}, {}
    for key, model, source, ago, n in made:
        number = ids.setdefault((key, model, source), len(ids) + 1)
        start = int(NOW.timestamp()) // 300 * 300 - 300 * ago
        usage[number, start] = n
    ledger = Ledger()
    ledger.add_series(
        SeriesRow(n, source, "openai", model, "input", (), "", {"key": key}) for (key, model, source), n in ids.items()
    )
    ledger.apply(UsageRow(number, start, 300, n) for (number, start), n in usage.items())
    return ledger, [
        (*names, start, n) for names, number in ids.items() for (own, start), n in usage.items() if own == number
    ]


def price(model, day):
    known = PRICES.get(model)
    return Decimal(0) if known is None else known[day >= DEARER]


def worth(own):
    return sum((n * price(model, datetime.fromtimestamp(at, UTC).date()) for _, model, _, at, n in own), Decimal(0))


def survey_of(ledger):
    views = {name: SourceView(name, until, timedelta(minutes=10)) for name, until in UNTIL.items()}
    context = EvaluationContext(NOW, Prices(), lambda *_: None, views)
    return StatusEvaluator(ledger, context, MONTH.previous(MONTH.containing(NOW)).start)


@given(rows)
@settings(max_examples=150)
def test_every_scope_has_the_figures_of_its_own_buckets(made):
    ledger, plain = filled(made)
    scopes = Budget("keys", Amount(Decimal(100), "USD"), MONTH, per=("key",), thresholds=(BURN,))
    single = Budget("a and b", Amount(Decimal(100), "USD"), MONTH, Where.of({"key": ("a", "b")}), thresholds=(BURN,))
    tokens = Budget("tokens", Amount(Decimal(100), TOKENS), MONTH, thresholds=(BURN,))
    budgets = [scopes, single, tokens]
    month = MONTH.containing(NOW)
    for at in (NOW, month.start - timedelta(days=1)):
        period = MONTH.containing(at)
        for position in survey_of(ledger).all_statuses((budget, at) for budget in budgets):
            keys = {value for _, value in position.scope} or {"a and b": {"a", "b"}}.get(
                position.budget.name, {"a", "b", "c"}
            )
            own = [row for row in plain if row[0] in keys]
            inside = [row for row in own if period.start.timestamp() <= row[3] < period.end.timestamp()]
            spent = Decimal(sum(row[4] for row in inside)) if position.budget is tokens else worth(inside)
            assert position.spent == spent.quantize(Decimal("1e-12"))
            assert position.matched == bool(own)
            used = {row[:3] for row in inside if row[4]}
            assert (position.used_since is not None) == bool(used)
            if position.budget is not tokens and used and period == month:
                check_late(position, [row for row in own if row[:3] in used], own)


def check_late(position, used, own):
    """Burn rates, idleness and the first use, of the series that the period used."""
    until = min(UNTIL[source] for _, _, source, _, _ in own)
    assert position.data_until == until
    first = min(at for *_, at, n in used if n)
    assert position.used_since == datetime.fromtimestamp(first, UTC).replace(hour=0, minute=0)
    week = (NOW.replace(hour=0, minute=0) - timedelta(days=7)).timestamp()
    assert position.idle == (not any(n for *_, at, n in used if at >= week))
    for window in WINDOWS:
        total = Decimal(0)
        for _, model, source, at, n in used:
            end = UNTIL[source].timestamp()
            begin = end - window.total_seconds()
            if window == timedelta(hours=1):  # what was read in the first bucket may be a minute older than it
                begin = -(-(begin + 60) // 300) * 300
            last = min(end, at + 300)
            if at < end and last > begin:
                part = n if at >= begin else round(n * (last - begin) / (last - at))
                total += part * price(model, NOW.date())
        assert position.burns[window].spent == total


@given(rows)
@settings(max_examples=50)
def test_who_spent_adds_up_to_what_was_spent_though_it_is_worked_out_later(made):
    ledger, _ = filled(made)
    budget = Budget("all", Amount(Decimal(100), "USD"), MONTH, thresholds=(BURN,))
    (position,) = survey_of(ledger).statuses(budget)
    (eager,) = survey_of(ledger).statuses(budget)
    expected = eager.contributors, eager.daily, eager.pace, eager.top_contributor
    if ledger.series:
        ledger.apply([UsageRow(1, int(NOW.timestamp()) // 300 * 300, 300, 12_345)])
        ledger.add_series([SeriesRow(99, "gateway", "openai", "gpt-5", "output", (), "", {"key": "new"})])
    assert (position.contributors, position.daily, position.pace, position.top_contributor) == expected
    assert sum((one.spent for one in position.contributors), Decimal(0)).quantize(Decimal("1e-12")) == position.spent
