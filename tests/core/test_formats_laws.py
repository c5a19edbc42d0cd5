"""Laws of reading files: however a file is split, ordered, encoded, packed or named, it holds the same."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alertd.clients.tables import open_table
from alertd.core.formats.names import meaning
from alertd.core.formats.plan import FileHints
from alertd.core.formats.records import read_table
from alertd.core.formats.table import FormatError
from alertd.core.formats.words import WORDS

FIRST = date(2026, 11, 1)
HEADER = (
    "date",
    "provider",
    "model",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost",
    "currency",
    "team",
)
Sums = dict[tuple[str, ...], Decimal]


class Row(NamedTuple):
    day: int
    model: str
    uncached: int
    cached: int
    output: int
    cents: int
    team: str

    def cells(self) -> list[str]:
        counts = (self.uncached + self.cached, self.cached, self.output)
        day = (FIRST + timedelta(days=self.day)).isoformat()
        cost = f"{Decimal(self.cents).scaleb(-2):f}"
        return [day, "openai", self.model, *map(str, counts), cost, "EUR", self.team]


counts = st.integers(0, 10**9)
rows = st.lists(
    st.builds(Row, st.integers(0, 27), st.sampled_from(["gpt-4o", "gpt-5"]), counts, counts, counts,
              st.integers(0, 10**8), st.sampled_from(["a", "Büro", "c,d"])),
    min_size=1, max_size=12,
)  # fmt: skip


def csv_of(body: Sequence[Sequence[str]], header: Sequence[str] = HEADER, delimiter: str = ",") -> str:
    import csv  # noqa: PLC0415 - beside the name of a fixture

    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *body])
    return out.getvalue()


def held(*files: bytes, **said: object) -> Sums:
    """The tokens and the money of files, by everything that tells them apart."""
    found: Sums = defaultdict(Decimal)
    for content in files:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_bytes(content)
            contents = read_table(open_table(path), FileHints(**{"cached": "included", **said}))  # type: ignore[arg-type]
        for one in contents.usage:
            found["usage", str(one.start), one.line.model, one.line.meter, one.labels["team"]] += one.quantity
        for cost in contents.costs:
            found["cost", str(cost.start), cost.model, cost.cost.currency, cost.labels["team"]] += cost.cost.amount
    return {key: amount for key, amount in found.items() if amount}


def truth(body: Sequence[Row]) -> Sums:
    found: Sums = defaultdict(Decimal)
    for row in body:
        start = f"{FIRST + timedelta(days=row.day)} 00:00:00+00:00"
        for meter, count in (("input", row.uncached), ("cached_input", row.cached), ("output", row.output)):
            found["usage", start, row.model, meter, row.team] += count
        found["cost", start, row.model, "EUR", row.team] += Decimal(row.cents).scaleb(-2)
    return {key: amount for key, amount in found.items() if amount}


def sound(body: Sequence[Row]) -> list[list[str]]:
    assume(any(row[2:6] != (0, 0, 0, 0) for row in body))
    return [row.cells() for row in body]


@given(rows, st.integers(0, 12))
def test_a_file_that_is_split_holds_the_same(body, at) -> None:
    first, second = body[:at], body[at:]
    parts = [part for part in (first, second) if any(row[2:6] != (0, 0, 0, 0) for row in part)]
    assume(parts)
    assert held(*(csv_of([row.cells() for row in part]).encode() for part in parts)) == truth(body)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_changes_nothing(body, random) -> None:
    cells = sound(body)
    places = list(range(len(HEADER)))
    random.shuffle(places)
    random.shuffle(cells)
    text = csv_of([[row[at] for at in places] for row in cells], [HEADER[at] for at in places])
    assert held(text.encode()) == truth(body)


@given(rows, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]), st.sampled_from(",;\t|"))
def test_encoding_and_delimiter_change_nothing(body, encoding, delimiter) -> None:
    assert held(csv_of(sound(body), delimiter=delimiter).encode(encoding)) == truth(body)


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.csv", content)
    return out.getvalue()


def zstandard(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


@given(rows, st.sampled_from([gzip.compress, zipped, zstandard, lambda text: gzip.compress(zipped(text))]))
def test_compression_changes_nothing(body, packed: Callable[[bytes], bytes]) -> None:
    assert held(packed(csv_of(sound(body)).encode())) == truth(body)


def as_json(body: Sequence[Sequence[str]]) -> bytes:
    return json.dumps([dict(zip(HEADER, row, strict=True)) for row in body]).encode()


def as_document(body: Sequence[Sequence[str]]) -> bytes:
    listed = [dict(zip(HEADER, row, strict=True)) for row in body]
    return json.dumps({"object": "list", "data": listed, "has_more": False}, indent=1).encode()


def as_lines(body: Sequence[Sequence[str]]) -> bytes:
    numbers = [
        {name: json.loads(cell) if name.endswith("tokens") or name == "cost" else cell
         for name, cell in zip(HEADER, row, strict=True)}
        for row in body
    ]  # fmt: skip
    return "\n".join(json.dumps(row) for row in numbers).encode()


def as_parquet(body: Sequence[Sequence[str]]) -> bytes:
    columns = {name: [row[at] for row in body] for at, name in enumerate(HEADER)}
    whole = {name: list(map(int, cells)) for name, cells in columns.items() if name.endswith("tokens")}
    exact = {"cost": list(map(Decimal, columns["cost"])), "date": list(map(date.fromisoformat, columns["date"]))}
    out = io.BytesIO()
    pq.write_table(pa.table({**columns, **whole, **exact}), out)
    return out.getvalue()


@given(rows, st.sampled_from([as_json, as_document, as_lines, as_parquet]))
@settings(deadline=None)
def test_the_form_changes_nothing(body, form: Callable[[Sequence[Sequence[str]]], bytes]) -> None:
    assert held(form(sound(body))) == truth(body)


NAMES = {
    meter: [name for name, column in WORDS.items()
            if column.role == "tokens" and (column.name, column.modifiers, column.exclusive) == (meter, (), False)]
    for meter in ("input", "cached_input", "output")
}  # fmt: skip
SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda name: name.replace("_", " ").title(),
    lambda name: name.replace("_", "-"),
    lambda name: name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]),
    lambda name: f"usage.{name}",
    lambda name: f"gen_ai.usage.{name}",
]


@given(rows, *(st.sampled_from(names) for names in NAMES.values()), st.sampled_from(SPELLINGS))
def test_every_known_name_and_spelling_of_a_meter_is_the_same_meter(body, one, two, three, spelled) -> None:
    header = list(HEADER)
    header[3:6] = [spelled(name) for name in (one, two, three)]
    assert held(csv_of(sound(body), header).encode()) == truth(body)


@given(rows)
def test_decimal_commas_with_thousands_are_the_same_money(body) -> None:
    cells = sound(body)
    for row in cells:
        row[6] = f"{Decimal(row[6]):,.2f}".translate(str.maketrans(",.", ".,"))
        row[3:6] = [f"{int(count):,}".replace(",", ".") for count in row[3:6]]
    assert held(csv_of(cells, delimiter=";").encode()) == truth(body)


WORD = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


@given(
    rows,
    st.one_of(
        st.builds(
            lambda stem, end: f"{stem}_{end}", WORD, st.sampled_from(["tokens", "cost", "amount", "usd", "spend"])
        ),
        st.builds(lambda end, stem: f"{end}_{stem}", st.sampled_from(["tokens", "cost"]), WORD),
    ),
)
def test_no_column_of_tokens_cost_or_amount_is_dropped_in_silence(body, name) -> None:
    cells = [[*row, "7"] for row in sound(body)]
    found, fault = outcome(csv_of(cells, [*HEADER, name]).encode())
    if fault:
        named = name.strip("_") in fault.replace(" ", "_").lower()
        assert named or "count the same" in fault or "both the cost" in fault
        return
    known = meaning(name.strip("_"))
    limits = ("max", "min", "limit", "budget", "per", "rate", "avg", "type", "id", "name", "center", "code", "by", "to")
    assert found != truth(body) or known is not None or any(word in name.split("_") for word in limits)


@given(st.text(min_size=1, max_size=200), st.integers(0, 8))
@pytest.mark.filterwarnings("ignore")
def test_no_error_quotes_a_cell(secret, at) -> None:
    canary = f"CANARY{secret}"
    row = ["2026-11-01", "openai", "gpt-4o", "10", "5", "1", "1.00", "EUR", "a"]
    row[at] = canary
    assert "canary" not in outcome(csv_of([row]).encode())[1].lower()


def outcome(content: bytes) -> tuple[Sums, str]:
    """What a file holds, or its fault."""
    try:
        return held(content), ""
    except FormatError as error:
        return {}, str(error)
