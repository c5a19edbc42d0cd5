"""Check the actions of a dry run against what the key spent afterwards: would each have been right? Stops nothing.

right   it went on spending above its usual pace for hours, or the budget was exceeded in that period
wrong   it fell back to its usual pace by itself within the hour, and the budget held
open    too little time has passed to decide
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.actions.offenders import spent_between
from alertd.core.actions.state_machine import REHEARSED, Act
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.keys import budget_of
from alertd.core.evaluation.values import BudgetStatus, Facts

_SETTLES: Final = timedelta(hours=1)
_LOOKS: Final = timedelta(hours=24)
#: Above this multiple of its usual pace, a key is still running away.
_RUNS: Final = 2


@dataclass(frozen=True, slots=True)
class DryRunOutcome:
    """One rehearsed act: what was spent after it that it would have saved, and whether it would have been right."""

    act: Act
    outcome: str
    saved: Decimal | None
    unit: str
    because: str


def dry_run_outcomes(acts: Sequence[Act], facts: Facts, since: datetime) -> list[DryRunOutcome]:
    """Every act that was rehearsed since an instant, oldest first."""
    survey = StatusEvaluator(facts.ledger, facts.context, since - timedelta(days=400))
    found = []
    for act in acts:
        if act.state != REHEARSED or act.since is None or act.since < since:
            continue
        budget = next((one for one in facts.budgets if one.name == budget_of(act.position)), None)
        positions = [] if budget is None else survey.statuses(budget, act.since)
        position = next((one for one in positions if one.name == act.position), None)
        found.append(_outcome_of(act, position, facts))
    return found


def _outcome_of(act: Act, position: BudgetStatus | None, facts: Facts) -> DryRunOutcome:
    if position is None or act.since is None or position.data_until is None:
        return DryRunOutcome(act, "open", None, "", "its budget or its usage is gone")
    end = min(act.since + _LOOKS, position.period.end, position.data_until)
    unit = position.amount.unit
    if end - act.since < _SETTLES:
        return DryRunOutcome(act, "open", None, unit, "too little time has passed")
    who = (act.label, act.target)
    saved = spent_between(facts, position, who, act.since, end)
    after = spent_between(facts, position, who, min(act.since + _SETTLES, end), end)
    hours = max(Decimal(1), Decimal(repr((end - act.since - _SETTLES).total_seconds())) / 3600)
    usual = Decimal(act.evidence["usual"]) * 3600 / int(act.evidence["window_seconds"])
    over = position.spent >= position.amount.value
    if over or after / hours > usual * _RUNS:
        why = "the budget was exceeded" if over else f"it went on at {after / hours:.2f} an hour, usual {usual:.2f}"
        return DryRunOutcome(act, "right", saved, unit, why)
    return DryRunOutcome(act, "wrong", saved, unit, "it fell back to its usual pace by itself, and the budget held")
