"""Alibaba Model Studio, by the worked figures of its billing page of 2025-04-03."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.formats.group_records import instance_line, tokens_per
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import UnitPrice
from alertd.core.pricing.price_book import PriceBook, Unpriced
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.rating import rate
from alertd.core.pricing.tariffs import LedgerTariff
from alertd.core.usage import Line, SeriesRow, Usage, UsageRow

DAY = "2025-05-01"


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        pytest.param(
            [("qwen-max", "input", 400_000), ("qwen-max", "cached_input", 600_000), ("qwen-max", "output", 200_000)],
            "2.304", id="2.304 where hits cost 40% of the input price",
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


QUOTA = read_price_file(
    "own.toml",
    """
provider = "alibaba"
[[rule]]
name = "free-quota"
meters = ["input", "cached_input", "output"]
sentence = "The first million tokens of each model is free for new users; batch is not eligible"
free = { quantity = 1_000_000, per = "model", period = "once", order = "first_line", moment = "before_rounding" }
[[rule]]
name = "free-quota-is-over"
meters = ["input", "cached_input", "output"]
from = 2026-05-01
sentence = "The free quota of new users is over"
""",
)


def used(model: str, meter: str, quantity: int, day: date) -> Usage:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Usage(Line("alibaba", model, meter), start, start + timedelta(days=1), quantity)


@pytest.mark.parametrize(
    ("rows", "dollars"),
    [
        pytest.param([("qwen-max", "input", 1_000_000, 2)], "0", id="a model's first million"),
        pytest.param([("qwen-max", "input", 1_500_000, 2)], "0.80", id="and half a million beyond"),
        pytest.param([("qwen-max", "input", 900_000, 2), ("qwen-plus", "input", 900_000, 2)], "0", id="each model"),
        pytest.param([("qwen-max", "input", 600_000, 2), ("qwen-max", "input", 600_000, 3)], "0.32", id="once"),
        pytest.param([("qwen-max", "batch_input", 1_000_000, 2)], "0.80", id="batch is not eligible"),
        pytest.param([("qwen-max", "input", 1_000_000, 6)], "1.60", id="not after its end"),
    ],
)
def test_the_free_quota_of_new_users_is_a_rule_of_one_s_own(book: PriceBook, rows, dollars) -> None:
    usage = [used(model, meter, quantity, date(2026, month, 10)) for model, meter, quantity, month in rows]
    own = PriceBook((QUOTA, *book.layers), own=1)
    assert rate(usage, own).totals == {"USD": Decimal(dollars)}


def test_a_quota_that_is_given_once_is_used_up_over_all_months_in_the_ledger(book: PriceBook) -> None:
    ledger = Ledger()
    ledger.add_series([SeriesRow(1, "bill", "alibaba", "qwen-max", "input", (), "", {})])
    for month, tokens in ((1, 800_000), (2, 800_000), (3, 800_000)):
        start = int(datetime(2026, month, 10, tzinfo=UTC).timestamp())
        ledger.apply([UsageRow(1, start, 86_400, tokens)])
    tariff = LedgerTariff(PriceBook((QUOTA, *book.layers), own=1), ledger)
    line = Line("alibaba", "qwen-max", "input")
    months = [tariff.unit_price(line, date(2026, month, 15)) for month in (1, 2, 3)]
    assert [round(one.amount * 800_000, 6) for one in months if isinstance(one, UnitPrice)] == [
        0, Decimal("0.96"), Decimal("1.28"),
    ]  # fmt: skip
