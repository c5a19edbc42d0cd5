"""The text of one event by its kind; here: recovered, unmatched, summary, test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import (
    BudgetUnmatched,
    Digest,
    Drift,
    DuplicateSourcesFound,
    Event,
    Live,
    ModelsPriced,
    NotifierTest,
    PeriodClosed,
    PricesDiffer,
    SpendUncovered,
    details_of,
)
from alertd.core.messages import evidence, prices
from alertd.core.messages.actions import action
from alertd.core.messages.format import (
    STATUSES,
    clock_time,
    estimated,
    level_text,
    money,
    percent,
    period_name,
    plural,
    possessive,
    spent_of,
    zone_of,
)
from alertd.core.messages.live_message import live_status
from alertd.core.messages.prices import drift, duplicate_sources
from alertd.core.messages.rich_text import Fact, Line, Said, bold, clean, code, joined, name, plain
from alertd.core.messages.source_health import seeing_again, source_stale
from alertd.core.messages.thresholds import threshold

_TOP: Final = 3
_BASES: Final = {
    "actual": "is below its threshold again: the amount was raised",
    "burn_rate": "spends at its usual rate again",
    "anomaly": "is back to its usual spend",
    "balance": "was topped up",
}


def notice(event: Event, now: datetime) -> Said:
    """The text of one event, by its kind."""
    return _BY_KIND[event.kind](event, now)


def _recovered(event: Event, now: datetime) -> Said:
    """research is back on track: likely $463 of $500"""
    if event.details is not None:
        return seeing_again(event, now)
    since = event.since
    began = (
        () if since is None else (plain(f"The alert had been firing since {clock_time(since, zone_of(event), now)}."),)
    )
    calm = event.status not in {"over", "runaway", "at_risk"} and not evidence.is_running_away(event)
    words = _BASES.get(event.basis, "is fine again")
    if event.basis == "balance" and (event.threshold or "").endswith("d"):
        words = "has enough credit again"  # a slower pace ends this alert, too
    if event.basis == "forecast":
        is_well = calm and event.status == "on_track"
        words = f"{'is back on track' if is_well else 'will probably end within its budget again'}{_likely_of(event)}"
    if event.window is not None and event.basis == "actual":
        words = f"is below {level_text(event.level or Decimal(100))} of {possessive(period_name(event, now))} again"
    lines = (began, evidence.to_do(event, commands=False))
    notes = ("no action needed",) if calm else ()
    credit = (evidence.credit_left(event, now),) if event.basis == "balance" else ()
    return Said((*evidence.who(event), bold(f" {words}")), lines, notes, (*credit, *evidence.figures(event, now)))


def _likely_of(event: Event) -> str:
    middle = event.projected.get("0.5")
    if middle is None or not event.amount or evidence.is_too_early(event):
        return ""
    unit = event.currency
    return f": likely {estimated(middle, unit, event.spent)} of {money(event.amount, unit)}"


def _unmatched(event: Event, now: datetime) -> Said:
    """research matches no usage: nothing has team=reserch. Meant: team=research?"""
    if not event.budget:
        return _uncovered(event, now)
    found = details_of(event, BudgetUnmatched)
    wanted, nearest = found.wanted, found.nearest
    text = clean(", ".join(f"{label}={pattern}" for label, pattern in wanted.items()))
    near: Line = (bold(". Did you mean "), code(clean(f"{nearest[0]}={nearest[1]}")), bold("?")) if nearest else ()
    looked: Line = (bold(": nothing has "), code(text)) if text else ()
    known = [name(value) for value in found.known]
    label = clean(nearest[0] if nearest else next(iter(wanted), "values"), 40)
    some: Line = joined([(one,) for one in known[: _TOP * 2]], ", ")
    more = f" and {plural(len(known) - _TOP * 2, 'other')}" if len(known) > _TOP * 2 else ""
    key = event.budget.upper().replace("-", "_")
    facts = (
        Fact("Spent", (bold("unknown"), plain(", not 0"))),
        Fact(f"Seen for {label}", (*some, plain(more)) if known else ()),
    )
    lines = (
        (plain("Correct "), code(f"ALERTD_BUDGETS__{key}__WHERE"), plain("; "), code("alertd check"),
         plain(" shows what it matches then.")),
        evidence.to_do(event, commands=False),
    )  # fmt: skip
    return Said((*evidence.who(event), bold(" matches no usage"), *looked, *near), lines, (), facts)


def _uncovered(event: Event, now: datetime) -> Said:
    """$31.40 of this month's spend is in no budget"""
    found = details_of(event, SpendUncovered)
    sums = [money(spent, unit) for unit, spent in found.uncovered.items()]
    parts: list[Line] = [
        (plain(f"{clean(one.label, 40)} "), name(one.value), plain(f" {money(one.spent, event.currency)}"))
        for one in found.most[:_TOP]
    ]
    facts = (Fact("Most of it", joined(parts)),)
    lines = (
        (
            plain("Nobody is alerted if it grows. Add a budget for it, or one without "),
            code("WHERE"),
            plain(" for everything else."),
        ),
    )
    return Said((bold(f"{' and '.join(sums) or 'Some'} of this month's spend is in no budget"),), lines, (), facts)


