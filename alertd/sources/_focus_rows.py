"""Rows of a FOCUS file by the specification's names, and a report on what an export does otherwise. Opens no file.

Source: https://focus.finops.org, columns of 1.0 to 1.3.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from alertd.core.billing.backlog import floored
from alertd.core.formats.faults import named
from alertd.core.formats.times import Times
from alertd.core.money import LARGEST, Money
from alertd.core.pricing.model_names import provider_id
from alertd.ports import SourceError

_DAY: Final = timedelta(days=1)
_NEEDED: Final = ("BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd")
#: What a column is called in other versions and by some exporters; the first that a file has is read.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ProviderName": ("ProviderName", "ServiceProviderName", "Provider", "PublisherName", "InvoiceIssuerName"),
    "ServiceName": ("ServiceName", "Service"),
    "ServiceId": ("ServiceId", "Id"),
    "RegionId": ("RegionId", "Region", "RegionName"),
}
_VOCABULARY: Final = ("ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingCategory")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?\Z")
_OTHERS: Final = (
    "BillingPeriodStart", "BillingPeriodEnd", "AvailabilityZone", "SubAccountName", "SubAccountId", "RegionId",
    "Tags", *_VOCABULARY,
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """What was noticed in the rows, counted; `notes` says it in words."""

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
    """Where a file has which column, under whatever spelling."""

    at: Mapping[str, int]
    name: str

    @classmethod
    def of(cls, header: Sequence[str], cost: str, name: str, report: Report) -> Columns:
        """SourceError, with the headers there are, where a needed column is missing."""
        plain = {column.replace("_", "").casefold(): index for index, column in reversed(list(enumerate(header)))}
        at = {column: plain[column.casefold()] for column in (*_NEEDED, *_OTHERS, cost) if column.casefold() in plain}
        for column, names in _NAMES.items():
            found = next((known for known in names if known.casefold() in plain), "")
            if found:
                at[column] = plain[found.casefold()]
                if found != column:
                    report.renamed.add(f"column {found} is taken for {column}")
        missing = [column for column in (*_NEEDED, cost, "ProviderName") if column not in at]
        if missing:
            raise SourceError(f"{name} is no FOCUS file: no column {', '.join(missing)}; it has {named(header)}")
        return cls(at, name)


@dataclass(slots=True)
class Row:
    """One row's cells by FOCUS's names; the word NULL is an empty cell."""

    columns: Columns
    cells: Sequence[str]
    report: Report
    times: dict[str, datetime] = field(default_factory=dict)

    def text(self, name: str) -> str:
        index = self.columns.at.get(name, -1)
        cell = self.cells[index].strip() if 0 <= index < len(self.cells) else ""
        return "" if cell == "NULL" else cell

    def provider(self) -> str:
        return provider_id(self.text("ProviderName"))

    def cost(self, column: str) -> Decimal:
        """ValueError where there is none: an empty cost is not known, and not 0."""
        try:
            cost = Decimal(self.text(column))
        except InvalidOperation:
            raise ValueError(
                f"{column} is {'empty' if not self.text(column) else 'no number; write it as 1234.50'}"
            ) from None
        if not cost.is_finite() or not -LARGEST < cost < LARGEST:
            raise ValueError(f"{column} is more than any bill")
        return cost

    def window(self) -> tuple[datetime, datetime]:
        """The day of the charge, or its whole time where that is longer."""
        start, end = self._time("ChargePeriodStart"), self._time("ChargePeriodEnd")
        day = floored(start, UTC)
        if end <= start:
            raise ValueError(f"the charge period ends at {end:%Y-%m-%d %H:%M}, before it starts")
        return (day, day + _DAY) if end - start <= _DAY else (start, end)

    def tags(self) -> dict[str, str]:
        """Tags by name without blanks around it; of two alike the first. What is no JSON object is one tag."""
        text = self.text("Tags")
        if not text:
            return {}
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            found = _pairs(found)
        if not isinstance(found, dict):
            return {}
        names: dict[str, str] = {}
        for name, value in found.items():
            names.setdefault(name.strip(), "" if value is None else str(value))
        self.report.json_tags += 1
        self.report.repeated_tags += len(names) < len(found)
        self.report.tags.update(names.keys())
        return names

    def notice(self, money: Money) -> None:
        """Count what is odd about the row."""
        report = self.report
        report.nulls += self.cells.count("NULL")
        report.empties += self.cells.count("")
        if money.amount < 0:
            report.negative[money.currency].append(money.amount)
        report.free += money.amount == 0
        report.shifted += _NUMBER.match(self.text("AvailabilityZone")) is not None
        for column in _VOCABULARY:
            if word := self.text(column):
                report.words[column][word] += 1
        if self.text("BillingPeriodStart"):
            begun, ended = self._time("BillingPeriodStart"), self._time("BillingPeriodEnd")
            report.periods.add(f"{begun:%Y-%m}")
            report.outside += not begun <= self._time("ChargePeriodStart") < ended

    def _time(self, column: str) -> datetime:
        if column not in self.times:
            text = self.text(column)
            try:
                found = Times(None).moment(text).at
            except ValueError:
                raise ValueError(f"{column} is no time") from None
            self.report.zoneless += found.tzinfo is None
            self.times[column] = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        return self.times[column]


def _pairs(listed: Sequence[object]) -> dict[str, object]:
    """Tags that are a list of key and value, as an array of a data warehouse leaves them."""
    found: dict[str, object] = {}
    for one in listed:
        if isinstance(one, dict) and (name := one.get("key", one.get("Key", one.get("name")))):
            found[str(name)] = one.get("value", one.get("Value"))
    return found


def _spellings(column: str, words: Mapping[str, int]) -> Iterator[str]:
    """Words that differ in capitals only."""
    alike: dict[str, list[str]] = defaultdict(list)
    for word in words:
        alike[word.casefold()].append(word)
    for spellings in alike.values():
        if len(spellings) > 1:
            counted = " and ".join(f"{word} ({words[word]})" for word in sorted(spellings))
            yield f"{column} is spelled {counted}"
