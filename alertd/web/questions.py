"""Questions about one budget: why did it alert, what if, what would have come; and what programs proposed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alertd.core.budgets import Amount, Budget, parse_threshold
from alertd.core.evaluation.replay import ReplayAlert, replay, tried
from alertd.core.evaluation.state import PROPOSALS, STORED_BUDGETS, StatusRecord
from alertd.core.evaluation.thresholds import evaluate_status
from alertd.core.evaluation.values import BudgetStatus, Facts
from alertd.core.usage import Usage
from alertd.operations.proposals import proposal_text, state_of
from alertd.operations.stored_budgets import tag_of
from alertd.ports import StoreError
from alertd.web.answers import decimal_text, instant_text, load_state, record_evaluation, worst_first
from alertd.web.problems import problem
from alertd.web.view import View

#: Scopes of one budget that are explained or tried, the worst first.
_MOST_SCOPES: Final = 20
_DEFAULT_DAYS: Final = 60
_MOST_DAYS: Final = 120
#: More rows take longer than somebody waits: `alertd replay` reads a file of any size.
_MOST_ROWS: Final = 20_000
_MOST_ALERTS: Final = 200


@dataclass(frozen=True, slots=True)
class Questions:
    """The endpoints, over what the daemon knows at the moment."""

    view: View

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/stored-budgets", self.stored_budgets),
            Route("/api/v1/proposals", self.proposals),
            Route("/api/v1/budgets/{name}/explain", self.explain),
            Route("/api/v1/budgets/{name}/what-if", self.what_if),
            Route("/api/v1/budgets/{name}/replay", self.replay),
        ]

    async def stored_budgets(self, request: Request) -> Response:
        """The budgets in the database, by name, and the names of the others."""
        try:
            stored = dict(STORED_BUDGETS.items(await load_state(self.view.records)))
        except StoreError:
            return problem(503, "the database does not answer; see the log")
        listed = [
            {"name": name, "settings": one.settings, "by": one.by, "at": instant_text(one.at), "tag": tag_of(one)}
            for name, one in sorted(stored.items())
        ]
        configured = sorted(self.view.configured())
        return JSONResponse({"version": 1, "budgets": listed, "configured": configured})

    async def proposals(self, request: Request) -> Response:
        """What programs asked for, the newest first."""
        try:
            state = await load_state(self.view.records)
        except StoreError:
            return problem(503, "the database does not answer; see the log")
        now = self.view.clock.now()
        found = sorted((one for _, one in PROPOSALS.items(state)), key=lambda one: one.at, reverse=True)
        listed = [
            {
                "id": one.id,
                "what": one.what,
                "said": proposal_text(one),
                "reason": one.reason,
                "by": one.by,
                "at": instant_text(one.at),
                "expires": instant_text(one.expires),
                "state": state_of(one, now),
                "answered_by": one.answered_by,
                "answered_at": instant_text(one.answered_at),
                "outcome": one.said,
            }
            for one in found
        ]
        return JSONResponse({"version": 1, "proposals": listed})

    async def explain(self, request: Request) -> Response:
        """Why each threshold fires or does not, as `alertd explain` says it."""
        budget, evaluated = self._budget(request), self.view.evaluation()
        if budget is None:
            return _no_budget()
        if evaluated is None:
            return problem(503, "nothing was evaluated yet")
        facts, decisions = evaluated
        worst = [one for one in worst_first(decisions.statuses) if one.budget.name == budget.name][:_MOST_SCOPES]
        records = record_evaluation(facts, decisions, {one.name for one in worst})
        return JSONResponse({"version": 1, "explanations": [_explained(one) for one in records]})

    async def what_if(self, request: Request) -> Response:
        """The status of each scope with another amount."""
        budget = self._budget(request)
        if budget is None:
            return _no_budget()
        try:
            wanted = Amount.parse(request.query_params.get("amount", ""), budget.amount.unit)
        except ValueError as error:
            return problem(400, f"amount: {error}")
        now = self.view.clock.now()
        statuses = [one for one in worst_first(self.view.standings().statuses) if one.budget.name == budget.name]
        return JSONResponse(
            {
                "version": 1,
                "amount": decimal_text(wanted.value),
                "currency": wanted.unit,
                "scopes": [_tried(one, wanted, now) for one in statuses[:_MOST_SCOPES]],
            }
        )

    async def replay(self, request: Request) -> Response:
        """Which alerts the last days would have brought, by the ledger's daily sums."""
        budget, evaluated, query = self._budget(request), self.view.evaluation(), request.query_params
        if budget is None:
            return _no_budget()
        if evaluated is None:
            return problem(503, "nothing was evaluated yet")
        days = query.get("days", str(_DEFAULT_DAYS))
        if not (days.isascii() and days.isdigit() and len(days) <= 4 and 2 <= int(days) <= _MOST_DAYS):  # noqa: PLR2004 - two steps
            return problem(400, f"days: a whole number from 2 to {_MOST_DAYS}")
        try:
            of_rule = (budget,) if "threshold" not in query else tried((budget,), parse_threshold(query["threshold"]))
        except ValueError as error:
            return problem(400, f"threshold: {error}")
        facts, _ = evaluated
        usage = _usage_of(facts, budget, int(days))
        if len(usage) > _MOST_ROWS:
            return problem(400, f"more than {_MOST_ROWS:,} daily rows; give fewer days, or use alertd replay on a file")
        context = facts.context
        book = self.view.book()
        found = await asyncio.to_thread(replay, usage, of_rule, book, context.exchange)
        return JSONResponse(
            {
                "version": 1,
                "budget": budget.name,
                "days": int(days),
                "thresholds": [str(one) for one in of_rule[0].thresholds],
                "alerts": [_replayed(one) for one in found.alerts[-_MOST_ALERTS:]],
                "summary": found.summary(),
            }
        )

    def _budget(self, request: Request) -> Budget | None:
        name = request.path_params["name"]
        return next((one for one in self.view.budgets() if one.name == name), None)


