"""Counters that simply go on are counted all at once: to the same as by the plain rule, whatever comes in between."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from alertd.clients.prometheus import PointColumns, RawSeries
from alertd.core.counting.columns import SampleColumns, Samples, SeriesTable
from alertd.core.counting.counters import count
from alertd.core.counting.falls import Fall
from alertd.core.counting.ordinary import count_columns, ordinary
from alertd.core.counting.samples import CounterSamples, CounterState
from alertd.core.counting.state_columns import StateColumns
from alertd.core.usage import Line
from tests.memory_ledger import said

START = 1_795_000_000.0
INPUT, CACHED, OUTPUT = (Line("acme", "large", meter) for meter in ("input", "cached_input", "output"))


def samples_of(places: np.ndarray, points: list[list[tuple[float, str]]]) -> Samples:
    """As they are read of an answer."""
    texts = (msgspec.Raw(msgspec.json.encode(own)) for own in points)
    return Samples(places, points, *PointColumns.of([RawSeries(msgspec.Raw(b"{}"), text) for text in texts]))


class Source:
    """Series of some keys on two targets; each reading is given in columns, and counted by both rules."""

    def __init__(self, seed: int, *, cached: bool) -> None:
        self.random = random.Random(seed)
        self.table, self.places = SeriesTable(), {}
        self.columns, self.plain = StateColumns(), {}
        self.quick = self.all_quick = 0
        self.created = {"a": START - 100.0, "b": None}
        self.values = {}
        for key in range(6):
            for line in (INPUT, OUTPUT, CACHED)[: 3 if cached else 2]:
                target, name = "ab"[key % 2], f"{key} {line.meter}"
                within = INPUT if line is CACHED else None
                scale = Decimal(1000) if key == 5 and line is OUTPUT and not cached else Decimal(1)
                one = CounterSamples(name, line, {"key": f"{key}"}, (), target, None, within, scale)
                self.places[name] = self.table.add(one)
                self.values[name] = 100 if key < 5 else None

    def reading(self, at: float) -> SampleColumns:
        """One to three samples of each, oldest first, with what may happen to a counter now and then."""
        luck, places, points, created, parts = self.random, [], [], [], {}
        grown: dict[str, list[tuple[int, int]]] = {}
        wild = luck.random() < 0.12
        if wild and luck.random() < 0.2:
            self.created["a"] = at - 20
            self.values = {n: 0 if self.table.series[p].target == "a" and self.values[n] is not None
                           else self.values[n] for n, p in self.places.items()}  # fmt: skip
        for name, place in self.places.items():
            series, own = self.table.series[place], []
            if self.values[name] is None and luck.random() < 0.8:
                continue
            value = self.values[name] or 0
            key = series.labels["key"]
            if key not in grown:
                grown[key] = [(offset, luck.choice((0, 5, 1000))) for offset in sorted({luck.choice((-60, -9, 0)), 0})]
            for offset, more in grown[key]:
                value += luck.choice((0, more, more // 2)) if series.line is CACHED else more
                own.append((at + offset, str(value)))
            self.values[name] = value
            happens = luck.random() if wild else 0.5
            if happens < 0.01:
                own[-1] = (own[-1][0], str(max(0, value - 50)))
            elif happens < 0.02:
                own[-1] = (own[-1][0], luck.choice(("NaN", f"{value}.4", f"{value:e}", "1" * 19, "-1", "x")))
            elif happens < 0.03:
                own = own[:-1]
            elif happens < 0.035:
                own[-1] = (at + 500, own[-1][1])
            if not own:
                continue
            if happens > 0.995:
                half = len(own) // 2 or 1
                parts[len(places)] = [
                    series._replace(points=own[:half], created=self.created[series.target]),
                    series._replace(points=own[half:], created=at - 1),
                ][: 2 if own[half:] else 1]
            places.append(place)
            points.append(own)
            created.append(np.nan if self.created[series.target] is None else self.created[series.target])
        return SampleColumns(self.table, samples_of(np.array(places, np.int64), points), np.array(created), parts)

    def read(self, at: float) -> None:
        given = self.reading(at)
        scrapes = {"a": (at - 60, at), "b": (at - 60, at)}
        terms = {"first_read": not self.plain, "period_start": START - 3600, "now": at + 10}
        found = ordinary(self.columns, given, at + 10)
        self.quick += found is not None
        self.all_quick += found is not None and not found.rest
        plain = count(self.plain, list(given), scrapes, **terms)
        both = count_columns(self.columns, given, scrapes, **terms)
        assert said(both) == said(plain)
        self.plain |= plain.states
        self.columns.update(both.states)
        if both.moved is not None:
            self.columns.move(both.moved)
        assert dict(self.columns) == self.plain


@pytest.mark.parametrize("cached", [False, True], ids=["apart", "with cached tokens"])
@pytest.mark.parametrize("seed", range(25))
def test_both_rules_come_to_the_same_in_every_reading(seed: int, *, cached: bool) -> None:
    source, at = Source(seed, cached=cached), START
    for _ in range(80):
        at += source.random.choice((60.0, 60.0, 60.0, 60.0, 60.0, 30.0, 900.0, 4000.0))
        source.read(at)
    assert cached or source.quick > 3  # what waits for its input can take all of a source for long


def test_an_ordinary_reading_leaves_nothing_to_the_plain_rule() -> None:
    table, states = SeriesTable(), StateColumns()
    for key in range(50):
        for line, within in (INPUT, None), (CACHED, INPUT), (OUTPUT, None):
            table.add(CounterSamples(f"{key} {line.meter}", line, {"key": f"{key}"}, (), "a", None, within))
    for poll in range(4):
        at = START + 60 * poll
        points = [[(at, str(1000 + poll * (13 - 3 * (n % 3))))] for n in range(len(table))]
        given = SampleColumns(table, samples_of(np.arange(len(table)), points), np.full(len(table), START), {})
        found = ordinary(states, given, at)
        counted = count_columns(states, given, {"a": (at,)}, first_read=not poll, period_start=START, now=at)
        states.update(counted.states)
        if poll == 0:
            assert found is None
            continue
        assert found is not None
        assert (found.rest, counted.states) == ([], {})
        assert counted.moved is not None
        states.move(counted.moved)
        quantities = {(one.line, one.quantity) for one in counted.increments}
        assert quantities == {(INPUT, 13 - 10), (CACHED, 10), (OUTPUT, 7)}


def test_states_are_what_they_were_put_as() -> None:
    given = {"a": CounterState(1.0, 5), "b": CounterState(2.0, 10**30, 1.5, 7, None, "k" * 48), "c": CounterState(3, 0),
             "f": CounterState(3.0, 8, 1.0, 0, Fall(2.5, 3.0, peak=9, ended=9))}  # fmt: skip
    states = StateColumns(given)
    assert dict(states) == given
    assert states.has_within()
    states.update({"b": CounterState(4.0, 6, None, 0, None, "k" * 48), "d": CounterState(9.0, 1, heir="a")})
    assert states["b"] == CounterState(4.0, 6, None, 0, None, "k" * 48)
    assert dict(states.without(["a", "none"])) == {name: states[name] for name in ("b", "c", "f", "d")}
    again = StateColumns()
    for first in (0, 3):
        again.append(states.named(first, 3), states.timed(first, 3))
    assert dict(again) == dict(states)
    assert again.within_numbers().tolist() == states.within_numbers().tolist()
