"""The pages for people: read-only, whole without JavaScript, each drawn anew from the view."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alertd.core.budgets import scope_text
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.dates import age
from alertd.core.messages.figures import plural
from alertd.core.messages.spans import clean
from alertd.ports import AlertRow, StoreError
from alertd.web.action_list import actions_page, budget_actions, shown_acts, unanswered
from alertd.web.alert_list import alert_list
from alertd.web.answers import RECENT, STATES, load_state, worst_first
from alertd.web.budget_page import budget_page
from alertd.web.front import chosen, summary, table
from alertd.web.layout import page
from alertd.web.sources import dark_since
from alertd.web.tables import prices_page, sources_page
from alertd.web.view import BudgetStatuses, Lane, View

#: A message is tried again within minutes; one that is older than this does not get through.
_WAITS_LONG: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Pages:
    """The endpoints of people. `guarded` says that one signs in, so that one can sign out."""

    view: View
    guarded: bool

    def routes(self) -> list[Route]:
        return [
            Route("/", self.front),
            Route("/budgets/{name}", self.budget),
            Route("/alerts", self.alerts),
            Route("/actions", self.actions),
            Route("/sources", self.sources),
            Route("/prices", self.prices),
        ]

    def _page(self, title: str, here: str, *content: Content, status: int = 200) -> Response:
        view, now = self.view, self.view.clock.now()
        return page(
            title,
            notices(view, now),
            *content,
            _foot(view.standings(), view.version, now),
            here=here,
            signed_in=self.guarded,
            status=status,
        )

    async def front(self, request: Request) -> Response:
        """Every budget, the worst first."""
        words = request.query_params.get("q", "").strip()[:100]
        state = request.query_params.get("status")
        state = state if state in STATES else None
        positions = worst_first(self.view.standings().positions)
        now = self.view.clock.now()
        found = chosen(positions, state, words)
        shown = await asyncio.to_thread(table, found, now) if found else _nothing(self.view, positions)
        head = element("h1", "Budgets"), summary(positions, state=state, words=words)
        return self._page("Budgets", "/", await self._kept(now), *head, shown)

    async def _kept(self, now: datetime) -> Markup:
        """What the database has to say first: that it does not answer, that acts wait for a person, or messages."""
        try:
            notes, waiting = await load_state(self.view.records), await self.view.records.outbox_depth()
        except StoreError:
            return _no_database("these are the figures of the last round, and nothing new is told")
        return fragment(unanswered(notes), undelivered(waiting, self.view.lanes(), now))

    async def budget(self, request: Request) -> Response:
        """One budget and scope; a budget of many scopes without `?scope=` lists them."""
        name, scope = request.path_params["name"], request.query_params.get("scope")
        of_budget = [p for p in worst_first(self.view.standings().positions) if p.budget.name == name]
        wanted = [p for p in of_budget if scope_text(p.scope) == (scope or "")]
        now = self.view.clock.now()
        if wanted:
            position = wanted[0]
            shown = await self._one_budget(position, now)
            return self._page(clean(f"{name} {scope or ''}", 80), "/", shown)
        if of_budget and not scope:
            shown = await asyncio.to_thread(table, of_budget, now)
            return self._page(clean(name, 80), "/", element("h1", clean(name, 80)), shown)
        said = f"There is no budget {clean(name, 80)}{f' with the scope {clean(scope, 80)}' if scope else ''}."
        back = element("p", element("a", "All budgets", href="/"))
        return self._page("Not found", "/", element("h1", "Not found"), element("p", said), back, status=404)

    async def _one_budget(self, position: BudgetStatus, now: datetime) -> Markup:
        try:
            notes, rows = await load_state(self.view.records), await self.view.records.alerts(position.period.start)
            steps = await self.view.records.audit(shown_acts(notes, position))
        except StoreError:
            return fragment(_no_database(), budget_page(position, State(), (), now))
        own = [row for row in rows if _is_about(row, position)]
        acted = budget_actions(position, self.view.actions(), notes, steps, now)
        return await asyncio.to_thread(budget_page, position, notes, own, now, acted)

    async def alerts(self, request: Request) -> Response:
        """What was announced in the last weeks, about anything."""
        now = self.view.clock.now()
        try:
            rows, notes = await self.view.records.alerts(now - RECENT), await load_state(self.view.records)
        except StoreError:
            return self._page("Alerts", "/alerts", element("h1", "Alerts"), _no_database(), status=503)
        shown = await asyncio.to_thread(
            alert_list, rows, notes, now, empty="Nothing was announced in the last five weeks."
        )
        return self._page("Alerts", "/alerts", element("h1", "Alerts"), shown)

    async def actions(self, request: Request) -> Response:
        """What may be done to keys, and what was, with who, when and why."""
        now = self.view.clock.now()
        try:
            notes = await load_state(self.view.records)
            steps = await self.view.records.audit(shown_acts(notes))
        except StoreError:
            return self._page("Actions", "/actions", element("h1", "Actions"), _no_database(), status=503)
        shown = await asyncio.to_thread(actions_page, self.view.actions(), notes, steps, now)
        return self._page("Actions", "/actions", shown)

    async def sources(self, request: Request) -> Response:
        """Where usage is read, how old it is, how it compares with the bill; notifiers, and the daemon's loops."""
        view = self.view
        try:
            notes = await load_state(view.records)
        except StoreError:
            notes = None
        shown = sources_page(view.standings().sources, view.loops(), view.lanes(), notes, view.clock.now())
        return self._page("Sources", "/sources", shown)

    async def prices(self, request: Request) -> Response:
        """What usage is priced by, and what has no price."""
        view, now = self.view, self.view.clock.now()
        shown = await asyncio.to_thread(prices_page, view.book(), list(view.lines()), view.standings().positions, now)
        return self._page("Prices", "/prices", shown)


