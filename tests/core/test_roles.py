"""Who counts where several sources see the same traffic, by the roles that were declared."""

from __future__ import annotations

import pytest

from alertd.core.ledger.columns import SeriesRow
from alertd.core.pricing.source_roles import SourceRole, counting


def rows(*given: tuple[str, str, str]) -> list[SeriesRow]:
    return [
        SeriesRow(number, source, "acme", "m", "" if billed else "input", (), "", {"charge": c} if c else {}, billed)
        for number, (source, billed, c) in enumerate(given)
    ]


@pytest.mark.parametrize(
    ("given", "standings", "counted"),
    [
        # a bill alone is the cost
        ([("bill", "USD", "")], {}, [True]),
        # it gives way to usage that another source sees as it happens
        ([("bill", "USD", ""), ("gw", "", "")], {}, [False, True]),
        # unless it is declared authoritative
        ([("bill", "USD", ""), ("gw", "", "")], {"bill": SourceRole("authoritative", "bill")}, [True, False]),
        # of a source that has both, what it says itself counts
        ([("both", "USD", ""), ("both", "", "")], {"both": SourceRole("auto", "bill")}, [True, False]),
        ([("both", "USD", ""), ("both", "", "")], {"both": SourceRole("auto", "usage")}, [False, True]),
        # other charges than the use of models are nobody's double
        ([("bill", "USD", "training"), ("gw", "", "")], {}, [True, True]),
        # a check never counts, an estimate neither
        ([("bill", "USD", "")], {"bill": SourceRole("check")}, [False]),
        ([("gw", "USD", "estimate"), ("gw", "", "")], {}, [False, True]),
    ],
)
def test_money_counts_once(
    given: list[tuple[str, str, str]], standings: dict[str, SourceRole], counted: list[bool]
) -> None:
    series = rows(*given)
    counts = counting(series, standings)
    assert [counts(row) for row in series] == counted


def test_tokens_count_though_the_bill_is_the_cost() -> None:
    series = rows(("both", "USD", ""), ("both", "", ""))
    counts = counting(series, {"both": SourceRole("auto", "bill")}, tokens=True)
    assert [counts(row) for row in series] == [False, True]


def test_a_gateway_that_does_not_know_the_provider_is_known_by_the_models_name() -> None:
    def row(source: str, provider: str, model: str, billed: str = "") -> SeriesRow:
        return SeriesRow(0, source, provider, model, "" if billed else "input", (), "", {}, billed)

    bill = row("bill", "scaleway", "mistral-small", "EUR")
    for model in ("mistral-small", "mistral-small-2026-01-01", "scaleway/mistral-small"):
        series = [bill, row("gw", "", model)]
        counts = counting(series, {})
        assert [counts(one) for one in series] == [False, True]
    for other in (row("gw", "", "gpt-4o"), row("gw", "", "openai/mistral-small")):
        series = [bill, other]
        counts = counting(series, {})
        assert [counts(one) for one in series] == [True, True]
    several = [bill, row("other", "mistral", "mistral-small", "EUR"), row("gw", "", "mistral-small")]
    counts = counting(several, {})
    assert [counts(one) for one in several] == [True, True, True]
