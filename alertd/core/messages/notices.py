"""What one event says, by its kind; here: recovered, unmatched, summary, test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, discrepancies, evidence, prices
from alertd.core.messages.actions import action
from alertd.core.messages.dates import clock_time, period_name, possessive, zone_of
from alertd.core.messages.figures import amount, number, percent, plural, used_of
from alertd.core.messages.live_message import standing
from alertd.core.messages.source_health import seeing_again, source_stale
from alertd.core.messages.spans import Line, Said, bold, clean, code, joined, name, plain
from alertd.core.messages.thresholds import threshold

_TOP: Final = 3
_BASES: Final = {
    "actual": "below its threshold again (the amount was raised)",
    "forecast": "expected to stay inside its budget again",
    "burn_rate": "spending at its usual pace again",
    "anomaly": "back to its usual spend",
    "balance": "topped up",
}


_DISCREPANCIES: Final = {
    "drift": discrepancies.drift,
    "alike": discrepancies.alike,
    "prices": prices.disagreeing,
    "priced": prices.priced,
}


def notice(event: Event, now: datetime) -> Said:
    """What one event says, by its kind."""
    return _BY_KIND[event.kind](event, now)


def _recovered(event: Event, now: datetime) -> Said:
    if details.words(event, "source") or "failed" in event.details:
        return seeing_again(event, now)
    since = details.instant(event, "since")
    began = () if since is None else (plain(f"The alert stood since {clock_time(since, zone_of(event), now)}"),)
    words = _BASES.get(event.basis, "fine again")
    lines = (
        evidence.standing(event),
        evidence.room(event),
        evidence.contributors(event),
        began,
        evidence.to_do(event, commands=False),
    )
    calm = event.status not in {"over", "runaway", "at_risk"} and not evidence.is_running_away(event)
    return (*evidence.who(event), bold(f" is {words}")), lines, ("no action needed",) if calm else ()


def _unmatched(event: Event, now: datetime) -> Said:
    """research matches nothing: no usage has team=reserch; nearest is team=research"""
    if not event.budget:
        return _uncovered(event, now)
    wanted, nearest = details.table(event, "wanted"), details.table(event, "nearest")
    text = clean(", ".join(f"{label}={pattern}" for label, pattern in wanted.items()))
    found: Line = (
        (bold("; nearest is "), code(clean(f"{nearest.get('label')}={nearest.get('value')}"))) if nearest else ()
    )
    looked: Line = (bold(": no usage has "), code(text)) if text else ()
    known = [name(str(value)) for value in details.rows(event, "known")]
    label = clean(str(nearest.get("label") or next(iter(wanted), "values")), 40)
    some: Line = joined([(one,) for one in known[: _TOP * 2]], ", ")
    more = f" and {plural(len(known) - _TOP * 2, 'other')}" if len(known) > _TOP * 2 else ""
    key = event.budget.upper().replace("-", "_")
    lines = (
        (plain("This budget watches nothing: its spend is "), bold("unknown"), plain(", not 0.")),
        (plain(f"Seen for {label}: "), *some, plain(more)) if known else (),
        (plain("Correct "), code(f"ALERTD_BUDGETS__{key}__WHERE"), plain(", then "), code("alertd check")),
        evidence.to_do(event, commands=False),
    )
    return (*evidence.who(event), bold(" matches nothing"), *looked, *found), lines, ()


def _uncovered(event: Event, now: datetime) -> Said:
    """No budget covers 31.40 USD of this month's spend"""
    sums = [amount(found, unit) for unit, value in details.table(event, "uncovered").items()
            if (found := details.as_decimal(value)) is not None]  # fmt: skip
    parts: list[Line] = []
    for row in details.rows(event, "uncovered_by")[:_TOP]:
        spent = details.as_decimal(row.get("spent"))
        figure = "" if spent is None else f" {number(spent, event.currency)}"
        parts.append(
            (plain(f"{clean(str(row.get('label', '')), 40)} "), name(str(row.get("value", "")), "code"), plain(figure))
        )
    lines = (
        (plain("Most of it: "), *joined(parts)) if parts else (),
        (
            plain("Nobody would be told if it grew. Add a budget for it, or one without "),
            code("WHERE"),
            plain(" for the rest."),
        ),
    )
    return (bold(f"No budget covers {' and '.join(sums) or 'some'} of this month's spend"),), lines, ()


