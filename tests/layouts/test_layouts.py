"""Every known layout on a file of its kind: recognised by its header, right in tokens, money and time.

A fixture is NAME.csv (or .json, .jsonl, ...) with what it holds in NAME.expected.json.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.core.formats.known import known_layouts
from alertd.core.formats.reading import Contents, read_table
from alertd.core.pricing.bill import rate
from alertd.core.usage import BilledCost
from alertd.wire.pricebook import price_book
from alertd.wire.tables import open_table

HERE = Path(__file__).parent
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


def summary(contents: Contents) -> dict[str, object]:
    """What a file holds, as its expectation writes it; what is empty is absent."""
    tokens: dict[str, int] = defaultdict(int)
    for used in contents.usage:
        refined = "".join(f" {name}={value}" for name, value in used.line.modifiers)
        tokens[f"{used.line.provider} {used.line.model} {used.line.meter}{refined}"] += used.quantity
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
    contents = read_table(open_table(fixture_of(expected)))
    assert {name: value for name, value in summary(contents).items() if name in wanted} == wanted
    assert wanted["layout"] == contents.layout


@pytest.mark.parametrize("name", [layout.name for layout in known_layouts()])
def test_every_known_layout_has_a_fixture(name: str) -> None:
    assert name in {json.loads(path.read_text())["layout"] for path in EXPECTED}
