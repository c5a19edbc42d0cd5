"""Rows of a usage file (CSV) as usage: one meter a row, a column per meter, or an Alibaba bill. It prices nothing.

Every fault is named with its line, all at once; what had to be decided about the rows is told in notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from alertd.core.pricing.instanceid import instance_line, tokens_per
from alertd.core.usage import LARGEST_EXPONENT, METERS, Labels, Line, Modifiers, Usage

#: How a file's input tokens count cached ones: within, beside, or to be told row by row.
Cached = Literal["auto", "included", "disjoint"]

_TIME: Final = ("timestamp", "date", "day", "time", "start", "start_time", "billingdate", "billingcycle")
_INSTANCE: Final = ("instanceid", "instance_id", "instance id")
#: Columns that refine a meter; every other one that is not read is a label.
MODIFIERS: Final = frozenset(
    {"tier", "service_tier", "cache_ttl", "context", "context_window", "region", "inference_geo", "processing", "batch"}
    | {"speed", "search_type", "hardware"}
)
#: Columns that refine the tokens of a training job, and are labels elsewhere.
_TRAINING: Final = frozenset({"size", "method", "type"})
_MODIFIER_NAMES: Final = {"context_window": "context", "inference_geo": "region", "service_tier": "tier"}
#: A column per meter, as gateways and exporters name them; `input` is converted when cached tokens are within it.
WIDE: Final[Mapping[str, str]] = {
    "input_tokens": "input",
    "prompt_tokens": "input",
    "uncached_input_tokens": "input",
    "cache_read_tokens": "cached_input",
    "cache_read_input_tokens": "cached_input",
    "cached_input_tokens": "cached_input",
    "cached_tokens": "cached_input",
    "cache_write_tokens": "cache_write",
    "cache_creation_tokens": "cache_write",
    "cache_creation_input_tokens": "cache_write",
    "output_tokens": "output",
    "completion_tokens": "output",
    "batch_input_tokens": "batch_input",
    "batch_output_tokens": "batch_output",
    "training_tokens": "training",
    **{meter: meter for meter in METERS},
}
#: Columns that are read for themselves; all others are labels.
_READ: Final = (
    frozenset({"provider", "model", "meter", "quantity", "account", "accountid", "usage", "usageunit"})
    | MODIFIERS
    | WIDE.keys()
)
#: Wide columns whose input holds no cached token, whatever the row says.
_DISJOINT: Final = frozenset({"uncached_input_tokens", "input"})
_MONTH: Final = re.compile(r"(\d{4})-?(\d{2})\Z")
_EPOCH: Final = re.compile(r"\d{9,11}(\.\d+)?\Z")


class UsageFileError(ValueError):
    """A usage file that cannot be read; the message lists every fault with its line."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class UsageFile:
    """What a file holds, in the order of its rows, and what had to be decided while reading it."""

    usage: tuple[Usage, ...]
    notes: tuple[str, ...] = ()


def read_usage(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, month: date | None = None, cached: Cached = "auto"
) -> UsageFile:
    """The usage of a file's rows. `month` (its first day) is when rows without a time were used.

    Times without a zone are UTC, a day is a day of the provider's zone. Raises UsageFileError with all its faults.
    """
    reader = _Reader(tuple(name.strip().lower() for name in header), month, cached)
    read = reader.layout()
    usage: list[Usage] = []
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        try:
            usage.extend(read(row))
        except ValueError as error:
            reader.faults.append(f"line {number}: {error}")
    if reader.faults:
        raise UsageFileError(reader.faults)
    return UsageFile(tuple(usage), tuple(reader.notes()))


def has_time(header: Sequence[str]) -> bool:
    """Whether a file says when its rows were used."""
    return any(name.strip().lower() in _TIME for name in header)


def month_of(text: str) -> date:
    """The first day of a month written 2026-11. Raises ValueError."""
    found = _MONTH.match(text.strip())
    if found is None:
        raise ValueError(f"a month is written 2026-11, not {text!r}")
    return date(int(found[1]), int(found[2]), 1)


