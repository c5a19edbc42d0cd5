"""A budget's own page: the period as a picture, its thresholds, who spends and what changed, what was announced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.budgets import Actual, BurnRate, Forecast, Threshold, duration_text
from alertd.core.charts.budget_chart import fan, spent_curve
from alertd.core.charts.html import Markup, element, fragment
from alertd.core.evaluation.state import State, silence_of, silences_of
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Contributor, Event
from alertd.core.messages import evidence, freshness
from alertd.core.messages.dates import clock_time, period_name, place
from alertd.core.messages.figures import amount, chance, number
from alertd.core.messages.spans import clean
from alertd.core.messages.spans import name as safe_name
from alertd.ports import AlertRow
from alertd.web.alert_list import alert_list
from alertd.web.answers import standing
from alertd.web.layout import grid
from alertd.web.wording import badge, event_for, html, outlook, used

_STANDS: Final = {True: "stands", False: "does not stand", None: "not known"}
_NARROW: Final = (360, 260)


def budget_page(
    position: BudgetStatus,
    notes: State,
    alerts: Sequence[AlertRow],
    now: datetime,
    acted: Markup | None = None,
) -> Markup:
    """Everything that is known of one budget, scope and period; `acted` is its section of actions."""
    event = event_for(position, now)
    return fragment(
        element("h1", html(evidence.who(event, "plain"))),
        element("p", badge(position.status), " ", _period(position, event, now)),
        _silence(position, notes, now),
        _figures(position, event, now),
        element("div", fan(position), class_="wide"),
        element("div", fan(position, *_NARROW), class_="narrow"),
        element("p", _legend(position), class_="quiet"),
        _thresholds(position, notes, now),
        _commitments(position, now),
        _contributors(position),
        _days(position),
        acted,
        element("h2", "Announced"),
        alert_list(alerts, notes, now, empty="Nothing was announced for this budget in this period."),
    )


def _silence(position: BudgetStatus, notes: State, now: datetime) -> Markup | None:
    found = silence_of(silences_of(notes), position.budget.name, position.scope, now)
    if found is None:
        return None
    until = clock_time(found.until, position.period.zone, now)
    return element("p", clean(f"Silenced until {until} by {found.by}: {found.reason}"), class_="notice")


def _legend(position: BudgetStatus) -> str:
    if position.status == "unknown":
        return "What was seen; nothing is projected while the data are too old."
    return "Solid: spent. Shaded: where 50, 80 and 90 of 100 likely courses lie; dashed: the middle one."


def _period(position: BudgetStatus, event: Event, now: datetime) -> str:
    last = position.period.last_day
    name = period_name(event, now)
    return f"{name[:1].upper()}{name[1:]} (to {last.day} {last:%b %Y}, {place(event.zone)})"


def _figures(position: BudgetStatus, event: Event, now: datetime) -> Markup:
    """The same lines as a message has."""
    lines = [
        fragment("Used ", used(position)),
        *outlook(position, event, now),
        html(evidence.committed(event, now)),
        html(evidence.to_stay_inside(event)) if position.status != "unknown" else None,
        html(evidence.changed(event)),
        html(evidence.to_do(event)),
        html(freshness.footer(event, now)),
    ]
    return element("div", [element("p", line) for line in lines if line], class_="figures")


def _thresholds(position: BudgetStatus, notes: State, now: datetime) -> Markup:
    rows = [
        element(
            "tr",
            element("th", str(threshold), scope="row"),
            element("td", _where(threshold, position)),
            element("td", _STANDS[standing(position, threshold, notes, now)]),
            element("td", _since(threshold, position)),
        )
        for threshold in thresholds_of(position)
    ]
    return fragment(element("h2", "Thresholds"), grid("Thresholds", ("Threshold", "At", "Now", "Why"), rows))


def _where(threshold: Threshold, position: BudgetStatus) -> str:
    if not isinstance(threshold, Actual | Forecast):
        return "–"
    return amount(threshold.reached_at(position.amount), position.amount.unit)


def _since(threshold: Threshold, position: BudgetStatus) -> str:
    """Why it stands or not, in figures."""
    known, unit = position.status != "unknown", position.amount.unit
    if isinstance(threshold, Actual):
        left = threshold.reached_at(position.amount) - position.spent
        if known or left <= 0:
            return f"{number(left, unit)} to go" if left > 0 else f"passed by {number(-left, unit)}"
    if not known:
        return "its data are too old" if position.data_until else "no data yet"
    if isinstance(threshold, Forecast) and position.projection is not None:
        level = threshold.reached_at(position.amount)
        bound = position.projection.fires_below(threshold.probability)
        likely = chance(position.projection.probability_over(float(level)))
        return f"{likely} chance of exceeding it; told for amounts under {number(Decimal(repr(bound)), unit)}"
    if isinstance(threshold, BurnRate):
        burns = [position.burns[window] for window in threshold.windows if window in position.burns]
        return (
            ", ".join(f"{burn.factor:.1f}x over {duration_text(burn.window)}" for burn in burns)
            or "no data in its windows"
        )
    return "not evaluated yet"


def _commitments(position: BudgetStatus, now: datetime) -> Markup | None:
    """What is certain to be charged, whatever is used, contract by contract."""
    if position.certain is None or not position.certain.lines:
        return None
    unit, zone = position.amount.unit, position.period.zone
    rows = [
        element(
            "tr",
            element("th", html((safe_name(line.name or line.source),)), scope="row"),
            element("td", f"{amount(line.cost, unit)} {f'a {line.per}' if line.per else 'once'}", class_="figure"),
            element("td", number(line.charged, unit), class_="figure"),
            element("td", number(line.ahead, unit), class_="figure"),
            element("td", clock_time(line.until, zone, now) if line.until else "somebody stops it"),
        )
        for line in position.certain.lines
    ]
    columns = ("Contract", "Cost", "Charged", "To come", "Until")
    return fragment(element("h2", "Certain if nobody stops it"), grid("Commitments", columns, rows))


def _contributors(position: BudgetStatus) -> Markup | None:
    if not position.contributors:
        return None
    unit, label = position.amount.unit, position.contributors[0].label
    rows = [
        element(
            "tr",
            element("th", html((safe_name(item.value),)) if item.value else f"no {label}", scope="row"),
            element("td", number(item.spent, unit), class_="figure"),
            element("td", _paces(item, unit), class_="figure"),
            element("td", _why(item)),
        )
        for item in position.contributors
    ]
    more = position.contributor_count - len(position.contributors)
    return fragment(
        element("h2", "Who spends"),
        grid("Who spends", (label, "Spent", "A day, before → now", "What changed"), rows),
        element("p", f"and {more} more", class_="quiet") if more > 0 else None,
    )


def _paces(item: Contributor, unit: str) -> str:
    if item.pace_now is None or item.pace_before is None:
        return "–"
    return f"{number(item.pace_before, unit)} → {number(item.pace_now, unit)}"


def _why(item: Contributor) -> str:
    """Price against volume, in a message's words."""
    before, now = item.pace_before, item.pace_now
    if before is None or now is None:
        return "too new to compare"
    if not before or not now:
        return "new" if now else "stopped" if before else "quiet"
    return evidence.price_or_volume(now / before, item.volume_change)


def _days(position: BudgetStatus) -> Markup | None:
    """The picture's curve as a table, for those who do not see it."""
    if not position.daily:
        return None
    unit = position.amount.unit
    sums = spent_curve(position)[1:]
    rows = [
        element("tr", element("th", text, scope="row"), element("td", number(spent, unit), class_="figure"),
                element("td", number(Decimal(repr(total)), unit), class_="figure"))
        for (text, spent), (_, total) in zip(position.daily, sums, strict=False)
    ]  # fmt: skip
    return element(
        "details",
        element("summary", "Spent by day"),
        grid("Spent by day", ("Day", "Spent", "In all"), rows),
        id="days",
    )
