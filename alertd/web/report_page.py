"""A team's month as a page of its own, for a screen, a mail and paper: it loads nothing from anywhere."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.charts.html import Content, Markup, element, fragment, verbatim
from alertd.core.charts.period_chart import figures_of, period_chart
from alertd.core.evaluation.breakdown import Breakdown
from alertd.core.evaluation.report import TeamReport
from alertd.core.evaluation.state import AlertLifecycle
from alertd.core.events import Event
from alertd.core.messages import BOLD, Fact, Message, Span, compose, text_of
from alertd.core.messages.format import clock_time, day, money, percent, plural
from alertd.core.messages.rich_text import clean
from alertd.web.layout import STYLE
from alertd.web.parts import SPRITE, card, pill, scope_name, table, tile

_MOST: Final = 12
#: What a mail names of each split.
_NAMED: Final = 3
_PRINT: Final = """
main { max-width: 60rem; } #alerts th[scope=row] { white-space: nowrap; }
.card { break-inside: avoid; } table { width: 100%; } .num { text-align: right; }
@media print { @page { size: A4; margin: 14mm; } :root { color-scheme: light; } body { background: #fff; }
  main { max-width: none; padding: 0; } .card, .tiles { box-shadow: none; border-color: #ccc; } a { color: inherit; } }
"""


def report_page(found: TeamReport, now: datetime) -> bytes:
    """The whole document."""
    position, zone = found.position, found.position.period.zone
    month = f"{position.period.start.astimezone(zone):%B %Y}"
    team = clean(f"{found.label} {found.value}", 80)
    body = element(
        "main",
        element("div", element("h1", f"{team}: {month}"), _status(found) if found.has_budget else None,
                class_="head"),
        element("p", _period(found, now), class_="q2"),
        _tiles(found),
        card("Course of the month", period_chart(figures_of(position, min(now, position.period.end))),
             identity="course") if found.has_budget else None,
        [_breakdown(one, found) for one in found.breakdowns if one.parts],
        _other_budgets(found),
        _forecasts(found),
        _alerts(found, now),
        _proposal(found),
        id="main",
    )  # fmt: skip
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{team}: {month}"),
        element("style", verbatim(STYLE.decode()), verbatim(_PRINT)),
    )
    return b"<!doctype html>" + element("html", head, element("body", SPRITE, body), lang="en", class_="light")


def report_message(found: TeamReport, now: datetime) -> Message:
    """The report as a mail that has the page attached: its figures, what it was spent on, and the next month's."""
    position, unit, zone = found.position, found.position.amount.unit, found.position.period.zone
    month, team = f"{position.period.start.astimezone(zone):%B %Y}", clean(f"{found.label} {found.value}", 80)
    spent = money(position.spent, unit)
    used = percent(position.spent, position.amount.value) if found.has_budget and position.amount.value else ""
    of = f" of {money(position.amount.value, unit)} ({used})" if used else ""
    before = found.past[0] if found.past else None
    facts = [Fact("Spent", (Span(f"{spent}{of}"),))]
    if before is not None and before.spent:
        change = _change(position.spent, before.spent)
        facts.append(Fact("Month before", (Span(f"{money(before.spent, unit)} ({change})"),)))
    facts.append(Fact("Alerts", (Span(f"{len(found.alerts):,}"),)))
    if found.proposal is not None:
        facts.append(Fact("Next month, proposed", (Span(money(found.proposal.amount, unit)),)))
    lines = [(Span(_top_parts(one, found)),) for one in found.breakdowns if one.parts]
    headline = f"{team}: {spent}{of} in {month}"
    foot = f"{_period(found, now)}. The whole report is attached: open it in a browser, which also prints it as PDF."
    return Message("📊", "info", (Span(headline, BOLD),), tuple(lines), (Span(foot),), f"{headline}: monthly report",
                   facts=tuple(facts))  # fmt: skip


def _top_parts(found: Breakdown, whole: TeamReport) -> str:
    """`By model: gpt-5 $900, gpt-5-mini $12 and 3 more`."""
    unit, more = whole.position.amount.unit, len(found.parts) - _NAMED
    named = [
        f"{clean(part.value, 60) or f'without a {found.label}'} {money(part.spent, unit)}"
        for part in found.parts[:_NAMED]
    ]
    return f"By {found.label}: {', '.join(named)}{f' and {more:,} more' if more > 0 else ''}"


def _status(found: TeamReport) -> Markup:
    status = found.position.status
    return pill(status, "Within budget" if found.complete and status == "on_track" else "")


def _period(found: TeamReport, now: datetime) -> str:
    period = found.position.period
    last = f"{day(period.start, period.zone, weekday=False)} to {period.last_day.day} {period.last_day:%b %Y}"
    if not found.complete:
        return f"{last}, as of {clock_time(now, period.zone, now)}: the month is not over"
    lacks = "; some of its usage has no price and is in no figure" if found.position.unpriced else ""
    since = found.position.complete_from
    late = since is not None and since > period.start
    return f"{last}{lacks}{'; figures begin only within it' if late else ''}"


def _tiles(found: TeamReport) -> Markup:
    position, unit = found.position, found.position.amount.unit
    of = fragment("of ", money(position.amount.value, unit)) if found.has_budget else "no budget of its own"
    used = percent(position.spent, position.amount.value) if found.has_budget and position.amount.value else "–"
    before = found.past[0] if found.past else None
    change = "no month before" if before is None or not before.spent else _change(position.spent, before.spent)
    likely = min(found.forecasts, key=lambda one: abs(one.day - 14), default=None)
    forecast = "none was made" if likely is None else f"on day {likely.day}"
    proposal = found.proposal
    return element(
        "dl",
        tile("Spent", money(position.spent, unit), of),
        tile("Used", used, _carried(found)),
        tile("Month before", "–" if before is None else money(before.spent, unit), change),
        tile("Was likely", "–" if likely is None else money(_cents(likely.likely), unit), forecast),
        tile("Next month", "–" if proposal is None else money(proposal.amount, unit), "proposed"),
        class_="tiles five",
    )


def _carried(found: TeamReport) -> Content:
    carried, unit = found.position.carried, found.position.amount.unit
    if not found.has_budget or not carried:
        return None
    return f"{money(abs(carried), unit)} {'carried over into it' if carried > 0 else 'taken off for the month before'}"


def _change(now: Decimal, before: Decimal) -> str:
    moved = (now - before) / before * 100
    return f"{'+' if moved >= 0 else '−'}{abs(moved):.0f}%"


def _cents(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.01"))


def _row(*cells: tuple[Content, str | None]) -> Markup:
    first, *rest = cells
    return element("tr", element("th", first[0], scope="row"), [element("td", one, class_=kind) for one, kind in rest])


def _breakdown(found: Breakdown, whole: TeamReport) -> Markup:
    unit = whole.position.amount.unit
    rows = [
        _row((clean(one.value, 60) or f"without a {found.label}", None), (money(one.spent, unit), "num"),
             (percent(one.spent, found.spent), "num"))
        for one in found.parts[:_MOST]
    ]  # fmt: skip
    rest = found.parts[_MOST:]
    if rest:
        spent = sum((one.spent for one in rest), Decimal(0))
        rows.append(
            _row((f"{len(rest):,} more", None), (money(spent, unit), "num"), (percent(spent, found.spent), "num"))
        )
    heads = ((found.label.capitalize(), None), ("Spent", "num"), ("Share", "num"))
    return card(f"By {found.label}", table(heads, rows, "mid"), identity=f"by-{found.label}")


def _other_budgets(found: TeamReport) -> Markup | None:
    if not found.others:
        return None
    rows = [
        _row((scope_name(one.budget.name, one.scope), None), (money(one.spent, one.amount.unit), "num"),
             (money(one.amount.value, one.amount.unit), "num"),
             (percent(one.spent, one.amount.value) if one.amount.value else "–", "num"))
        for one in found.others[:_MOST]
    ]  # fmt: skip
    more = len(found.others) - _MOST
    foot = element("p", f"and {more:,} more", class_="card-f") if more > 0 else None
    heads = (("Budget", None), ("Spent", "num"), ("Budget", "num"), ("Used", "num"))
    return card("Its other budgets", table(heads, rows, "mid"), foot, identity="others")


def _forecasts(found: TeamReport) -> Markup | None:
    if not found.forecasts:
        return None
    unit, spent = found.position.amount.unit, float(found.position.spent)
    rows = []
    for one in found.forecasts:
        held = one.low <= spent <= one.high
        figures = [money(_cents(value), unit) for value in (one.likely, one.low, one.high)]
        said = ("within" if held else "outside") if found.complete else "not known yet"
        off = f"{round((one.likely - spent) / spent * 100):+d}%".replace("-", "−") if spent and found.complete else "–"
        rows.append(_row((f"Day {one.day}", None), (figures[0], "num"), (f"{figures[1]} to {figures[2]}", "num"),
                         (off, "num"), (said, None)))  # fmt: skip
    heads = (("Forecast", None), ("Likely", "num"), ("Range (80%)", "num"), ("Off by", "num"), ("Outcome", None))
    return card("Forecast against outcome", table(heads, rows, "mid"), identity="forecast")


def _alerts(found: TeamReport, now: datetime) -> Markup:
    zone = found.position.period.zone
    rows = [
        (event.at, _row((clock_time(event.at, zone, now), None), (_headline(event), None), (_answered(life), None)))
        for event, life in found.alerts
    ]
    rows += [
        (step.at, _row((clock_time(step.at, zone, now), None), (clean(f"{step.what}: {step.said}", 200), None),
                       (clean(f"by {step.by}", 60), None)))
        for step in found.done
    ]  # fmt: skip
    rows.sort(key=lambda row: row[0])
    title = f"Alerts and what was done ({plural(len(found.alerts), 'alert')})"
    if not rows:
        return card(
            title, element("p", "Nothing was announced, and nothing was done.", class_="card-f"), identity="alerts"
        )
    heads = (("When", None), ("What", None), ("Answer", None))
    return card(title, table(heads, [row for _, row in rows], "mid"), identity="alerts")


def _headline(event: Event) -> str:
    return clean(text_of(compose([event], event.at).headline), 240)


def _answered(life: AlertLifecycle | None) -> str:
    """What people made of it, from its history."""
    if life is None:
        return "–"
    said = [
        clean(f"{step.what} by {step.by}" + (f": {step.reason}" if step.reason else ""), 120)
        for step in life.history
        if step.by != "alertd"
    ]
    ended = [f"over: {step.reason}" for step in life.history if step.what == "end"]
    return "; ".join([*said, *ended]) or "nobody acknowledged it"


def _proposal(found: TeamReport) -> Markup | None:
    one, unit = found.proposal, found.position.amount.unit
    if one is None:
        return None
    months = len(one.months)
    over = f" {one.exceeded} of {plural(months, 'complete month')} cost more." if months else ""
    said = (
        f"{money(one.amount, unit)}: the next month stays within it with a chance of 80%. Likely: "
        f"{money(one.likely.quantize(Decimal('0.01')), unit)}, from {plural(one.days, 'day')} of spend.{over}"
    )
    return card("Next month's amount", element("p", said, class_="card-b"), identity="proposal")
