"""Anyscale: any fraction of a million is billed pro rata, at one price for input and output."""

from __future__ import annotations

from decimal import Decimal

import pytest

LLAMA = "meta-llama/Meta-Llama-3-70B-Instruct"


@pytest.mark.parametrize(
    ("model", "meter", "tokens", "total"),
    [
        pytest.param(LLAMA, "input", 100_000, "0.10", id="0.10 for 100k tokens at a dollar per million"),
        pytest.param(LLAMA, "output", 100_000, "0.10", id="the same for output as for input"),
        pytest.param(LLAMA, "input", 1, "0.000001", id="a millionth of the price for a single token"),
        pytest.param("mistralai/Mixtral-8x7B-Instruct-v0.1", "output", 2_500_000, "0.375", id="no rounded-up million"),
        pytest.param("anyscale/" + LLAMA, "input", 100_000, "0.10", id="the same under a gateway's prefix"),
    ],
)
def test_tokens_at_anyscale_cost(billed, model, meter, tokens, total) -> None:
    bill = billed("2024-03-01", ("anyscale", model, meter, tokens))
    assert bill.totals == {"USD": Decimal(total)}
    assert bill.lines[0].billed_quantity == tokens