def _summary(event: Event, now: datetime) -> Said:
    """November closed: research used 483.20 of 500.00 USD (97 %)"""
    period, summary = period_name(event, now), details.words(event, "summary")
    if summary in _DISCREPANCIES:
        return _DISCREPANCIES[summary](event)
    if summary == "live":
        return standing(event, now)
    figures = (
        "" if event.spent is None or not event.amount else f": {used_of(event.spent, event.amount, event.currency)}"
    )
    heads: Mapping[str, Line] = {
        "first_start": (bold("Watching "), *evidence.who(event), bold(f" from now on{figures}")),
        "period_closed": (*evidence.who(event), bold(f": {possessive(period)} has closed{figures}")),
    }
    told = details.decimal(event, "alerts")
    previous = details.decimal(event, "previous")
    closed = summary == "period_closed"
    lines = (
        () if closed and figures else evidence.standing(event),
        () if closed else evidence.room(event),
        _against_previous(event, previous),
        _as_projected(event) if closed else (),
        evidence.contributors(event),
        evidence.changed(event),
        () if told is None else (plain(f"{plural(int(told), 'alert was', 'alerts were')} told in this period"),),
        evidence.crossed_before(event) if summary == "first_start" else (),
        evidence.to_do(event, commands=False),
    )  # fmt: skip
    head = heads.get(summary, (*evidence.who(event), bold(figures or ": how it stands")))
    calm = event.severity == "info" and not evidence.is_running_away(event)
    return head, lines, ("no action needed",) if calm else ()


def _as_projected(event: Event) -> Line:
    """How alertd's own projections came out: what was likely on some days of the period."""
    known = event.details.get("projections") or {}
    days = sorted(known, key=int)
    if not days or event.spent is None:
        return ()
    said = ", ".join(f"day {day} {number(Decimal(str(known[day][1])), event.currency)}" for day in days)
    held = sum(1 for low, _, high in known.values() if low <= float(event.spent) <= high)
    return (plain(f"What was likely: {said}; inside its 80 % range {held} of {plural(len(days), 'time')}"),)


def _against_previous(event: Event, previous: Decimal | None) -> Line:
    if previous is None or event.spent is None:
        return ()
    change = percent(abs(event.spent - previous), previous) if previous else ""
    direction = "more" if event.spent >= previous else "less"
    than = f" ({change} {direction})" if change and details.words(event, "summary") == "period_closed" else ""
    return (plain(f"The period before: {amount(previous, event.currency)}{than}"),)


def _test(event: Event, now: datetime) -> Said:
    """Test message from alertd: `ops` works"""
    notifier = details.words(event, "notifier")
    whose: Line = (bold(": "), name(notifier, "code"), bold(" works")) if notifier else ()
    lines: tuple[Line, ...] = (
        (plain("Budget alerts will look like this and come here."),),
        (plain("Sample figures: "), *evidence.standing(event)) if event.budget else (),
        evidence.contributors(event),
        evidence.to_do(event, commands=False),
    )
    return (bold("Test message from alertd"), *whose), lines, ("no action needed",)


_BY_KIND: Final[Mapping[str, Callable[[Event, datetime], Said]]] = {
    "threshold": threshold,
    "recovered": _recovered,
    "source_stale": source_stale,
    "unpriced": prices.unpriced,
    "unmatched": _unmatched,
    "summary": _summary,
    "action": action,
    "test": _test,
}
