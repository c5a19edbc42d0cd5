"""A company's first quarter: what people read is the list, one alert names the lowest scope, sums fit on every day."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tests.stories.company_year import BERLIN, LIST, CompanyYear

QUARTER = datetime(2027, 4, 3, tzinfo=BERLIN)


def test_the_first_quarter_tells_exactly_this_and_its_sums_fit_on_every_day() -> None:
    year, days = CompanyYear(), 0
    while year.now < QUARTER:
        year.half_day()
        if year.now.astimezone(BERLIN).hour < 12:
            check_sums(year)
            days += 1
    expected = LIST.read_text(encoding="utf-8").splitlines()
    assert year.lines == expected[: len(year.lines)]
    assert expected[len(year.lines)][:10] >= "2027-04-03"
    assert days > 90


def check_sums(year: CompanyYear) -> None:
    """To the last digit: each parent is its parts and what is in none of them."""
    assert year.last is not None
    statuses = {(one.budget.name, one.scope): one for one in year.last.statuses}
    company = statuses["company", ()]
    teams = [one for (name, _), one in statuses.items() if name == "teams"]
    assert sum((one.spent for one in teams), Decimal(0)) == company.spent
    for one in statuses.values():
        if one.children is not None:
            parts = sum((statuses[key].spent for key in one.children.scopes), Decimal(0))
            assert parts + one.children.rest == one.spent
            assert one.children.rest >= 0
            assert not one.children.overlapping
