"""The probes, the metrics and the JSON API: each endpoint reads the view and answers. None of them changes anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alertd.core.actions.state_machine import STATES as ACT_STATES
from alertd.core.evaluation.state import State
from alertd.ports import StoreError
from alertd.web.acts import actions_json, event_of_act, newest_first
from alertd.web.allowance import Allowance
from alertd.web.answers import RECENT, STATES, alerts_json, budget_json, instant_text, load_state, worst_first
from alertd.web.metrics import registry_of
from alertd.web.notices import sources_json
from alertd.web.openapi import DOCUMENT
from alertd.web.problems import problem
from alertd.web.view import Snapshot, View

#: A database that takes longer for one row is not writable.
_PATIENCE: Final = 3.0
_MOST_ALERTS: Final = 1000


class BadRequestError(ValueError):
    """A query that cannot be answered, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Api:
    """The endpoints of machines."""

    view: View
    allowance: Allowance

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/v1/budgets", self.budgets),
            Route("/api/v1/alerts", self.alerts),
            Route("/api/v1/actions", self.actions),
            Route("/api/v1/sources", self.sources),
            Route("/api/v1/allowance/denials", self.denials),
            Route("/openapi.json", self.openapi),
        ]

    async def healthz(self, request: Request) -> Response:
        """Whether every loop still ends its rounds. A provider's outage ends a round too."""
        now = self.view.clock.now()
        stuck = sorted(loop.name for loop in self.view.loops() if loop.stuck(self.view.started, now))
        if stuck:
            return JSONResponse({"status": "stuck", "loops": stuck}, 503)
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether the database takes writes; the configuration is loaded where this runs."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.view.records.writable()
        except (StoreError, TimeoutError):
            return JSONResponse({"status": "unready", "reason": "the database takes no writes; see the log"}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        snapshot = await take_snapshot(self.view)
        wants_open = "application/openmetrics-text" in request.headers.get("accept", "")
        generate, kind = (
            (openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST)
            if wants_open
            else (generate_latest, CONTENT_TYPE_LATEST)
        )
        return Response(await asyncio.to_thread(generate, registry_of(snapshot)), media_type=kind)

    async def budgets(self, request: Request) -> Response:
        """The status of every budget, the worst first; `?budget=` and `?status=` filter."""
        name, status = request.query_params.get("budget"), request.query_params.get("status")
        if status is not None and status not in STATES:
            return _refused(f"status: one of {', '.join(STATES)}")
        standings, now = self.view.standings(), self.view.clock.now()
        wanted = [
            position
            for position in worst_first(standings.statuses)
            if name in (None, position.budget.name) and status in (None, position.status)
        ]
        try:
            notes = await load_state(self.view.records)
        except StoreError:
            notes = State()
        found = await asyncio.to_thread(lambda: [budget_json(position, notes, now) for position in wanted])
        return JSONResponse({"version": 1, "evaluated_at": instant_text(standings.evaluated_at), "budgets": found})

    async def alerts(self, request: Request) -> Response:
        """What was announced, the newest first; `?since=`, `?budget=` and `?limit=` narrow it."""
        query = request.query_params
        try:
            since = _instant(query.get("since")) or self.view.clock.now() - RECENT
            limit = _count(query.get("limit"), _MOST_ALERTS)
        except BadRequestError as error:
            return _refused(str(error))
        try:
            rows, notes = await self.view.records.alerts(since), await load_state(self.view.records)
        except StoreError:
            return _no_database()
        name = query.get("budget")
        found = alerts_json([row for row in rows if name in (None, row.event.budget)], notes, limit)
        return JSONResponse({"version": 1, "alerts": found})

    async def actions(self, request: Request) -> Response:
        """What was done to keys, or proposed, with its audit; `?budget=`, `?state=` and `?limit=` narrow it."""
        query, state = request.query_params, request.query_params.get("state")
        if state is not None and state not in ACT_STATES:
            return _refused(f"state: one of {', '.join(ACT_STATES)}")
        try:
            limit = _count(query.get("limit"), _MOST_ALERTS)
        except BadRequestError as error:
            return _refused(str(error))
        try:
            notes = await load_state(self.view.records)
            wanted = [act for act in newest_first(notes) if state in (None, act.state)]
            name = query.get("budget")
            found = [act for act in wanted if name in (None, event_of_act(act).budget)][:limit]
            steps = await self.view.records.audit([act.id for act in found])
        except StoreError:
            return _no_database()
        return JSONResponse(actions_json(found, steps, notes, self.view.actions()))

    async def sources(self, request: Request) -> Response:
        """How fresh what is known of each source is, and how the estimate compares with the bill."""
        try:
            notes = await load_state(self.view.records)
        except StoreError:
            return _no_database()
        return JSONResponse(sources_json(self.view.standings(), notes, self.view.clock.now()))

    async def denials(self, request: Request) -> Response:
        """To whom the allowance said no since the start, and why."""
        return JSONResponse(self.allowance.denials(self.view.started))

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(DOCUMENT)


async def take_snapshot(view: View) -> Snapshot:
    """What one scrape, or one push of metrics, shows."""
    try:
        async with asyncio.timeout(_PATIENCE):
            outbox, notes = await view.records.outbox_depth(), await load_state(view.records)
    except (StoreError, TimeoutError):
        outbox, notes = None, None
    return Snapshot(
        now=view.clock.now(),
        version=view.version,
        started=view.started,
        standings=view.standings(),
        loops=view.loops(),
        delivery_stats=view.delivery_stats(),
        actions=view.actions(),
        outbox=outbox,
        notes=notes,
        book_version=view.book().version,
        refused=bool(view.faults()),
        dry_run=view.dry_run,
        allowance=view.allowance,
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequestError("since: an instant such as 2026-11-01T00:00:00Z") from error


def _count(text: str | None, most: int) -> int:
    if text is None:
        return most
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise BadRequestError(f"limit: a whole number from 1 to {most}")
    return int(text[:9])


def _no_database() -> Response:
    return problem(503, "the database does not answer; see the log")


def _refused(said: str) -> Response:
    return problem(400, said)
