"""The price book: whose price wins, from which day, for which names; and files with faults."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from alertd.core.pricing.modifiers import size_class
from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.core.usage import Line

PUBLIC = read_price_file(
    "public.toml",
    """
provider = "acme"
currency = "USD"
source = "https://acme.example/pricing"
[[price]]
model = ["big-1", "big-1-2025*"]
input = "2"
output = "8"
[[price]]
model = ["big-1", "big-1-2025*"]
from = 2026-03-01
input = "1"
[[price]]
model = "small-*"
from = 2025-06-01
input = "0.5"
[[ratio]]
model = "*"
meter = "cached_input"
of = "input"
ratio = "0.4"
from = 2025-01-01
note = "hits cost 40%"
[[ratio]]
model = "*"
meter = "cached_input"
of = "input"
ratio = "0.2"
from = 2026-01-01
note = "hits cost 20%"
""",
)
BOOK = PriceBook((PUBLIC,))


def own(text: str) -> PriceBook:
    return PriceBook((read_price_file("own.toml", text), PUBLIC))


def priced(book: PriceBook, model: str, meter: str = "input", day: str = "2026-06-01", provider: str = "acme") -> Price:
    price = book.price(Line(provider, model, meter), date.fromisoformat(day))
    assert isinstance(price, Price)
    return price


@pytest.mark.parametrize(
    ("model", "meter", "day", "dollars"),
    [
        ("big-1", "input", "2026-02-28", "2"),
        ("big-1", "input", "2026-03-01", "1"),
        ("big-1", "output", "2026-03-01", "8"),
        ("BIG-1", "input", "2026-03-01", "1"),
        ("big-1-20250101-eu", "input", "2026-03-01", "1"),
        ("big-1", "cached_input", "2025-06-01", "0.8"),
        ("big-1", "cached_input", "2026-01-01", "0.4"),
        ("big-1", "cached_input", "2026-03-01", "0.2"),
        ("small-7", "input", "2026-03-01", "0.5"),
        ("acme/small-7", "input", "2026-03-01", "0.5"),
        ("small-7-2026-01-31", "input", "2026-03-01", "0.5"),
    ],
)
def test_the_price_of_a_million_on_a_day_is(model, meter, day, dollars) -> None:
    assert priced(BOOK, model, meter, day).of(1_000_000) == Decimal(dollars)


def test_the_earliest_known_price_is_assumed_for_the_days_before_it() -> None:
    price = priced(BOOK, "small-7", day="2020-01-01")
    assert price.of(1_000_000) == Decimal("0.5")
    assert "2025-06-01" in price.assumed
    assert priced(BOOK, "small-7", day="2025-06-01").assumed == ""


def test_a_file_of_ones_own_wins_and_its_price_carries_the_ratios_below_it() -> None:
    book = own('[[price]]\nprovider="acme"\nmodel="big-1"\ncurrency="EUR"\ninput="0.7"\n')
    assert (priced(book, "big-1").of(1_000_000), priced(book, "big-1").currency) == (Decimal("0.7"), "EUR")
    assert priced(book, "big-1", "cached_input").of(1_000_000) == Decimal("0.14")
    assert priced(book, "big-1", "output").currency == "USD"


def test_a_dated_snapshot_takes_the_contract_price_of_its_model() -> None:
    book = own('[[price]]\nprovider="acme"\nmodel="small-7"\ncurrency="USD"\ninput="0.3"\n')
    assert priced(book, "small-7-2026-01-31").of(1_000_000) == Decimal("0.3")


def test_a_discount_takes_its_part_of_every_price_below_it_from_its_day_on() -> None:
    book = own('[[discount]]\nprovider="acme"\nmodel="*"\npercent="15"\nfrom=2026-05-01\n')
    assert priced(book, "big-1", day="2026-04-30").of(1_000_000) == 1
    assert priced(book, "big-1", day="2026-05-01").of(1_000_000) == Decimal("0.85")
    assert priced(book, "big-1", "cached_input", "2026-05-01").of(1_000_000) == Decimal("0.17")
    assert "15%" in priced(book, "big-1", day="2026-05-01").note


def test_a_contract_that_begins_on_a_day_leaves_the_days_before_it_to_the_public_price() -> None:
    book = own('[[price]]\nprovider="acme"\nmodel="big-1"\ncurrency="USD"\ninput="0.7"\nfrom=2026-05-01\n')
    assert priced(book, "big-1", day="2026-05-01").of(1_000_000) == Decimal("0.7")
    assert priced(book, "big-1", day="2026-04-30").of(1_000_000) == 1
    assert priced(book, "big-1", day="2026-02-28").of(1_000_000) == 2


def test_a_contract_outlasts_the_changes_of_the_public_price_after_it() -> None:
    book = own('[[price]]\nprovider="acme"\nmodel="big-1"\ncurrency="USD"\ninput="0.7"\nfrom=2026-02-01\n')
    days = ("2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01", "2026-12-31")
    assert [priced(book, "big-1", day=day).of(1_000_000) for day in days] == [2, *[Decimal("0.7")] * 4]
    history = book.history(Line("acme", "big-1", "input"))
    assert [price.since for price in history] == [None, date(2026, 2, 1)]


def test_an_internal_rate_prices_what_runs_on_ones_own_machines() -> None:
    book = own('[[price]]\nprovider="vllm"\nmodel="llama-*"\ncurrency="EUR"\ninput="0.1"\noutput="0.1"\n')
    assert priced(book, "hosted_vllm/llama-3-70b", provider="").of(1_000_000) == Decimal("0.1")


def test_a_price_for_a_modifier_is_not_the_price_without_it() -> None:
    book = own(
        '[[price]]\nprovider="acme"\nmodel="big-1"\ncurrency="USD"\ninput="9"\nmodifiers={region="eu-*"}\n'
        '[[price]]\nprovider="acme"\nmodel="big-1"\ncurrency="USD"\ninput="3"\n'
    )
    day = date(2026, 6, 1)
    found = [
        book.price(Line("acme", "big-1", "input", modifiers), day)
        for modifiers in ((), (("region", "eu-west"),), (("region", "us"),))
    ]
    assert [price.of(1_000_000) if isinstance(price, Price) else None for price in found] == [3, 9, None]


def test_a_name_that_several_sell_is_not_priced_without_its_provider() -> None:
    book = own('[[price]]\nprovider="other"\nmodel="small-7"\ncurrency="USD"\ninput="3"\n')
    both = PriceBook((read_price_file("two.toml", 'currency="USD"\n' + "".join(
        f'[[price]]\nprovider="{name}"\nmodel="shared"\ninput="{price}"\n' for name, price in (("one", 1), ("two", 2))
    )),))  # fmt: skip
    assert isinstance(both.price(Line("", "shared", "input"), date(2026, 6, 1)), Unpriced)
    assert priced(both, "shared", provider="two").of(1_000_000) == 2
    assert priced(book, "big-1", provider="").provider == "acme"


def test_the_version_changes_with_every_price() -> None:
    assert PriceBook((PUBLIC,)).version == BOOK.version
    assert own("").version != BOOK.version


def test_the_nearest_known_names_are_offered_for_one_that_has_no_price() -> None:
    assert BOOK.nearest("big-l") == ("big-1",)
    assert BOOK.nearest("acme/big-2") == ("big-1",)
    assert BOOK.nearest("zzzz") == ()


def test_a_ratio_that_points_at_itself_ends_without_a_price() -> None:
    loop = read_price_file("loop.toml", '[[ratio]]\nprovider="a"\nmodel="*"\nmeter="input"\nof="input"\nratio="1"\n')
    assert isinstance(PriceBook((loop,)).price(Line("a", "m", "input"), date(2026, 1, 1)), Unpriced)


def test_every_fault_of_a_file_is_named_with_its_place() -> None:
    text = """