@dataclass(slots=True)
class _Reader:
    """One file's columns, and what was seen on the way. Lines and windows are shared, so that they compare fast."""

    header: tuple[str, ...]
    month: date | None
    cached: Cached
    faults: list[str] = field(default_factory=list)
    disjoint: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    lines: dict[Line, Line] = field(default_factory=dict)
    windows: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    at: dict[str, int] = field(default_factory=dict)
    columns: dict[frozenset[str], Sequence[tuple[str, int]]] = field(default_factory=dict)
    attributed: Sequence[tuple[str, int]] = ()
    time: str = ""
    instance: str = ""

    def layout(self) -> Callable[[Sequence[str]], Iterable[Usage]]:
        """How this header's rows are read. Raises UsageFileError where it fits no layout."""
        self.at = {name: index for index, name in enumerate(self.header)}
        self.time = next((name for name in _TIME if name in self.at), "")
        self.instance = next((name for name in _INSTANCE if name in self.at), "")
        read = _READ | {self.time, self.instance}
        self.attributed = [(name, at) for name, at in self.at.items() if name not in read]
        if not self.time and self.month is None:
            raise UsageFileError(["no timestamp column and no period: say which month it was (--period 2026-11)"])
        if self.instance and {"usage", "quantity"} & self.at.keys():
            return self.bill
        if {"model", "meter", "quantity"} <= self.at.keys():
            return self.long
        if "model" in self.at and any(name in WIDE for name in self.at):
            return self.wide
        seen = ", ".join(self.header) or "(none)"
        wanted = "provider, model, meter, quantity; or a column per meter (input_tokens, output_tokens, ...); "
        raise UsageFileError(
            [f"columns {seen} are no usage: wanted are {wanted}or an Alibaba bill's InstanceID, Usage"]
        )

    def long(self, row: Sequence[str]) -> Iterable[Usage]:
        """One meter a row."""
        model, written = self.cell(row, "model"), self.cell(row, "meter").lower()
        meter = WIDE.get(written, written)
        if ";" in model and (found := instance_line(model, self.cell(row, "account"))) is not None:
            line, labels = found
        else:
            line = Line(self.cell(row, "provider"), model, meter, self.modifiers(row, meter), self.cell(row, "account"))
            labels = {}
        if not line.model:
            raise ValueError("model: required")
        yield self.usage(row, line, whole(self.cell(row, "quantity")), labels)

    def wide(self, row: Sequence[str]) -> Iterable[Usage]:
        """A column per meter; empty and zero cells are no usage. Calls are counted, not billed, and so left out."""
        counts: Counter[str] = Counter()
        converts = False
        for name, meter in WIDE.items():
            if name in self.at and self.cell(row, name):
                counts[meter] += whole(self.cell(row, name))
                converts = converts or (meter == "input" and name not in _DISJOINT)
        if converts:
            self.disjoin(row, counts)
        provider, model, account = (self.cell(row, name) for name in ("provider", "model", "account"))
        for meter, count in counts.items():
            if meter == "requests":
                self.ignored[meter] += count
            elif count:
                yield self.usage(row, Line(provider, model, meter, self.modifiers(row, meter), account), count, {})

    def bill(self, row: Sequence[str]) -> Iterable[Usage]:
        """A line of an Alibaba bill: what is no text model is told and left out."""
        found = instance_line(self.cell(row, self.instance), self.cell(row, "accountid") or self.cell(row, "account"))
        if found is None:
            self.ignored["unattributed"] += 1
            return
        amount = self.cell(row, "usage") or self.cell(row, "quantity")
        yield self.usage(row, found[0], whole(amount, tokens_per(self.cell(row, "usageunit"))), found[1])

    def disjoin(self, row: Sequence[str], counts: Counter[str]) -> None:
        """Take cached tokens out of the input that includes them; where that cannot be, they are beside it."""
        within = counts["cached_input"] + counts["cache_write"]
        if self.cached == "disjoint" or (self.cached == "auto" and within > counts["input"]):
            self.disjoint[f"{self.cell(row, 'provider')}/{self.cell(row, 'model')}"] += 1
            return
        if within > counts["input"]:
            raise ValueError(
                f"{within} cached tokens are more than the {counts['input']} input tokens that include them"
            )
        counts["input"] -= within

    def modifiers(self, row: Sequence[str], meter: str) -> Modifiers:
        refining = MODIFIERS | _TRAINING if meter == "training" else MODIFIERS
        given = {_MODIFIER_NAMES.get(name, name): row[at].strip() for name, at in self.of(refining) if at < len(row)}
        return tuple(sorted((name, value) for name, value in given.items() if value))

    def usage(self, row: Sequence[str], line: Line, quantity: int, labels: Labels) -> Usage:
        shared = self.lines.setdefault(line, line)
        start, end = self.window(self.cell(row, self.time))
        return Usage(shared, start, end, quantity, {**self.labels(row), **labels}, "file")

    def labels(self, row: Sequence[str]) -> dict[str, str]:
        """What is neither time nor meter nor modifier can be attributed by."""
        return {name: text for name, at in self.attributed if at < len(row) and (text := row[at].strip())}

    def of(self, names: frozenset[str]) -> Sequence[tuple[str, int]]:
        """The columns of the file among some names, found once a set of names."""
        if names not in self.columns:
            self.columns[names] = [(name, at) for name, at in self.at.items() if name in names]
        return self.columns[names]

    def window(self, text: str) -> tuple[datetime, datetime]:
        if text not in self.windows:
            self.windows[text] = window_of(text) if text else self.whole_month()
        return self.windows[text]

    def whole_month(self) -> tuple[datetime, datetime]:
        if self.month is None:
            raise ValueError(f"{self.time or 'timestamp'}: required, or say which month it was (--period 2026-11)")
        return _month_window(self.month)

    def cell(self, row: Sequence[str], name: str) -> str:
        index = self.at.get(name, -1)
        return row[index].strip() if 0 <= index < len(row) else ""

    def notes(self) -> Iterator[str]:
        for name, count in self.disjoint.items():
            why = "" if self.cached == "disjoint" else ": more cached than input tokens"
            yield f"{name}: in {count} rows cached tokens are taken as beside the input, not within it{why}"
        if count := self.ignored["requests"]:
            yield f"{count} requests are a count of calls, not of what is billed: left out"
        if count := self.ignored["unattributed"]:
            yield f"{count} bill lines have no Instance ID of a model call: left out, their money is not rated"


