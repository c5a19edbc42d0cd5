"""Scaleway's two published rules, by the examples of its own FAQ and by what the FAQ says of projects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.pricing.allocation import allocate, share
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.rating import rate
from alertd.core.usage import Line, Usage

LLAMA, MISTRAL = "llama-3.3-70b-instruct", "mistral-small-3.1-24b-instruct-2503"
QWEN, SMALL = "qwen3.5-397b-a17b", "mistral-small-3.2-24b-instruct-2506"
A, B = "2025-05-01", "2026-08-01"
EXAMPLE_2 = (
    ("scaleway", LLAMA, "input", 800_000),
    ("scaleway", LLAMA, "output", 2_500_000),
    ("scaleway", MISTRAL, "input", 100_000),
    ("scaleway", MISTRAL, "output", 100_000),
)


@pytest.mark.parametrize(
    ("day", "tokens", "total", "billed_tokens"),
    [
        pytest.param(
            A,
            {(LLAMA, "input"): 500_000, (LLAMA, "output"): 200_000,
             (MISTRAL, "input"): 100_000, (MISTRAL, "output"): 100_000},
            "0.00", 0, id="nothing for 900k tokens, which are within the free million of rule A",
        ),
        pytest.param(
            A,
            {(LLAMA, "input"): 800_000, (LLAMA, "output"): 2_500_000,
             (MISTRAL, "input"): 100_000, (MISTRAL, "output"): 100_000},
            "3.20", 6_000_000, id="3.20 for six billing units of which the first is free",
        ),
        pytest.param(A, {(LLAMA, "input"): 1_000_000}, "0.00", 0, id="nothing for exactly the free million"),
        pytest.param(A, {(LLAMA, "input"): 1_000_001}, "0.90", 2_000_000, id="a whole unit for the token after it"),
        pytest.param(
            A, {(LLAMA, "input"): 800_000, (LLAMA, "output"): 1_100_000}, "1.80", 3_000_000,
            id="1.80 where the free million is taken after rounding",
        ),
        pytest.param(
            B,
            {(QWEN, "output"): 100_000, (QWEN, "input"): 500_000,
             (SMALL, "output"): 200_000, (SMALL, "input"): 500_000},
            "0.05", 300_000, id="0.05 by rule B, the dearest million free and the line rounded up to the cent",
        ),
        pytest.param(B, {(SMALL, "input"): 1_000_001}, "0.01", 1_000, id="a cent for the token after it, by rule B"),
        pytest.param(B, {(SMALL, "batch_input"): 3_000_000}, "0.15", 2_000_000, id="half for batch"),
    ],
)  # fmt: skip
def test_a_month_at_scaleway_costs(billed, day, tokens, total, billed_tokens) -> None:
    bill = billed(day, *(("scaleway", model, meter, count) for (model, meter), count in tokens.items()))
    assert bill.totals == {"EUR": Decimal(total)}
    assert sum(line.billed_quantity for line in bill.lines) == billed_tokens


def test_the_first_line_of_example_2_is_free_and_the_others_as_printed(billed) -> None:
    assert [str(line.cost) for line in billed(A, *EXAMPLE_2).lines] == ["0.00", "2.70", "0.15", "0.35"]


def test_a_bill_says_its_rule_and_that_it_is_untaxed(billed) -> None:
    assert {line.rule.name for line in billed(A, *EXAMPLE_2).lines} == {"scaleway-a"}
    assert all("untaxed" in line.sentence for line in billed(A, *EXAMPLE_2).lines)


def test_the_rule_is_that_of_the_day_of_use(billed) -> None:
    line = ("scaleway", LLAMA, "input", 5)
    assert billed("2026-07-16", line).lines[0].rule.name == "scaleway-a"
    assert billed("2026-07-17", line).lines[0].rule.name == "scaleway-b"
    assert billed("2019-01-01", line).lines[0].rule.name == "scaleway-a"


def test_a_file_of_ones_own_moves_the_switch_and_keeps_the_rest_of_the_rule(book: PriceBook) -> None:
    own = read_price_file("own.toml", '[[rule]]\nprovider="scaleway"\nname="scaleway-b"\nfrom=2026-03-01\n')
    moved = PriceBook((own, *book.layers), book.price_list)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    line = rate([Usage(Line("scaleway", LLAMA, "input"), day, day + timedelta(days=1), 1_000_001)], moved).lines[0]
    assert (line.rule.name, line.billed_quantity, line.cost) == ("scaleway-b", 1_000, Decimal("0.01"))


def test_the_free_million_is_one_a_month_even_when_the_rule_changes_within_it(book: PriceBook) -> None:
    days = [datetime(2026, 7, 16, tzinfo=UTC), datetime(2026, 7, 17, tzinfo=UTC)]
    usage = [Usage(Line("scaleway", SMALL, "input"), day, day + timedelta(days=1), 800_000) for day in days]
    assert [line.cost for line in rate(usage, book).lines] == [Decimal("0.00"), Decimal("0.09")]


def test_every_account_and_every_month_has_its_own_free_million(book: PriceBook) -> None:
    days = [datetime(2026, 8, 31, 23, 59, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)]
    lines = [Line("scaleway", SMALL, "input", (), account) for account in ("one", "two")]
    usage = [Usage(line, day, day + timedelta(seconds=1), 1_000_000) for day in days for line in lines]
    assert rate(usage, book).totals == {"EUR": Decimal(0)}


@pytest.mark.parametrize(
    ("options", "rows", "euros"),
    [
        pytest.param('free={order="first_line"}', EXAMPLE_2, "3.20", id="the published figure by the first line too"),
        pytest.param('free={order="cheapest_first"}', EXAMPLE_2, "3.95", id="the cautious bound by the cheapest unit"),
        pytest.param(
            'free={order="first_line", moment="before_rounding"}',
            (("scaleway", LLAMA, "input", 800_000), ("scaleway", LLAMA, "output", 1_100_000)),
            "0.90",
            id="one unit where the free million is taken before rounding",
        ),
        pytest.param(
            'unit=1\nline_rounding="half_even_cent"\nfree={period="none"}',
            (("scaleway", MISTRAL, "input", 100_000), ("scaleway", MISTRAL, "output", 100_000)),
            "0.06",
            id="0.015 and 0.035 as 0.02 and 0.04 where lines are rounded half to even",
        ),
    ],
)
def test_what_the_faq_leaves_open_is_an_option_and_then_costs(book: PriceBook, options, rows, euros) -> None:
    own = read_price_file("own.toml", f'[[rule]]\nprovider="scaleway"\nname="scaleway-a"\n{options}\n')
    day = datetime(2025, 5, 1, tzinfo=UTC)
    usage = [Usage(Line(*row[:3]), day, day + timedelta(days=1), row[3]) for row in rows]
    assert rate(usage, PriceBook((own, *book.layers))).totals == {"EUR": Decimal(euros)}


@pytest.mark.parametrize(
    ("period", "euros"),
    [
        pytest.param("month", "0", id="nothing in either month"),
        pytest.param("once", "0.15", id="the second month in full"),
        pytest.param("none", "0.30", id="both months in full"),
    ],
)
def test_where_the_free_million_is_of_another_period_two_months_cost(book: PriceBook, period, euros) -> None:
    text = f'[[rule]]\nprovider="scaleway"\nname="scaleway-b"\nfree={{period="{period}"}}\n'
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in (8, 9)]
    usage = [Usage(Line("scaleway", SMALL, "input"), day, day + timedelta(days=1), 1_000_000) for day in months]
    own = PriceBook((read_price_file("own.toml", text), *book.layers))
    assert rate(usage, own).totals == {"EUR": Decimal(euros)}


def test_what_other_projects_used_of_the_free_million_can_be_said(book: PriceBook) -> None:
    own = read_price_file(
        "own.toml",
        '[[rule]]\nprovider="scaleway"\nname="scaleway-b"\nfree={used_elsewhere=900_000}\n',
    )
    day = datetime(2026, 8, 1, tzinfo=UTC)
    usage = [Usage(Line("scaleway", SMALL, "input"), day, day + timedelta(days=1), 1_000_000)]
    assert rate(usage, PriceBook((own, *book.layers))).totals == {"EUR": Decimal("0.14")}


def test_two_euros_off_are_split_over_projects_by_what_each_cost() -> None:
    assert allocate(Decimal("2.00"), [Decimal(1), Decimal(3)]) == (Decimal("0.5"), Decimal("1.5"))


def test_projects_share_the_free_million_by_cost_and_add_up_to_the_bill(book: PriceBook) -> None:
    day = datetime(2026, 8, 1, tzinfo=UTC)
    line, month = Line("scaleway", SMALL, "output"), day.date()
    usage = [
        Usage(line, day, day + timedelta(days=1), count, {"project": name})
        for name, count in (("a", 1_000_000), ("b", 3_000_000))
    ]
    parts = share(rate(usage, book), {"a": {(line, month): 1_000_000}, "b": {(line, month): 3_000_000}})
    # Without the free million: 0.35 and 1.05; with it 1.05 together.
    assert parts == {"a": {"EUR": Decimal("0.2625")}, "b": {"EUR": Decimal("0.7875")}}
