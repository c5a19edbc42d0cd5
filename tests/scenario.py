"""A small world on a stopped clock: usage is added and evaluated, and what comes of it is kept. No store, no socket."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from alertd.core.budgets import Amount, Budget, Where, parse_threshold
from alertd.core.evaluation.amounts import carried_amounts, opened_windows, top_ups
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import Alert, Decisions, EvaluationContext, Facts, Policy, SourceView
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.core.money import Money
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rate, Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.pricing.tariffs import LedgerTariff, exchange_of
from alertd.core.usage import Committed

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
#: One model at a dollar for a million tokens of input: tokens read as micro-dollars.
PRICES = """
[[price]]
provider = "acme"
model = "plain"
input = "1"
per = 1_000_000
currency = "USD"
"""


def budget(name: str = "research", amount: str = "500 USD", **more: Any) -> Budget:
    """A monthly budget in UTC; thresholds as text, `where` as keyword patterns."""
    thresholds = tuple(map(parse_threshold, more.pop("thresholds", ["actual 80%", "actual 100%"])))
    where = Where.of({label: (pattern,) for label, pattern in more.pop("where", {}).items()})
    rule = more.pop("period", PeriodRule("month", UTC))
    return Budget(name, Amount.parse(amount), rule, where, thresholds=thresholds, **more)


class Scenario:
    """Budgets, a ledger of one source, and what the evaluation remembered and told."""

    def __init__(self, *budgets: Budget, at: datetime = NOVEMBER, prices: str = PRICES) -> None:
        self.budgets = budgets
        self.now = at
        self.ledger = Ledger()
        self.told: dict[str, datetime] = {}
        self.state = State()
        self.alerts: list[Alert] = []
        self.sources = {"gateway": SourceView("gateway", at, timedelta(minutes=15))}
        self.catching_up: frozenset[str] = frozenset()
        self.failing: frozenset[str] = frozenset()
        self.policy = Policy()
        self.standings: dict[str, SourceRole] = {}
        self.raised: dict[str, Amount] = {}
        self.balances: dict[str, Money] = {}
        self.rates: list[Rate] = []
        self.commitments: list[tuple[str, Committed]] = []
        self.book = PriceBook((read_price_file("prices", prices),))
        self._series: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._buckets: dict[tuple[int, int], int] = {}

    def spend(
        self,
        dollars: float | str,
        *,
        model: str = "plain",
        at: datetime | None = None,
        source: str = "gateway",
        **labels: str,
    ) -> None:
        """Add dollars to the bucket that holds `at` (by default now), as a source saw them."""
        self.spend_at(dollars, [at or self.now], model=model, source=source, **labels)

    def spend_at(
        self,
        dollars: float | str,
        times: Iterable[datetime],
        *,
        model: str = "plain",
        source: str = "gateway",
        **labels: str,
    ) -> None:
        """Add dollars to each bucket that holds one of the times; much quicker than one call a time."""
        key = (f"{source} {model}", tuple(sorted(labels.items())))
        if key not in self._series:
            self._series[key] = len(self._series) + 1
            self.ledger.add_series([SeriesRow(self._series[key], source, "acme", model, "input", (), "", labels)])
        series, quantity, rows = self._series[key], int(Decimal(str(dollars)) * 1_000_000), []
        for at in times:
            bucket = series, int(at.timestamp()) // 300 * 300
            self._buckets[bucket] = self._buckets.get(bucket, 0) + quantity
            rows.append(UsageRow(*bucket, 300, self._buckets[bucket]))
        self.ledger.apply(rows)

    def spend_each(self, dollars: float | str, at: datetime, each: list[dict[str, str]]) -> None:
        """So many dollars by each of these labels at once, none of which was seen before."""
        first, start = len(self._series) + 1, int(at.timestamp()) // 300 * 300
        quantity = int(Decimal(str(dollars)) * 1_000_000)
        self._series |= {("gateway plain", tuple(sorted(one.items()))): first + n for n, one in enumerate(each)}
        self.ledger.add_series(
            [SeriesRow(first + n, "gateway", "acme", "plain", "input", (), "", one) for n, one in enumerate(each)]
        )
        self.ledger.apply([UsageRow(first + n, start, 300, quantity) for n in range(len(each))])

    def bill(self, dollars: float | str, at: datetime, source: str = "bill", **labels: str) -> None:
        """What a provider says it charged for the day that holds `at`."""
        key = (f"{source} billed", tuple(sorted(labels.items())))
        if key not in self._series:
            self._series[key] = len(self._series) + 1
            self.ledger.add_series([SeriesRow(self._series[key], source, "acme", "", "", (), "", labels, "USD")])
        start = int(at.timestamp()) // 86_400 * 86_400
        self.ledger.apply([UsageRow(self._series[key], start, 86_400, int(Decimal(str(dollars)) * 10**9))])

    def tick(self, *, seen: bool = True) -> list[Alert]:
        """Evaluate once; the alerts of this round, which are now told."""
        view = self.sources["gateway"]
        if seen:
            self.sources["gateway"] = SourceView(
                "gateway", self.now, view.stale_after, interval=view.interval, complete_from=view.complete_from
            )
        decisions = self.evaluate()
        for alert in decisions.alerts:
            self.told.update(dict.fromkeys(alert.keys, self.now))
        self.state = self.state.after(decisions.changes)
        self.alerts += decisions.alerts
        return list(decisions.alerts)

    def evaluate(self) -> Decisions:
        """What the evaluation would say now; nothing is remembered."""
        return evaluate(self.facts())

    def facts(self) -> Facts:
        """What the evaluation looks at now."""
        tariff = LedgerTariff(self.book, self.ledger, self.standings)
        exchange, standings = exchange_of(Rates(self.rates)), self.standings
        context = EvaluationContext(
            self.now, tariff, exchange, dict(self.sources), dict(self.raised), self.commitments, self.balances,
            standings=standings, carried=carried_amounts(self.state), windows=opened_windows(self.state),
            top_ups=top_ups(self.state),
        )  # fmt: skip
        known = self.told, self.state, self.catching_up, self.policy, self.book, self.failing
        return Facts(self.budgets, self.ledger, context, *known)

    def pass_time(self, **duration: float) -> None:
        """Move the clock."""
        self.now += timedelta(**duration)


def said(alerts: list[Alert]) -> list[tuple[str, ...]]:
    """Alerts in a line each: kind, budget and scope, what it stands on."""
    return [
        (alert.event.kind, alert.event.budget, *(value or "" for _, value in alert.event.scope), alert.event.threshold)
        for alert in alerts
        if alert.audience != "people"
    ]
