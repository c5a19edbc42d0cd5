"""How the periods of a sheet's scopes may end: each asks one question, and those of one calendar are asked together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from alertd.core.billing.commitments import pieces
from alertd.core.budgets import TOKENS
from alertd.core.evaluation.forecast_calibration import add_parts, widen_young
from alertd.core.evaluation.forecast_inputs import Part, committed_in, parts_of, rest_of
from alertd.core.evaluation.scope_columns import ScopeColumns, column, newest_price
from alertd.core.evaluation.values import BudgetStatus, EvaluationContext
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Rate
from alertd.core.projection import (
    DAY,
    HOUR,
    Commitment,
    Projection,
    Question,
    Series,
    project_batch,
    project_by_line,
    project_many,
)
from alertd.core.usage import Line

#: Nothing is projected before this much was seen.
_TOO_EARLY: Final = timedelta(hours=1)


#: Under this much data a projection reads hours instead of days, and is a wide range.
_YOUNG: Final = timedelta(days=3)


#: What scopes of one calendar have in common: from which day their history counts, and up to when it goes.
_Calendar = tuple[int, datetime]


class Forecaster:
    """The projections of the positions of one sheet. `number` is always a scope's place in the sheet."""

    def __init__(
        self,
        ledger: Ledger,
        context: EvaluationContext,
        sheet: ScopeColumns,
        sources: Sequence[frozenset[str]] | None = None,
    ) -> None:
        """`sources` are those that each scope of the sheet is made of, where that is a part of a position only."""
        self._ledger, self._context, self._sheet, self._table = ledger, context, sheet, sheet.table
        self._sources = sources
        self._rules: dict[frozenset[int], tuple[list[Line], Rate | None]] = {}

    def projected(self, positions: Sequence[BudgetStatus]) -> Iterator[tuple[int, Projection]]:
        """Of every position of which something can be said, by its number."""
        parts = {} if self._sources is not None else self._parts(positions)
        yield from self._in_parts(positions, parts)
        yield from self._whole(positions, parts)

    def _parts(self, positions: Sequence[BudgetStatus]) -> dict[int, list[Part]]:
        """Where the sources of a position know different times: each group of sources with its own, by number."""
        found: dict[int, list[Part]] = {}
        kept: dict[frozenset[str], list[Part]] = {}
        for number, position in enumerate(positions):
            kinds = self._sheet.kinds[number]
            names = frozenset(self._ledger.kinds[kind].source for kind in kinds)
            if len(names) < 2 or self._context.now >= position.period.end:  # noqa: PLR2004 - several sources
                continue
            if names not in kept:
                kept[names] = parts_of(names, self._context, position.period.start, position.period.end)
            if len(kept[names]) > 1:
                found[number] = kept[names]
        return found

    def _in_parts(
        self, positions: Sequence[BudgetStatus], parts: dict[int, list[Part]]
    ) -> Iterator[tuple[int, Projection]]:
        """Each group of sources projected from its own watermark, and the sum of them."""
        rows = [(number, part) for number, own in parts.items() for part in own]
        if not rows:
            return
        ledger = self._ledger
        members = [[i for i in self._sheet.members[number] if ledger.series[i].source in part.names]
                   for number, part in rows]  # fmt: skip
        sheet = ScopeColumns(self._table, self._sheet.days, self._sheet.today, members)
        own = []
        for row, (number, part) in enumerate(rows):
            first = part is parts[number][0]
            spent = sheet.spent[row] + (positions[number].spent - self._sheet.spent[number] if first else 0)
            own.append(replace(positions[number], spent=spent, data_until=part.until, complete_from=part.complete_from))
        sources = [part.names | (rest_of(self._context, parts[number]) if part is parts[number][0] else frozenset())
                   for number, part in rows]  # fmt: skip
        found = dict(Forecaster(ledger, self._context, sheet, sources).projected(own))
        found = {row: projection for row, projection in found.items() if not rows[row][1].ended}
        for number in parts:
            of_parts = [(found.get(row), own[row]) for row, (at, _) in enumerate(rows) if at == number]
            known = [projection for projection, _ in of_parts if projection is not None]
            missing = sum((float(one.spent) for projection, one in of_parts if projection is None), 0.0)
            if known:
                yield number, add_parts(known, missing)

    def _whole(
        self, positions: Sequence[BudgetStatus], parts: dict[int, list[Part]]
    ) -> Iterator[tuple[int, Projection]]:
        together: dict[_Calendar, list[int]] = {}
        alone: dict[int, Question] = {}
        for number, position in enumerate(positions):
            ended = self._context.now >= position.period.end
            if number in parts or ended or position.data_until is None or not self._members(number):
                continue
            begun = self._begun(number, position, position.data_until)
            commitments = self._committed(number, position) if self._context.commitments else []
            if begun is None and commitments:
                begun = position.complete_from  # a contract needs no history
            if begun is None:
                continue
            lines, rate = self._rule(number, position, commitments)
            if isinstance(begun, datetime) or commitments or rate is not None:
                alone[number] = self._question(number, position, begun, commitments)
                if rate is not None and alone[number].series.step == DAY:
                    yield number, self._linewise(number, alone.pop(number), lines, rate)
            else:
                together.setdefault((begun, position.data_until), []).append(number)
        for (number, question), projection in zip(alone.items(), project_many(list(alone.values())), strict=True):
            yield number, widen_young(projection, question) if question.series.step == HOUR else projection
        for (born, _), numbers in together.items():
            yield from zip(numbers, self._alike(born, numbers, positions), strict=True)

    def _members(self, number: int) -> bool:
        return bool(self._sheet.members[number])

    def _begun(self, number: int, position: BudgetStatus, until: datetime) -> int | datetime | None:
        """The day from which a scope's history counts; an instant where hours are read; None: too early to say."""
        borders = self._table.borders
        born = min(self._sheet.born_ever[number], self._last(until) - 1)
        begun = borders[born]
        if position.complete_from is not None:
            begun = max(begun, position.complete_from.timestamp())
        since = until.timestamp() - begun
        if since < _TOO_EARLY.total_seconds():
            return None
        if since < _YOUNG.total_seconds():
            return datetime.fromtimestamp(begun, UTC)
        return born + 1 if begun > borders[born] else born  # a first day seen in part would look like a quiet one

    def _last(self, until: datetime) -> int:
        """The day behind the one in which the data end."""
        return column(self._table, until - timedelta(microseconds=1)) + 1

    def _alike(self, born: int, numbers: list[int], positions: Sequence[BudgetStatus]) -> Iterator[Projection]:
        first, last = self._sheet.days
        any_one = positions[numbers[0]]
        question = self._question(numbers[0], any_one, born, ())
        rows = self._sheet.curves[numbers]
        inside = rows[:, max(first, born) : last].sum(axis=1)
        spent = np.array([float(positions[number].spent) for number in numbers])
        values = rows[:, born : born + question.series.values.size]
        return project_batch(question, values, spent - inside)

    def _question(
        self, number: int, position: BudgetStatus, begun: int | datetime, commitments: list[Commitment] | tuple[()]
    ) -> Question:
        """What is asked of one scope: its days, or its hours where it is younger than three days."""
        until, zone = position.data_until or self._context.now, position.period.zone
        first, last = self._sheet.days
        if isinstance(begun, datetime):
            series = self._hours(number, begun, until)
            inside = _inside_hours(series, position.period.start)
        else:
            end = self._last(until)
            begin = datetime.fromtimestamp(self._table.borders[begun], zone)
            partial = until.astimezone(zone) if until.timestamp() < self._table.borders[end] else None
            curve = self._sheet.curves[number]
            series = Series(begin, curve[begun:end], DAY, partial, position.name)
            inside = float(curve[max(first, begun) : last].sum())
        return Question(
            series,
            position.period.start.astimezone(zone),
            position.period.end.astimezone(zone),
            commitments,
            float(position.spent) - inside,
        )

    def _hours(self, number: int, start: datetime, until: datetime) -> Series:
        begin = start.replace(minute=0, second=0, microsecond=0)
        count = max(1, -int(-(until - begin) // HOUR))
        # One grid for all: the sums of a few days' hours are kept and follow each change.
        oldest = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - _YOUNG - HOUR
        hours = int((until - oldest) // HOUR) + 1
        sums = self._ledger.sums([(oldest + HOUR * number).timestamp() for number in range(hours + 1)])
        place = (begin - oldest) // HOUR
        values = np.zeros(count)
        for index in self._sheet.members[number]:
            price = float(newest_price(self._table.prices(index), self._sheet.today))
            values += sums[index, place : place + count] * price
        return Series(begin, values, HOUR, until if until < begin + HOUR * count else None)

    def _rule(
        self, number: int, position: BudgetStatus, commitments: list[Commitment]
    ) -> tuple[list[Line], Rate | None]:
        """The lines of a scope with a price, and how their provider rates them together, where that is not linear.

        None where the period is not the provider's billing month.
        """
        rule = position.budget.period
        whole_month = (rule.kind, rule.start_day) == ("month", 1)
        if not whole_month or position.budget.opening or commitments or position.amount.unit == TOKENS:
            return [], None
        kinds = self._sheet.kinds[number]
        if kinds not in self._rules:
            rows, segments = self._ledger.kinds, self._table.segments
            lines = sorted({rows[kind].line for kind in kinds if segments[kind] and not rows[kind].billed})
            self._rules[kinds] = lines, self._rate(lines)
        return self._rules[kinds]

    def _rate(self, lines: list[Line]) -> Rate | None:
        context = self._context
        return context.tariff.rate_of(lines, context.now.date(), self._table.unit, context.exchange) if lines else None

    def _linewise(self, number: int, question: Question, lines: list[Line], rate: Rate) -> Projection:
        first, last = self._sheet.days
        begin, table, series = column(self._table, question.series.start), self._table, self._ledger.series
        rows = [[i for i in self._sheet.members[number] if series[i].line == line] for line in lines]
        sums = np.array([table.quantities[own].sum(axis=0) for own in rows], dtype=float)
        before = sums[:, first : max(first, min(begin, last))].sum(axis=1)
        return project_by_line(question, sums[:, begin : begin + question.series.values.size], before, rate)

    def _committed(self, number: int, position: BudgetStatus) -> list[Commitment]:
        """What is certain to come in a position's scope, in its unit; what has no rate of exchange is left out."""
        found = []
        names = None if self._sources is None else self._sources[number]
        since = datetime.fromtimestamp(self._table.borders[0], UTC)
        seen, unit = position.data_until or self._context.now, position.amount.unit
        for source, one in committed_in(self._context, position.budget, position.scope):
            same = one.cost.currency == unit
            rate = Decimal(1) if same else self._context.exchange(one.cost.currency, unit, self._context.now.date())
            if rate is None or unit == TOKENS or (names is not None and source not in names):
                continue
            for start, end, amount in pieces(one, since, seen, position.period.end):
                found.append(Commitment(float(amount * rate), start, end, in_series=one.counted))
        return found


def _inside_hours(series: Series, start: datetime) -> float:
    """What of the period's spend lies inside the hours of a series; the rest is its opening."""
    begins = np.array([series.start.timestamp() + 3600 * k for k in range(series.values.size)])
    return float(series.values[begins >= start.timestamp()].sum())