def _no_budget() -> Response:
    return problem(404, "no such budget; /api/v1/budgets lists them")


def _explained(record: StatusRecord) -> dict[str, Any]:
    answer = record.answer
    return {
        **{name: answer[name] for name in ("budget", "scope", "status", "flags", "spent", "amount", "currency")},
        "evaluated_at": instant_text(record.at),
        "thresholds": [
            {
                "threshold": one.threshold,
                "fires": bool(one.firing),
                "because": one.because,
                "held": list(one.held),
                "announced": instant_text(one.announced_at),
            }
            for one in record.thresholds
        ],
        "notes": list(record.notes),
    }


def _tried(status: BudgetStatus, wanted: Amount, now: datetime) -> dict[str, Any]:
    """A status with another amount; the rates of its burn windows are against that amount."""
    share = float(status.amount.value / wanted.value) if wanted.value else 0.0
    burns = {window: replace(burn, factor=burn.factor * share) for window, burn in status.burns.items()}
    other = replace(status, amount=wanted, burns=burns)
    projection = status.projection
    exhausted = None if projection is None else projection.exhausted_at(float(wanted.value))
    return {
        "scope": dict(status.scope),
        "status": evaluate_status(other, now)[0],
        "spent": decimal_text(status.spent),
        "probability_over": None if projection is None else round(projection.probability_over(float(wanted.value)), 4),
        "exhausted_at": None if exhausted is None else instant_text(exhausted.likely),
        "fires_below": None if projection is None else decimal_text(Decimal(f"{projection.fires_below():.2f}")),
    }


def _usage_of(facts: Facts, budget: Budget, days: int) -> list[Usage]:
    """The daily sums of the ledger that a budget covers, in its own days; up to `_MOST_ROWS` and one more."""
    zone, ledger = budget.period.zone, facts.ledger
    today = facts.context.now.astimezone(zone).date()
    dates = [today - timedelta(days=back) for back in range(days, -2, -1)]
    borders = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in dates]
    covered = [(index, row) for index, row in enumerate(ledger.series)
               if not row.billed and budget.where.matches(row.all_labels())]  # fmt: skip
    found: list[Usage] = []
    for begin, end in pairwise(borders):
        sums = ledger.between(begin.timestamp(), end.timestamp())
        known_at = min(end, facts.context.now)
        found += [
            Usage(row.line, begin, known_at, int(sums[index]), row.labels)
            for index, row in covered
            if index < len(sums) and sums[index]
        ]
        if len(found) > _MOST_ROWS:
            break
    return found


def _replayed(alert: ReplayAlert) -> dict[str, Any]:
    return {
        "at": instant_text(alert.at),
        "scope": dict(alert.scope),
        "period": alert.period,
        "threshold": alert.threshold,
        "spent": decimal_text(alert.spent),
        "projected": decimal_text(alert.projected),
    }
