"""The ledger's sums are the buckets' sums, whatever the order, the widths and the corrections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow


def series(number: int, **labels: str) -> SeriesRow:
    return SeriesRow(number, "gateway", "openai", "gpt-4o", "input", (), "", labels)


rows = st.lists(
    st.builds(
        UsageRow,
        series=st.integers(1, 3),
        start=st.integers(0, 40).map(lambda n: n * 300),
        width=st.sampled_from([300, 900]),
        quantity=st.integers(-5, 1000),
    ),
    max_size=60,
)


def filled(changes: list[UsageRow]) -> Ledger:
    ledger = Ledger()
    ledger.add_series(series(number) for number in (1, 2, 3))
    ledger.apply(changes)
    return ledger


@given(rows, st.lists(st.integers(0, 13_000), min_size=2, max_size=6).map(sorted))
def test_sums_between_any_borders_are_those_of_the_last_value_of_every_bucket(changes, borders):
    held = {(row.series, row.start, row.width): row.quantity for row in changes}
    sums = filled(changes).sums(borders)
    for number in (1, 2, 3):
        for place, (first, last) in enumerate(zip(borders, borders[1:], strict=False)):
            wanted = sum(q for (s, start, _), q in held.items() if s == number and first <= start < last)
            assert sums[number - 1, place] == wanted


@given(rows)
def test_applying_changes_twice_changes_nothing(changes):
    once, twice = filled(changes), filled(changes)
    twice.apply(changes)
    assert (once.sums([0, 20_000]) == twice.sums([0, 20_000])).all()


@given(rows)
def test_a_window_over_everything_holds_everything(changes):
    ledger = filled(changes)
    total = sum(ledger.sum_between(index, -1e9, 1e9) for index in range(3))
    assert total == int(ledger.sums([0, 20_000]).sum())


def test_a_bucket_that_begins_before_a_window_counts_by_its_share():
    ledger = filled([UsageRow(1, 0, 900, 90)])
    assert ledger.sum_between(0, 300, 900) == 60


def test_a_bucket_that_is_still_filling_counts_whole_in_a_window_that_ends_where_the_data_end():
    ledger = filled([UsageRow(1, 0, 300, 0), UsageRow(1, 300, 300, 90)])
    assert ledger.sum_between(0, 0, 360) == 90
    assert ledger.sum_between(0, 330, 360) == 45


def test_a_row_of_an_unknown_series_is_refused():
    with pytest.raises(KeyError):
        filled([UsageRow(9, 0, 300, 1)])


def test_a_label_never_hides_a_dimension():
    row = SeriesRow(1, "gateway", "openai", "gpt-4o", "input", (), "", {"model": "forged", "team": "a"})
    assert row.all_labels() == {
        "model": "gpt-4o", "provider": "openai", "meter": "input", "source": "gateway", "team": "a"
    }  # fmt: skip


@pytest.mark.parametrize("late", [0, 1800])
def test_a_folded_day_is_no_hour_of_a_whole_days_usage(late):
    hour, day = 3600, 86_400
    ledger = filled([UsageRow(1, at, hour, 10 if at < day else 50) for at in range(0, 2 * day, hour)])
    ledger.fold([0, day, *range(day + hour, 2 * day, hour)])
    begin = -late
    borders = [begin + place * hour for place in range(50)]
    values = ledger.sums(borders)[0]
    assert values.max() == 240
    by_hour = ledger.spread(values, begin)
    assert by_hour.sum() == values.sum() == 24 * 10 + 24 * 50
    assert by_hour[:24].tolist() == [10] * 24
    assert by_hour.max() == 50
