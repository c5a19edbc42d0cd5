"""What the ledger keeps from tick to tick equals what a ledger from scratch would work out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alertd.core.budgets import Where
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow

BORDERS = ([0, 3600, 7200, 10_800], [1800, 5400, 9000])
names = st.sampled_from(["team", "key", "user"])
values = st.sampled_from(["a", "ab", "b", "b/c", "*", "[x]", "é"])
series = st.builds(
    lambda model, labels: (model, labels),
    st.sampled_from(["gpt-5", "gpt-5-mini"]),
    st.dictionaries(names, values, max_size=3),
)
patterns = st.sampled_from(["a", "a*", "*b", "b?c", "[ab]", "[[]x]", "!a", "!b*", "!*", "*", "zz", "é"])
wheres = st.dictionaries(
    st.one_of(names, st.just("model")), st.lists(patterns, min_size=1, max_size=3).map(tuple), max_size=3
).map(Where.of)
batches = st.lists(
    st.tuples(
        st.lists(series, max_size=4),
        st.lists(
            st.tuples(st.integers(0, 7), st.integers(-2, 14).map(lambda n: n * 900), st.integers(-5, 99)), max_size=8
        ),
    ),
    min_size=1,
    max_size=5,
)


def row(number, one):
    model, labels = one
    return SeriesRow(number, "gateway", "openai", model, "input", (), "", labels)


def grown(steps, look):
    """A ledger that was looked at after every step."""
    ledger, rows, usage = Ledger(), [], []
    for more, changes in steps:
        rows += [row(len(rows) + place + 1, one) for place, one in enumerate(more)]
        ledger.add_series(rows)
        made = [UsageRow(number % len(rows) + 1, start, 900, n) for number, start, n in changes] if rows else []
        usage += made
        ledger.apply(made)
        look(ledger)
    fresh = Ledger()
    fresh.add_series(rows)
    fresh.apply(usage)
    return ledger, fresh


@given(batches)
def test_sums_that_follow_every_change_are_those_of_a_ledger_that_was_read_anew(steps):
    ledger, fresh = grown(steps, lambda seen: [seen.sums(borders) for borders in BORDERS])
    for borders in BORDERS:
        assert (ledger.sums(borders) == fresh.sums(borders)).all()


@given(batches, st.lists(wheres, max_size=4), st.lists(names, unique=True, max_size=2).map(tuple))
def test_a_budget_covers_what_a_look_at_every_series_says(steps, asked, per):
    ledger, _ = grown(steps, lambda seen: [seen.label_index.by_value(where, per) for where in asked])
    for where in asked:
        plain = [index for index, labels in enumerate(ledger.labels) if where.matches(labels)]
        assert list(ledger.label_index.matching(where)) == plain
        grouped = {}
        for index in plain:
            grouped.setdefault(tuple(ledger.labels[index].get(name) for name in per), []).append(index)
        assert ledger.label_index.by_value(where, per) == grouped
    left = [i for i, labels in enumerate(ledger.labels) if not any(where.matches(labels) for where in asked)]
    assert ledger.label_index.uncovered(asked) == left


@given(batches)
def test_series_of_one_kind_have_one_price_and_count_alike(steps):
    ledger, _ = grown(steps, lambda seen: seen.kind_of)
    for index, one in enumerate(ledger.series):
        kind = ledger.kinds[ledger.kind_of[index]]
        assert (kind.line, kind.billed, kind.source) == (one.line, one.billed, one.source)


@given(batches, st.integers(1, 2), st.integers(0, 4), st.integers(0, 3))
def test_a_ledger_that_folds_old_buckets_sums_by_its_edges_as_one_that_keeps_them(steps, step, most, after):
    """It folds further after every change; what changes in a folded stretch is read anew, as the evaluation does."""
    grid = [-3600 + 3600 * step * place for place in range(6)]
    rows, held, folded, plain = [], {}, Ledger(), Ledger()
    for number, (more, changes) in enumerate(steps):
        rows += [row(len(rows) + place + 1, one) for place, one in enumerate(more)]
        made = [UsageRow(which % len(rows) + 1, start, 900, n) for which, start, n in changes] if rows else []
        held |= {(one.series, one.start): one.quantity for one in made}
        for ledger in (folded, plain):
            ledger.add_series(rows)
            ledger.apply(made)
            ledger.sums(grid)
        for begin, end in sorted(folded.torn):
            folded.refold(begin, end, within(held, begin, end))
        last = grid[min(most, number)]
        if number >= after and last > grid[0]:
            folded.fold([edge for edge in grid if edge <= last])
        assert (folded.sums(grid) == plain.sums(grid)).all()
        assert (folded.between(last + 1200, 14_400) == plain.between(last + 1200, 14_400)).all()
    assert not folded.torn
    assert (folded.sums([*grid, 2**40]) == plain.sums([*grid, 2**40])).all(), "and so does one that kept no sums"


def within(held, begin, end):
    """What a store says of a stretch: one row a series."""
    sums = {}
    for (which, start), quantity in held.items():
        if begin <= start < end:
            sums[which] = sums.get(which, 0) + quantity
    return [UsageRow(which, begin, end - begin, quantity) for which, quantity in sums.items()]
