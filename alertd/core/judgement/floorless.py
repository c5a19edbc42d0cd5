"""Floors that do not hold as they are written: in another unit than their budget's, and nobody knows it in the other.

It is for who looks at a configuration; nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alertd.core.budgets import TOKENS, Amount, Budget, Threshold
from alertd.core.judgement.survey import Survey
from alertd.core.pricing.costing import no_rate


def floorless(budgets: Sequence[Budget], survey: Survey) -> Iterator[tuple[str, str]]:
    """Each budget's name, and the sentence that says which floor counts as what, and the remedy."""
    for budget in budgets:
        for threshold in _thresholds(budget):
            floor = threshold.floor
            said = "" if floor is None or floor.unit == budget.amount.unit else _said(budget, floor, survey)
            if said:
                yield budget.name, f"{threshold}: {said}"


def _thresholds(budget: Budget) -> Iterator[Threshold]:
    """Those of the budget and of its table, once each."""
    own = [budget.thresholds, *(row.thresholds for row in budget.table.values() if row.thresholds)]
    yield from dict.fromkeys(threshold for thresholds in own for threshold in thresholds)


def _said(budget: Budget, floor: Amount, survey: Survey) -> str:
    unit = budget.amount.unit
    if TOKENS in {floor.unit, unit}:
        reason = _unknown(budget, floor, survey)
        return f"the floor holds only for usage that is known in {floor.unit}, not for {reason}" if reason else ""
    day = survey.around.now.astimezone(budget.period.zone).date()
    if survey.around.exchange(unit, floor.unit, day) is not None:
        return ""
    counts_as = Amount(floor.value, unit)
    return f"the floor counts as {counts_as}: {no_rate(unit, floor.unit).reason}; or write the floor in {unit}"


def _unknown(budget: Budget, floor: Amount, survey: Survey) -> str:
    """The first usage of a budget that is not known in the unit of the floor, and why; "" where all of it is."""
    table = survey.costs(budget.period.zone, floor.unit, counts_as=budget.amount.unit)
    for index, row in enumerate(survey.ledger.series):
        if not (table.quantities[index].any() and budget.where.matches(row.all_labels())):
            continue
        if index in table.unpriced:
            return f"{row.model or row.provider}: {table.unpriced[index].reason}"
        if floor.unit == TOKENS and row.billed:
            return f"the bills of {row.source}: they name no tokens"
    return ""
