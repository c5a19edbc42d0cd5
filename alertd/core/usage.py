"""What was used and what was billed: the values that every source yields and that rating reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from alertd.core.money import Money

#: Disjoint classes of tokens: their sum is every token once.
TOKEN_METERS: Final = frozenset(
    {"input", "cached_input", "cache_write", "output", "batch_input", "batch_output", "training"}
)
#: Everything that is counted. What the price book does not know under one of these is Unpriced.
METERS: Final = TOKEN_METERS | {"requests", "minutes"}

#: The meter of money that an exporter counts itself: its quantity is in nanos of the currency among its modifiers.
COST_METER: Final = "cost"
_CURRENCY: Final = "currency"

#: Labels by these names are what the series itself knows; they can be used in `where` and `per` like any label.
DIMENSIONS: Final = ("provider", "model", "meter", "account", "source")

#: The label that says what money is for; what has none is for the use of models.
CHARGE_LABEL: Final = "charge"
#: Money that a gateway or an agent worked out itself: shown beside the cost, never the cost.
ESTIMATE_CHARGE: Final = "estimate"

#: A quantity of 10 to this power or more is invalid: a database keeps whole numbers up to 9.2e18.
LARGEST_EXPONENT: Final = 18

Labels = Mapping[str, str]
Modifiers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """What a price attaches to: one meter of one model at one provider's account.

    `modifiers` refine the meter where a price depends on them (tier, cache_ttl, context, region, ...), sorted by name.
    `account` is the billing account whose free tiers and unit roundings are shared; "" where there is one.
    """

    provider: str
    model: str
    meter: str
    modifiers: Modifiers = ()
    account: str = ""


def cost_line(provider: str, model: str, currency: str, account: str = "") -> Line:
    """The line of money that an exporter counts itself."""
    return Line(provider, model, COST_METER, ((_CURRENCY, currency),), account)


def currency_of(line: Line) -> str:
    """The currency of a line of money; "" for every other line."""
    return dict(line.modifiers).get(_CURRENCY, "") if line.meter == COST_METER else ""


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity of one line in one half-open window of aware time, with the labels it can be attributed by.

    `quantity` is a whole number in the meter's own unit (tokens, requests, minutes); a correction may be negative.
    """

    line: Line
    start: datetime
    end: datetime
    quantity: int
    labels: Labels = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class BilledCost:
    """Money that a provider says it charged for a half-open window (FOCUS: BilledCost). Never added to priced usage."""

    provider: str
    start: datetime
    end: datetime
    cost: Money
    labels: Labels = field(default_factory=dict)
    model: str = ""
    source: str = ""
    #: True once the provider will not change it any more.
    final: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """Money that is certain to be billed: `cost` for each `per` (minute, hour, day, week, month, year) of [start, end).

    Without `per` all of it is billed at once, at `end`. An `end` of None: until somebody stops it. `counted` says that
    what was charged is among the source's records already (an endpoint that is billed by the minute). Calendar units
    are those of `zone`.
    """

    provider: str
    start: datetime
    end: datetime | None
    cost: Money
    labels: Labels = field(default_factory=dict)
    model: str = ""
    counted: bool = False
    name: str = ""
    per: str = ""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series of the ledger: what usage is attributed by. `billed` rows hold money, in nanos of that currency."""

    id: int
    source: str
    provider: str
    model: str
    meter: str
    modifiers: tuple[tuple[str, str], ...]
    account: str
    labels: Mapping[str, str]
    billed: str = ""

    @property
    def line(self) -> Line:
        return Line(self.provider, self.model, self.meter, self.modifiers, self.account)

    def all_labels(self) -> dict[str, str]:
        """Its labels with the dimensions among them; what is empty is absent. A label never hides a dimension."""
        own = {name: getattr(self, name) for name in DIMENSIONS}
        return {name: value for name, value in {**self.labels, **own}.items() if value}


class UsageRow(NamedTuple):
    """The quantity of one series in one bucket [start, start + width), in Unix seconds. Replaces the bucket's last."""

    series: int
    start: int
    width: int
    quantity: int
