"""The sources of a scope: how far each was read, which are late or stale, and what is committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from alertd.core.billing.commitments import Certain, certain_money
from alertd.core.budgets import TOKENS, Budget, Scope
from alertd.core.counting.intervals import LONGEST, WIDTH, bucket
from alertd.core.evaluation.values import (
    BudgetStatus,
    EvaluationContext,
    LateSource,
    SourceView,
)
from alertd.core.periods import Period
from alertd.core.usage import Committed

#: A source whose data end this long before now is named as late.
_LATE: Final = timedelta(hours=1)
#: One whose data end this long before the newest ones says nothing of the present: it adds nothing to a burn rate.
_APART: Final = timedelta(hours=2)
#: A window of a burn rate of at least this length is made of buckets that lie in it as a whole.
LONG_WINDOW: Final = timedelta(hours=1)

#: The time that `surest_span` looks at is longer than its window by no more than this.
SURELY_LONGER: Final = timedelta(seconds=WIDTH + LONGEST)


class Feed(NamedTuple):
    """What the sources that feed a scope say together.

    `current` are the watermarks of those that are near enough to the newest data to speak for the same moment; a late
    one adds nothing to a burn rate.
    """

    names: frozenset[str]
    data_until: datetime | None
    seen_until: datetime | None
    complete_from: datetime | None
    stale: tuple[str, ...]
    late: tuple[LateSource, ...]
    current: tuple[tuple[str, datetime], ...]
    silent: bool
    closed: bool


def feed_of(feeding: set[str], context: EvaluationContext, period: Period) -> Feed:
    """What these sources say of a period together."""
    views = [view for name, view in sorted(context.sources.items()) if name in feeding]
    untils = {view.name: min(view.until, period.end) for view in views if view.until is not None}
    present = min(context.now, period.end)
    stale = frozenset(view.name for view in views if view.stale(context.now))
    late = [LateSource(name, at, name in stale) for name, at in untils.items()
            if name in stale or present - at > _LATE]  # fmt: skip
    silent = not untils.keys() - stale
    newest = max((at for name, at in untils.items() if silent or name not in stale), default=None)
    near = {name: at for name, at in untils.items() if newest and newest - at <= _APART
            and (silent or name not in stale)}  # fmt: skip
    return Feed(
        frozenset(feeding),
        min(untils.values(), default=None),
        max(untils.values(), default=None),
        _complete_from(views, period),
        tuple(sorted(stale)),
        tuple(sorted(late, key=lambda one: (one.until, one.name))),
        tuple(sorted(near.items())),
        silent,
        closed=context.now >= period.end + max((view.delay for view in views), default=timedelta(0)),
    )


class Span(NamedTuple):
    """Seconds of Unix time, in which a counter's usage is looked up, and which `share` of it counts for a window."""

    begin: float
    end: float
    share: float = 1.0


