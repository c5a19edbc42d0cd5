"""Rows of a FOCUS file by the specification's names, and a report of deviations. Opens no file.

Source: https://focus.finops.org, columns of 1.0 to 1.3.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import itemgetter
from typing import Final

from alertd.core.billing.read_plan import floored
from alertd.core.formats.table import named
from alertd.core.formats.times import Times
from alertd.core.money import LARGEST, Money
from alertd.core.spellings import provider_id
from alertd.ports import SourceError

_DAY: Final = timedelta(days=1)
_NEEDED: Final = ("BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd")
#: What a column is called in other versions and by some exporters; the first that a file has is read.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ProviderName": ("ProviderName", "ServiceProviderName", "Provider", "PublisherName", "InvoiceIssuerName"),
    "ServiceName": ("ServiceName", "Service"),
    "ServiceId": ("ServiceId", "Id"),
    "RegionId": ("RegionId", "Region", "RegionName"),
    "Meter": ("x_UsageType", "x_SkuMeterName", "SkuMeter", "x_SkuDescription", "ChargeDescription"),
}
_VOCABULARY: Final = ("ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingCategory")
#: The most faults that are listed one by one.
FAULTS: Final = 5
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?\Z")
_OTHERS: Final = (
    "BillingPeriodStart", "BillingPeriodEnd", "AvailabilityZone", "SubAccountName", "SubAccountId", "RegionId",
    "Tags", *_VOCABULARY,
)  # fmt: skip


_TIMES: Final = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
_CellsOf = Callable[[Sequence[str]], object]
_READ: Final = frozenset(
    name.casefold() for name in (
        *_NEEDED, *_OTHERS, *(one for names in _NAMES.values() for one in names),
        "BilledCost", "EffectiveCost", "ContractedCost", "ListCost",
    )
)  # fmt: skip


@dataclass(slots=True)
class FocusReport:
    """Counts of deviations in the rows; `notes` gives them as sentences."""

    rows: int = 0
    nulls: int = 0
    empties: int = 0
    zoneless: int = 0
    negative: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    free: int = 0
    json_tags: int = 0
    repeated_tags: int = 0
    shifted: int = 0
    outside: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    words: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    periods: set[str] = field(default_factory=set)
    tags: Counter[str] = field(default_factory=Counter)
    renamed: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """One sentence for every quirk."""
        yield f"{self.rows} rows"
        yield from sorted(self.renamed)
        if self.nulls:
            yield f"{self.nulls} cells hold the word NULL and are taken as empty, as {self.empties} are"
        if self.zoneless:
            yield f"{self.zoneless} times have no zone and are taken as UTC"
        for currency, amounts in self.negative.items():
            yield f"{len(amounts)} rows cost less than nothing, {sum(amounts):f} {currency} together"
        if self.free:
            yield f"{self.free} rows cost nothing"
        if self.json_tags:
            yield f"tags are JSON in {self.json_tags} rows: {', '.join(name for name, _ in self.tags.most_common(8))}"
        if self.repeated_tags:
            yield f"{self.repeated_tags} rows name a tag twice, but for blanks; the first one counts"
        if self.shifted:
            yield f"{self.shifted} rows have a number for an availability zone; that column is not read"
        if len(self.periods) > 1:
            yield f"{len(self.periods)} billing periods: {', '.join(sorted(self.periods))}"
        if self.outside:
            yield f"{self.outside} rows were charged for a time outside their billing period; the charge's time counts"
        for column, words in sorted(self.words.items()):
            yield from _spellings(column, words)
        others = {word: n for word, n in self.words["ChargeCategory"].items() if word != "Usage"}
        if others:
            yield f"besides usage: {', '.join(f'{n} {word}' for word, n in sorted(others.items()))}"
        if self.left_out:
            yield f"{sum(self.left_out.values())} rows of {len(self.left_out)} other services are left out"


@dataclass(frozen=True, slots=True)
class Columns:
    """The positions of a file's columns, by FOCUS's names in any spelling."""

    at: Mapping[str, int]
    name: str

    @classmethod
    def of(cls, header: Sequence[str], cost: str, name: str, report: FocusReport) -> Columns:
        """SourceError, with the headers there are, where a needed column is missing."""
        plain = {column.replace("_", "").casefold(): index for index, column in reversed(list(enumerate(header)))}
        at = {column: plain[column.casefold()] for column in (*_NEEDED, *_OTHERS, cost) if column.casefold() in plain}
        for column, names in _NAMES.items():
            found = next((known for known in names if known.casefold() in plain), "")
            if found:
                at[column] = plain[found.casefold()]
                if column not in {found, "Meter"}:  # for a meter FOCUS has no column
                    report.renamed.add(f"column {found} is taken for {column}")
        missing = [column for column in (*_NEEDED, cost, "ProviderName") if column not in at]
        if missing:
            raise SourceError(f"{name} is no FOCUS file: no column {', '.join(missing)}; it has {named(header)}")
        return cls(at, name)

    def grouping(self, cost: str) -> tuple[_CellsOf, _CellsOf]:
        """Two getters of cells of a row: when it was charged, and for what."""
        when = [self.at[column] for column in _TIMES if column in self.at]
        rest = sorted(set(self.at.values()) - {self.at[cost], *when})
        return itemgetter(*when), itemgetter(*rest)


def is_read(column: str) -> bool:
    """Whether a column is one of those that are read, by its name in any spelling."""
    return column.replace("_", "").casefold() in _READ


@dataclass(slots=True)
class FocusRow:
    """The cells by FOCUS's names of a row, or of `count` rows of one group; the word NULL is an empty cell."""

    columns: Columns
    cells: Sequence[str]
    report: FocusReport
    count: int = 1
    times: dict[str, datetime] = field(default_factory=dict)

    def text(self, name: str) -> str:
        index = self.columns.at.get(name, -1)
        cell = self.cells[index].strip() if 0 <= index < len(self.cells) else ""
        return "" if cell == "NULL" else cell

    def provider(self) -> str:
        return provider_id(self.text("ProviderName"))

    def window(self) -> tuple[datetime, datetime]:
        """The day of the charge, or its whole time where that is longer."""
        start, end = self._time("ChargePeriodStart"), self._time("ChargePeriodEnd")
        day = floored(start, UTC)
        if end <= start:
            raise ValueError(f"the charge period ends at {end:%Y-%m-%d %H:%M}, before it starts")
        return (day, day + _DAY) if end - start <= _DAY else (start, end)

    def tags(self) -> dict[str, str]:
        """Tags by name without blanks around it; the first of two equal names.

        Text that is not a JSON object is one tag.
        """
        text = self.text("Tags")
        if not text:
            return {}
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            found = _pairs(found)
        if not isinstance(found, dict):
            return {}
        names: dict[str, str] = {}
        for name, value in found.items():
            names.setdefault(name.strip(), "" if value is None else str(value))
        self.report.json_tags += self.count
        self.report.repeated_tags += self.count * (len(names) < len(found))
        self.report.tags.update(dict.fromkeys(names, self.count))
        return names

    def notice(self) -> None:
        """Count deviations in what the rows are for."""
        report = self.report
        report.shifted += self.count * (_NUMBER.match(self.text("AvailabilityZone")) is not None)
        for column in _VOCABULARY:
            if word := self.text(column):
                report.words[column][word] += self.count

    def notice_times(self) -> None:
        """Count what is odd about when they were charged."""
        if self.text("BillingPeriodStart"):
            begun, ended = self._time("BillingPeriodStart"), self._time("BillingPeriodEnd")
            self.report.periods.add(f"{begun:%Y-%m}")
            self.report.outside += self.count * (not begun <= self._time("ChargePeriodStart") < ended)

    def _time(self, column: str) -> datetime:
        if column not in self.times:
            text = self.text(column)
            try:
                found = _moment(text)
            except ValueError:
                raise ValueError(f"{column} is no time") from None
            self.report.zoneless += self.count * (found.tzinfo is None)
            self.times[column] = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        return self.times[column]


