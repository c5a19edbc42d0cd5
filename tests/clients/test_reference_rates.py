"""A central bank's daily rates: read from its XML, kept in a file, used on their days, said with their date."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.clients.price_files import rates_file
from alertd.clients.reference_rates import rates_of, read_reference_rates, reference_rates_of
from alertd.core.evaluation.explain import explain_notes
from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import NoRate, Rate, Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.ports import SourceError
from tests.scenario import PRICES, Scenario, budget
from tests.servers.billing import Reply, serving

#: As the bank writes it (eurofxref-hist-90d.xml): Friday 27 and Thursday 26 November 2026.
XML = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
<gesmes:subject>Reference rates</gesmes:subject>
<Cube><Cube time="2026-11-27"><Cube currency="USD" rate="1.0832"/><Cube currency="GBP" rate="0.8420"/></Cube>
<Cube time='2026-11-26'><Cube currency='USD' rate='1.0800'/><Cube currency='GBP' rate='0.8400'/></Cube></Cube>
</gesmes:Envelope>"""
RATES = Rates(read_reference_rates(XML, "ecb.xml"))


@pytest.mark.parametrize(
    ("base", "quote", "day", "rate"),
    [
        ("EUR", "USD", date(2026, 11, 26), "1.08"),
        ("EUR", "USD", date(2026, 11, 27), "1.0832"),
        ("EUR", "USD", date(2026, 11, 29), "1.0832"),
        ("GBP", "USD", date(2026, 11, 26), "1.285714285714"),
    ],
    ids=["its day", "the next", "a Sunday has Friday's", "through the euro"],
)
def test_a_day_has_the_rate_of_the_last_working_day(base: str, quote: str, day: date, rate: str) -> None:
    assert RATES.convert(Money(Decimal(1), base), quote, day) == Money(Decimal(rate), quote)


def test_a_day_before_the_first_has_no_rate() -> None:
    assert isinstance(RATES.convert(Money(Decimal(1), "EUR"), "USD", date(2026, 11, 25)), NoRate)


def test_configured_rates_give_none_between_two_others() -> None:
    own = Rates([Rate("EUR", "USD", Decimal("1.1")), Rate("EUR", "GBP", Decimal("0.8"))])
    assert isinstance(own.convert(Money(Decimal(1), "GBP"), "USD", date(2026, 11, 25)), NoRate)


def test_a_configured_pair_comes_before_the_banks() -> None:
    found = rates_of(PriceBook(()), [Rate("USD", "EUR", Decimal("0.5"))], read_reference_rates(XML, "ecb.xml"))
    assert found.convert(Money(Decimal(1), "EUR"), "USD", date(2026, 11, 27)) == Money(Decimal(2), "USD")
    assert found.convert(Money(Decimal(1), "EUR"), "GBP", date(2026, 11, 27)) == Money(Decimal("0.842"), "GBP")


def test_explain_says_the_rate_and_its_date() -> None:
    said = "1 EUR is 1.0832 USD, ECB reference rate of 2026-11-27"
    assert exchange_of(RATES).said("EUR", "USD", date(2026, 11, 29)) == said
    world = Scenario(budget(), prices=PRICES.replace('"USD"', '"EUR"'), at=datetime(2026, 11, 28, tzinfo=UTC))
    world.rates = list(read_reference_rates(XML, "ecb.xml"))
    world.spend(10)
    (status,) = world.evaluate().statuses
    assert status.spent == Decimal("10.832")
    assert f"costs in EUR: {said}" in explain_notes(world.facts(), status)


def test_a_bill_in_another_currency_has_the_rate_of_each_day() -> None:
    world = Scenario(budget(amount="500 CHF"), at=datetime(2026, 11, 28, tzinfo=UTC))
    rates = ((date(2026, 11, 26), "0.90"), (date(2026, 11, 27), "0.80"))
    world.rates = [Rate("USD", "CHF", Decimal(rate), since) for since, rate in rates]
    for day in (26, 27):
        world.bill(100, datetime(2026, 11, day, 12, tzinfo=UTC))
    (status,) = world.evaluate().statuses
    assert status.spent == Decimal(90) + Decimal(80)


def fetched(url: str, file: Path, now: datetime) -> int:
    async def refresh() -> int:
        fetching = rates_file(url, file)
        try:
            return await fetching.refresh(timedelta(days=1), now)
        finally:
            await fetching.close()

    return asyncio.run(refresh())


def test_rates_are_fetched_when_due_and_the_last_ones_stay_while_the_bank_is_away(tmp_path: Path) -> None:
    file, now = tmp_path / "ecb.xml", datetime.now(UTC)
    assert reference_rates_of(file) == ()
    with serving(lambda _: Reply(XML)) as server:
        assert [fetched(server.url, file, at) for at in (now, now + timedelta(hours=1))] == [4, 0]
    for reply in (Reply("<html>"), Reply("", status=503)):
        with serving(lambda _, reply=reply: reply) as server, pytest.raises(SourceError):
            fetched(server.url, file, now + timedelta(days=2))
    assert len(reference_rates_of(file)) == 4


@given(
    st.text(st.characters(exclude_characters="<"), max_size=300)
    | st.sampled_from(['<Cube time="2026-02-31"><Cube currency="USD" rate="1"/>', XML[:300]])
)
def test_any_other_text_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"eurofxref-hist-90d\.xml"):
        read_reference_rates(text, "ecb.xml")
