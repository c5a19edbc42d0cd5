"""What a forecast is asked of: the sources of a scope by how far they were read, and what is committed in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from alertd.core.billing.commitments import Certain, certain_money
from alertd.core.budgets import TOKENS, Budget, Scope
from alertd.core.evaluation.values import BudgetStatus, EvaluationContext
from alertd.core.usage import Committed

#: A source without new data is projected on for this long; after that it counts as ended.
_ENDED: Final = timedelta(days=7)
#: Sources whose data end within this of one another are projected together.
_TOGETHER: Final = timedelta(hours=2)


class Part(NamedTuple):
    """Sources of a position that were read up to about the same time and are complete from the same."""

    names: frozenset[str]
    until: datetime
    complete_from: datetime | None
    ended: bool = False


def parts_of(names: frozenset[str], context: EvaluationContext, start: datetime, end: datetime) -> list[Part]:
    """The sources by what they know, the newest first; one group where they know the same."""
    groups: list[Part] = []
    views = [view for name in names if (view := context.sources.get(name)) is not None and view.until is not None]
    for view in sorted(views, key=lambda one: (-(one.until or end).timestamp(), one.name)):
        until = min(view.until or end, end)
        complete = view.complete_from if view.complete_from is not None and view.complete_from > start else None
        ended = view.stale(context.now) and context.now - until > _ENDED
        for place, part in enumerate(groups):
            if ended == part.ended and part.until - until <= _TOGETHER and part.complete_from == complete:
                groups[place] = Part(part.names | {view.name}, min(part.until, until), complete, ended)
                break
        else:
            groups.append(Part(frozenset({view.name}), until, complete, ended))
    return groups


def rest_of(context: EvaluationContext, parts: Sequence[Part]) -> frozenset[str]:
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


def certain_of(context: EvaluationContext, position: BudgetStatus) -> Certain | None:
    """What is certain in a position's period; None where nothing is committed in its scope, or it counts tokens."""
    committed = committed_in(context, position.budget, position.scope)
    if not committed or position.amount.unit == TOKENS or context.now >= position.period.end:
        return None
    seen = {view.name: view.until for view in context.sources.values() if view.until is not None}
    return certain_money(
        committed,
        unit=position.amount.unit,
        exchange=context.exchange,
        start=position.period.start,
        end=position.period.end,
        now=context.now,
        spent=position.spent,
        amount=position.amount.value,
        seen=seen,
    )
