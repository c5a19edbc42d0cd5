"""Rows of an Alibaba bill (API or CSV file) as tokens and money; a row without a known model keeps its money.

Source: DescribeInstanceBill (2017-12-14) and "detailed file format" of Alibaba's user center; Instance IDs as in
billing for model services, 2025-04-03.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatch
from typing import Final

from alertd.clients.billing_api import attributed
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import midnight, next_midnight, next_month
from alertd.core.formats.group_records import instance_line, tokens_per
from alertd.core.formats.table import named
from alertd.core.usage import TOKEN_METERS, BilledCost, Usage
from alertd.plugin_options import SourceOptions
from alertd.ports import SourceError

PROVIDER: Final = "alibaba"
#: What the money of a row is for, where it is not the use of a model: these count no tokens.
_CORRECTIONS: Final = frozenset({"Refund", "Adjustment"})
#: A column's name in the API -> how files call it besides; compared without case, blanks and marks.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "InstanceID": ("Instance Id", "Resource ID", "实例ID", "实例 ID", "资源/实例ID"),
    "BillingDate": ("Billing Date", "Bill Date", "Date", "账单日期", "日期"),
    "BillingCycle": ("Billing Cycle", "Billing Month", "账期", "账单月份"),
    "UsageStartTime": ("Usage Start Time", "Service Start Time", "使用开始时间", "服务开始时间"),
    "ProductCode": ("Product Code", "产品Code", "产品代码"),
    "ProductName": ("Product Name", "Product", "产品", "产品名称"),
    "ProductDetail": ("Product Detail", "Product Details", "Commodity Name", "商品名称", "产品明细"),
    "BillingItem": ("Billing Item", "Billing Item Name", "计费项", "计费项名称"),
    "Usage": ("Usage Amount", "用量"),
    "UsageUnit": ("Usage Unit", "Unit", "用量单位"),
    "PretaxAmount": ("Pretax Amount", "Pre-tax Amount", "Amount Due", "应付金额", "税前应付金额"),
    "Currency": ("Currency Code", "币种"),
    "Item": ("Bill Type", "Fee Type", "账单类型", "费用类型"),
    "Region": ("Region Name", "地域", "资源所属地域"),
}
_MARKS: Final = re.compile(r"[\s_\-/.()（）]+")
_MONEY: Final = re.compile(r"[\s¥￥$€]")


@dataclass(slots=True)
class BillRowReader:
    """Turns rows into records by the options of the source."""

    source: str
    options: SourceOptions
    products: Sequence[str]
    zone: tzinfo
    final_before: datetime
    left_out: set[str] = field(default_factory=set)

    def records(self, row: Fields, start: datetime, end: datetime) -> Iterator[Usage | BilledCost]:
        """The tokens and the money of one row in the window of its day or month."""
        found = instance_line(row.text("InstanceID"), self.options.account)
        counted = found is not None and found[0].meter in TOKEN_METERS
        if not counted and not self._wanted(row):
            self.left_out.add(row.text("ProductName") or row.text("ProductCode") or "unnamed")
            return
        labels = {**(found[1] if found else {}), "region": row.text("Region"), "line": row.text("BillingItem")}
        if found is None:
            labels["product"] = row.text("ProductDetail") or row.text("ProductName")
        known = attributed(self.options, labels)
        if found is not None and counted and row.text("Item") not in _CORRECTIONS:
            tokens = {name: value for name, value in known.items() if name != "line"}
            yield Usage(found[0], start, end, self._tokens(row), tokens, self.source)
        cost = row.money("PretaxAmount", row.text("Currency") or "CNY")
        model = found[0].model if found else ""
        yield BilledCost(PROVIDER, start, end, cost, known, model, self.source, final=end <= self.final_before)

    def window(self, row: Fields) -> tuple[datetime, datetime]:
        """When a row of a file was used: its day in the bill's zone, or its month if it has no day."""
        for name in ("UsageStartTime", "BillingDate"):
            if row.text(name):
                at = row.instant(name, self.zone) if len(row.text(name)) > 10 else midnight(row.day(name), self.zone)  # noqa: PLR2004 - 2026-11-19
                day = midnight(at.astimezone(self.zone).date(), self.zone)
                return day, next_midnight(day, self.zone)
        cycle = row.text("BillingCycle").replace("-", "")
        if not re.fullmatch(r"\d{6}", cycle):
            raise SourceError(f"{row.place} has no day and no month")
        first = Fields({"day": f"{cycle}01"}, row.place).day("day")
        return midnight(first, self.zone), midnight(next_month(first), self.zone)

    def _wanted(self, row: Fields) -> bool:
        names = [row.text(name).lower() for name in ("ProductCode", "ProductName", "ProductDetail", "CommodityCode")]
        return any(fnmatch(name, pattern.lower()) for pattern in self.products for name in names)

    def _tokens(self, row: Fields) -> int:
        try:
            return round(row.number("Usage") * tokens_per(row.text("UsageUnit")))
        except ValueError as error:
            raise SourceError(f"{row.place}: {error}") from None


def columns(header: Sequence[str], own: Mapping[str, str], place: str) -> dict[int, str]:
    """The column of each field. SourceError that lists the headers if a required one is missing."""
    known = {_plain(alias): name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
    known |= {_plain(alias): name for alias, name in own.items()}
    found = {index: known[_plain(name)] for index, name in enumerate(header) if _plain(name) in known}
    have = set(found.values())
    missing = [name for name in ("InstanceID", "PretaxAmount") if name not in have]
    if not have & {"UsageStartTime", "BillingDate", "BillingCycle"}:
        missing.append("BillingDate or BillingCycle")
    if missing:
        raise SourceError(
            f"{place} has no column for {', '.join(missing)}; its headers: {named(header)}."
            " Name them in `headers`, such as Montant=PretaxAmount"
        )
    return found


def row_of(cells: Sequence[str], at: Mapping[int, str], place: str) -> Fields:
    """One row of a file by the names of the API; empty cells are absent, amounts without signs and separators."""
    values = {name: cells[index].strip() for index, name in at.items() if index < len(cells) and cells[index].strip()}
    for name in ("PretaxAmount", "Usage"):
        if name in values:
            values[name] = _MONEY.sub("", values[name]).replace(",", "")
    return Fields(values, place)


def final_before(now: datetime, zone: tzinfo) -> datetime:
    """The instant before which bills are final: a month is final at noon on the 3rd of the next."""
    local = (now - timedelta(days=2, hours=12)).astimezone(zone)
    return midnight(local.date().replace(day=1), zone)


def _plain(name: str) -> str:
    return _MARKS.sub("", name).casefold()