def span_of(window: timedelta, interval: timedelta, until: datetime) -> Span:
    """Where to look up what was spent in a window that ends where a source's data end.

    A counter's usage lies in the bucket of its reading, so a bucket has what was used since the reading before it
    began. A window of an hour or more begins with the first bucket that has nothing older than the window. A shorter
    one may have no such bucket: of the one that it begins in, its share of time counts.
    """
    end = until.timestamp()
    begin = end - window.total_seconds()
    if window < LONG_WINDOW:
        return Span(begin, end)
    return Span(-(-(begin + _reaches_back(window, interval)) // WIDTH) * WIDTH, end)


def surest_span(window: timedelta, interval: timedelta, until: datetime) -> Span:
    """The same for what acts on keys: of a shorter window, its share of a time that is up to a bucket longer.

    Everything in those buckets was surely used in that time, so the mean of it is never too high.
    """
    if window >= LONG_WINDOW:
        return span_of(window, interval, until)
    end, length, reading = until.timestamp(), window.total_seconds(), _reaches_back(window, interval)
    begin = bucket(min(end, end - length + reading))
    return Span(begin, end, length / (end - begin + reading))


def _reaches_back(window: timedelta, interval: timedelta) -> float:
    """How many seconds before its bucket usage may have been; what is read more rarely is spread over its time."""
    return interval.total_seconds() if interval.total_seconds() <= LONGEST or 4 * interval <= window else 0.0


def _complete_from(views: Sequence[SourceView], period: Period) -> datetime | None:
    starts = [view.complete_from for view in views if view.complete_from is not None]
    latest = max(starts, default=None)
    return latest if latest is not None and latest > period.start else None


#: A source without new data is projected on for this long; after that it counts as ended.
_ENDED: Final = timedelta(days=7)
#: Sources whose data end within this of one another are projected together.
_TOGETHER: Final = timedelta(hours=2)


class SourceGroup(NamedTuple):
    """Sources of a status that were read up to about the same time and are complete from the same."""

    names: frozenset[str]
    until: datetime
    complete_from: datetime | None
    ended: bool = False


def parts_of(names: frozenset[str], context: EvaluationContext, start: datetime, end: datetime) -> list[SourceGroup]:
    """The sources by what they know, the newest first; one group where they know the same."""
    groups: list[SourceGroup] = []
    views = [view for name in names if (view := context.sources.get(name)) is not None and view.until is not None]
    for view in sorted(views, key=lambda one: (-(one.until or end).timestamp(), one.name)):
        until = min(view.until or end, end)
        complete = view.complete_from if view.complete_from is not None and view.complete_from > start else None
        ended = view.stale(context.now) and context.now - until > _ENDED
        for place, part in enumerate(groups):
            if ended == part.ended and part.until - until <= _TOGETHER and part.complete_from == complete:
                groups[place] = SourceGroup(part.names | {view.name}, min(part.until, until), complete, ended)
                break
        else:
            groups.append(SourceGroup(frozenset({view.name}), until, complete, ended))
    return groups


def rest_of(context: EvaluationContext, parts: Sequence[SourceGroup]) -> frozenset[str]:
    """The sources of commitments that are in no part."""
    return frozenset(source for source, _ in context.commitments) - frozenset().union(*(part.names for part in parts))


def committed_in(context: EvaluationContext, budget: Budget, scope: Scope) -> list[tuple[str, Committed]]:
    """The commitments that a budget's scope covers, each with its source."""
    return [(source, one) for source, one in context.commitments if _scope_of(budget, source, one) == scope]


def committed_scopes(context: EvaluationContext, budget: Budget) -> set[Scope]:
    """The scopes in which a commitment runs now: there is money in them before anything is used."""
    if budget.amount.unit == TOKENS:
        return set()
    running = ((source, one) for source, one in context.commitments if one.end is None or one.end > context.now)
    return {scope for source, one in running if (scope := _scope_of(budget, source, one)) is not None}


def _scope_of(budget: Budget, source: str, one: Committed) -> Scope | None:
    """The scope of a budget that a commitment belongs to; None where the budget does not cover it."""
    own = {"provider": one.provider, "model": one.model, "source": source}
    labels = {**one.labels, **{name: value for name, value in own.items() if value}}
    if not budget.where.matches(labels):
        return None
    return tuple((name, labels.get(name) or None) for name in budget.per)


def certain_of(context: EvaluationContext, status: BudgetStatus) -> Certain | None:
    """What is certain in a status's period; None where nothing is committed in its scope, or it counts tokens."""
    committed = committed_in(context, status.budget, status.scope)
    if not committed or status.amount.unit == TOKENS or context.now >= status.period.end:
        return None
    seen = {view.name: view.until for view in context.sources.values() if view.until is not None}
    return certain_money(
        committed,
        unit=status.amount.unit,
        exchange=context.exchange,
        start=status.period.start,
        end=status.period.end,
        now=context.now,
        spent=status.spent,
        amount=status.amount.value,
        seen=seen,
    )
