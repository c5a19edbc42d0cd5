"""Every known layout on a file of its kind: recognised by its header, right in tokens, money and time.

A fixture is NAME.csv (or .json, .jsonl, ...) with what it holds in NAME.expected.json.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.clients.price_files import price_book
from alertd.clients.tables import open_table
from alertd.core.formats.layout import known_layouts
from alertd.core.formats.records import Contents, read_table
from alertd.core.pricing.rating import rate
from alertd.core.usage import BilledCost, Line
from alertd.sources.csv import Options, build
from tests.servers.source_ledger import SourceLedger

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 29, tzinfo=UTC)
EXPECTED = sorted(HERE.glob("*.expected.json"))


def fixture_of(expected: Path) -> Path:
    stem = expected.name.removesuffix(".expected.json")
    (found,) = (path for path in HERE.glob(f"{stem}.*") if path != expected and path.suffix != ".py")
    return found


def money(costs: Iterable[BilledCost]) -> dict[str, str]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for one in costs:
        sums[one.cost.currency] += one.cost.amount
    return {currency: f"{amount.normalize():f}" for currency, amount in sorted(sums.items())}


def meter(line: Line) -> str:
    """A line as an expectation names it: provider, model, meter and what refines it."""
    refined = "".join(f" {name}={value}" for name, value in line.modifiers)
    return f"{line.provider} {line.model} {line.meter}{refined}"


def summary(contents: Contents) -> dict[str, object]:
    """What a file holds, as its expectation writes it; what is empty is absent."""
    tokens: dict[str, int] = defaultdict(int)
    for used in contents.usage:
        tokens[meter(used.line)] += used.quantity
    records = [*contents.usage, *contents.costs, *contents.reported]
    bill = rate(contents.usage, price_book([]))
    found = {
        "layout": contents.layout,
        "tokens": dict(sorted(tokens.items())),
        "rated": {currency: f"{total.normalize():f}" for currency, total in bill.totals.items()},
        "billed": money(contents.costs),
        "reported": money(contents.reported),
        "from": min(one.start for one in records).isoformat(),
        "until": max(one.end for one in records).isoformat(),
        "labels": {
            name: sorted({one.labels[name] for one in records if name in one.labels})
            for name in sorted({name for one in records for name in one.labels})
        },
    }
    return {name: value for name, value in found.items() if value}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.removesuffix(".expected.json"))
def test_a_file_of_a_known_layout_is_read_to_the_cent(expected: Path) -> None:
    wanted = json.loads(expected.read_text())
    assert summary(read_table(open_table(fixture_of(expected)))) == wanted


@pytest.mark.parametrize("name", [layout.name for layout in known_layouts()])
def test_every_known_layout_has_a_fixture(name: str) -> None:
    assert name in {json.loads(path.read_text())["layout"] for path in EXPECTED}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.removesuffix(".expected.json"))
def test_rate_replay_and_the_file_source_read_the_same_file_to_the_same_figures(expected: Path, capsys) -> None:
    wanted = json.loads(expected.read_text())
    fixture = fixture_of(expected)
    assert main(["rate", "--usage", str(fixture), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    counted = wanted.get("billed") or (wanted["rated"] if "tokens" in wanted else wanted["reported"])
    assert {unit: Decimal(total) for unit, total in answer["totals"].items()} == {
        unit: Decimal(total) for unit, total in counted.items()
    }
    (currency,) = counted
    assert main(["replay", "--usage", str(fixture), "--budget", f"1000000 {currency}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["crossings"] == 0
    held = SourceLedger(build("own", Options.model_validate({"path": str(fixture)}))).round(
        datetime(2026, 1, 1, tzinfo=UTC), NOW
    )
    assert (held.error, held.warnings) == (None, ())
    if "tokens" in wanted:
        found: dict[str, int] = defaultdict(int)
        for (key, _, _), quantity in held.buckets.items():
            if not key.billed:
                found[meter(key.line)] += quantity
        assert dict(found) == wanted["tokens"]
    if "billed" in wanted:
        assert {unit: f"{held.cost(currency=unit).normalize():f}" for unit in wanted["billed"]} == wanted["billed"]


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name.removesuffix(".expected.json"))
def test_a_known_layout_is_imported_into_the_ledger_once(expected: Path, tmp_path: Path, capsys) -> None:
    wanted = json.loads(expected.read_text())
    env = tmp_path / "my.env"
    env.write_text(f"ALERTD_DATABASE=sqlite:///{tmp_path}/alertd.db\n")
    command = ["import", str(fixture_of(expected)), "--as", "it", "--json", "--env-file", str(env)]
    assert main(command) == 0
    answer = json.loads(capsys.readouterr().out)
    money = wanted.get("billed") or ({} if "tokens" in wanted else wanted["reported"])
    tokens = 0 if money else sum(wanted["tokens"].values())
    assert {unit: Decimal(sum_) for unit, sum_ in answer["billed"].items()} == {
        unit: Decimal(sum_) for unit, sum_ in money.items()
    }
    assert answer["tokens"] == tokens
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 0