@dataclass(slots=True)
class Group:
    """Rows of one day that are for the same: the first one's cells, their number, the sum of their costs."""

    cells: Sequence[str]
    window: tuple[datetime, datetime]
    currency: str
    count: int = 0
    sum: Decimal = Decimal(0)
    free: int = 0
    negative: list[Decimal] = field(default_factory=list)

    def add(self, cost: Decimal) -> None:
        """One row more."""
        self.count += 1
        self.sum += cost
        if cost <= 0:
            self.free += not cost
            self.negative.extend((cost,) if cost else ())


class Grouping:
    """The rows of one file by day and by what they are for; what is wrong with a row is in the report, by its line."""

    def __init__(self, columns: Columns, width: int, cost: str, report: FocusReport) -> None:
        self.columns, self._width, self._cost, self._report = columns, width, cost, report
        self._when, self._what = columns.grouping(cost)
        self._cost_at = columns.at[cost]
        #: By the cells of its time: a row of it, with how many there are and the window or what is wrong with it.
        self._times: dict[object, tuple[FocusRow, tuple[datetime, datetime] | str]] = {}
        self.groups: dict[object, Group] = {}

    def add(self, line: int, given: Sequence[str]) -> None:
        """One row."""
        report = self._report
        report.rows += 1
        report.nulls += given.count("NULL")
        report.empties += given.count("")
        short = self._width - len(given)
        cells = (*given, *[""] * short) if short > 0 else given
        when = self._when(cells)
        row, window = self._times.get(when) or self._seen(when, cells)
        try:
            cost = cost_of(cells[self._cost_at], self._cost)
            if isinstance(window, str):
                raise ValueError(window)  # noqa: TRY301, TRY004 - said in one place, with its line
            key = window, self._what(cells)
            group = self.groups.get(key)
            if group is None:
                currency = FocusRow(self.columns, cells, report).text("BillingCurrency").upper()
                group = self.groups[key] = Group(cells, window, Money(Decimal(0), currency).currency)
        except ValueError as error:
            report.faults.append(f"{self.columns.name} line {line}: {error}")
            return
        row.count += 1
        group.add(cost)

    def finish(self) -> None:
        """Note what is odd about the times of all rows."""
        for row, window in self._times.values():
            if row.count and not isinstance(window, str):
                row.times.clear()
                row.report = self._report
                row.window()  # counts times without a zone, once for each row
                row.notice_times()

    def _seen(self, when: object, cells: Sequence[str]) -> tuple[FocusRow, tuple[datetime, datetime] | str]:
        row = FocusRow(self.columns, cells, FocusReport(), 0)
        window: tuple[datetime, datetime] | str
        try:
            window = row.window()
        except ValueError as error:
            window = str(error)
        self._times[when] = row, window
        return row, window


