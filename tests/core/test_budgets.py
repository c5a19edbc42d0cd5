"""What people write about budgets is read as they mean it, or refused with the remedy."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.budgets import Actual, Amount, Forecast, Where, duration_text, parse_duration, parse_threshold


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("actual 80%", "actual 80%"),
        ("actual  80%", "actual 80%"),
        ("actual 400 USD", "actual 400 USD"),
        ("actual 5M tokens", "actual 5,000,000 tokens"),
        ("forecast 100%", "forecast 100%"),
        ("forecast 100% p70", "forecast 100% p70"),
        ("burn_rate 10x over 1h and 5m above 20 USD", "burn_rate 10x over 1h and 5m above 20 USD"),
        ("burn_rate 14.4x over 60m", "burn_rate 14.4x over 1h"),
        ("burn_rate 30x over 5m above usual", "burn_rate 30x over 5m above usual"),
        ("burn_rate 30x over 5m above 1 usd  and usual", "burn_rate 30x over 5m above 1 USD and usual"),
        ("anomaly p99", "anomaly p99"),
        ("balance 50 USD", "balance 50 USD"),
    ],
)
def test_a_threshold_is_read_and_written_in_its_canonical_form(text, canonical):
    assert str(parse_threshold(text)) == canonical
    assert parse_threshold(canonical) == parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("actual", "actual 80%"),
        ("actal 80%", "a basis is one of actual"),
        ("burn_rate 10x", "burn_rate 10x over 1h and 5m"),
        ("anomaly 80%", "anomaly p99"),
        ("actual 80% p70", "actual 80%"),
        ("burn_rate 30x over 6h above usual", "above usual is for windows of an hour at most"),
        ("anomaly p99 above usual", "anomaly takes probability; write it as anomaly p99"),
        ("burn_rate 30x over 5m above usual and 1 USD", "is not an amount"),
        ("forecast 100% p0", "between p1 and p99.9"),
        ("", "actual 80%"),
    ],
)
def test_a_threshold_that_cannot_be_read_is_refused_with_one_that_can(text, remedy):
    with pytest.raises(ValueError, match=re.escape(remedy)):
        parse_threshold(text)


@given(st.decimals(Decimal("0.1"), 1000, places=1), st.sampled_from([Actual, Forecast]))
def test_any_percentage_survives_being_written_down(percent, basis):
    threshold = basis(percent)
    assert parse_threshold(str(threshold)) == threshold


@given(st.integers(1, 10_000_000))
def test_any_duration_survives_being_written_down(seconds):
    assert parse_duration(duration_text(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@given(st.decimals(0, 10**9, places=2), st.sampled_from(["USD", "EUR", "GBP", "tokens"]))
def test_any_amount_survives_being_written_down(value, unit):
    assert Amount.parse(str(Amount(value, unit))) == Amount(value, unit)


@pytest.mark.parametrize("text", ["500", "-5 USD", "five USD", "500 dollars", "", "1,5 EUR"])
def test_an_amount_that_could_be_misread_is_refused(text):
    with pytest.raises(ValueError, match=".+"):
        Amount.parse(text)


@pytest.mark.parametrize(
    ("patterns", "labels", "covered"),
    [
        ({"team": ("a",)}, {"team": "a"}, True),
        ({"team": ("a",)}, {"team": "b"}, False),
        ({"team": ("a",)}, {}, False),
        ({"team": ("a", "b")}, {"team": "b"}, True),
        ({"model": ("gpt-*", "!gpt-4o-mini")}, {"model": "gpt-4o"}, True),
        ({"model": ("gpt-*", "!gpt-4o-mini")}, {"model": "gpt-4o-mini"}, False),
        ({"team": ("!a",)}, {}, True),
        ({"team": ("a",), "model": ("gpt-*",)}, {"team": "a", "model": "claude"}, False),
        ({}, {"anything": "at all"}, True),
    ],
)
def test_a_budget_covers_what_fits_a_pattern_and_no_exclusion(patterns, labels, covered):
    assert Where.of(patterns).matches(labels) is covered
