"""Budgets and thresholds as values: an amount for a period over a scope. Nothing is evaluated here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import ClassVar, Final

from alertd.core.periods import PeriodRule
from alertd.core.usage import Labels

TOKENS: Final = "tokens"
SEVERITIES: Final = ("info", "warning", "critical")
BASES: Final = ("actual", "forecast", "burn_rate", "anomaly", "balance", "novel")

#: The labels of one scope of a `per` budget; None where usage lacks the label ("without a team"). Empty without `per`.
Scope = tuple[tuple[str, str | None], ...]

_SCALES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
#: A comma groups thousands; a scale is alone or before a unit: `500 GBP` and `500 tokens` keep their letters.
_AMOUNT: Final = re.compile(
    r"(?P<sign>[-+]?)(?P<number>(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d+)?|\.\d+)\s*"
    r"(?P<scale>[kKmMgGbBtT](?=\s|\Z|tokens?\Z|[A-Za-z]{3}\Z))?\s*(?P<unit>[A-Za-z]*)\Z",
    re.ASCII,
)
#: 1.000 or 1.234.567: thousands where a comma is the decimal sign.
_POINTS: Final = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?![\d.])", re.ASCII)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_LONGEST_SECONDS: Final = 10 * 366 * 86400
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Amount:
    """A budget's measure: an exact amount of a currency (three capital letters) or of `tokens`."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        number = f"{self.value.normalize():,f}"
        return f"{number} {self.unit}"

    @classmethod
    def parse(cls, text: str, unit: str | None = None) -> Amount:
        """`500 USD`, `1,500.50 EUR`, `5M tokens`, or a bare number where `unit` is given. ValueError with remedy."""
        match = _AMOUNT.match(text.strip())
        if match is None:
            decimals = "; a comma groups thousands (1,500.50)" if "," in text else ""
            raise ValueError(f"{text!r} is not an amount{decimals}; write it as 500 USD or 5M tokens")
        number = Decimal(match["number"].replace("_", "").replace(",", "")) * _SCALES[(match["scale"] or "").lower()]
        if match["sign"] == "-":
            raise ValueError(f"{text!r}: an amount is not negative")
        name = match["unit"]
        found = TOKENS if name.lower() in {"token", TOKENS} else name.upper()
        if found and unit and found != unit:
            raise ValueError(f"{text!r} is in {found}, but the currency here is {unit}; give one of them")
        if not (found or unit):
            raise ValueError(f"{text!r} has no currency; write {text.strip()} USD")
        found = found or unit or ""
        if found != TOKENS and not re.fullmatch(r"[A-Z]{3}", found):
            raise ValueError(f"{text!r}: {name!r} is neither a currency code (USD) nor tokens")
        return cls(number, found)


def typed_amount(text: str, unit: str | None = None) -> Amount:
    """An amount that a person typed: 1.000 may be a thousand or one, and is refused. ValueError with remedy."""
    if _POINTS.match(text.strip()):
        raise ValueError(f"{text!r}: a point and three digits may be thousands or decimals; write it as 1500 or 1.50")
    return Amount.parse(text, unit)


