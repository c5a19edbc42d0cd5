"""A table becomes usage and billed costs: the one way in which files are read. It prices nothing.

    columns -> a plan -> sums of rows with equal keys -> the file's habits -> windows, lines, labels -> records

All faults come at once, each with its line or column; what had to be decided is said in notes. No cell is quoted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.formats.figures import NumberReader
from alertd.core.formats.group_records import LONGEST_LABEL, NOTHING, GroupRecords
from alertd.core.formats.layout import plain
from alertd.core.formats.names import MODELS, may_count
from alertd.core.formats.parts import Kind, Seen, decide, kinds_used
from alertd.core.formats.plan import FileHints, Plan, not_understood, plan_of
from alertd.core.formats.sums import FileSums, Key, RowGroup, RowReader, is_total, total_of
from alertd.core.formats.table import FormatError, Table, from_spreadsheet, with_cells
from alertd.core.formats.times import Times, Window, month_of
from alertd.core.spellings import provider_id
from alertd.core.usage import BilledCost, Line, Usage


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a file. `reported` is money that a gateway computed: a check, never the cost."""

    layout: str
    title: str
    usage: tuple[Usage, ...]
    costs: tuple[BilledCost, ...]
    reported: tuple[BilledCost, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    #: When rows are of that hold no token and no money, as a day whose cost was taken back has.
    empty: frozenset[Window] = frozenset()
    #: What the file lacks, as it says itself: its figures are a lower bound.
    lacks: str = ""

    @property
    def counted(self) -> tuple[Usage | BilledCost, ...]:
        """The records that are the cost: the billed money, else the tokens, else what is reported."""
        return self.costs or self.usage or self.reported


_ZERO: Final = Decimal(0)
#: A row that is as long may be the total of shorter ones.
_LEAST_TOTAL: Final = timedelta(days=7)
_NUMBER: Final = re.compile(r"-?[\d.,]+", re.ASCII)


@dataclass(slots=True)
class Records:
    """Turns the sums of one file into records."""

    plan: Plan
    said: FileHints
    reader: RowReader
    sums: FileSums
    times: Times
    left_out: Counter[str] = field(default_factory=Counter)
    lines: dict[Line, Line] = field(default_factory=dict)
    others: Decimal = _ZERO

    def contents(self) -> Contents:
        """All records, or FormatError."""
        self._leave_out_totals()
        self._check_labels()
        self.sums.raise_faults()
        windows = self._windows()
        self._leave_out_longer(windows)
        beside, notes = self._decided()
        usage: list[Usage] = []
        costs: list[BilledCost] = []
        reported: list[BilledCost] = []
        empty: set[Window] = set()
        money_kind = self.plan.layout.money
        rows: dict[tuple[str, ...], GroupRecords] = {}
        for key, group in self.sums.groups.items():
            try:
                row = rows.get(key[2]) or rows.setdefault(key[2], GroupRecords(self, key))
                if not row.is_of_models:
                    self._leave_out(group)
                    continue
                row.group, row.window = group, windows[key[:2]]
                before = len(usage) + len(costs) + len(reported)
                usage.extend(row.usage(beside))
                for place, cost in row.costs():
                    (reported if money_kind == "reported" or place.role == "reported" else costs).append(cost)
                if len(usage) + len(costs) + len(reported) == before:
                    empty.add(row.window)
            except ValueError as error:
                self.sums.fault(f"line {group.line}: {error}")
        self.sums.raise_faults()
        if not usage and not costs and not reported and not self.sums.skipped and not self._costs_nothing(empty):
            raise FormatError(self._nothing())
        return Contents(
            self.plan.layout.name,
            self.plan.layout.title,
            tuple(usage),
            tuple(costs),
            tuple(reported),
            (*self.plan.notes, *notes, *self._notes()),
            self.sums.rows,
            frozenset(empty),
        )

    def _leave_out_totals(self) -> None:
        """Take out the rows that say they are a total and equal the sum of the rows they are of."""
        dims = self.reader.dims
        cells = {key[2] for key in self.sums.groups}
        totals = {each for each in cells if any(total_of(text) is not None for text in each)}
        rows = [(key, group) for key, group in self.sums.groups.items() if key[2] not in totals]
        for key, group in [(key, group) for key, group in self.sums.groups.items() if key[2] in totals]:
            names = [text if (of_what := total_of(text)) is None else of_what for text in key[2]]
            same = [n for n, text in enumerate(names) if text]
            of = [(one, found) for one, found in rows if all(one[2][n] == names[n] for n in same)]
            if group.is_sum([found for _, found in of]) or group.is_sum(
                [found for one, found in of if one[:2] == key[:2]]
            ):
                del self.sums.groups[key]
                self.sums.totals += 1
                continue
            for place, text in zip(dims, key[2], strict=True):
                if place.column.role in {"model", "provider"} and is_total(text):
                    self.sums.fault(
                        f"line {group.line}: column {place.name} says that this row adds up others, and it is not their"
                        " sum: take the row out, or name what it is of"
                    )

    def _leave_out_longer(self, windows: Mapping[tuple[str, str], Window]) -> None:
        """Take out the row of a week or a month that equals the sum of its days in the same file."""
        if len({end - start for start, end in windows.values()}) < 2:  # noqa: PLR2004 - all are as long
            return
        by_cells: dict[tuple[str, ...], list[tuple[Key, RowGroup, Window]]] = {}
        for key, group in self.sums.groups.items():
            by_cells.setdefault(key[2], []).append((key, group, windows[key[:2]]))
        for rows in by_cells.values():
            for key, group, (start, end) in rows:
                if end - start < _LEAST_TOTAL:
                    continue
                within = [one for _, one, (s, e) in rows if start <= s and e <= end and e - s < end - start]
                if group.is_sum(within):
                    del self.sums.groups[key]
                    self.sums.totals += 1

    def _check_labels(self) -> None:
        """A label with nothing but numbers that may count tokens by its name is a fault: it is never left uncounted."""
        for n, place in enumerate(self.reader.dims):
            if place.column.role != "label" or not may_count(plain(place.name)) or self.plan.layout.name != "free":
                continue
            if plain(place.name) in {plain(name) for name in self.said.columns}:
                continue
            values = {key[2][n].strip() for key in self.sums.groups} - NOTHING
            if values and all(map(_NUMBER.fullmatch, values)) and max(map(len, values)) > 1:
                self.sums.fault(not_understood(place.name))

    def is_of_models(self, key: Key) -> bool:
        """Whether a charge of a whole account's bill is for models."""
        names = self.plan.layout.products
        cells = zip(self.reader.dims, key[2], strict=True)
        return any(plain(place.name) in names and MODELS.search(text) for place, text in cells)

    def _leave_out(self, group: RowGroup) -> None:
        self.others += sum((group.money or {}).values())
        self.left_out["products"] += bool(group.money)

    def _costs_nothing(self, empty: Collection[Window]) -> bool:
        """Whether a known provider's bill has charges for models, and all of them are 0."""
        layout = self.plan.layout
        return bool(empty and self.reader.money) and layout.name != "free" and layout.money == "billed"

    def _nothing(self) -> str:
        if not self.sums.rows:
            return "the file has a header and no row"
        if self.left_out["products"]:
            left = f"{self.others.normalize():f}"
            return f"none of its {self.sums.rows} rows is of a model; {left} in all for other products"
        return f"its {self.sums.rows} rows hold no token and no money: nothing to read"

    def _windows(self) -> dict[tuple[str, str], Window]:
        pairs = [key[:2] for key in self.sums.groups]
        try:
            found = self.times.windows(pair for pair in pairs if pair[0])
        except ValueError:
            for key, group in self.sums.groups.items():
                try:
                    if key[0]:
                        self.times.windows([key[:2]])
                except ValueError as error:
                    self.sums.fault(f"line {group.line}: {error}")
            self.sums.raise_faults()
            raise
        if self.said.month:
            month = Times().windows([(self.said.month, "")])[self.said.month, ""]
            found.update({pair: month for pair in pairs if not pair[0]})
        else:
            nothing = (month_of("1970-01"), month_of("1970-02"))
            found.update({pair: nothing for pair in pairs if not pair[0]})
        return found

    def _decided(self) -> tuple[dict[str, frozenset[Kind]], list[str]]:
        """By provider, which parts are beside their totals."""
        parts = self.reader.parts
        by_provider: dict[str, list[RowGroup]] = {}
        makers: dict[tuple[str, ...], str] = {}
        for key, group in self.sums.groups.items():
            maker = makers.get(key[2])
            if maker is None:
                maker = makers[key[2]] = self.maker(key)
            by_provider.setdefault(maker, []).append(group)
        found: dict[str, frozenset[Kind]] = {}
        notes: list[str] = []
        unaccounted = 0
        for provider, groups in by_provider.items():
            seen = Seen()
            for group in groups:
                if group.seen is not None:
                    seen.add(group.seen)
            found[provider], said = decide(
                parts, provider, seen, self.said.cached, kinds_used(parts, (group.counts for group in groups))
            )
            notes.extend(said)
            unaccounted += seen.unaccounted
        if unaccounted:
            notes.append(f"the totals of the rows are {unaccounted:,} tokens more than the columns that are read")
        return found, notes

    def _notes(self) -> Iterator[str]:
        if count := self.left_out["requests"]:
            yield f"{count} requests are a count of calls, not of what is billed: left out"
        if count := self.left_out["unattributed"]:
            yield f"{count} bill lines have no Instance ID of a model call: only their money is read"
        if self.left_out["no model"]:
            yield "tokens of rows that name no model are not read, their money is"
        if self.sums.totals:
            rows = "1 row that adds" if self.sums.totals == 1 else f"{self.sums.totals} rows that add"
            are = "is" if self.sums.totals == 1 else "are"
            yield f"{rows} up the others {are} left out"
        if self.left_out["products"]:
            yield f"charges for other products than models are left out: {self.others.normalize():f} in all"
        if self.times.months:
            yield "all its times are first days of months: each row is taken as of its whole month"
        if count := self.left_out["long"]:
            yield f"{count} cells of labels are longer than {LONGEST_LABEL} characters: left out"

    def cell(self, key: Key, role: str) -> str:
        """The value of a role's column in a group."""
        for place, text in zip(self.reader.dims, key[2], strict=True):
            if place.column.role == role:
                return "" if text in NOTHING else self.written(text.strip())
        return ""

    def written(self, text: str) -> str:
        """A cell's text as it was before it was written for spreadsheets."""
        return from_spreadsheet(text) if self.plan.layout.spreadsheet else text

    def provider(self, key: Key) -> str:
        """The provider of a group."""
        return provider_id(self.cell(key, "provider") or self.plan.layout.provider or self.said.provider)

    def maker(self, key: Key) -> str:
        """The provider whose counting rules apply to a group: its own, else the maker of its model."""
        if found := self.provider(key):
            return found
        name = self.cell(key, "model").lower().rsplit("/", 1)[-1]
        if "claude" in name:
            return "anthropic"
        if name.startswith(("gpt", "o1", "o3", "o4", "text-embedding", "chatgpt", "codex")):
            return "openai"
        return "google" if name.startswith("gemini") else ""


__all__ = ["Contents", "read_table"]


def read_table(
    table: Table, said: FileHints | None = None, keep: Callable[[Sequence[str]], bool] | None = None
) -> Contents:
    """The usage and the money of a table. `keep` is False for rows that are left out.

    Times without a zone are of the layout's zone (UTC); a day is a day. Raises FormatError with all its faults.
    """
    said = said or FileHints()
    table = with_cells(table)
    plan = plan_of(table, said)
    figures = NumberReader(
        said.decimals or "point", forced=said.decimals is not None, asks_points=table.delimiter == ";"
    )
    zone = UTC if plan.layout.zone == "UTC" else ZoneInfo(plan.layout.zone)
    times = Times(zone, said.dates or plan.layout.dates)
    times.weeks = any(one.column.name == "week" for one in plan.of("time"))
    reader = RowReader(plan, figures, times, has_month=bool(said.month))
    sums = reader.sums(table, keep)
    habit = figures.habit()
    if habit != figures.decimals:
        figures = NumberReader(habit, forced=True)
        reader = RowReader(plan, figures, times, has_month=bool(said.month))
        sums = reader.sums(table, keep)
    sums.raise_faults()
    if times.order is None:
        times.prove(start for start, _, _ in sums.groups)
    contents = Records(plan, said, reader, sums, times).contents()
    if not table.lacks:
        return contents
    return replace(contents, lacks=table.lacks, notes=(*contents.notes, table.lacks))
