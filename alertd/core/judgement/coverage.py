"""What falls between budgets and usage: a budget that matches nothing, spend that no budget covers. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from alertd.core.budgets import TOKENS, Budget
from alertd.core.events import Event
from alertd.core.judgement.evidence import event_id, event_of, handle_of
from alertd.core.judgement.positions import Position
from alertd.core.judgement.survey import Survey
from alertd.core.ledger import Ledger

_SHOWN: Final = 5


def unmatched(
    budgets: Sequence[Budget], positions: Sequence[Position], ledger: Ledger, now: datetime
) -> Iterator[tuple[str, Event]]:
    """An event, with its key, for every budget that covers no series although there is usage."""
    covering = {position.budget.name for position in positions if position.matched}
    for budget in budgets:
        if budget.name in covering or not budget.where.patterns:
            continue
        position = next((p for p in positions if p.budget.name == budget.name), None)
        details = {"wanted": {n: ",".join(p) for n, p in budget.where.patterns}, **_nearest(budget, ledger)}
        key = f"unmatched/{budget.name}/{sorted(details['wanted'].items())}"
        reason = "no usage matches this budget"
        if position is not None:
            yield key, event_of(position, "unmatched", "warning", key, now, reason=reason, details=details)
        else:
            identity = event_id(key)
            yield key, Event(
                identity, "unmatched", "warning", now, budget=budget.name, reason=reason,
                owner=budget.owner, channel=budget.channel, details={"handle": handle_of(identity), **details},
            )  # fmt: skip


def _nearest(budget: Budget, ledger: Ledger) -> dict[str, Any]:
    """The first label that fits nothing, its known values, and the value (or label) most like the one wanted."""
    for name, patterns in budget.where.patterns:
        known = sorted({labels[name] for labels in ledger.labels if name in labels})
        wanted = [pattern.strip("!*") for pattern in patterns]
        if not known:
            names = sorted({label for labels in ledger.labels for label in labels})
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            return {"known": [], "nearest": {"label": near[0], "value": ""}} if near else {"known": []}
        near = get_close_matches(wanted[0], known, n=1, cutoff=0.4) if wanted else []
        if near and not any(budget.where.matches({name: value}) for value in known):
            return {"known": known[:_SHOWN], "nearest": {"label": name, "value": near[0]}}
    return {"known": []}


def stray_spend(budgets: Sequence[Budget], survey: Survey) -> dict[str, Any]:
    """What no budget covered this calendar month, in the unit of the first budget of money: amount and who."""
    money = [budget for budget in budgets if budget.amount.unit != TOKENS]
    if not money:
        return {}
    ledger, around = survey.ledger, survey.around
    strays = ledger.cover.uncovered(budget.where for budget in budgets)
    table = survey.costs(money[0].period.zone, money[0].amount.unit)
    first = max(0, len(table.days) - around.now.astimezone(money[0].period.zone).day)
    spent = {index: table.exact_between(index, first, len(table.days)) for index in strays}
    total = sum(spent.values(), Decimal(0))
    by_model: dict[str, Decimal] = {}
    for index, value in spent.items():
        model = ledger.series[index].model
        by_model[model] = by_model.get(model, Decimal(0)) + value
    top = sorted(by_model.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return {
        "uncovered": {money[0].amount.unit: total},
        "uncovered_by": [{"label": "model", "value": model, "spent": value} for model, value in top],
    } if total else {}  # fmt: skip


def uncovered(budgets: Sequence[Budget], survey: Survey) -> Iterator[tuple[str, Event]]:
    """An event, once a calendar month, where there is spend that no budget covers."""
    details, around = stray_spend(budgets, survey), survey.around
    if details:
        key = f"uncovered/{around.now:%Y-%m}"
        identity = event_id(key)
        yield key, Event(
            identity, "unmatched", "information", around.now, reason="spend that no budget covers",
            currency=next(iter(details["uncovered"])), details={"handle": handle_of(identity), **details},
        )  # fmt: skip
