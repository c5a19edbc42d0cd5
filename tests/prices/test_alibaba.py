"""Alibaba Model Studio, by the worked figures of its billing page of 2025-04-03."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.pricing.bill import rate
from alertd.core.pricing.instanceid import instance_line, tokens_per
from alertd.core.pricing.prices import PriceBook, Unpriced
from alertd.core.usage import Line, Usage

DAY = "2025-05-01"


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        pytest.param(
            [("qwen-max", "input", 400_000), ("qwen-max", "cached_input", 600_000), ("qwen-max", "output", 200_000)],
            "2.304", id="2.304 where hits cost 40 % of the input price",
        ),
        pytest.param(
            [("qwen-max", "batch_input", 1_000_000), ("qwen-max", "batch_output", 200_000)],
            "1.44", id="1.44 as a batch at half the price",
        ),
        pytest.param(
            [("qwen-plus", "input", 1_000), ("qwen-plus", "output", 1_000)], "0.0016", id="its price per 1,000 tokens"
        ),
        pytest.param([("qwen-turbo", "input", 1)], "0.00000005", id="a thousandth of it for a single token"),
    ],
)  # fmt: skip
def test_a_call_of_model_studio_costs(billed, rows, total) -> None:
    assert billed(DAY, *(("alibaba", *row) for row in rows)).totals == {"USD": Decimal(total)}


def test_a_cache_hit_in_a_batch_gets_the_batch_discount_only(billed) -> None:
    batch = (("processing", "batch"),)
    hits = billed(DAY, ("alibaba", "qwen-max", "cached_input", 600_000), modifiers=batch)
    misses = billed(DAY, ("alibaba", "qwen-max", "input", 400_000), modifiers=batch)
    output = billed(DAY, ("alibaba", "qwen-max", "output", 200_000), modifiers=batch)
    assert hits.totals["USD"] + misses.totals["USD"] + output.totals["USD"] == Decimal("1.44")


def test_an_instance_id_is_a_line_and_what_it_can_be_attributed_by() -> None:
    found = instance_line("text_token;llm-xxx;qwen-max;output_token;app", account="185")
    assert found == (
        Line("alibaba", "qwen-max", "output", (), "185"),
        {"workspace": "llm-xxx", "billing_type": "text_token", "channel": "app"},
    )


@pytest.mark.parametrize(
    ("instance", "meter"),
    [
        ("text_token;w;qwen-max;input_tokens;app", "input"),
        ("text_token;w;qwen-max;cached_token", "cached_input"),
        ("text_token;w;qwen-max;thinking_token;bmp;more", "thinking_token"),
        ("image_number;w;wanx;count;app", "image_number:count"),
    ],
)
def test_an_instance_id_of_a_new_kind_stays_visible(instance, meter) -> None:
    found = instance_line(instance)
    assert found is not None
    assert found[0].meter == meter


@pytest.mark.parametrize("instance", ["", "i-bp123", "disk;a;b", "text_token;;qwen-max;input_token"])
def test_what_is_no_instance_id_of_a_call_is_not_taken_for_one(instance) -> None:
    assert instance_line(instance) is None


@pytest.mark.parametrize(
    ("unit", "tokens"), [("tokens", 1), ("1K tokens", 1_000), ("Thousand tokens", 1_000), ("1M tokens", 1_000_000)]
)
def test_a_bill_unit_is_so_many_tokens(unit, tokens) -> None:
    assert tokens_per(unit) == tokens


def test_a_bill_unit_that_is_not_known_is_a_fault() -> None:
    with pytest.raises(ValueError, match="GB"):
        tokens_per("GB")


def test_a_model_whose_price_depends_on_each_request_is_unpriced_not_mispriced(book: PriceBook) -> None:
    assert isinstance(book.price(Line("alibaba", "qwen3-max", "input"), date(2026, 1, 1)), Unpriced)


def test_a_billing_month_begins_at_midnight_in_china(book: PriceBook) -> None:
    start = datetime(2025, 5, 31, 16, 0, tzinfo=UTC)
    bill = rate([Usage(Line("alibaba", "qwen-max", "input"), start, start + timedelta(seconds=1), 1_000)], book)
    assert bill.lines[0].month == date(2025, 6, 1)
