"""A company's year on a stopped clock: 5 teams, 40 keys, 3 providers and currencies, a pool, carry-over, credit.

Every line that people read is `company_year.txt`, written by `python -m tests.stories.company_year` (some minutes). A
change of behaviour shows as a change of the list, which is to be read like one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from alertd.core.budgets import Amount, Budget, CarryOver, CreditEntry, Override, Where, parse_threshold
from alertd.core.evaluation.routing import Receiver, route
from alertd.core.evaluation.values import Decisions, Policy
from alertd.core.ledger.columns import SeriesRow, UsageRow
from alertd.core.messages import compose, text_of
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rate
from tests.scenario import Scenario

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN, END = datetime(2027, 1, 1, 9, tzinfo=BERLIN), datetime(2028, 1, 3, tzinfo=BERLIN)
STEP = timedelta(hours=12)
LIST = Path(__file__).with_name("company_year.txt")
CHAT = {"chat": Receiver("chat", people=True, address=lambda event: event.channel or "#finops")}
#: Each provider with its model and currency: a millionth of a token costs one unit.
PROVIDERS = {"acme": ("grand", "USD"), "rheintal": ("klein", "EUR"), "thames": ("small", "GBP")}
PRICES = "".join(
    f'[[price]]\nprovider = "{provider}"\nmodel = "{model}"\ninput = "1"\nper = 1_000_000\ncurrency = "{currency}"\n'
    for provider, (model, currency) in PROVIDERS.items()
)
#: USD a day by team in January; each team has eight keys, the first of which spends most.
TEAMS = {"search": 70.0, "support": 55.0, "research": 60.0, "data": 45.0, "ops": 12.0}
KEYS = tuple(f"k{number}" for number in range(1, 9))


def budgets() -> tuple[Budget, ...]:
    rule = PeriodRule("month", BERLIN)
    levels = tuple(map(parse_threshold, ("actual 80%", "actual 100%", "forecast 100%")))
    keys = tuple(map(parse_threshold, ("actual 100%", "burn_rate 10x over 1h and 5m above 20 USD")))
    amounts = {"search": 2600, "support": 2000, "research": 2300, "data": 1800, "ops": 500}
    table = {(team,): Override(Amount(Decimal(value), "USD")) for team, value in amounts.items()}
    credit = tuple(CreditEntry(date(2027, month, 1), Decimal(8000)) for month in (1, 3, 5, 7, 10))
    return (
        Budget("company", Amount(Decimal(8500), "USD"), rule, thresholds=levels, carry_over=CarryOver(Decimal(10)),
               owner="@cfo", listed=True),
        Budget("labs", Amount(Decimal(3800), "USD"), rule, Where.of({"team": ("research", "data")}), thresholds=levels,
               parent=("company",), listed=True),
        Budget("teams", Amount(Decimal(500), "USD"), rule, per=("team",), thresholds=levels, parent=("labs", "company"),
               table=table, carry_over=CarryOver(Decimal(20), Decimal(20)), listed=True),
        Budget("keys", Amount(Decimal(1200), "USD"), rule, per=("team", "key"), thresholds=keys, parent=("teams",)),
        Budget("acme", Amount(Decimal(5000), "USD"), rule, Where.of({"provider": ("acme",)}),
               thresholds=tuple(map(parse_threshold, ("balance 500 USD", "balance 5d"))), credit=credit),
    )  # fmt: skip


def spends(at: datetime) -> Iterator[tuple[str, str, str, float]]:
    """What was spent in the half day before `at`: team, key, provider, amount in the provider's currency."""
    day = at.date()
    quiet = 0.35 if at.weekday() >= 5 else 1.0
    for number, (team, daily) in enumerate(TEAMS.items()):
        growth = 1 + 0.01 * (day.month - 1)
        if team == "data" and day >= date(2027, 7, 5):
            growth *= 1.7  # a new pipeline
        if team == "support" and day.month in (8, 12):
            growth *= 0.4
        for place, key in enumerate(KEYS):
            share = 0.45 if place == 0 else 0.55 / 7
            provider = tuple(PROVIDERS)[0 if place < 5 else 1 + (place + number) % 2]
            amount = daily * growth * quiet * share / 2 * (1 + 0.2 * ((day.toordinal() + place) % 3 - 1))
            if (team, key) == ("research", "k3") and date(2027, 3, 9) <= day <= date(2027, 3, 11):
                amount += 400  # a loop
            yield team, key, provider, round(amount, 4)


class CompanyYear(Scenario):
    """The world, and every line that people read."""

    def __init__(self) -> None:
        super().__init__(*budgets(), at=BEGIN.astimezone(UTC), prices=PRICES)
        self.policy = Policy("off", None, BERLIN, interval=STEP)
        self.rates = [Rate("EUR", "USD", Decimal("1.08")), Rate("GBP", "USD", Decimal("1.25"))]
        self.lines: list[str] = []
        self.last: Decisions | None = None

    def use(self, provider: str, amount: float, at: datetime, **labels: str) -> None:
        """Usage that costs this much in the provider's currency."""
        key = (provider, tuple(sorted(labels.items())))
        if key not in self._series:
            self._series[key] = len(self._series) + 1
            model = PROVIDERS[provider][0]
            row = SeriesRow(self._series[key], "gateway", provider, model, "input", (), "", labels)
            self.ledger.add_series([row])
        start = int(at.timestamp()) // 300 * 300
        self.ledger.apply([UsageRow(self._series[key], start, 300, round(amount * 1_000_000))])

    def evaluate(self) -> Decisions:
        """As ever; the last decisions are kept."""
        self.last = super().evaluate()
        return self.last

    def half_day(self) -> None:
        """Half a day of usage, one evaluation, and its messages."""
        local = self.now.astimezone(BERLIN)
        for team, key, provider, amount in spends(local):
            self.use(provider, amount, self.now - timedelta(hours=6), team=team, key=key)
        messages = route(self.tick(), {one.name: one for one in self.budgets}, CHAT)
        for message in messages:
            composed = compose(message.events, self.now)
            self.lines += [f"{local:%Y-%m-%d %a %H:%M}  {composed.icon} {text_of(composed.headline)}"]
            self.lines += [f"  {text_of(line)}" for line in composed.lines]
        self.now = (self.now + STEP).astimezone(UTC)


def told(end: datetime = END) -> list[str]:
    """Every line that people read until then."""
    year = CompanyYear()
    while year.now < end:
        year.half_day()
    return year.lines


if __name__ == "__main__":
    LIST.write_text("\n".join(told()) + "\n", encoding="utf-8")
