"""How alertd's own projections of a budget came out, and what it learns from that: wider or narrower, never surer.

On days 3, 7, 14 and 21 of a period its projection is noted; when the period closes they are compared with what came.
The width of later projections of that budget is multiplied by what would have held 80 % of the totals, drawn towards 1
while few are known.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from alertd.core.deferred import Deferred
from alertd.core.evaluation.keys import budget_scope, summary_key
from alertd.core.evaluation.state import FORECASTS, SCORES, Forecast, Score, State
from alertd.core.evaluation.values import BudgetStatus, EvaluationContext
from alertd.core.projection import (
    FAN_LEVELS,
    HOUR,
    Projection,
    Question,
)
from alertd.core.projection.series import Floats

#: What the forecast threshold holds likely by default, of a young projection.
_YOUNG_LEVEL: Final = 0.2
DAYS: Final = (3, 7, 14, 21)


#: Periods whose scores are remembered.
_KEPT: Final = 12


#: This many comparisons weigh as much as the belief that the width is right.
_BELIEF: Final = 8


_NARROWEST: Final = 0.7


_WIDEST: Final = 2.5


_HELD: Final = 0.8


_LOW, _LIKELY, _HIGH = 0.1, 0.5, 0.9


def forecast_changes(
    statuses: Sequence[BudgetStatus],
    previous: Sequence[BudgetStatus],
    closed: Container[str],
    state: State,
    now: datetime,
) -> dict[str, object]:
    """Today's forecasts remembered, and those of the periods that closed just now compared with what came.

    `closed` are the keys of the summaries of closed periods.
    """
    changes: dict[str, object] = {}
    for status in statuses:
        changes |= note_forecast(status, state, now)
    for status in previous:
        if summary_key(status.name, "closed") in closed:
            changes |= score(status, state)
    return changes


def note_forecast(position: BudgetStatus, state: State, now: datetime) -> dict[str, object]:
    """The change that remembers today's projection, where the period is on one of DAYS and it has none yet."""
    day = (now - position.period.start) // timedelta(days=1) + 1
    if day not in DAYS or position.projection is None or position.stale_sources:
        return {}
    known = FORECASTS.get(state, position.name) or {}
    if str(day) in known:
        return {}
    figures = Forecast(*(round(position.projection.quantile(q), 6) for q in (_LOW, _LIKELY, _HIGH)))
    return FORECASTS.put({**known, str(day): figures}, position.name)


def score(position: BudgetStatus, state: State) -> dict[str, object]:
    """What a closed period taught: its projections beside its total, appended to the budget's scores."""
    forecasts = FORECASTS.get(state, position.name)
    if not forecasts:
        return {}
    kept = [*scores(position, state), Score(position.period.key, float(position.spent), forecasts)][-_KEPT:]
    return {**SCORES.put(kept, _score_key(position)), **FORECASTS.put(None, position.name)}


def scores(position: BudgetStatus, state: State) -> Sequence[Score]:
    """The remembered periods of a budget and scope, oldest first."""
    return SCORES.get(state, _score_key(position)) or []


def widths(state: State) -> dict[str, float]:
    """By how much to widen projections, by `budget/scope`."""
    return {key: width(known) for key, known in SCORES.items(state)}


def width(known: Sequence[Score]) -> float:
    """By how much to widen (over 1) or narrow a projection, from how earlier ones came out."""
    ratios = [ratio for entry in known for ratio in _ratios(entry)]
    if not ratios:
        return 1.0
    wanted = float(np.clip(np.quantile(ratios, _HELD), _NARROWEST, _WIDEST))
    return (wanted * len(ratios) + _BELIEF) / (len(ratios) + _BELIEF)


