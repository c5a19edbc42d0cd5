"""Tables as CSV files: budgets, alerts, and whatever a page lists. No cell is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from starlette.responses import Response

from alertd.core.budgets import scope_text
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.formats.table import spreadsheet_cell
from alertd.core.messages import compose, text_of
from alertd.ports import AlertRow
from alertd.web.answers import alert_state, decimal_text, instant_text, lifecycle_of
from alertd.web.front_index import owner_of
from alertd.web.parts import chance_of, quantile


def budget_rows(statuses: Sequence[BudgetStatus]) -> list[dict[str, object]]:
    """A row a budget and scope; empty where something is not known."""
    return [
        {
            "budget": one.budget.name,
            "scope": scope_text(one.scope),
            "owner": owner_of(one),
            "period_start": instant_text(one.period.start),
            "period_end": instant_text(one.period.end),
            "status": one.status,
            "spent": decimal_text(one.spent) if one.seen else "",
            "amount": decimal_text(one.amount.value),
            "unit": one.amount.unit,
            "likely_low": decimal_text(quantile(one, 0.1)) or "",
            "likely": decimal_text(quantile(one, 0.5)) or "",
            "likely_high": decimal_text(quantile(one, 0.9)) or "",
            "probability_over": "" if (chance := chance_of(one)) is None else chance,
            "data_until": instant_text(one.data_until) or "",
        }
        for one in statuses
    ]


def csv_answer(name: str, rows: Sequence[Mapping[str, object]]) -> Response:
    """Rows as a CSV file; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: spreadsheet_cell(value) if isinstance(value, str) else value for key, value in row.items()}
            for row in rows
        )
    return Response(
        text.getvalue(), media_type="text/csv", headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def alert_row_of(rows: Sequence[AlertRow], notes: State) -> dict[str, object]:
    """The row of one alert."""
    event, life = rows[0].event, lifecycle_of(rows[0], notes)
    last = None if life is None else life.history[-1]
    return {
        "at": instant_text(rows[0].at),
        "id": event.id,
        "kind": event.kind,
        "severity": event.severity,
        "budget": event.budget,
        "scope": scope_text(event.scope),
        "threshold": event.threshold,
        "state": alert_state(rows[0], notes),
        "state_by": "" if last is None else last.by,
        "state_since": "" if last is None else instant_text(last.at),
        "headline": text_of(compose([event], rows[0].at).headline),
        "reason": event.reason,
    }