def _summary(event: Event, now: datetime) -> Said:
    """research stayed within November's budget: $483.20 of $500 (97%)"""
    summary = event.summary
    match event.details:
        case Drift() as found:
            return drift(event, found)
        case DuplicateSourcesFound() as pair:
            return duplicate_sources(pair)
        case ModelsPriced() as models:
            return prices.priced(event, models)
        case PricesDiffer() as lists:
            return prices.disagreeing(lists)
        case Live():
            return live_status(event, now)
        case PeriodClosed(alerts=count) | Digest(alerts=count):
            announced = count
        case _:
            announced = None
    closed, first = summary == "period_closed", summary == "first_start"
    figures = "" if event.spent is None or not event.amount else spent_of(event.spent, event.amount, event.currency)
    period = period_name(event, now)
    so_far = f"{period[:1].upper()}{period[1:]} so far" if period else "So far"
    if closed:
        budget = possessive(period)
        outcome = "stayed within" if _stayed(event) else "went over"
        head: Line = (*evidence.who(event), bold(f" {outcome} {budget}{': ' + figures if figures else ''}"))
    else:
        status = STATUSES[event.status][1] if event.status in STATUSES else ""
        said = ", ".join(part for part in (figures, status) if part)
        head = (*evidence.who(event), bold(f". {so_far}: {said}" if said else f". {so_far}"))
    lines = (
        _as_projected(event) if closed else (),
        _carried_over(event) if closed else (),
        evidence.contributors(event) if closed else evidence.cause(event),
        evidence.crossed_before(event) if first else (),
        (plain("alertd started watching this budget today."),) if first else (),
        evidence.to_do(event, commands=False),
    )
    facts = (
        *((evidence.spent(event), _against_previous(event)) if closed else evidence.figures(event, now)),
        evidence.credit_left(event, now),
        Fact("Alerts", () if announced is None else (plain(f"{announced:,} in this period"),)),
    )
    calm = event.severity == "info" and not evidence.is_running_away(event) and not event.unpriced
    return Said(head, lines, ("no action needed",) if calm else (), facts)


def _stayed(event: Event) -> bool:
    return event.spent is None or event.amount is None or event.spent <= event.amount


def _as_projected(event: Event) -> Line:
    """How alertd's projections of the period compare with its total."""
    known = details_of(event, PeriodClosed).projections
    days = sorted(known, key=int)
    if not days or event.spent is None:
        return ()
    said = ", ".join(f"{money(Decimal(str(known[day][1])), event.currency, whole=True)} on day {day}" for day in days)
    held = sum(1 for low, _, high in known.values() if low <= float(event.spent) <= high)
    return (plain(f"Projected before: {said}; the likely range held the total {held} of {plural(len(days), 'time')}."),)


def _carried_over(event: Event) -> Line:
    """What goes into the next period."""
    found = details_of(event, PeriodClosed)
    carried = found.carried_over
    if carried is None:
        return ()
    if found.carries_nothing:
        return (plain(f"Nothing is carried over into the next period: {found.carries_nothing}"),)
    said = money(abs(carried), event.currency)
    if carried > 0:
        return (plain(f"{said} of what is left is carried over: the next period's amount is that much higher"),)
    return (plain(f"{said} of what was overspent is taken off the next period's amount" if carried else
                  "Nothing is carried over into the next period"),)  # fmt: skip


def _against_previous(event: Event) -> Fact:
    """The period before *$391.70* (this one 23% more)"""
    previous = details_of(event, PeriodClosed).previous
    if previous is None or event.spent is None:
        return Fact("The period before", ())
    change = percent(abs(event.spent - previous), previous) if previous else ""
    direction = "more" if event.spent >= previous else "less"
    than = f" (this one {change} {direction})" if change else ""
    return Fact("The period before", (bold(money(previous, event.currency)), plain(than)))


def _test(event: Event, now: datetime) -> Said:
    """Test message from alertd: `ops` works"""
    notifier = details_of(event, NotifierTest).notifier
    whose: Line = (bold(": "), name(notifier, "code"), bold(" works")) if notifier else ()
    facts = evidence.figures(event, now) if event.budget else ()
    lines = (
        (plain("Alerts will come here and look like this. The figures are made up."),),
        evidence.to_do(event, commands=False),
    )
    return Said((bold("Test message from alertd"), *whose), lines, ("no action needed",), facts)


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