def whole(text: str, scale: int = 1) -> int:
    """A quantity in the meter's own unit: a whole number, however it is written (3000000, 3e6, 1250.000 thousands)."""
    try:
        amount = Decimal(text.replace("_", ""))
        if amount.is_finite() and amount.adjusted() + Decimal(scale).adjusted() >= LARGEST_EXPONENT:
            raise ValueError(f"{text[:40]!r} is larger than any quantity")
        amount *= scale
    except InvalidOperation:
        raise ValueError(f"quantity is a whole number, not {text!r}") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"quantity is a whole number in the meter's own unit, not {text!r}")
    return int(amount)


def window_of(text: str) -> tuple[datetime, datetime]:
    """The half-open window of a written time: a month, a day, or an instant (its second). Raises ValueError."""
    if _MONTH.match(text):
        return _month_window(month_of(text))
    if _EPOCH.match(text):
        start = datetime.fromtimestamp(float(text), UTC)
        return start, _later(start, timedelta(seconds=1))
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"timestamp is a day or an instant (2026-11-19, 2026-11-19T08:00:00Z), not {text!r}") from None
    aware = start.replace(tzinfo=UTC) if start.tzinfo is None else start
    whole_day = ":" not in text and "T" not in text
    return aware, _later(aware, timedelta(days=1) if whole_day else timedelta(seconds=1))


def _month_window(month: date) -> tuple[datetime, datetime]:
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return start, _later(start, timedelta(days=32)).replace(day=1)


def _later(start: datetime, length: timedelta) -> datetime:
    try:
        return start + length
    except OverflowError:
        raise ValueError(f"{start:%Y-%m-%d} is the last that a calendar holds") from None
