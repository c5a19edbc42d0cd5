"""From the ledger to positions: what each budget scope spent, how it may end, who drives it. Decides nothing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.billing.roles import counting
from alertd.core.budgets import TOKENS, Budget, Scope, scope_key
from alertd.core.events import Contributor, Unpriced
from alertd.core.judgement.anomaly import Unusual, unusual
from alertd.core.judgement.positions import Burn, Circumstances, Position, SourceView, scopes
from alertd.core.judgement.scoring import widened
from alertd.core.ledger import Ledger, SeriesRow
from alertd.core.periods import Period
from alertd.core.pricing.costing import Costs, costs, midnights
from alertd.core.pricing.linewise import linewise
from alertd.core.projection import DAY, HOUR, Commitment, Projection, Question, Rate, Series, project_many
from alertd.core.usage import Line

#: Days of history that a projection may look back over.
HISTORY_DAYS: Final = 120
#: Under so many days of data a projection reads hours instead of days.
#: Where watching began within a day, nothing is projected before so much was seen.
_TOO_EARLY: Final = timedelta(hours=24)
_YOUNG: Final = timedelta(days=3)
#: Labels that say who spends, the most telling first; then what: the model.
_WHO: Final = ("key", "user", "service", "project", "workspace", "team")
#: Finer than any price of one token; what a shared free tier leaves behind the 28th digit is no money.
_EXACT: Final = Decimal("1e-12")
_IDLE_DAYS: Final = 7
#: Days that say what is usual.
_USUAL_DAYS: Final = 28
_RECENT_DAYS: Final = 2
_BEFORE_DAYS: Final = 7


class Survey:
    """One look at the ledger: the costs by zone and unit are worked out once and serve every budget."""

    def __init__(self, ledger: Ledger, around: Circumstances, earliest: datetime | None = None) -> None:
        """`earliest` is the start of the oldest period that will be asked for."""
        self.ledger = ledger
        self.around = around
        reach = 0 if earliest is None else (around.now - earliest).days + 2
        oldest = ledger.earliest()
        known = HISTORY_DAYS if oldest is None else int(around.now.timestamp() - oldest) // 86400 + 2
        self.days = max(min(HISTORY_DAYS, known), reach)
        self._costs: dict[tuple[str, str], Costs] = {}
        self._used: dict[tuple[int, int, int], NDArray[np.bool_]] = {}
        self._rates: dict[tuple[int, int], list[Decimal]] = {}
        self._rules: dict[tuple[str, frozenset[int]], tuple[list[Line], Rate | None]] = {}
        self._counted: dict[bool, Callable[[SeriesRow], bool]] = {}

    def costs(self, zone: tzinfo, unit: str) -> Costs:
        """The ledger's costs by local day, back to the earliest period, and today."""
        key = (str(zone), unit)
        if key not in self._costs:
            today = self.around.now.astimezone(zone).date()
            days, borders = midnights(zone, today - timedelta(days=self.days), self.days + 1)
            self._costs[key] = costs(
                self.ledger,
                unit,
                days,
                borders,
                tariff=self.around.tariff,
                exchange=self.around.exchange,
                counted=self.counted(unit),
            )
        return self._costs[key]

    def counted(self, unit: str) -> Callable[[SeriesRow], bool]:
        """Which series count towards an amount in this unit: traffic that two sources see counts once."""
        tokens = unit == TOKENS
        if tokens not in self._counted:
            self._counted[tokens] = counting(self.ledger.kinds, self.around.standings, tokens=tokens)
        return self._counted[tokens]

    def _active(self, table: Costs, first: int, last: int) -> NDArray[np.bool_]:
        """Which series were used on any of the days [first, last)."""
        key = (id(table), first, last)
        if key not in self._used:
            self._used[key] = (table.quantities[:, first:last] != 0).any(axis=1)
        return self._used[key]

    def positions(self, budget: Budget, at: datetime | None = None) -> list[Position]:
        """The positions of a budget's scopes in the period that contains `at` (now, where absent), by scope."""
        return self.all_positions([(budget, at)])

    def all_positions(self, asked: Iterable[tuple[Budget, datetime | None]]) -> list[Position]:
        """The same of several budgets, one after the other; what they may come to is projected all at once."""
        found: list[Position] = []
        members: list[tuple[list[int], Costs]] = []
        for budget, at in asked:
            period = budget.period.containing(at or self.around.now)
            table = self.costs(budget.period.zone, budget.amount.unit)
            for scope, indices in scopes(budget, self.ledger, self.counted(budget.amount.unit)).items():
                found.append(self._figures(budget, scope, indices, period, table))
                members.append((indices, table))
        return self._projected(found, members)

    def _figures(self, budget: Budget, scope: Scope, indices: list[int], period: Period, table: Costs) -> Position:
        first, last = _columns(table, period)
        now = self.around.now
        exact = table.exact(first, last)
        spent = sum((exact[index] for index in indices), Decimal(0))
        current = now in period
        active = self._active(table, first, last)
        used = [index for index in indices if active[index]]
        feeding = {self.ledger.series[index].source for index in indices}
        views = [view for name, view in sorted(self.around.sources.items()) if name in feeding]
        untils = [view.until for view in views if view.until is not None]
        position = Position(
            budget=budget,
            scope=scope,
            period=period,
            amount=budget.amount,
            spent=(spent + (budget.opening if current else 0)).quantize(_EXACT).normalize(),
            projection=None,
            data_until=min([*untils, period.end]) if untils else None,
            complete_from=_complete_from(views, period),
            stale_sources=tuple(sorted(view.name for view in views if view.stale(now))),
            unpriced=tuple(self._unpriced(table, used, first, last)),
            assumed=tuple(sorted({self.ledger.series[i].model for i in used if i in table.assumed})),
            matched=bool(indices),
            balance=self._balance(feeding, budget.amount.unit),
            closed=now >= period.end + max((view.delay for view in views), default=timedelta(0)),
        )
        amount = self.around.raised.get(position.name) or position.override.amount or budget.amount
        position = replace(position, amount=amount)
        return self._evidence(position, used, table, first, last) if used else position

    def _balance(self, feeding: set[str], unit: str) -> Decimal | None:
        """The least that is left of the credits of the sources that feed a scope; other currencies are left out."""
        told = (money for name, money in self.around.balances.items() if name in feeding)
        return min((money.amount for money in told if money.currency == unit), default=None)

    def _evidence(self, position: Position, used: list[int], table: Costs, first: int, last: int) -> Position:
        label = _telling_label(self.ledger, used, position.scope)
        groups: dict[str, list[int]] = {}
        for index in used:
            groups.setdefault(self.ledger.labels[index].get(label, ""), []).append(index)
        today = _column(table, self.around.now)
        curves = _curves(table, list(groups.values()))
        contributors = self._contributors(label, groups, curves, table.exact(first, last), today)
        burns, culprit = self._burns(position, used, table, label)
        born = min(curves.born)
        seen = max(1, min(7, today - born))
        daily = curves.spent.sum(axis=0).tolist()
        now = curves.spent[:, today].tolist()
        return replace(
            position,
            used_since=datetime.fromtimestamp(table.borders[born], UTC),
            contributors=tuple(contributors[:5]),
            contributor_count=len(contributors),
            pace=_rounded(sum(daily[max(0, today - seen) : today]) / seen) if today > born else None,
            burns=burns,
            idle=not curves.active[:, max(0, today - _IDLE_DAYS) : today + 1].any(),
            culprit=culprit or (label, max(zip(now, groups, strict=True))[1]),
            today=self._today(position, used, table),
            daily=tuple(
                (day.isoformat(), _rounded(spent))
                for day, spent in zip(table.days[first:last], daily[first:last], strict=True)
            ),
        )

    def _contributors(
        self, label: str, groups: Mapping[str, list[int]], curves: Curves, exact: Sequence[Decimal], today: int
    ) -> list[Contributor]:
        """Who spent in the period, most first; with the pace of late and before, where that is long enough known."""
        recent = slice(max(0, today - _RECENT_DAYS), today)
        before = slice(max(0, today - _RECENT_DAYS - _BEFORE_DAYS), max(0, today - _RECENT_DAYS))
        sums = [
            part[:, days].sum(axis=1).tolist() for part in (curves.spent, curves.volume) for days in (recent, before)
        ]
        found = []
        each = zip(groups.items(), curves.born, *sums, strict=True)
        for (value, group), born, pace, old_pace, volume, old_volume in each:
            spent = sum((exact[index] for index in group), Decimal(0))
            known = before.stop - max(before.start, born)
            if not spent:
                continue
            if known < _RECENT_DAYS:
                found.append(Contributor(label, value, spent))
                continue
            found.append(
                Contributor(
                    label,
                    value,
                    spent,
                    pace_now=_rounded(pace / _RECENT_DAYS),
                    pace_before=_rounded(old_pace / known),
                    volume_change=(volume / _RECENT_DAYS) / (old_volume / known) if old_volume else None,
                )
            )
        return sorted(found, key=lambda item: (-item.spent, item.value))

    def _burns(
        self, position: Position, used: list[int], table: Costs, label: str
    ) -> tuple[dict[timedelta, Burn], tuple[str, str] | None]:
        """What each burn-rate window of the budget's thresholds saw, and who spent most in the longest."""
        thresholds = position.override.thresholds or position.budget.thresholds
        windows = sorted({window for t in thresholds if t.basis == "burn_rate" for window in t.windows})
        if not windows or position.data_until is None or not self.around.now < position.period.end:
            return {}, None
        end = position.data_until.timestamp()
        today = _column(table, self.around.now)
        prices = self._prices(table, today)
        rates = {index: prices[table.kinds[index]] for index in used}
        length = position.period.end - position.period.start
        burns, culprit = {}, None
        for window in windows:
            parts: dict[str, Decimal] = {}
            for index in used:
                count = self.ledger.sum_between(index, end - window.total_seconds(), end)
                who = self.ledger.labels[index].get(label, "")
                parts[who] = parts.get(who, Decimal(0)) + count * rates[index]
            spent = sum(parts.values(), Decimal(0))
            even = float(position.amount.value) * (window / length)
            burns[window] = Burn(window, spent, float(spent) / even if even else 0.0)
            if spent:
                culprit = (label, max(parts, key=lambda value: (parts[value], value)))
        return burns, culprit

    def _unpriced(self, table: Costs, used: Iterable[int], first: int, last: int) -> Iterable[Unpriced]:
        sums: dict[tuple[str, str, str], int] = {}
        for index in used:
            if index in table.unpriced:
                row = self.ledger.series[index]
                key = (row.provider, row.model, row.meter)
                sums[key] = sums.get(key, 0) + int(table.quantities[index, first:last].sum())
        reasons = {_kind(self.ledger.series[index]): table.unpriced[index] for index in used if index in table.unpriced}
        for key, quantity in sorted(sums.items()):
            yield Unpriced(*key, quantity=quantity, reason=reasons[key].reason, nearest=reasons[key].nearest)

    def _prices(self, table: Costs, today: int) -> list[Decimal]:
        """What a unit of each kind costs now."""
        key = (id(table), today)
        if key not in self._rates:
            self._rates[key] = [_newest_price(runs, today) for runs in table.segments]
        return self._rates[key]

    def _projected(self, found: list[Position], members: Sequence[tuple[list[int], Costs]]) -> list[Position]:
        """The same positions with their projections, all asked for at once."""
        questions: dict[int, Question] = {}
        for place, position in enumerate(found):
            if self.around.now < position.period.end and position.data_until is not None:
                question = self._question(position, *members[place])
                if question is not None:
                    questions[place] = question
        answers = dict(zip(questions, project_many(list(questions.values())), strict=True))
        for place, linear in answers.items():
            position = found[place]
            answer = self._linewise(position, questions[place], *members[place]) or linear
            own = f"{position.budget.name}/{scope_key(position.scope)}"
            found[place] = replace(position, projection=widened(answer, self.around.widths.get(own, 1.0)))
        return found

    def _linewise(self, position: Position, question: Question, indices: list[int], table: Costs) -> Projection | None:
        """The projection by the provider's rule, where that is not linear and the period is its billing month."""
        rule, unit, series = position.budget.period, position.amount.unit, question.series
        whole_month = (rule.kind, rule.start_day) == ("month", 1) and series.step == DAY
        plain = not (position.budget.opening or question.commitments or unit == TOKENS)
        kinds = frozenset(table.kinds[i] for i in indices)
        if not (whole_month and plain):
            return None
        lines, rate = self._rule(kinds, table)
        if rate is None:
            return None
        first, last = _columns(table, position.period)
        begin = _column(table, series.start)
        rows = {line: [i for i in indices if self.ledger.series[i].line == line] for line in lines}
        sums = np.array([table.quantities[own].sum(axis=0) for own in rows.values()], dtype=float)
        before = sums[:, first : max(first, min(begin, last))].sum(axis=1)
        return linewise(question, sums[:, begin : begin + series.values.size], before, rate)

    def _rule(self, kinds: frozenset[int], table: Costs) -> tuple[list[Line], Rate | None]:
        """The lines with a price among some kinds of series, and how their provider rates them, if not linearly."""
        key = (table.unit, kinds)
        if key not in self._rules:
            rows = self.ledger.kinds
            lines = sorted({rows[kind].line for kind in kinds if table.segments[kind] and not rows[kind].billed})
            around = self.around
            rate = around.tariff.rate_of(lines, around.now.date(), table.unit, around.exchange) if lines else None
            self._rules[key] = lines, rate
        return self._rules[key]

    def _question(self, position: Position, indices: list[int], table: Costs) -> Question | None:
        """What the projection is asked: days since the first use, or hours where that is too short ago."""
        zone, until = position.period.zone, position.data_until
        if until is None or not indices:
            return None
        last = _column(table, until - timedelta(microseconds=1)) + 1
        born = min(_first_used(table, indices), last - 1)
        start = datetime.fromtimestamp(table.borders[born], UTC)
        if position.complete_from is not None:
            start = max(start, position.complete_from.astimezone(UTC))
        if start.timestamp() > table.borders[born] and until - start < _TOO_EARLY:
            return None  # a day that began unseen says nothing of days to come
        if until - start < _YOUNG:
            series = self._hours(indices, table, start, until)
        else:
            if start.timestamp() > table.borders[born]:
                born += 1  # a first day that was seen in part would look like a quiet one
            values = table.spends(indices, born, last).sum(axis=0)
            begin = datetime.fromtimestamp(table.borders[born], zone)
            partial = until if until.timestamp() < table.borders[last] else None
            series = Series(begin, values, DAY, partial, position.name)
        inside = _spent_from(series, position, table, indices)
        commitments = self._committed(position)
        opening = float(position.spent) - inside
        return Question(
            series, position.period.start.astimezone(zone), position.period.end.astimezone(zone), commitments, opening
        )

    def _committed(self, position: Position) -> list[Commitment]:
        """What is certain to come in a position's scope, in its unit; what has no rate of exchange is left out."""
        found = []
        for source, one in self.around.commitments:
            own = {"provider": one.provider, "model": one.model, "source": source}
            labels = {**one.labels, **{name: value for name, value in own.items() if value}}
            if not position.budget.where.matches(labels) or any(labels.get(n) != v for n, v in position.scope):
                continue
            today, unit = self.around.now.date(), position.amount.unit
            same = one.cost.currency == unit
            rate = Decimal(1) if same else self.around.exchange(one.cost.currency, unit, today)
            if rate is not None and unit != TOKENS:
                found.append(Commitment(float(one.cost.amount * rate), one.start, one.end, in_series=one.counted))
        return found

    def _today(self, position: Position, used: list[int], table: Costs) -> Unusual | None:
        """The day so far against the same stretch of the days before, where a threshold asks for it."""
        thresholds = position.override.thresholds or position.budget.thresholds
        if position.data_until is None or not any(t.basis == "anomaly" for t in thresholds):
            return None
        until = position.data_until.timestamp()
        today = _column(table, position.data_until - timedelta(microseconds=1))
        length = until - table.borders[today]
        first = max(_first_used(table, used), today - _USUAL_DAYS)
        spends = []
        for day in range(first, today + 1):
            begin = table.borders[day]
            counts = ((index, self.ledger.sum_between(index, begin, begin + length)) for index in used)
            spends.append(float(sum((count * _latest_price(table, index, day) for index, count in counts), Decimal(0))))
        return unusual(spends[-1], spends[:-1]) if spends else None

    def _hours(self, indices: list[int], table: Costs, start: datetime, until: datetime) -> Series:
        begin = start.replace(minute=0, second=0, microsecond=0)
        count = max(1, -int(-(until - begin) // HOUR))
        edges = [(begin + HOUR * number).timestamp() for number in range(count + 1)]
        values = np.zeros(count)
        today = _column(table, self.around.now)
        for index in indices:
            price = float(_latest_price(table, index, today))
            if price:
                values += [self.ledger.sum_between(index, a, b) * price for a, b in pairwise(edges)]
        partial = until if until < begin + HOUR * count else None
        return Series(begin, values, HOUR, partial)


@dataclass(frozen=True, slots=True)
class Curves:
    """Groups of series by day, [groups, days] each; `born` is the first day on which it was active."""

    spent: NDArray[np.float64]
    volume: NDArray[np.int64]
    active: NDArray[np.bool_]
    born: Sequence[int]


def _curves(table: Costs, groups: Sequence[list[int]]) -> Curves:
    """The curves of groups none of which is empty."""
    order = [index for group in groups for index in group]
    begins = np.cumsum([0, *map(len, groups[:-1])])
    quantities = table.quantities[order]
    used = np.logical_or.reduceat(quantities != 0, begins)
    spent = np.add.reduceat(quantities * table.unit_prices[table.kind_of[order]], begins)
    return Curves(spent, np.add.reduceat(quantities, begins), used, used.argmax(axis=1).tolist())


def _columns(table: Costs, period: Period) -> tuple[int, int]:
    first = bisect_left(table.borders, period.start.timestamp())
    last = bisect_left(table.borders, period.end.timestamp())
    return min(first, len(table.days)), min(last, len(table.days))


def _column(table: Costs, instant: datetime) -> int:
    """The local day an instant falls in, as a column."""
    return max(0, min(bisect_right(table.borders, instant.timestamp()) - 1, len(table.days) - 1))


def _first_used(table: Costs, indices: Sequence[int]) -> int:
    used = np.flatnonzero(table.quantities[indices].any(axis=0))
    return int(used[0]) if used.size else len(table.days) - 1


def _latest_price(table: Costs, index: int, today: int) -> Decimal:
    """What a unit cost today, or on the last day that it had a price."""
    return _newest_price(table.prices(index), today)


def _newest_price(runs: Sequence[tuple[int, int, Decimal]], today: int) -> Decimal:
    return next((price for begin, _, price in reversed(runs) if begin <= today), Decimal(0))


def _spent_from(series: Series, position: Position, table: Costs, indices: list[int]) -> float:
    """What of the period's spend lies inside the projection's series; the rest is its opening."""
    if series.step == HOUR:
        begins = np.array([series.start.timestamp() + 3600 * k for k in range(series.values.size)])
        return float(series.values[begins >= position.period.start.timestamp()].sum())
    first, last = _columns(table, position.period)
    begin = max(first, _column(table, series.start))
    return float(table.spends(indices, begin, last).sum()) if begin < last else 0.0


def _complete_from(views: Sequence[SourceView], period: Period) -> datetime | None:
    starts = [view.complete_from for view in views if view.complete_from is not None]
    latest = max(starts, default=None)
    return latest if latest is not None and latest > period.start else None


def _telling_label(ledger: Ledger, used: Sequence[int], scope: Scope) -> str:
    """The label that best tells who spends: the first with several values; else the model, or the one key of one."""
    taken = {name for name, _ in scope}
    for name in _WHO:
        if name not in taken and len({ledger.labels[index].get(name) for index in used}) > 1:
            return name
    keyed = "key" not in taken and all(ledger.labels[index].get("key") for index in used)
    return "key" if keyed and len({ledger.series[index].model for index in used}) == 1 else "model"


def _kind(row: SeriesRow) -> tuple[str, str, str]:
    return (row.provider, row.model, row.meter)


def _rounded(value: Any) -> Decimal:
    """A pace or a curve's point: a float on its way to a message, kept to a millionth."""
    return Decimal(repr(round(float(value), 6)))
