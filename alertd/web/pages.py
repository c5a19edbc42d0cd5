"""The pages for people: each is drawn anew from the view, whole without JavaScript; its forms are in `writes`."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alertd.core.budgets import TOKENS, scope_text
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.breakdown import PastPeriod, spent_by_model
from alertd.core.evaluation.state import STORED_BUDGETS, State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import clock_time, day, place
from alertd.core.messages.rich_text import clean
from alertd.ports import AlertRow, StoreError
from alertd.web.access import own_path, person_of
from alertd.web.action_pages import action_page, actions_page, audited, budget_actions
from alertd.web.acts import is_about, newest_first
from alertd.web.alert_pages import Deliveries, alert_page, alerts_page, deliveries, found_alert, wanted_alerts
from alertd.web.answers import RECENT, load_state, worst_first
from alertd.web.asks import asked_actions, count_open, needs_answer, open_alerts, waiting_actions
from alertd.web.budget_page import budget_page
from alertd.web.csv_answers import alert_row_of, budget_rows, csv_answer
from alertd.web.front_index import Index, Query, Total
from alertd.web.front_page import budget_table, changes, period_head, tiles, total_chart, tree_table
from alertd.web.layout import ASSETS, DISPLAY, PageFrame, page
from alertd.web.notices import empty, no_data_since, no_database, notices, undelivered
from alertd.web.parts import Reader
from alertd.web.prices_page import price_rows, prices_page
from alertd.web.problems import problem, unknown_path
from alertd.web.settings_page import InForce, TypedBudget, budget_form, settings_page
from alertd.web.sources_page import feeds_of, health_page, sources_page
from alertd.web.usage_section import UsageQuery
from alertd.web.view import View
from alertd.web.writes import BUDGET_FORM

#: The cookie that holds how a browser wants the pages.
_DISPLAY: Final = "alertd_display"
_THEMES: Final = ("light", "dark")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z0-9_+-]{1,30}){0,2}")
_YEAR: Final = timedelta(days=365)
#: A message is written a moment before its alert counts as announced.
_BEFORE: Final = timedelta(minutes=1)
#: With more series than these a page does not work out what models cost.
_MOST_COSTED: Final = 20_000
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database says for one page: the notes, and what waits to be delivered; None where it does not answer."""

    notes: State | None
    waiting: Mapping[str, tuple[int, datetime | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Pages:
    """The endpoints of people. `guarded` says that one signs in, so that one can sign out."""

    view: View
    guarded: bool
    _index: Index | None = None

    def routes(self) -> list[Route]:
        return [
            Route("/", self._cached(self.front)),
            Route("/budgets.csv", self.budgets_csv),
            Route("/budgets/{name}/usage.csv", self.usage_csv),
            Route("/budgets/{name}", self._cached(self.budget)),
            Route("/alerts", self._cached(self.alerts)),
            Route("/alerts.csv", self.alerts_csv),
            Route("/alerts/{id}", self.alert),
            Route("/actions", self._cached(self.actions)),
            Route("/actions/{id}", self.action),
            Route("/sources", self.sources),
            Route("/prices", self.prices),
            Route("/prices.csv", self.prices_csv),
            Route("/settings", self.settings),
            Route(BUDGET_FORM, self.budget_form),
            Route("/health", self.health),
            Route(DISPLAY, self.display),
            Route("/assets/{version}/{name}", self.asset),
        ]

    # --- what every page has ---

    async def asset(self, request: Request) -> Response:
        """The style sheet and the script; their addresses change with their content."""
        found = ASSETS.get(request.scope["path"])
        if found is None:
            return Response("no such file", 404, media_type="text/plain")
        content, kind = found
        return Response(content, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})

    def _cached(self, draw: Callable[[Request, Kept, Reader], Awaitable[Response]]) -> Any:
        """A page that is drawn only where something has changed since the browser saw it."""

        async def answered(request: Request) -> Response:
            kept, reader = await self._kept(), self._reader(request)
            tag = self._tag(request, kept, reader)
            headers = {"etag": tag, "cache-control": "private, no-cache"}
            if kept.notes is not None and tag in request.headers.get("if-none-match", ""):
                return Response(None, 304, headers)
            response = await draw(request, kept, reader)
            if response.status_code == 200 and kept.notes is not None:  # noqa: PLR2004
                response.headers.update(headers)
            return response

        return answered

    def _tag(self, request: Request, kept: Kept, reader: Reader) -> str:
        """What the page is drawn from: the evaluation, every record, what waits, who looks, at what address."""
        view, notes = self.view, kept.notes or State()
        drawn = (
            view.version, view.standings().evaluated_at, sorted(notes.revisions.items()), sorted(kept.waiting.items()),
            reader.person, reader.back, reader.theme, str(reader.zone), request.headers.get("host", ""), view.faults(),
            [one.last_error for one in view.delivery_stats()],
            [loop.stuck(view.started, reader.now) for loop in view.loops()],
        )  # fmt: skip
        return f'W/"{hashlib.sha256(repr(drawn).encode()).hexdigest()[:20]}"'

    async def _kept(self) -> Kept:
        try:
            return Kept(await load_state(self.view.records), await self.view.records.outbox_depth())
        except StoreError:
            return Kept(None)

    def _reader(self, request: Request) -> Reader:
        query = request.scope["query_string"].decode("latin-1")
        kept = "&".join(part for part in query.split("&") if part and not part.startswith("done="))
        back = f"{request.scope['path']}?{kept}" if kept else str(request.scope["path"])
        can = self.view.operations is not None
        theme, zone = _display_of(request, self.view.zone)
        return Reader(person_of(request), self.view.clock.now(), zone, back, can, theme, tuple(self.view.actions()))

    async def display(self, request: Request) -> Response:
        """Remember in a cookie of this browser in which colours and zone it wants the pages; then back to the page."""
        theme, zone = _display_of(request, self.view.zone)
        query = request.query_params
        if (wanted := query.get("theme")) is not None:
            theme = wanted if wanted in _THEMES else ""
        chosen = _zone_of(query.get("zone", "")) or zone
        response = RedirectResponse(own_path(query.get("back", "/")), 303)
        response.set_cookie(
            _DISPLAY, f"{theme}.{chosen}", max_age=int(_YEAR.total_seconds()), path="/", httponly=True, samesite="lax"
        )
        return response

    def _page(
        self, title: str, here: str, request: Request, kept: Kept, *content: Content, status: int = 200
    ) -> Response:
        view, reader = self.view, self._reader(request)
        standings, notes = view.standings(), kept.notes
        seen = max((one.until for one in standings.sources.values() if one.until is not None), default=None)
        zone, at = reader.zone, standings.evaluated_at
        today = day(reader.now, zone)
        state = f"Data to {clock_time(seen, zone, reader.now)} · {today} · {place(str(zone))}" if seen else ""
        from_data = f" from data to {clock_time(seen, zone, reader.now)}" if seen else ""
        evaluated = "Not evaluated yet." if at is None else f"Evaluated {clock_time(at, zone, reader.now)}{from_data}."
        frame = PageFrame(
            here=here,
            state=state,
            is_late=any(no_data_since(one, reader.now) is not None for one in standings.sources.values()),
            foot=f"{evaluated} {today}. All times {zone}.",
            theme=reader.theme,
            zone=str(zone),
            own_zone=str(view.zone),
            back=reader.back,
            version=view.version,
            person=reader.person.name,
            role=reader.person.role,
            can_sign_out=self.guarded,
            counts=self._counts(notes),
            notices=fragment(
                None if notes is not None else no_database(),
                notices(view, reader.now),
                undelivered(kept.waiting, view.delivery_stats(), reader.now),
            ),
            done=request.query_params.get("done", ""),
            command_options=view.command_options(),
        )
        return page(title, frame, *content, status=status)

    def _counts(self, notes: State | None) -> Mapping[str, tuple[int, str, str]]:
        standings, now = self.view.standings(), self.view.clock.now()
        stale = sum(no_data_since(one, now) is not None for one in standings.sources.values())
        found = {"/sources": (stale, "stale", "warm"), "/prices": (self._current().unpriced, "without a price", "warm")}
        if notes is not None:
            found["/alerts"] = (count_open(notes), "open", "hot")
            found["/actions"] = (len(waiting_actions(notes)), "waiting", "hot")
        return found

    def refused(self, request: Request, status: int, said: str) -> Response:
        """Why a form was refused, with the way back."""
        host = request.headers.get("host", "\0")
        back = own_path(request.headers.get("referer", "").partition(host)[2])
        if request.scope["path"] == BUDGET_FORM and status != 503:  # noqa: PLR2004 - then nothing can be stored
            typed = TypedBudget.of_form(getattr(request.state, "fields", {}), said)
            return self._budget_form(typed, request, Kept(State()), status)
        link = element("p", element("a", "Go back", href=back, class_="btn"))
        content = element("h1", "Nothing was changed"), element("p", said), link
        return self._page("Not done", "", request, Kept(State()), *content, status=status)

    def _not_found(self, request: Request, kept: Kept, said: str) -> Response:
        back = element("p", element("a", "All budgets", href="/", class_="btn"))
        return self._page(
            "Not found", "", request, kept, element("h1", "Not found"), element("p", said), back, status=404
        )

    async def unknown(self, request: Request, error: Exception) -> Response:
        """The answer to a path that does not exist: a page for a browser, a problem for a program."""
        is_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
        if is_page and not request.scope["path"].startswith("/api/"):
            return self._not_found(request, await self._kept(), "There is no such page.")
        return unknown_path(request, error)

    # --- budgets ---

    def _current(self) -> Index:
        statuses = self.view.standings().statuses
        if self._index is None or self._index.statuses is not statuses:
            self._index = Index(statuses)
        return self._index

    async def front(self, request: Request, kept: Kept, reader: Reader) -> Response:
        """Key figures, what needs an answer, the total, every budget, the worst first."""
        index, query = self._current(), Query.of(request.query_params)
        asks = None
        if kept.notes is not None:
            try:
                rows = await self.view.records.alerts(reader.now - RECENT)
                asks = needs_answer(open_alerts(rows, kept.notes), waiting_actions(kept.notes), reader)
            except StoreError:
                asks = no_database()
        if not index.statuses:
            return self._page("Budgets", "/", request, kept, element("h1", "Budgets"), asks,
                              empty(self.view, can_add=reader.may("editor")))  # fmt: skip

        def drawn() -> Markup:
            total = index.total
            before = last_period(self.view, total)
            chart, changed = total_chart(total, reader.now, before), changes(total)
            beside = element("div", chart, changed, class_="cols") if chart and changed else fragment(chart, changed)
            table = budget_table(index, query, reader)
            tree = None if query.words or query.status else tree_table(index.statuses)
            return fragment(tiles(index, total, reader.now), asks, beside, table, tree)

        head = element("div", element("h1", "Budgets"), period_head(index.total, reader.now), class_="head")
        return self._page("Budgets", "/", request, kept, head, await asyncio.to_thread(drawn))

    async def budgets_csv(self, request: Request) -> Response:
        """Every budget as a CSV file, the worst first; empty where it is not known."""
        rows = await asyncio.to_thread(budget_rows, worst_first(self.view.standings().statuses))
        return csv_answer("budgets.csv", rows)

    async def budget(self, request: Request, kept: Kept, reader: Reader) -> Response:
        """One budget and scope; a budget of many scopes without `?scope=` lists them."""
        name, scope = request.path_params["name"], request.query_params.get("scope")
        of_budget = [p for p in self.view.standings().statuses if p.budget.name == name]
        wanted = [p for p in of_budget if scope_text(p.scope) == (scope or "")]
        title = clean(f"{name} {scope or ''}".strip(), 80)
        if wanted:
            shown = await self._one_budget(request, wanted[0], kept, reader)
            return self._page(title, "/", request, kept, shown)
        if of_budget and not scope:
            index, query = Index(of_budget), Query.of(request.query_params)
            path = request.scope["path"]
            shown = await asyncio.to_thread(budget_table, index, query, reader, path=path)
            return self._page(title, "/", request, kept, element("h1", title), shown)
        said = f"There is no budget {clean(name, 80)}{f' with the scope {clean(scope, 80)}' if scope else ''}."
        return self._not_found(request, kept, said)

    async def _one_budget(self, request: Request, position: BudgetStatus, kept: Kept, reader: Reader) -> Markup:
        rows: list[AlertRow] = []
        if kept.notes is not None:
            try:
                rows = await self.view.records.alerts(position.period.start)
            except StoreError:
                return fragment(no_database(), budget_page(position, State(), (), reader))
        own = [row for row in rows if _is_about(row, position)]
        sent = await self._sent(min(row.at for row in own), reader.now) if own else {}
        notes = kept.notes or State()
        acted = budget_actions(position, self.view.actions(), notes, reader)
        usage, query = self.view.usage(position), UsageQuery.of(request.query_params)
        parts = tree_table(self.view.standings().statuses, (position.budget.name, position.scope))
        stored = STORED_BUDGETS.get(notes, position.budget.name) is not None
        waiting = [act for act in waiting_actions(notes) if is_about(act, position)]
        asked = asked_actions(waiting, reader) if waiting else None
        return await asyncio.to_thread(
            budget_page,
            position,
            notes,
            own,
            reader,
            acted=acted,
            asked=asked,
            sent=sent,
            usage=usage,
            query=query,
            parts=parts,
            stored=stored,
        )

    async def usage_csv(self, request: Request) -> Response:
        """What one scope spent by day and label, as CSV: every value, every digit."""
        name, query = request.path_params["name"], request.query_params
        found = [one for one in self.view.standings().statuses if one.budget.name == name]
        position = next((one for one in found if scope_text(one.scope) == query.get("scope", "")), None)
        usage = None if position is None else self.view.usage(position)
        if position is None or usage is None:
            return problem(404, "there is no such budget or scope")
        asked, label = UsageQuery.of(query), query.get("by", "key")[:60]
        narrowed = usage.only(asked.labels) if asked.labels else usage
        split = await asyncio.to_thread(narrowed.by, "key" if label == "day" else label, day=asked.day)
        rows = [
            {"date": one.isoformat(), split.label: part.value, "spent": f"{part.daily[place]:.9g}",
             "unit": position.amount.unit}
            for part in split.parts for place, one in enumerate(split.days) if part.daily[place]
        ]  # fmt: skip
        return csv_answer("usage.csv", rows)

    # --- alerts and actions ---

    async def alerts(self, request: Request, kept: Kept, reader: Reader) -> Response:
        """What was announced in the last weeks, about anything."""
        head = element("h1", "Alerts")
        if kept.notes is None:
            return self._page("Alerts", "/alerts", request, kept, head, status=503)
        try:
            rows = await self.view.records.alerts(reader.now - RECENT)
        except StoreError:
            return self._page("Alerts", "/alerts", request, Kept(None), head, status=503)
        found = wanted_alerts(rows, kept.notes, request.query_params)
        sent = await self._sent(found.since, reader.now) if found.since else {}
        shown = await asyncio.to_thread(alerts_page, found, kept.notes, sent, reader)
        return self._page("Alerts", "/alerts", request, kept, shown)

    async def _sent(self, begin: datetime, end: datetime) -> Deliveries | None:
        """What became of the messages between two instants; None where the database does not answer."""
        try:
            return deliveries(await self.view.records.messages(begin - _BEFORE, end))
        except StoreError:
            return None

    async def alerts_csv(self, request: Request) -> Response:
        """What the page of alerts lists, every one, with the same filters."""
        try:
            notes = await load_state(self.view.records)
            rows = await self.view.records.alerts(self.view.clock.now() - RECENT)
        except StoreError:
            return problem(503, "the database does not answer")
        found = wanted_alerts(rows, notes, {"show": "all", **request.query_params})
        return csv_answer("alerts.csv", [alert_row_of(group, notes) for group in found.groups])

    async def alert(self, request: Request) -> Response:
        """One alert, by its id or handle: where the links in messages lead."""
        wanted, kept, reader = request.path_params["id"], await self._kept(), self._reader(request)
        if kept.notes is None:
            return self._page("Alert", "/alerts", request, kept, element("h1", "Alert"), status=503)
        try:
            rows = found_alert(await self.view.records.alerts(reader.now - RECENT), wanted)
            rows = rows or found_alert(await self.view.records.alerts(_NEVER), wanted)
        except StoreError:
            return self._page("Alert", "/alerts", request, Kept(None), element("h1", "Alert"), status=503)
        if not rows:
            return self._not_found(request, kept, f"There is no alert {clean(wanted, 40)}.")
        sent = await self._sent(min(row.at for row in rows), reader.now)
        return self._page("Alert", "/alerts", request, kept, alert_page(rows, kept.notes, sent, reader))

    async def actions(self, request: Request, kept: Kept, reader: Reader) -> Response:
        """What may be done to keys, and what was."""
        if kept.notes is None:
            return self._page("Actions", "/actions", request, kept, element("h1", "Actions"), status=503)
        shown = await asyncio.to_thread(actions_page, self.view.actions(), kept.notes, reader)
        return self._page("Actions", "/actions", request, kept, shown)

    async def action(self, request: Request) -> Response:
        """One action, by its id or handle, with who, when and on what evidence."""
        wanted, kept, reader = request.path_params["id"], await self._kept(), self._reader(request)
        if kept.notes is None:
            return self._page("Action", "/actions", request, kept, element("h1", "Action"), status=503)
        try:
            steps = await self.view.records.audit(
                [act.id for act in newest_first(kept.notes) if act.id.startswith(wanted)]
            )
        except StoreError:
            return self._page("Action", "/actions", request, Kept(None), element("h1", "Action"), status=503)
        act, own = audited(kept.notes, steps, wanted)
        if act is None:
            return self._not_found(request, kept, f"There is no action {clean(wanted, 40)}.")
        policy = next((one for one in self.view.actions() if one.name == act.action), None)
        position = next((one for one in self.view.standings().statuses if one.name == act.position), None)
        usage = None if position is None else self.view.usage(position)
        shown = await asyncio.to_thread(action_page, act, policy, own, position, reader, usage=usage)
        return self._page("Action", "/actions", request, kept, shown)

    # --- what the figures rest on ---

    async def sources(self, request: Request) -> Response:
        """Where usage is read, how old it is, how it compares with the bill; and notifiers."""
        view, kept, reader = self.view, await self._kept(), self._reader(request)
        standings, evaluated = view.standings(), view.evaluation()
        facts = None if evaluated is None else evaluated[0]
        feeds = await asyncio.to_thread(feeds_of, facts, standings.statuses)
        shown = sources_page(standings.sources, feeds, kept.notes, reader)
        return self._page("Sources", "/sources", request, kept, shown)

    async def prices(self, request: Request) -> Response:
        """What usage is priced by, and what has no price."""
        view, kept, now = self.view, await self._kept(), self.view.clock.now()
        statuses, total = view.standings().statuses, self._current().total
        unit = "USD" if total is None or total.unit == TOKENS else total.unit
        evaluated = view.evaluation()
        spent = None
        if evaluated is not None and len(evaluated[0].ledger.series) <= _MOST_COSTED:
            spent = await asyncio.to_thread(spent_by_model, evaluated[0], self.view.zone, unit)
        shown = await asyncio.to_thread(prices_page, view.book(), list(view.lines()), statuses, now, (spent, unit))
        return self._page("Prices", "/prices", request, kept, shown)

    async def prices_csv(self, request: Request) -> Response:
        """Every line in use with its price."""
        view = self.view
        rows = await asyncio.to_thread(price_rows, view.book(), list(view.lines()), view.clock.now())
        return csv_answer("prices.csv", rows)

    async def settings(self, request: Request) -> Response:
        """What is in force, and who may do what."""
        view, kept, reader = self.view, await self._kept(), self._reader(request)
        words = request.query_params.get("q", "")[:100]
        found = InForce(view.settings(), view.in_force(), view.people, view.delivery_stats())
        shown = settings_page(found, kept.notes, reader, words)
        return self._page("Settings", "/settings", request, kept, shown)

    async def budget_form(self, request: Request) -> Response:
        """The form that adds a budget beside the configuration, or changes a stored one (`?name=`)."""
        kept, name = await self._kept(), request.query_params.get("name", "")[:100]
        if kept.notes is None:
            return self._page("Budget", "/settings", request, kept, element("h1", "Budget"), status=503)
        stored = STORED_BUDGETS.get(kept.notes, name)
        if name and stored is None:
            return self._not_found(request, kept, f"No budget {clean(name, 80)} is kept in the database.")
        return self._budget_form(TypedBudget() if stored is None else TypedBudget.of_stored(stored), request, kept)

    def _budget_form(self, typed: TypedBudget, request: Request, kept: Kept, status: int = 200) -> Response:
        notifiers = [one.notifier for one in self.view.delivery_stats()]
        shown = budget_form(typed, notifiers, self._reader(request))
        return self._page("Budget", "/settings", request, kept, shown, status=status)

    async def health(self, request: Request) -> Response:
        """The daemon's own loops."""
        kept = await self._kept()
        shown = health_page(self.view.loops(), self.view.clock.now())
        return self._page("Health", "", request, kept, shown)


def _display_of(request: Request, zone: tzinfo) -> tuple[str, tzinfo]:
    """The colours and the zone that this browser chose; else none, and that of the configuration."""
    theme, _, name = request.cookies.get(_DISPLAY, "").partition(".")
    return (theme if theme in _THEMES else ""), _zone_of(name) or zone


def _zone_of(name: str) -> tzinfo | None:
    """The zone with a name, None for an unknown name; UTC is the default."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name) if _ZONE.fullmatch(name) else None
    except (ZoneInfoNotFoundError, OSError):
        return None


def last_period(view: View, total: Total | None) -> PastPeriod | None:
    """What the total came to in the period before; None without such a period, or for the sum of many scopes."""
    if total is None or len(total.statuses) != 1 or not total.statuses[0].period.whole_days:
        return None
    usage = view.usage(total.statuses[0])
    past = usage.past() if usage is not None else []
    return past[0] if past and past[0].spent else None


def _is_about(row: AlertRow, position: BudgetStatus) -> bool:
    return (row.event.budget, row.event.scope) == (position.budget.name, position.scope)
