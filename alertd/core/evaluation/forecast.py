"""Project how the periods of several scopes will end; scopes with the same calendar are projected together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.billing.commitments import pieces
from alertd.core.budgets import TOKENS
from alertd.core.evaluation.scope_columns import ScopeColumns, column, newest_price
from alertd.core.evaluation.scope_sources import SourceGroup, committed_in, parts_of, rest_of
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
from alertd.core.projection.outcome import add_parts
from alertd.core.usage import Line

#: Nothing is projected before this much was seen.
_TOO_EARLY: Final = timedelta(hours=1)
#: Under this much data a projection reads hours instead of days.
_YOUNG: Final = timedelta(days=3)
#: What scopes of one calendar have in common: from which day their history counts, and up to when it goes.
_Calendar = tuple[int, datetime]


class Forecaster:
    """The projections of the statuses of one sheet. `number` is always a scope's place in the sheet."""

    def __init__(
        self,
        ledger: Ledger,
        context: EvaluationContext,
        sheet: ScopeColumns,
        sources: Sequence[frozenset[str]] | None = None,
    ) -> None:
        """`sources` are those that each scope of the sheet is made of, where that is a part of a status only."""
        self._ledger, self._context, self._sheet, self._table = ledger, context, sheet, sheet.table
        self._sources = sources
        self._rules: dict[frozenset[int], tuple[list[Line], Rate | None]] = {}
        self._hourly: dict[datetime, NDArray[np.int64]] = {}

    def projected(self, statuses: Sequence[BudgetStatus]) -> Iterator[tuple[int, Projection]]:
        """Of every status of which something can be said, by its number."""
        parts = {} if self._sources is not None else self._parts(statuses)
        yield from self._in_parts(statuses, parts)
        yield from self._whole(statuses, parts)

    def _parts(self, statuses: Sequence[BudgetStatus]) -> dict[int, list[SourceGroup]]:
        """Where the sources of a status know different times: each group of sources with its own, by number."""
        found: dict[int, list[SourceGroup]] = {}
        kept: dict[frozenset[str], list[SourceGroup]] = {}
        for number, status in enumerate(statuses):
            kinds = self._sheet.kinds[number]
            names = frozenset(self._ledger.kinds[kind].source for kind in kinds)
            if len(names) < 2 or self._context.now >= status.period.end:  # noqa: PLR2004 - several sources
                continue
            if names not in kept:
                kept[names] = parts_of(names, self._context, status.period.start, status.period.end)
            if len(kept[names]) > 1:
                found[number] = kept[names]
        return found

    def _in_parts(
        self, statuses: Sequence[BudgetStatus], parts: dict[int, list[SourceGroup]]
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
            spent = sheet.spent[row] + (statuses[number].spent - self._sheet.spent[number] if first else 0)
            own.append(replace(statuses[number], spent=spent, data_until=part.until, complete_from=part.complete_from))
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
        self, statuses: Sequence[BudgetStatus], parts: dict[int, list[SourceGroup]]
    ) -> Iterator[tuple[int, Projection]]:
        together: dict[_Calendar, list[int]] = {}
        alone: dict[int, Question] = {}
        for number, status in enumerate(statuses):
            ended = self._context.now >= status.period.end
            if number in parts or ended or status.data_until is None or not self._members(number):
                continue
            begun = self._begun(number, status, status.data_until)
            commitments = self._committed(number, status) if self._context.commitments else []
            if begun is None and commitments:
                begun = status.complete_from  # a contract needs no history
            if begun is None:
                continue
            lines, rate = self._rule(number, status, commitments)
            if isinstance(begun, datetime) or commitments or rate is not None:
                alone[number] = self._question(number, status, begun, commitments)
                if rate is not None and alone[number].series.step == DAY:
                    yield number, self._linewise(number, alone.pop(number), lines, rate)
            else:
                together.setdefault((begun, status.data_until), []).append(number)
        yield from zip(alone, project_many(list(alone.values())), strict=True)
        for (born, _), numbers in together.items():
            yield from zip(numbers, self._batch(born, numbers, statuses), strict=True)

    def _members(self, number: int) -> bool:
        return bool(self._sheet.members[number])

    def _begun(self, number: int, status: BudgetStatus, until: datetime) -> int | datetime | None:
        """The day from which a scope's history counts; an instant where hours are read; None: too early to say."""
        borders = self._table.borders
        born = min(self._sheet.born_ever[number], self._last(until) - 1)
        begun = borders[born]
        if status.complete_from is not None:
            begun = max(begun, status.complete_from.timestamp())
        since = until.timestamp() - begun
        if since < _TOO_EARLY.total_seconds():
            return None
        if since < _YOUNG.total_seconds():
            return datetime.fromtimestamp(begun, UTC)
        return born + 1 if begun > borders[born] else born  # a first day seen in part would look like a quiet one

    def _last(self, until: datetime) -> int:
        """The day behind the one in which the data end."""
        return column(self._table, until - timedelta(microseconds=1)) + 1

    def _batch(self, born: int, numbers: list[int], statuses: Sequence[BudgetStatus]) -> Iterator[Projection]:
        """The projections of scopes of one calendar, in one batch."""
        first, last = self._sheet.days
        any_one = statuses[numbers[0]]
        question = self._question(numbers[0], any_one, born, ())
        rows = self._sheet.curves[numbers]
        inside = rows[:, max(first, born) : last].sum(axis=1)
        spent = np.array([float(statuses[number].spent) for number in numbers])
        values = rows[:, born : born + question.series.values.size]
        return project_batch(question, values, spent - inside)

    def _question(
        self, number: int, status: BudgetStatus, begun: int | datetime, commitments: list[Commitment] | tuple[()]
    ) -> Question:
        """What is asked of one scope: its days, or its hours where it is younger than three days."""
        until, zone = status.data_until or self._context.now, status.period.zone
        first, last = self._sheet.days
        if isinstance(begun, datetime):
            series = self._hours(number, begun, until)
            inside = _inside_hours(series, status.period.start)
        else:
            end = self._last(until)
            begin = datetime.fromtimestamp(self._table.borders[begun], zone)
            partial = until.astimezone(zone) if until.timestamp() < self._table.borders[end] else None
            curve = self._sheet.curves[number]
            series = Series(begin, curve[begun:end], DAY, partial, status.name)
            inside = float(curve[max(first, begun) : last].sum())
        return Question(
            series,
            status.period.start.astimezone(zone),
            status.period.end.astimezone(zone),
            commitments,
            float(status.spent) - inside,
        )

    def _hours(self, number: int, start: datetime, until: datetime) -> Series:
        begin = start.replace(minute=0, second=0, microsecond=0)
        count = max(1, -int(-(until - begin) // HOUR))
        # One grid for all: the sums of a few days' hours are kept and follow each change.
        oldest = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - _YOUNG - HOUR
        if until not in self._hourly:
            hours = int((until - oldest) // HOUR) + 1
            self._hourly[until] = self._ledger.sums([oldest.timestamp() + 3600 * hour for hour in range(hours + 1)])
        place, members = (begin - oldest) // HOUR, self._sheet.members[number]
        prices = self._newest_prices[self._table.kind_of[members]]
        values = prices @ self._hourly[until][members, place : place + count]
        values = self._ledger.spread(values, begin.timestamp())
        return Series(begin, values, HOUR, until if until < begin + HOUR * count else None)

    @cached_property
    def _newest_prices(self) -> NDArray[np.float64]:
        """What a unit costs today, by kind of series."""
        return np.array([float(newest_price(runs, self._sheet.today)) for runs in self._table.segments])

    def _rule(self, number: int, status: BudgetStatus, commitments: list[Commitment]) -> tuple[list[Line], Rate | None]:
        """The lines of a scope with a price, and how their provider rates them together, where that is not linear.

        None where the period is not the provider's billing month.
        """
        rule = status.budget.period
        whole_month = (rule.kind, rule.start_day) == ("month", 1)
        if not whole_month or status.budget.opening or commitments or status.amount.unit == TOKENS:
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

    def _committed(self, number: int, status: BudgetStatus) -> list[Commitment]:
        """What is certain to come in a status's scope, in its unit; what has no rate of exchange is left out."""
        found = []
        names = None if self._sources is None else self._sources[number]
        since = datetime.fromtimestamp(self._table.borders[0], UTC)
        seen, unit = status.data_until or self._context.now, status.amount.unit
        for source, one in committed_in(self._context, status.budget, status.scope):
            same = one.cost.currency == unit
            rate = Decimal(1) if same else self._context.exchange(one.cost.currency, unit, self._context.now.date())
            if rate is None or unit == TOKENS or (names is not None and source not in names):
                continue
            for start, end, amount in pieces(one, since, seen, status.period.end):
                found.append(Commitment(float(amount * rate), start, end, in_series=one.counted))
        return found


def _inside_hours(series: Series, start: datetime) -> float:
    """What of the period's spend lies inside the hours of a series; the rest is its opening."""
    hours = max(0, int(-(-(start.timestamp() - series.start.timestamp()) // 3600)))
    return float(series.values[hours:].sum())