def widened(projection: Projection, factor: float) -> Projection:
    """The same projection with its runs drawn apart (or together) around their median; never below what is spent."""
    if factor == 1.0:
        return projection
    middle = projection.quantile(_LIKELY)

    def fan() -> Floats:
        fan_middle = projection.fan[:, projection.fan.shape[1] // 2 : projection.fan.shape[1] // 2 + 1]
        return np.maximum(projection.spent, fan_middle + (projection.fan - fan_middle) * factor)

    return replace(
        projection,
        totals=np.maximum(projection.spent, middle + (projection.totals - middle) * factor),
        fans=Deferred(fan),
        method=f"{projection.method}, width x{factor:.2f}",
    )


def _ratios(entry: Score) -> list[float]:
    """How far out each total lay, in half-widths of its projection on its own side: 1 is the edge of the 80 %."""
    found = []
    for one in entry.projected.values():
        half = (one.high - one.likely) if entry.total >= one.likely else (one.likely - one.low)
        if half > 0:
            found.append(abs(entry.total - one.likely) / half)
    return found


def _score_key(position: BudgetStatus) -> str:
    return budget_scope(position.budget.name, position.scope)


def widen_young(projection: Projection, question: Question) -> Projection:
    """A projection of less than three days, as wide as so little history is: from what it holds likely to the run rate.

    The runs that end lowest stay; the higher one ends, the more of the way to the run rate it is drawn.
    """
    series, spent = question.series, projection.spent
    seen = (projection.seen_until - series.start).total_seconds()
    left = max(0.0, (question.period_end - projection.seen_until).total_seconds())
    committed = sum(one.amount for one in question.commitments)
    rate = float(series.values.sum()) / max(seen, HOUR.total_seconds())
    rest = projection.quantile(0.5) - spent
    if committed or rest <= 0 or rate <= 0 or not left:
        return projection
    ratio = rate * left / rest
    drawn = (
        np.linspace(0.0, 1.0, projection.totals.size) if ratio > 1 else np.linspace(1.0, 0.0, projection.totals.size)
    )
    totals = np.sort(spent + (projection.totals - spent) * ratio**drawn)
    levels = np.array(FAN_LEVELS) if ratio > 1 else 1.0 - np.array(FAN_LEVELS)
    wide = replace(
        projection,
        totals=totals,
        fans=Deferred(lambda: np.maximum.accumulate(spent + (projection.fan - spent) * ratio**levels, axis=1)),
        method=f"{projection.method}, rough",
    )
    return replace(wide, alert_level=max(spent, wide.quantile(_YOUNG_LEVEL)))


def add_parts(projections: Sequence[Projection], more: float = 0.0) -> Projection:
    """The sum of what parts may cost, each from its own watermark, as if what is high in one is high in all.

    `more` was spent in parts of which nothing is projected. Its calendar is that of the newest part.
    """
    if len(projections) == 1 and not more:
        return projections[0]
    newest = max(projections, key=lambda one: one.seen_until)
    size = max(one.totals.size for one in projections)
    at = np.linspace(0.0, 1.0, size)
    totals = sum(np.interp(at, np.linspace(0.0, 1.0, one.totals.size), one.totals) for one in projections) + more

    def fan() -> Floats:
        instants = [when.timestamp() for when in newest.instants]
        rows = newest.fan + more
        for one in projections:
            if one is not newest:
                own = [when.timestamp() for when in one.instants]
                rows = rows + np.stack([np.interp(instants, own, column) for column in one.fan.T], axis=1)
        return np.asarray(rows)

    spent = sum(one.spent for one in projections) + more
    return replace(
        newest,
        spent=spent,
        totals=np.maximum(spent, totals),
        fans=Deferred(fan),
        alert_level=sum(one.alert_level for one in projections) + more,
        opening=newest.opening + spent - newest.spent,
        method=f"{newest.method}, {len(projections)} parts",
    )


def with_width(projection: Projection, position: BudgetStatus, context: EvaluationContext) -> Projection:
    """The projection as wide as earlier ones of this scope should have been."""
    if not context.widths:
        return projection
    return widened(projection, context.widths.get(budget_scope(position.budget.name, position.scope), 1.0))
