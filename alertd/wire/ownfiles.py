"""CSV files that people and scripts write: usage by meter, money, or both in one row. It refuses what is unclear.

Columns are those of `alertd rate`, and `cost` with `currency`; every other column is a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Final

from alertd.core.money import LARGEST, Money
from alertd.core.pricing.model_names import provider_id
from alertd.core.pricing.usagefile import MODIFIERS, WIDE, UsageFileError, has_time, read_usage, window_of
from alertd.core.usage import BilledCost, Usage
from alertd.options import SourceOptions
from alertd.ports import SourceError
from alertd.wire.billing import attributed
from alertd.wire.files import Rows, reading
from alertd.wire.imports import Distinct, Imported, Record

COSTS: Final = ("cost", "billed_cost", "amount", "dollar_value", "spend", "cost_usd")
_CURRENCIES: Final = ("currency", "billing_currency", "currency_code")
_TIMES: Final = ("timestamp", "date", "day", "time", "start", "start_time")
_OWN: Final = frozenset({"provider", "model", "meter", "quantity", "account", "charge", *_CURRENCIES, *COSTS, *_TIMES})
_FAULTS_SHOWN: Final = 3
_SIGNS: Final = str.maketrans("", "", " $€£¥,")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What rows are of that do not say so."""

    source: str
    options: SourceOptions
    provider: str = ""
    currency: str = "USD"
    charge: str = ""


def own_files(defaults: Defaults) -> Callable[[Sequence[Path]], Imported]:
    """A reader of such files; rows that several of them hold count once."""

    def read(paths: Sequence[Path]) -> Imported:
        distinct = Distinct()
        records: list[Record] = []
        notes: list[str] = []
        for path in paths:
            distinct.next_file()
            with reading(path) as file:
                kept = Kept(file, distinct)
                records.extend(_costs(kept, defaults))
                usage, said = _usage(kept, defaults)
                records.extend(usage)
                notes.extend(f"{file.name}: {note}" for note in said)
        return Imported(records, (*notes, *distinct.notes()))

    return read


class Kept:
    """One file's rows in memory, by the names of their columns in lower case."""

    def __init__(self, file: Rows, distinct: Distinct) -> None:
        self.name = file.name
        self.header = tuple(name.lower() for name in file.header)
        self.rows = [(line, row) for line, row in file.rows if distinct.is_new(row)]
        if not has_time(self.header):
            raise SourceError(f"{self.name} has no column `date` or `timestamp`; its headers: {', '.join(file.header)}")

    def column(self, names: Sequence[str]) -> str:
        """The first of the names that is a column; "" where none is."""
        return next((name for name in names if name in self.header), "")

    def cells(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Every row by its columns, and its line."""
        for line, row in self.rows:
            yield line, {name: cell.strip() for name, cell in zip(self.header, row, strict=False)}


def _costs(kept: Kept, defaults: Defaults) -> Iterator[BilledCost]:
    """The money of every row that names some."""
    cost = kept.column(COSTS)
    faults: list[str] = []
    for line, cells in kept.cells() if cost else ():
        try:
            if cells.get(cost):
                yield _cost(cells, cost, kept, defaults)
        except ValueError as error:
            faults.append(f"line {line}: {error}")
    _raise(kept.name, faults)


def _cost(cells: Mapping[str, str], cost: str, kept: Kept, defaults: Defaults) -> BilledCost:
    start, end = window_of(cells[kept.column(_TIMES)])
    currency = cells.get(kept.column(_CURRENCIES)) or ("USD" if cost == "cost_usd" else defaults.currency)
    labels = {name: cell for name, cell in cells.items() if name not in _OWN | WIDE.keys() | MODIFIERS}
    charge = cells.get("charge") or defaults.charge
    return BilledCost(
        provider_id(cells.get("provider") or defaults.provider),
        start,
        end,
        Money(_amount(cells[cost]), currency.upper()),
        attributed(defaults.options, {**labels, **({"charge": charge} if charge else {})}),
        cells.get("model", ""),
        defaults.source,
    )


def _usage(kept: Kept, defaults: Defaults) -> tuple[list[Usage], tuple[str, ...]]:
    """The quantities of the file, where it has columns of such."""
    named = set(kept.header)
    if "model" not in named or not (named & WIDE.keys() or {"meter", "quantity"} <= named):
        if not kept.column(COSTS):
            raise SourceError(f"{kept.name} has neither quantities nor costs; its headers: {', '.join(kept.header)}")
        return [], ()
    places = [index for index, name in enumerate(kept.header) if name not in {*COSTS, *_CURRENCIES, "charge"}]
    header = [kept.header[index] for index in places]
    rows = ([row[index] if index < len(row) else "" for index in places] for _, row in kept.rows)
    try:
        found = read_usage(header, rows)
    except UsageFileError as error:
        _raise(kept.name, error.faults)
    return [_placed(one, defaults) for one in found.usage], found.notes


def _placed(usage: Usage, defaults: Defaults) -> Usage:
    line = replace(
        usage.line,
        provider=provider_id(usage.line.provider or defaults.provider),
        account=usage.line.account or defaults.options.account,
    )
    return replace(usage, line=line, labels=attributed(defaults.options, usage.labels), source=defaults.source)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.translate(_SIGNS))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount; write it as 1234.50") from None
    if not amount.is_finite() or not -LARGEST < amount < LARGEST:
        raise ValueError(f"{text[:40]!r} is more than any bill; write it as 1234.50")
    return amount


def _raise(name: str, faults: Sequence[str]) -> None:
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise SourceError(f"{name}: {'; '.join(islice(faults, _FAULTS_SHOWN))}{more}")
