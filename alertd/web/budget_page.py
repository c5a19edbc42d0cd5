"""A budget's own page: the period as a picture, its thresholds, who spends and what changed, what was announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from alertd.core.addresses import budget_path
from alertd.core.budgets import scope_text
from alertd.core.charts.html import Markup, element, fragment
from alertd.core.charts.period_chart import figures_of, lanes, period_chart
from alertd.core.evaluation.breakdown import ScopeUsage
from alertd.core.evaluation.state import FIRING, LIFECYCLES, State, silence_of, silences_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event
from alertd.core.messages import evidence
from alertd.core.messages.format import (
    age,
    clock_time,
    day,
    estimated,
    footer,
    frees,
    money,
    period_name,
    place,
    rate,
    soon_or_day,
)
from alertd.core.messages.rich_text import clean, command, text_of
from alertd.ports import AlertRow
from alertd.web.alert_pages import SEVERITIES, Deliveries, alert_entry
from alertd.web.answers import alert_state
from alertd.web.asks import alert_forms, budget_forms
from alertd.web.budget_tables import changed_table, commitment_table, threshold_table
from alertd.web.front_page import legend
from alertd.web.labels import event_for, forecast, html, used
from alertd.web.parts import Reader, bar, card, chance_of, is_lower_bound, pill, quantile, running_out, sure, tile
from alertd.web.settings_page import budget_form_path
from alertd.web.usage_section import EVERYTHING, UsageQuery, bars, last_curve, past_periods, usage_section

#: Alerts in the list on the page.
_SHOWN: Final = 8


def budget_page(
    position: BudgetStatus,
    notes: State,
    alerts: Sequence[AlertRow],
    reader: Reader,
    *,
    acted: Markup | None = None,
    asked: Markup | None = None,
    sent: Deliveries | None = None,
    usage: ScopeUsage | None = None,
    query: UsageQuery = EVERYTHING,
    parts: Markup | None = None,
    stored: bool = False,
) -> Markup:
    """Everything that is known of one budget, scope and period.

    `acted` is its section of actions, `asked` what waits for an answer, `sent` what became of its messages; `parts`
    are below it; of `usage` is shown what `query` asks for; it is None where nothing was evaluated yet; `stored`: it is
    kept in the database.
    """
    now = reader.now
    event = event_for(position, now)
    past = usage.past() if usage is not None else []
    split = query.split(usage) if usage is not None and position.period.whole_days else None
    figures = figures_of(position, now, last_curve(position, past[0]) if past else ())
    announced: dict[str, list[AlertRow]] = {}
    for row in sorted(alerts, key=lambda row: (row.at, row.key), reverse=True):
        announced.setdefault(row.event.id, []).append(row)
    return fragment(
        element(
            "div", element("a", "Budgets", href="/"), " / ",
            element("a", clean(position.budget.name, 60), href=budget_path(position.budget.name, ())), class_="crumbs",
        ),
        element("div", element("h1", html(evidence.who(event, "plain"))), pill(position.status),
                element("div", _answers(announced, notes, reader), budget_forms(position, reader), class_="end btns"),
                class_="head"),
        _meta(position, event, now, reader, stored=stored),
        _silence(position, notes, now),
        asked,
        budget_tiles(position, event, now),
        card(period_name(event, now).capitalize() or "The period", period_chart(figures),
             None if split is None else bars(position, split, query), _lanes(position, now),
             element("p", _legend(position), class_="card-f"), end=legend(figures), identity="chart")
        if position.period.whole_days else None,  # figures are known by day
        element(
            "div",
            element("div", parts, None if split is None else usage_section(position, split, query),
                    changed_table(position), threshold_table(position, notes, now), commitment_table(position, now)),
            element("div", _alerts(position, list(announced.values()), notes, sent, reader), acted,
                    past_periods(position, past),
                    card("In words", _figures(position, event, now), identity="figures")),
            class_="cols",
        ),
        _computed(position),
    )  # fmt: skip


def budget_tiles(position: BudgetStatus, event: Event, now: datetime) -> Markup:
    """Five key figures in one card."""
    unit, middle, chance = position.amount.unit, quantile(position, 0.5), chance_of(position)
    low, high = quantile(position, 0.1), quantile(position, 0.9)
    least = "≥ " if is_lower_bound(position) else ""
    spent = f"{least}{money(position.spent, unit)}" if position.seen else "no data yet"
    of = element("small", f" of {money(position.amount.value, unit)}")
    end = day(position.period.end - timedelta(seconds=1), position.period.zone, weekday=False)
    between = None
    if evidence.is_too_early(event):
        between = "too early for a range"
    elif low is not None and high is not None:
        between = f"{estimated(low, unit, position.spent)} to {estimated(high, unit, position.spent)}"
    over = position.spent >= position.amount.value and position.seen
    out = min(filter(None, (running_out(position), event.exhausted_at)), default=None)
    allowed = None
    if event.pace_allowed is not None and not over:
        allowed = fragment("on track means ", element("b", rate(event.pace_allowed, unit)), " a day")
    return element(
        "dl",
        tile("Spent", fragment(spent, of), drawn=bar(position)),
        tile(f"Likely by {end}", "–" if middle is None else estimated(middle, unit, position.spent), between),
        tile("Chance of going over", "already" if over else "–" if chance is None else sure(chance)),
        tile("Runs out", "used up" if over else "–" if out is None or position.status in ("on_track", "no_forecast")
             else soon_or_day(out, position.period.zone, now), frees(event, now) or None),
        tile("Pace, last 7 days", "–" if position.pace is None
             else fragment(rate(position.pace, unit), element("small", " a day")), allowed),
        class_="tiles five",
    )  # fmt: skip


def _silence(position: BudgetStatus, notes: State, now: datetime) -> Markup | None:
    found = silence_of(silences_of(notes), position.budget.name, position.scope, now)
    if found is None:
        return None
    until = clock_time(found.until, position.period.zone, now)
    return element("p", clean(f"Silenced until {until} by {found.by}: {found.reason}"), class_="banner calm")


def _legend(position: BudgetStatus) -> str:
    if not position.seen:
        return "No usage of it was seen yet."
    if position.status == "unknown":
        return "What was seen; nothing is projected while the data are too old."
    if position.status == "runaway":
        return "Solid: spent. Dashed: at the rate of the last minutes. Dotted: if it calms down, and its range."
    return "Solid: spent. Dashed: the likely course, with the range that holds 80 of 100 courses. Hatched: not seen."


def _meta(position: BudgetStatus, event: Event, now: datetime, reader: Reader, *, stored: bool) -> Markup:
    """Below the headline: of what, in which period, how much of it is left, whose it is, where to read more."""
    owner = position.override.owner or position.budget.owner
    scope = scope_text(position.scope)
    runbook = position.budget.runbook_url
    facts = [
        element("span", clean(scope, 100)) if scope else None,
        element("span", _period(position, event, now)),
        element("span", "owner ", element("b", clean(owner, 60))) if owner else None,
        element("a", "Runbook", href=runbook, rel="noreferrer noopener") if runbook else None,
        element("a", "Edit", href=budget_form_path(position.budget.name))
        if stored and reader.may("editor")
        else element("a", "Configuration", href=f"/settings?q={quote(position.budget.name)}#configuration"),
    ]
    return element("div", facts, class_="meta")


def _period(position: BudgetStatus, event: Event, now: datetime) -> str:
    name = period_name(event, now)
    name = f"{name[:1].upper()}{name[1:]}"
    if not position.period.whole_days:
        return name
    last = position.period.last_day
    left = f", {age(position.period.end - now)} left" if now in position.period else ""
    return f"{name} (to {last.day} {last:%b %Y}, {place(event.zone)}){left}"


def _lanes(position: BudgetStatus, now: datetime) -> Markup | None:
    return lanes([(clean(one.name, 40), one.until, one.stale) for one in position.late], position.period, now)


def _answers(groups: Mapping[str, Sequence[AlertRow]], notes: State, reader: Reader) -> list[Markup]:
    """Snooze and acknowledge the gravest open alert; the others are in the list."""
    lives = {one: life for one, life in LIFECYCLES.items(notes) if one in groups and life.state == FIRING}
    if not lives:
        return []
    first = min(lives, key=lambda one: (SEVERITIES.index(lives[one].severity), -lives[one].since.timestamp()))
    return alert_forms(first, lives[first], groups[first][0].event, reader, raises=False)


def _alerts(
    position: BudgetStatus, groups: Sequence[Sequence[AlertRow]], notes: State, sent: Deliveries | None, reader: Reader
) -> Markup:
    """What was announced of it, the newest first, with what became of each."""
    path = f"/alerts?{urlencode({'show': 'all', 'budget': position.budget.name})}"
    if not groups:
        shown: Markup = element("p", "Nothing was announced for this budget in this period.", class_="card-b quiet")
    else:
        shown = element(
            "ol", [alert_entry(group, notes, sent, reader) for group in groups[:_SHOWN]], class_="line-list"
        )
    open_ones = sum(alert_state(group[0], notes) == FIRING for group in groups)
    words = f"All {len(groups):,} alerts of this budget" if len(groups) > 1 else "All alerts of this budget"
    return card("Alerts", shown, element("div", element("a", words, href=path), class_="card-f"), count=open_ones,
                identity="alerts")  # fmt: skip


def _figures(position: BudgetStatus, event: Event, now: datetime) -> Markup:
    """The same lines as a message has."""
    lines = [
        fragment("Used ", used(position)),
        *forecast(position, event, now),
        html(evidence.committed(event, now)),
        html(evidence.credit(event, now)),
        html(evidence.reconciled(event)),
        html(evidence.on_track_line(event)) if position.status != "unknown" else None,
        html(evidence.changed(event)),
        html(evidence.to_do(event)),
        html(footer(event, now)),
    ]
    return element("div", [element("p", line) for line in lines if line], class_="card-b")


def _computed(position: BudgetStatus) -> Markup:
    """Each figure, what it is made of, and the command that reproduces it."""
    projection = position.projection
    scopes = [word for label, value in position.scope for word in ("--scope", f"{label}={value or ''}")]
    explain = text_of(command(["alertd", "explain", position.budget.name, *scopes])) or "alertd explain"
    rows = [
        ("Spent", "tokens × price from every source that counts, and what only a bill shows"),
        ("Likely, chance", "–" if projection is None else f"{len(projection.totals):,} courses by {projection.method}"),
        ("Pace", "the last seven whole days"),
        ("Amount", f"{money(position.amount.value, position.amount.unit)}, from the configuration or raised by hand"),
    ]
    body = [element("tr", element("th", one, scope="row"), element("td", clean(said))) for one, said in rows]
    commands = f"{explain}   # every figure and threshold\nalertd usage export --by key   # the usage itself"
    return element(
        "details",
        element("summary", "How this is computed"),
        element("table", element("tbody", body), class_="kv plain"),
        element("pre", commands, tabindex=0),
        id="computed", class_="card fold",
    )  # fmt: skip
