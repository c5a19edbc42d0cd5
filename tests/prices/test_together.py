"""Together AI: fine-tuning by what was processed, dedicated endpoints by what they stood there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from alertd.core.billing.endpoint_runs import Run, replica_minutes
from alertd.core.money import Money, from_cents, from_nanos, from_units_and_nanos
from alertd.core.pricing.modifiers import (
    TrainingJob,
    size_band,
    size_band_of_name,
    tokens_processed,
    tokens_unpacked,
)
from alertd.core.pricing.price_book import PriceBook, Unpriced
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.rating import rate
from alertd.core.usage import Line, Usage

LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
OWN = read_price_file(
    "own.toml",
    """
provider = "together"
currency = "USD"
[[price]]
model = "*"
training = "11.50"
modifiers = { size = ">100B", method = "sft", type = "lora" }
[[price]]
model = "2x_nvidia_a100_80gb_sxm"
minutes = "5.42"
per = 100
note = "cents per minute and replica"
""",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_whole_job_is_billed_for_its_epochs_and_evaluations() -> None:
    assert tokens_processed(epochs=3, training_tokens=10_000, evaluations=10, validation_tokens=500) == 35_000
    assert tokens_unpacked(examples=100, longest_sequence=8192) == 819_200


def test_the_final_price_of_a_job_is_the_one_that_its_nanodollars_say(billed) -> None:
    job = TrainingJob(LLAMA, "sft", "lora", parameters=8_030_261_248)
    bill = billed("2026-11-03", ("together", LLAMA, "training", 75_536_000), modifiers=job.line.modifiers)
    assert bill.totals == {"USD": from_nanos(36_257_280_000).amount}
    passed_on = billed("2026-11-03", ("together", LLAMA, "nano_usd", 36_257_280_000))
    assert passed_on.totals == bill.totals


def test_a_rate_that_nobody_gave_is_unpriced_until_a_file_gives_it(book: PriceBook) -> None:
    line, day = TrainingJob("meta-llama/Llama-3.1-405B", "sft", "lora").line, date(2026, 11, 3)
    assert isinstance(book.price(line, day), Unpriced)
    price = PriceBook((OWN, *book.layers)).price(line, day)
    assert not isinstance(price, Unpriced)
    assert price.of(1_000_000) == Decimal("11.50")


@pytest.mark.parametrize(
    ("parameters", "method", "kind", "dollars"),
    [
        (8_000_000_000, "sft", "lora", "0.48"), (8_000_000_000, "sft", "full", "0.54"),
        (8_000_000_000, "dpo", "lora", "1.20"), (8_000_000_000, "dpo", "full", "1.35"),
        (32_000_000_000, "sft", "lora", "1.50"), (32_000_000_000, "sft", "full", "1.65"),
        (32_000_000_000, "dpo", "lora", "3.75"), (32_000_000_000, "dpo", "full", "4.12"),
        (70_000_000_000, "sft", "lora", "2.90"), (70_000_000_000, "sft", "full", "3.20"),
        (70_000_000_000, "dpo", "lora", "7.25"), (70_000_000_000, "dpo", "full", "8.00"),
    ],
)  # fmt: skip
def test_a_published_rate_is_that_of_the_size_method_and_type(
    book: PriceBook, parameters, method, kind, dollars
) -> None:
    price = book.price(TrainingJob("acme/model", method, kind, parameters).line, date(2026, 11, 3))
    assert not isinstance(price, Unpriced)
    assert price.of(1_000_000) == Decimal(dollars)
    assert "seen 2026-08-31" in price.source


@pytest.mark.parametrize(
    ("parameters", "band"),
    [(8_030_261_248, "<=16B"), (16_000_000_000, "<=16B"), (16_050_000_000, "<=69B"), (69_500_000_000, "<=69B"),
     (70_000_000_000, "<=100B"), (100_000_000_000, "<=100B"), (405_000_000_000, ">100B")],
)  # fmt: skip
def test_a_size_falls_into_one_class_and_into_no_gap(parameters, band) -> None:
    assert size_band(parameters) == band


@pytest.mark.parametrize(
    ("model", "band"),
    [(LLAMA, "<=16B"), ("mistralai/Mixtral-8x7B-v0.1", "<=69B"), ("Qwen/Qwen2.5-72B-Instruct", "<=100B"),
     ("Qwen/Qwen3-235B-A22B", ">100B"), ("google/gemma-2b", "<=16B"), ("some/model", "")],
)  # fmt: skip
def test_a_name_tells_its_size_or_nothing(model, band) -> None:
    assert size_band_of_name(model) == band


def test_an_endpoint_started_stopped_and_restarted_over_a_months_end_bills_its_minutes_in_their_months() -> None:
    runs = [
        Run(at("2026-10-31T23:00:30"), at("2026-10-31T23:30:00"), 2),
        Run(at("2026-10-31T23:50:30"), at("2026-11-01T00:10:00"), 2),
    ]
    borders = [at("2026-10-01T00:00"), at("2026-11-01T00:00"), at("2026-12-01T00:00")]
    line, now = Line("together", "2x_nvidia_a100_80gb_sxm", "minutes"), at("2026-12-05T00:00")
    usage = [Usage(line, *month, replica_minutes(runs, *month, now)) for month in pairwise(borders)]
    # October: 30 minutes begun of the first run and 10 of the second; November: 10 more; two replicas each.
    assert [one.quantity for one in usage] == [2 * (30 + 10), 2 * 10]
    bill = rate(usage, PriceBook((OWN,)))
    assert [line.cost for line in bill.lines] == [Decimal("4.336"), Decimal("1.084")]


def test_an_endpoint_is_billed_while_it_stands_idle_until_it_is_stopped() -> None:
    running = [Run(at("2026-11-01T10:00"))]
    month = (at("2026-11-01T00:00"), at("2026-12-01T00:00"))
    assert replica_minutes(running, *month, now=at("2026-11-01T11:00")) == 60
    assert replica_minutes(running, *month, now=at("2026-11-03T10:00")) == 48 * 60
    assert (
        replica_minutes([Run(at("2026-11-01T10:00"), at("2026-11-01T10:30"))], *month, now=at("2026-11-03T10:00")) == 30
    )


def test_minutes_of_windows_add_up_to_the_minutes_of_the_whole() -> None:
    runs = [Run(at("2026-11-01T10:00:20"), at("2026-11-01T13:17:45"), 3)]
    start, now = at("2026-11-01T00:00"), at("2026-11-02T00:00")
    borders = [start + timedelta(seconds=1_111 * step) for step in range(60)]
    parts = [replica_minutes(runs, *window, now) for window in pairwise(borders)]
    assert sum(parts) == replica_minutes(runs, borders[0], borders[-1], now) == 3 * 198


@pytest.mark.parametrize(
    ("money", "amount"),
    [
        (from_nanos(36_257_280_000), Money(Decimal("36.25728"), "USD")),
        (from_cents(Decimal("12378.65")), Money(Decimal("123.7865"), "USD")),
        (from_units_and_nanos(2, 700_000_000, "EUR"), Money(Decimal("2.7"), "EUR")),
        (from_units_and_nanos(0, -900_000_000, "EUR"), Money(Decimal("-0.9"), "EUR")),
    ],
)
def test_an_amount_means_what_its_provider_means(money: Money, amount: Money) -> None:
    assert money == amount


@pytest.mark.parametrize(
    "modifiers",
    [
        (("method", "sft"), ("type", "lora")),
        (("method", "SFT"), ("size", "8B"), ("type", "LoRA")),
        (("method", "sft"), ("size", "8030261248"), ("type", "Lora")),
        (("method", "sft"), ("size", "<=16B"), ("type", "lora")),
    ],
)
def test_a_job_is_known_however_its_size_and_method_are_written(billed, modifiers) -> None:
    bill = billed("2026-11-03", ("together", LLAMA, "training", 1_000_000), modifiers=modifiers)
    assert bill.totals == {"USD": Decimal("0.48")}


def test_a_job_whose_size_nobody_tells_is_unpriced(billed) -> None:
    job = (("method", "sft"), ("type", "lora"))
    assert billed("2026-11-03", ("together", "our-model", "training", 1), modifiers=job).lines == ()


def test_tokens_of_inference_are_priced_by_the_list(billed) -> None:
    model = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
    assert billed("2026-01-01", ("together", model, "input", 1_000_000)).totals == {"USD": Decimal("0.88")}


def test_usage_of_a_job_is_one_line_of_training() -> None:
    line = TrainingJob(LLAMA, "dpo", "lora").line
    assert line == Line("together", LLAMA, "training", (("method", "dpo"), ("size", "<=16B"), ("type", "lora")))
    assert Usage(line, at("2026-11-03T00:00"), at("2026-11-04T00:00"), 1).line.meter == "training"
