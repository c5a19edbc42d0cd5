"""The laws of rating: what may be split may be split, what is more never costs less, and parts are the whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.clients.price_files import built_in_layers
from alertd.core.formats.plan import FileHints
from alertd.core.formats.records import read_table
from alertd.core.formats.table import Table
from alertd.core.pricing.allocation import allocate, effective_prices, share
from alertd.core.pricing.joint_rate import cost_paths
from alertd.core.pricing.price_book import PriceBook, PricedLine, Unpriced
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.price_history import Entry
from alertd.core.pricing.rating import rate
from alertd.core.usage import TOKEN_METERS, Line, Usage

LAYERS = built_in_layers()
BOOK = PriceBook(LAYERS)
LINES = (
    Line("scaleway", "llama-3.3-70b-instruct", "input"),
    Line("scaleway", "llama-3.3-70b-instruct", "output"),
    Line("scaleway", "mistral-small-3.2-24b-instruct-2506", "input"),
    Line("scaleway", "qwen3.5-397b-a17b", "output"),
    Line("alibaba", "qwen-max", "cached_input"),
    Line("anyscale", "meta-llama/meta-llama-3-70b-instruct", "output"),
)
#: One month of each rule, and the month in which the rule changes.
MONTHS = {"a": date(2025, 5, 1), "b": date(2026, 8, 1), "a to b": date(2026, 7, 1)}

tokens = st.one_of(st.integers(0, 3_000_000), st.sampled_from([1, 999, 1_000, 1_001, 999_999, 1_000_000, 1_000_001]))
months = st.sampled_from(sorted(MONTHS))
quantities = st.lists(tokens, min_size=len(LINES), max_size=len(LINES))


def at(month: str, day: int = 0, seconds: int = 0) -> datetime:
    first = MONTHS[month]
    return datetime(first.year, first.month, 1, 12, tzinfo=UTC) + timedelta(days=day, seconds=seconds)


def used(line: Line, quantity: int, start: datetime, **labels: str) -> Usage:
    return Usage(line, start, start + timedelta(seconds=1), quantity, labels)


def whole(month: str, counts: list[int], day: int = 0) -> list[Usage]:
    return [used(line, count, at(month, day)) for line, count in zip(LINES, counts, strict=True)]


@st.composite
def split(draw: st.DrawFn, month: str, counts: list[int], day: int = 0) -> list[Usage]:
    """The same usage of the same day in other windows, projects and sources, in another order."""
    parts: list[Usage] = []
    for line, count in zip(LINES, counts, strict=True):
        cuts = sorted(draw(st.lists(st.integers(0, count), max_size=3)))
        for low, high in zip([0, *cuts], [*cuts, count], strict=True):
            second, project = draw(st.integers(0, 3600)), draw(st.sampled_from("xyz"))
            parts.append(replace(used(line, high - low, at(month, day, second), project=project), source=project))
    return draw(st.permutations(parts))


@given(st.data(), months, quantities)
def test_usage_split_over_windows_projects_and_sources_of_an_account_costs_the_same(data, month, counts) -> None:
    assert rate(data.draw(split(month, counts)), BOOK).totals == rate(whole(month, counts), BOOK).totals


@given(st.sampled_from(["a", "b"]), quantities, st.lists(st.integers(0, 27), min_size=6, max_size=6))
def test_a_month_of_one_rule_costs_the_same_on_whatever_days_it_was_used(month, counts, days) -> None:
    scattered = [used(line, count, at(month, day)) for line, count, day in zip(LINES, counts, days, strict=True)]
    assert rate(scattered, BOOK).totals == rate(whole(month, counts), BOOK).totals


@given(months, quantities, st.integers(0, len(LINES) - 1), tokens)
def test_more_usage_never_costs_less(month, counts, index, more) -> None:
    larger = [count + (more if number == index else 0) for number, count in enumerate(counts)]
    before, after = rate(whole(month, counts), BOOK).totals, rate(whole(month, larger), BOOK).totals
    assert all(after[currency] >= before[currency] for currency in before)


def test_the_one_published_rule_by_which_more_costs_less_is_the_batch_that_forgoes_the_cache() -> None:
    """Alibaba: 10 hits cost 4 misses; as a batch the same calls cost 5. The dearer way is the one with the discount."""
    hits = rate([used(Line("alibaba", "qwen-max", "cached_input"), 1_000_000, at("a"))], BOOK)
    batch = Line("alibaba", "qwen-max", "cached_input", (("processing", "batch"),))
    assert rate([used(batch, 1_000_000, at("a"))], BOOK).totals["USD"] > hits.totals["USD"]


@given(st.data(), months, quantities)
def test_parts_of_a_bill_add_up_to_the_whole(data, month, counts) -> None:
    usage = data.draw(split(month, counts))
    bill = rate(usage, BOOK)
    parts: dict[str, dict[tuple[Line, date], int]] = {}
    for one in usage:
        where = (one.line, MONTHS[month])
        part = parts.setdefault(one.labels["project"], {})
        part[where] = part.get(where, 0) + one.quantity
    shared = share(bill, parts)
    for currency, total in bill.totals.items():
        assert sum((costs.get(currency, Decimal(0)) for costs in shared.values()), Decimal(0)) == total


@given(months, quantities)
def test_units_times_their_effective_price_are_the_bill_exactly(month, counts) -> None:
    bill = rate(whole(month, counts), BOOK)
    prices = effective_prices(bill)
    for currency, total in bill.totals.items():
        used_of = {(one.line, one.month) for one in bill.lines if one.currency == currency}
        units = {where: sum(one.quantity for one in bill.lines if (one.line, one.month) == where) for where in used_of}
        assert sum((prices.get(where, Fraction(0)) * count for where, count in units.items()), Fraction(0)) == total


@given(
    st.decimals(min_value=-10_000, max_value=10_000, places=4),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=12),
    st.sampled_from([Decimal("0.01"), Decimal("0.000001"), Decimal(1)]),
)
def test_an_allocation_adds_up_and_gives_nobody_a_step_more_than_due(cost, weights, quantum) -> None:
    parts = allocate(cost, weights, quantum)
    assert sum(parts, Decimal(0)) == cost
    shares = weights if any(weights) else [1] * len(weights)
    for part, weight in zip(parts, shares, strict=True):
        assert abs(Fraction(part) - Fraction(cost) * weight / sum(shares)) <= 2 * Fraction(quantum)


@given(months, quantities, st.dates(date(2026, 9, 1), date(2030, 1, 1)), st.integers(0, 1_000))
def test_a_price_appended_for_the_future_changes_nothing_before_it(month, counts, day, cents) -> None:
    text = "".join(
        f'[[price]]\nprovider="{line.provider}"\nmodel="{line.model}"\ncurrency="EUR"\nfrom={day}\n'
        f'{line.meter}="{Decimal(cents) / 100}"\n'
        for line in LINES
    )
    # Appended to the same history: the built-in file with more entries, not a file above it; and as one above it.
    new = read_price_file("new.toml", text)
    appended = PriceBook(
        tuple(replace(layer, entries=layer.entries + _of(layer.name, new.entries)) for layer in LAYERS)
    )
    today = rate(whole(month, counts), BOOK).totals
    assert rate(whole(month, counts), appended).totals == today
    assert rate(whole(month, counts), PriceBook((new, *LAYERS))).totals == today


def _of(name: str, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if name == f"{entry.provider}.toml")


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6))
def test_disjoint_meters_hold_every_token_once(fresh, hit, written, output) -> None:
    header = ("date", "provider", "model", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    row = ("2026-03-01", "openai", "gpt-4o", str(fresh + hit + written), str(hit), str(written), str(output))
    table = Table("f", header, lambda: (iter([row]), lambda: 2))
    usage = read_table(table, FileHints(cached="included")).usage if any(map(int, row[3:])) else ()
    assert {one.line.meter for one in usage} <= TOKEN_METERS
    assert sum(one.quantity for one in usage) == fresh + hit + written + output


@given(st.sampled_from(["a", "b"]), st.lists(quantities, min_size=1, max_size=5))
def test_paths_cost_what_bills_of_the_same_months_cost(month, many) -> None:
    scaleway = [index for index, line in enumerate(LINES) if line.provider == "scaleway"]
    tariffs = []
    for index in scaleway:
        tariff = BOOK.tariff(LINES[index], MONTHS[month])
        assert isinstance(tariff, PricedLine)
        tariffs.append(tariff)
    counts = np.array([[path[index] for index in scaleway] for path in many])
    bills = [float(rate(whole(month, path), BOOK).totals["EUR"]) for path in many]
    assert cost_paths(tariffs, counts) == pytest.approx(bills, abs=1e-6)


def test_crossing_the_free_million_is_a_jump_that_paths_make_too() -> None:
    tariffs = [tariff for line in LINES[:3] if isinstance(tariff := BOOK.tariff(line, MONTHS["a"]), PricedLine)]
    below, above = [400_000, 400_000, 200_000], [400_000, 400_000, 200_001]
    assert cost_paths(tariffs, np.array([below, above])).tolist() == pytest.approx([0, 0.90 + 0.90 + 0.15 - 0.90])


def test_what_has_no_price_is_beside_the_bill_and_in_no_total() -> None:
    bill = rate([used(Line("scaleway", "no-such-model", "input"), 7, at("b"))], BOOK)
    assert (bill.lines, bill.totals) == ((), {})
    assert [(one.quantity, "no price is known" in one.reason) for one in bill.unpriced] == [(7, True)]
    assert isinstance(BOOK.price(Line("scaleway", "no-such-model", "input"), MONTHS["b"]), Unpriced)


def test_a_correction_below_zero_is_credited_at_its_price_and_widens_no_allowance() -> None:
    taken_back = [used(LINES[0], 3_000_000, at("b")), used(LINES[1], -2_000_000, at("b"))]
    bill = rate(taken_back, BOOK)
    found = {one.line.meter: (one.free_quantity, one.cost) for one in bill.lines}
    assert found == {"input": (1_000_000, Decimal("1.80")), "output": (0, Decimal("-1.80"))}