def parse_duration(text: str) -> timedelta:
    """`60s`, `5m`, `1h30m`, `2d`; a bare number is seconds. ValueError with the remedy."""
    compact = text.strip().lower().replace(" ", "")
    written = f"{compact}s" if re.fullmatch(r"\d+(\.\d+)?", compact) else compact
    parts = _DURATION.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise ValueError(f"{text!r} is no duration; write it as 60s, 5m, 1h30m or 2d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"{text.strip()[:20]!r} is longer than ten years; write it as 60s, 5m, 1h30m or 2d")
    return timedelta(seconds=seconds)


def duration_text(duration: timedelta) -> str:
    """A duration as people write it: `5m`, `1h`, `1d`."""
    seconds = int(duration.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % int(_SECONDS[unit]) == 0:
            return f"{seconds // int(_SECONDS[unit])}{unit}"
    return f"{seconds}s"


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of spend: in percent of a budget's amount, or an amount of its own."""

    percent: Decimal | None = None
    amount: Amount | None = None

    def level(self, amount: Amount) -> Decimal:
        """The level in percent of `amount`: as webhooks and keys carry it."""
        if self.amount is None:
            return self.percent or Decimal(100)
        return self.amount.value / amount.value * 100 if amount.value else Decimal(100)

    def reached_at(self, amount: Amount) -> Decimal:
        """The spend at which it is crossed, in the budget's own unit."""
        return amount.value * (self.percent or Decimal(100)) / 100 if self.amount is None else self.amount.value

    def _text(self) -> str:
        return f"{self.percent.normalize():f}%" if self.percent is not None else str(self.amount)


@dataclass(frozen=True, slots=True)
class Actual(_Level):
    """`actual 80%`, `actual 400 USD`: crossed once this much is spent."""

    basis: ClassVar[str] = "actual"

    def __str__(self) -> str:
        return f"{self.basis} {self._text()}"


@dataclass(frozen=True, slots=True)
class Forecast(_Level):
    """`forecast 100% p70`: crossed while the period's total exceeds the level with this probability (or by default)."""

    basis: ClassVar[str] = "forecast"
    probability: float | None = None

    def __str__(self) -> str:
        return f"{self.basis} {self._text()}" + ("" if self.probability is None else f" p{self.probability * 100:g}")


@dataclass(frozen=True, slots=True)
class BurnRate:
    """`burn_rate 10x over 1h and 5m above 20 USD`: crossed while each window is this far above the budgeted rate.

    `above usual` asks besides that the longest window, an hour at most, costs more than hours at this time of day.
    """

    basis: ClassVar[str] = "burn_rate"
    factor: Decimal
    windows: tuple[timedelta, ...]
    minimum_spend: Amount | None = None
    above_usual: bool = False

    def level(self, amount: Amount) -> Decimal:
        """The factor: as webhooks and keys carry it."""
        return self.factor

    def __str__(self) -> str:
        windows = " and ".join(map(duration_text, self.windows))
        above = _above(self.minimum_spend, *(["usual"] if self.above_usual else []))
        return f"{self.basis} {self.factor.normalize():f}x over {windows}{above}"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """`anomaly p99`: crossed while the day so far is unusual with this probability."""

    basis: ClassVar[str] = "anomaly"
    probability: float
    minimum_spend: Amount | None = None

    def level(self, amount: Amount) -> Decimal:
        """The probability in percent."""
        return Decimal(str(self.probability)) * 100

    def __str__(self) -> str:
        return f"{self.basis} p{self.probability * 100:g}{_above(self.minimum_spend)}"


@dataclass(frozen=True, slots=True)
class Balance:
    """`balance 50 USD`, `balance 3d`: crossed while this little is left of a prepaid credit, or it ends this soon."""

    basis: ClassVar[str] = "balance"
    amount: Amount | None = None
    within: timedelta | None = None

    def level(self, amount: Amount) -> Decimal:
        """What is left, in the unit of the credit; of a duration its hours."""
        if self.amount is not None:
            return self.amount.value
        return Decimal(repr((self.within or timedelta(0)) / timedelta(hours=1))).normalize()

    def __str__(self) -> str:
        return f"{self.basis} {self.amount or duration_text(self.within or timedelta(0))}"


@dataclass(frozen=True, slots=True)
class Novel:
    """`novel model above 5 USD`: crossed once a value of a label that was not used for 30 days costs this much."""

    basis: ClassVar[str] = "novel"
    label: str
    minimum_spend: Amount | None = None

    def level(self, amount: Amount) -> Decimal:
        """None to speak of: what is new is in the event."""
        return Decimal(0)

    def __str__(self) -> str:
        return f"{self.basis} {self.label}{_above(self.minimum_spend)}"


#: A basis and a level. Text in, text out: `str(parse_threshold(text))` is the canonical form of the grammar.
Threshold = Actual | Forecast | BurnRate | Anomaly | Balance | Novel


def _above(minimum: Amount | None, *more: str) -> str:
    parts = (*(() if minimum is None else (str(minimum),)), *more)
    return f" above {' and '.join(parts)}" if parts else ""


@lru_cache(maxsize=1024)
def threshold_text(threshold: Threshold) -> str:
    """`str` of a threshold, kept: thousands of scopes share a few."""
    return str(threshold)


_GRAMMAR: Final = re.compile(
    r"(?P<basis>actual|forecast|burn_rate|anomaly|balance|novel)"
    r"(?:\s+(?P<percent>\d+(?:\.\d+)?)\s*%|\s+(?P<factor>\d+(?:\.\d+)?)x\s+over\s+(?P<windows>[\w.]+(?:\s+and\s+[\w.]+)*?)"
    r"|(?<=novel)\s+(?P<label>[a-z]\w*)(?=\s+above\s|\Z)|\s+(?P<amount>[\d.,_]+\s*[kKmMgGbBtT]?\s*[A-Za-z]+))?"
    r"(?:\s+p(?P<probability>\d+(?:\.\d+)?))?(?:\s+above\s+(?:(?P<usual>usual)\Z|(?P<minimum>.+?)(?P<both>\s+and\s+usual)?\Z)|\Z)"
)
#: How soon a credit ends: `balance 3d`.
_WITHIN: Final = re.compile(r"\d+(?:\.\d+)?[hdw]")
#: What is usual is known by the hour.
_LONGEST_USUAL: Final = timedelta(hours=1)
#: What each basis needs and may have besides.
_FORMS: Final = {
    "actual": ("percent or amount", set()),
    "forecast": ("percent or amount", {"probability"}),
    "burn_rate": ("factor", {"minimum", "usual", "both"}),
    "anomaly": ("probability", {"minimum"}),
    "balance": ("amount", set()),
    "novel": ("label", {"minimum"}),
}
_EXAMPLES: Final = {
    "actual": "actual 80%",
    "forecast": "forecast 100% p70",
    "burn_rate": "burn_rate 10x over 1h and 5m above 20 USD",
    "anomaly": "anomaly p99",
    "balance": "balance 50 USD",
    "novel": "novel model above 5 USD",
}


def parse_threshold(text: str) -> Threshold:
    """Parse a threshold. The ValueError shows an example of what was probably meant."""
    found = _GRAMMAR.match(" ".join(text.split()))
    basis = text.split(maxsplit=1)[0] if text.split() else ""
    example = _EXAMPLES.get(basis, _EXAMPLES["actual"])
    if found is None:
        known = "" if basis in BASES else f"; a basis is one of {', '.join(BASES)}"
        raise ValueError(f"{text!r} is no threshold{known}; write it as {example}")
    given = {name for name, value in found.groupdict().items() if value is not None} - {"basis", "windows"}
    needed, optional = _FORMS[found["basis"]]
    if not any(name in given for name in needed.split(" or ")) or given - set(needed.split(" or ")) - optional:
        raise ValueError(f"{text!r}: {found['basis']} takes {needed}; write it as {example}")
    probability = None if found["probability"] is None else float(found["probability"]) / 100
    if probability is not None and not 0 < probability < 1:
        raise ValueError(f"{text!r}: a probability is between p1 and p99.9")
    return _threshold(found, probability)


def _threshold(found: re.Match[str], probability: float | None) -> Threshold:
    percent = None if found["percent"] is None else Decimal(found["percent"])
    within = _WITHIN.fullmatch(found["amount"] or "") if found["basis"] == "balance" else None
    amount = None if within or found["amount"] is None else Amount.parse(found["amount"])
    minimum = None if found["minimum"] is None else Amount.parse(found["minimum"])
    match found["basis"]:
        case "actual":
            return Actual(percent, amount)
        case "forecast":
            return Forecast(percent, amount, probability)
        case "burn_rate":
            windows = tuple(map(parse_duration, re.split(r"\s+and\s+", found["windows"])))
            usual = bool(found["usual"] or found["both"])
            if usual and max(windows) > _LONGEST_USUAL:
                raise ValueError(
                    f"{found[0]!r}: above usual is for windows of an hour at most; write 10x over 1h and 5m"
                )
            return BurnRate(Decimal(found["factor"]), windows, minimum, usual)
        case "anomaly":
            assert probability is not None  # noqa: S101 - its form needs one
            return Anomaly(probability, minimum)
        case "novel":
            return Novel(found["label"], minimum)
        case _:
            return Balance(amount, None if within is None else parse_duration(within[0]))


#: The default of the contract.
DEFAULT_THRESHOLDS: Final = tuple(
    map(
        parse_threshold,
        ("actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m above 20 USD"),
    )
)


#: What a budget with a prepaid credit has besides.
CREDIT_THRESHOLDS: Final = (Balance(within=timedelta(days=3)),)


@dataclass(frozen=True, slots=True)
class Where:
    """Which usage a budget covers: for every label named, one of the patterns (`gpt-*`) and none of those with `!`.

    Besides the usage's own labels these names work: provider, model, meter, account, source.
    """

    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(_matches(labels.get(name), patterns) for name, patterns in self.patterns)

    @classmethod
    def of(cls, patterns: Mapping[str, tuple[str, ...]]) -> Where:
        return cls(tuple(sorted(patterns.items())))


def _matches(value: str | None, patterns: tuple[str, ...]) -> bool:
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if not value:
        return not wanted or "" in wanted
    return (not wanted or any(fnmatchcase(value, p) for p in wanted)) and not any(
        fnmatchcase(value, p) for p in unwanted
    )


@dataclass(frozen=True, slots=True)
class Override:
    """A row of a budget's table: what one scope has of its own. None means as the budget says."""

    amount: Amount | None = None
    channel: str | None = None
    owner: str | None = None
    notify: Mapping[str, tuple[str, ...]] | None = None
    thresholds: tuple[Threshold, ...] | None = None
    actions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AllowancePolicy:
    """How the allowance answers for a budget: from which status on it says no, and what a no means.

    `refuse_at` is `over`, `at_risk` (a runaway as well) or `never`; with `warns` a no is only said, not meant.
    `grace` is what may be spent above the amount, an amount or a share of it in percent.
    """

    refuse_at: str = "over"
    warns: bool = False
    grace: Amount | Decimal = Decimal(0)
    refuse_unknown: bool = False

    def limit(self, amount: Amount) -> Decimal:
        """The spend at which it says no, in the unit of `amount`."""
        if isinstance(self.grace, Amount):
            return amount.value + self.grace.value
        return amount.value * (100 + self.grace) / 100


@dataclass(frozen=True, slots=True)
class CarryOver:
    """How much of what a period leaves, or spends too much, goes into the next: bounds, as amounts or in percent."""

    left: Amount | Decimal = Decimal(0)
    overspent: Amount | Decimal = Decimal(0)

    def __bool__(self) -> bool:
        return bool(_bound(self.left, Decimal(1)) or _bound(self.overspent, Decimal(1)))

    def of(self, amount: Decimal, base: Decimal, spent: Decimal) -> Decimal:
        """What is carried over: at least less the one bound, at most the other, both of the period's `base` amount.

        `amount` is what was in force, with what was carried into it.
        """
        return max(-_bound(self.overspent, base), min(_bound(self.left, base), amount - spent))


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """A top-up of a prepaid credit at the start of a local day; with `sets`, what was left of it then."""

    day: date
    amount: Decimal
    sets: bool = False

    def __str__(self) -> str:
        return f"{self.day}={'left ' if self.sets else ''}{self.amount:f}"


def credit_on(entries: tuple[CreditEntry, ...], day: date) -> tuple[date, Decimal] | None:
    """The day from which spend counts against a credit, and all that was paid into it up to `day`; None without."""
    known = [entry for entry in entries if entry.day <= day]
    if not known:
        return None
    begin = max((entry.day for entry in known if entry.sets), default=known[0].day)
    counted = [entry for entry in known if entry.day > begin or (entry.day == begin and (entry.sets or not any(
        other.sets for other in known if other.day == begin)))]  # fmt: skip
    return begin, sum((entry.amount for entry in counted), Decimal(0))


def _bound(bound: Amount | Decimal, base: Decimal) -> Decimal:
    return bound.value if isinstance(bound, Amount) else base * bound / 100


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount for a period over a scope; with `per`, one budget for every combination of values of those labels.

    `notify` maps a severity to names of notifiers; a severity that it lacks goes to every notifier.
    `amounts` take the place of `amount` from a day on: a period has the amount of its first day.
    `opening` is what was spent in the current period before the first sample, in the unit of `amount`.
    """

    name: str
    amount: Amount
    period: PeriodRule
    where: Where = Where()
    per: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    notify: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    owner: str = ""
    runbook_url: str = ""
    channel: str = ""
    opening: Decimal = Decimal(0)
    #: How long without an answer until it is announced again, and until `escalate_to` is notified once. None: never.
    remind: timedelta | None = None
    escalate_after: timedelta | None = None
    escalate_to: tuple[str, ...] = ()
    #: Whether the configuration lists the thresholds: then people get a threshold that was crossed on track, too.
    listed: bool = False
    allowance: AllowancePolicy = AllowancePolicy()
    amounts: tuple[tuple[date, Amount], ...] = ()
    carry_over: CarryOver = CarryOver()
    #: The budgets that it may be a part of: a scope belongs to the first that counts all of its usage.
    parent: tuple[str, ...] = ()
    #: What was paid in advance, by day: its spend from the first day on counts against it.
    credit: tuple[CreditEntry, ...] = ()
    table: Mapping[tuple[str, ...], Override] = field(default_factory=dict)

    def amount_on(self, day: date) -> Amount:
        """The amount of a period that starts on a local day, without what single scopes have of their own."""
        return next((amount for since, amount in reversed(self.amounts) if since <= day), self.amount)


def scope_text(scope: Scope) -> str:
    """A scope on one line, no two equal: `team=research`, `team=` without a team, "" without `per`.

    What parts labels and values is written `%2C` and `%3D` where it is in a name or value.
    """
    return ",".join(f"{_escape(name)}={_escape(value or '')}" for name, value in scope)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")
