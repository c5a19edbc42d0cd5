"""The front page: what needs a look, then every budget, the worst first and the rest folded. Empty states say why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from alertd.core.addresses import budget_path
from alertd.core.budgets import scope_text
from alertd.core.charts.chart import bar, trend
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages import evidence, freshness
from alertd.core.messages.dates import age
from alertd.core.messages.figures import STATUSES, number, plural
from alertd.web.wording import badge, event_for, html, outlook, used

#: So many rows are open even where all is well, and no more than so many where nothing is.
_LEAST_OPEN: Final = 12
_MOST_OPEN: Final = 40
_COLUMNS: Final = ("Budget", "Used", "Likely total", "Last days")


def table(positions: Sequence[BudgetStatus], now: datetime) -> Markup:
    """The positions in their order; what is well, and past the first screens, is folded."""
    needing = sum(position.status not in {"on_track", "no_forecast"} for position in positions)
    count = min(max(_LEAST_OPEN, needing), _MOST_OPEN)
    if len(positions) <= count + 3:
        count = len(positions)
    rest = positions[count:]
    states = Counter(position.status for position in rest)
    words = ", ".join(f"{states[state]} {STATUSES[state][1]}" for state in STATUSES if states[state])
    folded = element(
        "details", element("summary", f"{len(rest):,} more: {words}"), _rows(rest, now), id="rest"
    ) if rest else None  # fmt: skip
    key = "Bar: solid is spent, pale is where 80 of 100 likely totals lie, the high line is the budget."
    return fragment(_rows(positions[:count], now), folded, element("p", key, class_="quiet"))


def _rows(positions: Sequence[BudgetStatus], now: datetime) -> Markup:
    head = element("tr", [element("th", column, scope="col") for column in _COLUMNS])
    body = [_row(position, now) for position in positions]
    return element("table", element("thead", head), element("tbody", body), class_="budgets")


def _row(position: BudgetStatus, now: datetime) -> Markup:
    event = event_for(position, now)
    name = element("a", html(evidence.who(event, "plain")), href=budget_path(position.budget.name, position.scope))
    return element(
        "tr",
        element("th", name, badge(position.status), scope="row"),
        element("td", bar(position), element("p", used(position)), _lacking(position, now)),
        element(
            "td",
            [element("p", line) for line in outlook(position, event, now)] or element("p", "not known", class_="quiet"),
        ),
        element("td", trend(position), _pace(position), class_="trend"),
        class_=position.status,
    )


def _pace(position: BudgetStatus) -> Markup | None:
    if position.pace is None:
        return None
    return element("p", f"{number(position.pace, position.amount.unit)} a day")


def _lacking(position: BudgetStatus, now: datetime) -> Markup | None:
    """What the figures lack, where they lack something."""
    said: list[str] = []
    if position.stale_sources and position.data_until is not None:
        said.append(f"no data for {age(now - position.data_until)}")
    if position.unpriced:
        said.append(freshness.unpriced_text(position.unpriced))
    if not position.matched:
        said.append("matches no usage")
    return element("p", " · ".join(said), class_="lacking") if said else None


def summary(positions: Sequence[BudgetStatus], *, state: str | None, words: str) -> Markup:
    """How many stand where, each a link to those alone, and a search."""
    states = Counter(position.status for position in positions)
    links: list[Content] = [_filter(plural(len(positions), "budget"), {"q": words}, here=state is None)]
    links += [
        _filter(f"{states[name]} {said}", {"status": name, "q": words}, here=state == name, sign=sign)
        for name, (sign, said) in STATUSES.items()
        if states[name] or state == name
    ]
    search = element(
        "form",
        element("input", type="hidden", name="status", value=state) if state else None,
        element("label", "Find ", element("input", type="search", name="q", value=words, maxlength=100)),
        element("button", "Show"),
        role="search",
        action="/",
    )
    return element("div", element("nav", links, aria_label="States", class_="states"), search, class_="summary")


def _filter(said: str, query: dict[str, str], *, here: bool, sign: str = "") -> Markup:
    given = urlencode({name: value for name, value in query.items() if value})
    mark = element("span", sign, aria_hidden="true", class_=query.get("status")) if sign else None
    return element("a", mark, " " if sign else None, said, href=f"/?{given}", aria_current="true" if here else None)


def chosen(positions: Sequence[BudgetStatus], state: str | None, words: str) -> list[BudgetStatus]:
    """Those in the state whose name or scope holds the words."""
    wanted = words.casefold()
    return [
        position
        for position in positions
        if state in (None, position.status)
        and wanted in f"{position.budget.name} {scope_text(position.scope)}".casefold()
    ]
