"""An evaluation as its record: every status with what the API says of it, and why thresholds fire or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alertd.core.evaluation.event_builder import committed_details
from alertd.core.evaluation.explain import after_decisions, explain_notes, explain_thresholds
from alertd.core.evaluation.record import StatusRecord
from alertd.core.evaluation.values import Decisions, Facts
from alertd.web.answers import budget_json, worst_first
from alertd.web.wording import event_for


def record_evaluation(facts: Facts, decisions: Decisions, budgets: Iterable[str] | None = None) -> list[StatusRecord]:
    """The records of an evaluation, the worst first; of these budgets only where they are given."""
    after, now = after_decisions(facts, decisions), facts.context.now
    wanted = None if budgets is None else set(budgets)
    found = []
    for rank, position in enumerate(worst_first(decisions.positions)):
        if wanted is not None and position.budget.name not in wanted:
            continue
        event = event_for(position, now)
        shown = {"daily": [[day, spent] for day, spent in position.daily], **committed_details(position)}
        event = replace(event, details=shown)
        found.append(
            StatusRecord(
                name=position.name,
                at=now,
                rank=rank,
                answer=budget_json(position, after.state, now),
                event=event.to_json(),
                price_version=facts.context.tariff.version,
                thresholds=explain_thresholds(after, position),
                notes=explain_notes(after, position),
            )
        )
    return found
