"""Files of any known layout, or with columns of one's own, as a source's records: usage, money, or both in one row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from pydantic import Field

from alertd.clients.billing_api import attributed
from alertd.clients.file_import import Distinct, EqualRows, FileImport, Record
from alertd.clients.tables import open_table
from alertd.core.formats.figures import Decimals
from alertd.core.formats.parts import Cached
from alertd.core.formats.plan import FileHints
from alertd.core.formats.records import Contents, read_table
from alertd.core.formats.table import FormatError, Table
from alertd.core.formats.times import DateOrder, Window
from alertd.core.spellings import provider_id
from alertd.core.usage import CHARGE_LABEL, Usage
from alertd.plugin_options import SourceOptions, TextMap
from alertd.ports import SourceError

_FAULTS_SHOWN: Final = 3


class TableOptions(SourceOptions):
    """Options for what a table does not state itself."""

    cached: Cached = Field("auto", description="Whether input includes cached tokens; auto: as files show, or an error")
    decimals: Decimals | None = Field(None, description="The decimal sign, if no number of a file shows it")
    dates: DateOrder | None = Field(None, description="Whether 03/04/2026 begins with the day (dmy) or the month (mdy)")
    columns: TextMap = Field(
        default_factory=dict,
        description="Columns by a known name, label or ignore, such as Montant=cost,Jetons=input_tokens",
    )


class FileOptions(TableOptions):
    """Options about files, which may overlap."""

    equal_rows: EqualRows = Field(
        "ask", description="Of equal rows in two files: once (exports overlap), each (they are two), or ask"
    )


@dataclass(frozen=True, slots=True)
class Defaults:
    """What rows are of that do not say so."""

    source: str
    options: TableOptions
    provider: str = ""
    currency: str = ""
    charge: str = ""
    #: The month of rows without a time, as 2026-11.
    month: str = ""
    #: Whether only what is the cost is kept: the money of a bill, and not the tokens beside it.
    only_counted: bool = False


def own_files(defaults: Defaults, equal_rows: EqualRows) -> Callable[..., FileImport]:
    """A reader of such files; of rows that several of them hold, the option `equal_rows` says how often they count."""

    def read(paths: Sequence[Path], *, parts: bool = False) -> FileImport:
        distinct = Distinct("each" if parts else equal_rows)
        records: list[Record] = []
        notes: list[str] = []
        empty: set[Window] = set()
        lacks: list[str] = []
        for path in paths:
            distinct.next_file()
            contents = _contents(path, defaults, distinct if len(paths) > 1 else None)
            records.extend(_records(contents, defaults))
            empty |= contents.empty
            notes.extend(f"{path.name}: {note}" for note in contents.notes if note != contents.lacks)
            if contents.lacks:
                lacks.append(f"{path.name}: {contents.lacks}")
        questions: tuple[str, ...] = ()
        if distinct.questions():
            each = [one for path in paths for one in _records(_contents(path, defaults, None), defaults)]
            questions = distinct.questions(_sums(records), _sums(each))
        return FileImport(records, (*notes, *distinct.notes()), (*lacks, *questions), tuple(sorted(empty)))

    return read


def _sums(records: Sequence[Record]) -> str:
    """The totals of records, in money and tokens, as text."""
    sums: dict[str, Decimal] = {}
    for one in records:
        unit, amount = (
            ("tokens", Decimal(one.quantity)) if isinstance(one, Usage) else (one.cost.currency, one.cost.amount)
        )
        sums[unit] = sums.get(unit, Decimal(0)) + amount
    return ", ".join(f"{amount:,f} {unit}" for unit, amount in sums.items())


def records_of(table: Table, defaults: Defaults) -> tuple[list[Record], tuple[str, ...]]:
    """The records of a table from a database, and remarks about them. SourceError with all faults."""
    contents = _read(table, defaults)
    return list(_records(contents, defaults)), contents.notes


def _contents(path: Path, defaults: Defaults, distinct: Distinct | None) -> Contents:
    try:
        return _read(open_table(path), defaults, distinct)
    except OSError as error:
        raise SourceError(f"{path.name}: {error.strerror or type(error).__name__}") from error
    except FormatError as error:
        raise _faults(path.name, error, defaults) from None


def _read(table: Table, defaults: Defaults, distinct: Distinct | None = None) -> Contents:
    options = defaults.options
    said = FileHints(
        provider=defaults.provider,
        account=options.account,
        currency=defaults.currency,
        month=defaults.month,
        cached=options.cached,
        decimals=options.decimals,
        dates=options.dates,
        columns=options.columns,
        source=defaults.source,
    )
    try:
        return read_table(table, said, distinct.is_new if distinct else None)
    except FormatError as error:
        raise _faults(table.name, error, defaults) from None


def _faults(name: str, error: FormatError, defaults: Defaults) -> SourceError:
    """The faults of a file; the options of a command are named as those of a source, where a source reads it."""
    faults = error.faults if defaults.only_counted else [_of_a_source(fault) for fault in error.faults]
    more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
    return SourceError(f"{name}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}")


def _of_a_source(fault: str) -> str:
    for command, source in _NO_PERIOD:
        fault = fault.replace(command, source)
    return _OPTION.sub(_as_setting, fault)


#: A source has no month to say.
_NO_PERIOD: Final = (
    (", or which month the rows are of (--period 2026-11)", ""),
    ("; say which month it was (--period 2026-11)", "; write one, or take the row out"),
)
_OPTION: Final = re.compile(r"--([a-z]+)(?: (?:'([^']*)'|(NAME=\w+|\w[\w-]*)))?")


def _as_setting(found: re.Match[str]) -> str:
    value = found[2] or found[3]
    return f"{found[1].upper()}={value}" if value else found[1].upper()


def _records(contents: Contents, defaults: Defaults) -> Iterator[Record]:
    """Usage and billed money; money that a gateway worked out itself only where the file has no tokens."""
    for used in () if defaults.only_counted and contents.costs else contents.usage:
        line = replace(used.line, provider=provider_id(used.line.provider or defaults.provider))
        yield replace(used, line=line, labels=attributed(defaults.options, used.labels))
    for cost in contents.costs or (() if contents.usage else contents.reported):
        charge = cost.labels.get(CHARGE_LABEL) or defaults.charge
        labels = {**cost.labels, **({CHARGE_LABEL: charge} if charge else {})}
        yield replace(cost, labels=attributed(defaults.options, labels))