def notices(view: View, now: datetime) -> Markup:
    """What everybody must know before any figure."""
    standings = view.standings()
    said: list[Markup] = []
    faults = [element("li", clean(fault)) for fault in view.faults()]
    if faults:
        said.append(
            element("div", "The changed configuration is refused, the old one stays in force:", element("ul", faults),
                    class_="notice over", role="alert")
        )  # fmt: skip
    for source in standings.sources.values():
        dark = dark_since(source, now)
        if dark is not None:
            words = f"Cannot see spend from {source.name} for {age(now - dark)}: its budgets are unknown."
            more = f" {clean(source.error)}" if source.error else ""
            said.append(element("p", element("strong", words), more, class_="notice over", role="alert"))
    stuck = [loop.name for loop in view.loops() if loop.stuck(view.started, now)]
    if stuck:
        words = f"alertd itself is stuck ({', '.join(stuck)}): figures are old and news may be missing. "
        link = element("a", "See Sources", href="/sources")
        said.append(element("p", element("strong", words), link, class_="notice over", role="alert"))
    if any(position.unpriced for position in standings.positions):
        words = "Some usage has no price and counts in no figure: "
        said.append(element("p", words, element("a", "see Prices", href="/prices"), class_="notice risk"))
    if view.dry_run:
        said.append(element("p", "Dry run: everything is evaluated, nothing is sent or done.", class_="notice"))
    return fragment(said)


def _nothing(view: View, positions: Sequence[BudgetStatus]) -> Markup:
    if positions:
        return element("p", "No budget fits. ", element("a", "Show all", href="/"), class_="quiet")
    if view.standings().evaluated_at is None:
        return element("p", "Nothing was evaluated yet: alertd is reading its sources for the first time. ",
                       element("a", "How far they are", href="/sources"))  # fmt: skip
    return element(
        "p", "No budget is configured (ALERTD_BUDGETS__NAME__AMOUNT), or no usage was seen yet by what PER names."
    )


def _no_database(so: str = "what was announced cannot be shown") -> Markup:
    return element("p", f"The database does not answer: {so}; see the log.", class_="notice over", role="alert")


def undelivered(
    waiting: Mapping[str, tuple[int, datetime | None]], lanes: Sequence[Lane], now: datetime
) -> Markup | None:
    """Notifiers that fail and whose oldest message waits for too long; what quiet hours hold back is no fault."""
    errors = {lane.notifier: clean(lane.last_error) for lane in lanes if lane.last_error}
    said = [
        f"{plural(count, 'message')} for {name}, the first for {age(now - oldest)}: {errors[name]}"
        for name, (count, oldest) in sorted(waiting.items())
        if name in errors and oldest is not None and now - oldest > _WAITS_LONG
    ]
    if not said:
        return None
    link = element("a", "See Sources", href="/sources")
    strong = element("strong", "Not delivered: ")
    return element("p", strong, "; ".join(said), ". ", link, class_="notice over", role="alert")


def _foot(standings: BudgetStatuses, version: str, now: datetime) -> Markup:
    at = standings.evaluated_at
    evaluated = "not evaluated yet" if at is None else f"evaluated {age(now - at)} ago"
    stamp = element("time", f"{now:%d %b %Y %H:%M} UTC", datetime=now.isoformat(timespec="seconds"))
    return element("footer", "As of ", stamp, f", {evaluated} · alertd {version}",
                   element("span", id="live", role="status"))  # fmt: skip


def _is_about(row: AlertRow, position: BudgetStatus) -> bool:
    return (row.event.budget, row.event.scope) == (position.budget.name, position.scope)