def cost_of(cell: str, column: str) -> Decimal:
    """The cost of a cell. ValueError if it is empty: unknown is not 0."""
    text = "" if cell.strip() == "NULL" else cell.strip()
    try:
        cost = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{column} is {'no number; write it as 1234.50' if text else 'empty'}") from None
    if not cost.is_finite() or not -LARGEST < cost < LARGEST:
        raise ValueError(f"{column} is more than any bill")
    return cost


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime:
    return Times(None).moment(text).at


def _pairs(listed: Sequence[object]) -> dict[str, object]:
    """Tags that are a list of key and value, as an array of a data warehouse leaves them."""
    found: dict[str, object] = {}
    for one in listed:
        if isinstance(one, dict) and (name := one.get("key", one.get("Key", one.get("name")))):
            found[str(name)] = one.get("value", one.get("Value"))
    return found


def _spellings(column: str, words: Mapping[str, int]) -> Iterator[str]:
    """Words that differ only in capital letters."""
    spellings_of: dict[str, list[str]] = defaultdict(list)
    for word in words:
        spellings_of[word.casefold()].append(word)
    for spellings in spellings_of.values():
        if len(spellings) > 1:
            counted = " and ".join(f"{word} ({words[word]})" for word in sorted(spellings))
            yield f"{column} is spelled {counted}"