zone = "Europe/Atlantis"
color = "blue"
[[price]]
model = "m"
input = "much"
per = 0
[[price]]
provider = "p"
currency = "USD"
output = "1"
[[rule]]
provider = "p"
name = "r"
line_rounding = "up"
free = { order = "alphabetical" }
[[discount]]
provider = "p"
model = "m"
percent = "101"
[[fx]]
base = "euro"
quote = "USD"
rate = "0"
"""
    with pytest.raises(PriceFileError) as error:
        read_price_file("bad.toml", text)
    said = str(error.value)
    for place in (
        "bad.toml: color: no such option",
        "zone is an IANA name",
        "price 1: input is a number of at least 0, not 'much'",
        "price 1: per is a whole number",
        "price 1: currency is three capital letters",
        "price 1: provider: required",
        "price 2: model: required",
        "rule 1: line_rounding is one of",
        "rule 1: free.order is one of",
        "discount 1: percent is at most 100",
        "fx 1: rate is above 0",
        "fx 1: base is three capital letters",
    ):
        assert place in said


def test_a_file_that_is_not_toml_is_one_clear_fault() -> None:
    with pytest.raises(PriceFileError, match=r"own\.toml: not TOML"):
        read_price_file("own.toml", "[[price]")


def test_numbers_without_quotes_are_exact_too() -> None:
    book = own('[[price]]\nprovider="acme"\nmodel="x"\ncurrency="USD"\ninput=0.1\noutput=3\n')
    assert priced(book, "x").of(3_000_000) == Decimal("0.3")


def test_a_price_beyond_all_numbers_is_a_fault_of_the_file() -> None:
    with pytest.raises(PriceFileError, match=r"mine\.toml: a number in it is beyond all numbers"):
        read_price_file("mine.toml", "[[price]]\ninput = 1e9999999999999999999\n")


def test_a_size_that_only_looks_like_a_number_is_none() -> None:
    assert [size_class(written) for written in ("²", "8000000000", "8B", "<=16b")] == ["", "<=16B", "<=16B", "<=16B"]
