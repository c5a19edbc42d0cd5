"""The facts and lines that messages about a budget share: spent, likely, pace, cause, what to do.

Each function returns one of them, empty if the event lacks its figures; an unknown value is never shown as 0.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Scope
from alertd.core.events import Contributor, Event, FirstStart, details_of
from alertd.core.messages.format import (
    chance,
    clock_time,
    day,
    estimate,
    estimated,
    money,
    per_unit,
    percent,
    rate,
    round_amount_above,
    soon_or_day,
    spent_of,
    times,
    tokens,
    zone_of,
)
from alertd.core.messages.rich_text import Fact, Line, Span, bold, clean, code, command, joined, link, name, plain

_TOP: Final = 3
_CENT: Final = Decimal("0.01")
#: Below this probability a projection by days leaves a runaway out: what it says holds if that ends.
_BELIEVED: Final = 0.5
_IF_CALM: Final = "If it calms down"
#: A pace or a price that moved less than this says nothing: Prometheus' own sampling moves them as much.
_SAME: Final = Decimal("0.1")
_CHANGED: Final = Decimal("0.25")
#: A runaway is stopped, not paid for; a credit is topped up at its provider; what is new is looked at.
NOTHING_TO_RAISE: Final = frozenset({"burn_rate", "balance", "novel"})
#: A range is left out where its upper end is more than this many times its lower one: on day 10 of a month, half are.
_NO_USE: Final = 5
_DAY: Final = timedelta(days=1)
_RAISE_BY: Final = Decimal("1.2")
#: A round amount that is a fifth more is enough.
_JUST_BELOW: Final = Decimal("0.999999")


def who(event: Event, style: str = "bold", *, budget: bool = True) -> Line:
    """Whose budget it is: `research`, `team research (teams)`, `usage without a team (teams)`.

    `budget` names the budget behind a scope.
    """
    return who_is(event.budget, event.scope, style, budget=budget)


def who_is(of: str, scope: Scope, style: str = "bold", *, budget: bool = True) -> Line:
    """The same of a budget's name and a scope."""
    if not scope:
        return (name(of, style),)
    parts: list[Line] = [
        (Span(f"{clean(label)} ", style), name(value, style))
        if value
        else (Span(f"{'' if number else 'usage '}without a {clean(label)}", style),)
        for number, (label, value) in enumerate(scope)
    ]
    return (*joined(parts, ", "), *((Span(f" ({clean(of)})", style),) if budget else ()))


def spent(event: Event) -> Fact:
    """Spent *$251.40* of $500 (50%); a lower bound where data are missing."""
    of = f" of {money(event.amount, event.currency)}" if event.amount else ""
    if event.spent is None:
        return Fact("Spent", (bold("unknown"), plain(of)))
    least = "at least " if event.status == "unknown" else ""
    share = f" ({percent(event.spent, event.amount)})" if event.amount else ""
    figure = tokens(event.spent) if of and event.currency == TOKENS else money(event.spent, event.currency)
    return Fact("Spent", (plain(least), bold(figure), plain(f"{of}{share}")))


def likely_total(event: Event, now: datetime, *, between: bool = True) -> Fact:
    """Likely by 30 Nov *$564* (515 to 640); too early to say; nothing where there is no projection or it is closed."""
    middle = event.projected.get("0.5")
    if middle is None or event.window is not None or event.status == "unknown":
        return Fact("Likely", ())
    label = f"Likely by {last_day(event)}" if event.period_end is not None else "Likely"
    label = _IF_CALM if _leaves_runaway_out(event) else label
    if is_too_early(event):
        return Fact(label, (plain("too early to say"),))
    if event.period_end is not None and event.period_end <= now:
        return Fact(label, ())
    figure = bold(estimated(middle, event.currency, event.spent))
    low, high = event.projected.get("0.1"), event.projected.get("0.9")
    if low is None or high is None or not between:
        return Fact(label, (figure,))
    ends = [estimate(value, event.currency, event.spent) for value in (low, high)]
    return Fact(label, (figure,) if ends[0] == ends[1] else (figure, plain(f" ({ends[0]} to {ends[1]})")))


def _leaves_runaway_out(event: Event) -> bool:
    """Whether a projection by days does not believe in the runaway that the message is about."""
    runs = event.basis == "burn_rate" or event.status == "runaway"
    return runs and event.probability_over is not None and event.probability_over < _BELIEVED


def chance_of_going_over(event: Event) -> Fact:
    """Chance of going over *93%*; nothing once it is over."""
    said = event.probability_over is None or _is_over(event) or event.status == "unknown"
    label = "Chance of going over then" if _leaves_runaway_out(event) else "Chance of going over"
    return Fact(label, () if said else (bold(_sign(chance(event.probability_over or 0.0))),))


def _sign(text: str) -> str:
    """`>99%`, `<1%`: short where a label comes before it."""
    return text.replace("over ", ">").replace("under ", "<")


def on_track_means(event: Event) -> Fact:
    """On track means *$18 a day*; now $28: what just stays within the budget, and the last seven days."""
    now = None if event.pace is None else f"{rate(event.pace, event.currency)}"
    left = event.spent is not None and event.amount is not None and event.spent < event.amount
    if event.pace_allowed is None or not left or event.status == "unknown":
        return Fact("Last 7 days", () if now is None else (bold(f"{now} a day"),))
    allowed = bold(f"{rate(event.pace_allowed, event.currency)} a day")
    return Fact("On track means", (allowed, plain("" if now is None else f"; now {now}")))


def figures(event: Event, now: datetime) -> tuple[Fact, ...]:
    """What every message about a budget shows: spent, likely, how sure, and what on track means."""
    return spent(event), likely_total(event, now), chance_of_going_over(event), on_track_means(event)


def because(event: Event) -> Line:
    """Because of *team research, key ci (keys)*: the lowest scopes that explain it."""
    named = [who_is(one.budget, one.scope) for one in event.explained_by]
    return (plain("Because of "), *joined(named, ", "), plain(".")) if named else ()


def also(event: Event) -> Line:
    """Reached with it: *company* $1,030 of $1,000 (103%), owner @platform"""
    parts: list[Line] = []
    for one in event.also:
        owner: Line = (plain(", owner "), name(one.owner)) if one.owner else ()
        figures = f" {spent_of(one.spent, one.amount, one.currency)}" if event.basis == "actual" else ""
        parts.append((*who_is(one.budget, one.scope), plain(figures), *owner))
    leads = {"forecast": "Likely to go over with it: ", "burn_rate": "Running away with it: "}
    lead = "Over with it: " if event.kind == "recovered" else leads.get(event.basis, "Reached with it: ")
    return (plain(lead), *joined(parts, "; ")) if parts else ()


def is_too_early(event: Event) -> bool:
    """Whether the likely range is so wide that it is of no use to anybody: only the chance is said then."""
    low, high = (event.projected.get(level) for level in ("0.1", "0.9"))
    return low is not None and high is not None and is_too_wide(low, high)


def is_too_wide(low: Decimal, high: Decimal) -> bool:
    """Whether a likely range is of no use."""
    return high > _NO_USE * low


def likely(event: Event) -> Line:
    """likely total *483* (440 to 535); too early for a range"""
    middle = event.projected.get("0.5")
    if middle is None:
        return ()
    if is_too_early(event):
        return (plain("too early for a range"),)
    low, high = event.projected.get("0.1"), event.projected.get("0.9")
    line = (plain("likely total "), bold(estimate(middle, event.currency, event.spent)))
    if low is None or high is None:
        return line
    between = [estimate(value, event.currency, event.spent) for value in (low, high)]
    if between[0] == between[1]:
        return line  # a range from a figure to itself says nothing
    return (*line, plain(f" ({' to '.join(between)})"))


def exceeding(event: Event) -> Line:
    """24% chance of exceeding"""
    if event.probability_over is None or _is_over(event):
        return ()
    return (plain(f"{chance(event.probability_over)} chance of exceeding"),)


def on_track_line(event: Event) -> Line:
    """On track means *$15 a day*; last 7 days $28 a day"""
    if event.pace_allowed is None or event.pace is None or _is_over(event):
        return ()
    allowed, pace = rate(event.pace_allowed, event.currency), rate(event.pace, event.currency)
    return (plain("On track means "), bold(f"{allowed} a day"), plain(f"; last 7 days {pace} a day"))


def runs_out(event: Event, now: datetime) -> str:
    """`Fri 27 Nov`, `about 04:50`, or "" where it is not known to run out."""
    return "" if event.exhausted_at is None else soon_or_day(event.exhausted_at, zone_of(event), now)


def runs_out_between(event: Event, now: datetime) -> str:
    """` (Wed 25 Nov to Mon 30 Nov)`, ` (Wed 25 Nov or later)`, or ""."""
    zone = zone_of(event)
    if event.exhausted_low is None:
        return ""
    low = soon_or_day(event.exhausted_low, zone, now)
    if event.exhausted_high is None:
        return f" ({low} or later)"
    high = soon_or_day(event.exhausted_high, zone, now)
    return "" if low == high else f" ({low} to {high})"


def last_day(event: Event) -> str:
    """`30 Nov`, or `14:00` where the period is an hour."""
    if event.period_end is None:
        return ""
    zone = zone_of(event)
    if event.period_start is not None and event.period_end - event.period_start < _DAY:
        return f"{event.period_end.astimezone(zone):%H:%M}"
    return day(event.period_end - timedelta(seconds=1), zone, weekday=False)


def when(event: Event, now: datetime) -> Line:
    """Runs out *Tue 24 Nov* (Mon 23 Nov to Thu 26 Nov)"""
    out = runs_out(event, now)
    return (plain("Runs out "), bold(out), plain(runs_out_between(event, now))) if out else ()


def committed(event: Event, now: datetime) -> Line:
    """Certain until somebody stops it: `acme/llama` $644 more by 1 Dec ($3.25 an hour), used up Thu 26 Nov 14:18"""
    found, zone = event.committed, zone_of(event)
    if found is None:
        return ()
    parts: list[Line] = []
    for item in found.items[:_TOP]:
        end = min(filter(None, (item.until, event.period_end)), default=None)
        by = "" if end is None else f" by {clock_time(end, zone, now)}"
        cost = f" ({money(item.cost, event.currency)} {per_unit(clean(item.per, 10))})" if item.per else ""
        parts.append((name(item.what, "code"), plain(f" {money(item.ahead, event.currency)} more{by}{cost}")))
    if len(found.items) > _TOP:
        parts.append((plain(f"{len(found.items) - _TOP} others"),))
    out = found.exhausted_at
    used_up = "" if out is None else f"; that alone uses up the budget on {clock_time(out, zone, now)}"
    without = ", ".join(clean(one, 60) for one in found.unconverted)
    missing = f"Committed in a currency without a rate, so not counted: {without}" if without else ""
    missing = f". {missing}" if found.items and missing else missing
    lead = plain("Certain until somebody stops it: ") if found.items else plain("")
    return (lead, *joined(parts, ", "), plain(used_up), plain(missing))


def credit(event: Event, now: datetime) -> Line:
    """Credit left: *$42.10*, used up Thu 26 Nov"""
    found = credit_left(event, now)
    return (plain(f"{found.label}: "), *found.value) if found.value else ()


def credit_left(event: Event, now: datetime) -> Fact:
    """Credit left *$42.10*, used up Thu 26 Nov"""
    found = event.credit
    if found is None:
        return Fact("Credit left", ())
    if found.left < 0:
        return Fact("Credit left", (bold("none"), plain(f", {money(-found.left, event.currency)} more was spent")))
    ends = found.likely is not None and found.left > 0
    out = f", used up {soon_or_day(found.likely, zone_of(event), now)}" if found.likely is not None and ends else ""
    return Fact("Credit left", (bold(money(found.left, event.currency)), plain(out)))


def reconciled(event: Event) -> Line:
    """As openrouter says; by what was paid and spent $45 would be left."""
    found = event.credit
    if found is None or found.ledger is None or abs(found.ledger - found.left) < _CENT:
        return ()
    own = money(found.ledger, event.currency)
    return (plain(f"As {clean(found.by, 40)} says; by what was paid and spent {own} would be left."),)


def committed_names(event: Event, style: str) -> Line:
    """acme/llama, seats and 2 others"""
    items = () if event.committed is None else event.committed.items
    named: list[Line] = [(name(item.what, style),) for item in items[:_TOP]]
    more: list[Line] = [(Span(f"{len(items) - _TOP} others", style),)] if len(items) > _TOP else []
    return joined([*named, *more], ", ")


def contributors(event: Event) -> Line:
    """By key: rag-indexer $148.10 · evals $102.20 · others $31.40; nothing where one part is all there is."""
    shown = event.contributors[:_TOP]
    if len(shown) == 1 and (shown[0].label, shown[0].value) in event.scope:
        return ()
    one_label = len({item.label for item in shown}) == 1
    by = f"By {clean(shown[0].label, 40)}: " if one_label else ""
    parts: list[Line] = [
        (*_label(item, one_label=one_label), plain(f" {money(item.spent, event.currency)}")) for item in shown
    ]
    rest = None if event.spent is None else event.spent - sum((item.spent for item in shown), Decimal(0))
    if one_label and rest is not None and rest > 0 and event.contributor_count > len(shown):
        parts.append((plain(f"others {money(rest, event.currency)}"),))
    return (plain(by), *joined(parts)) if parts else ()


def cause(event: Event) -> Line:
    """Why: key `rag-indexer` went from $2.10 to $14.30 a day (..); where nothing changed, what the spend is made of."""
    found = changed(event)
    return found or contributors(event)


def crossed_before(event: Event) -> Line:
    """Crossed before this start: 50% and 80%. Listed here once; not sent again."""
    crossed = [clean(one, 60) for one in details_of(event, FirstStart).crossed]
    if not crossed:
        return (plain("No threshold was crossed before this start."),)
    said = " and ".join(part for part in (", ".join(crossed[:-1]), crossed[-1]) if part)
    return (plain(f"Crossed before this start: {said}. Listed here once; not sent again."),)


def changed(event: Event) -> Line:
    """Why: key `rag-indexer` went from $2.10 to $14.30 a day (6.8 times the volume, same price)"""
    if is_own_runaway(event):
        return (plain("A key is running away now; if it goes on, the total will be above the likely one."),)
    if running := _runaways(event):
        return running
    item = most_changed(event)
    return () if item is None else (plain("Why: "), *went(item, event.currency), plain("."))


def most_changed(event: Event) -> Contributor | None:
    """The part whose daily spend grew most, if it grew by more than a quarter: a decrease is no cause."""
    compared = [item for item in event.contributors if item.pace_now is not None and item.pace_before is not None]
    item = max(compared, key=_move, default=None)
    if item is None or _move(item) <= _CHANGED * max(item.pace_before or Decimal(0), item.pace_now or Decimal(0)):
        return None
    return item


def went(item: Contributor, unit: str) -> Line:
    """key `rag-indexer` went from $2.10 to $14.30 a day (6.8 times the volume, same price)"""
    before, now = item.pace_before or Decimal(0), item.pace_now or Decimal(0)
    label = _label(item, one_label=False)
    if not now:
        return (*label, plain(f" stopped; it was {rate(before, unit)} a day"))
    if not before:
        return (*label, plain(f" is new, {rate(now, unit)} a day"))
    moved = f" went from {money(before, unit)} to {money(now, unit)} a day"
    return (*label, plain(f"{moved} ({price_or_volume(now / before, item.volume_change)})"))


def is_running_away(event: Event) -> bool:
    """Whether a burn-rate threshold fires for this budget or for another one over its usage."""
    return is_own_runaway(event) or bool(event.runaways)


def is_own_runaway(event: Event) -> bool:
    """Whether it is this budget whose burn rate is crossed."""
    return "runaway" in event.flags or event.status == "runaway"


def _runaways(event: Event) -> Line:
    """Running away now: *team ci (teams)*."""
    named = [who_is(one.budget, one.scope) for one in event.runaways[:_TOP]]
    others = len(event.runaways) - _TOP
    more: list[Line] = [(plain(f"{others} others"),)] if others > 0 else []
    return (plain("Running away now: "), *joined([*named, *more], ", "), plain(".")) if named else ()


def to_do(event: Event, *, commands: bool = True) -> Line:
    """Acknowledge: `alertd ack 4f2` · raise the budget: `alertd raise research 600`; nothing where links do it."""
    handle = clean(event.handle)
    if event.answer_url or event.details_url:
        return ()
    runbook: Line = (link("Runbook", event.runbook_url),) if event.runbook_url else ()
    if not commands:
        return runbook
    raised = raise_command(event)
    return joined([
        (plain("Acknowledge: "), code(f"alertd ack {handle}")) if handle else (),
        (plain(f"{'r' if handle else 'R'}aise the budget: "), *raised) if raised else (),
        runbook,
    ])  # fmt: skip


def is_raise_an_answer(event: Event) -> bool:
    """Whether a higher amount answers an event: not where the likely total is below the amount already."""
    if not event.amount or event.basis in NOTHING_TO_RAISE:
        return False
    certain = Decimal(0) if event.committed is None else event.committed.total
    if event.spent is None:
        return certain >= event.amount
    likely = event.projected.get("0.5") if event.status != "unknown" else None
    return event.basis == "forecast" or likely is None or max(likely, certain, event.spent) >= event.amount


def raise_command(event: Event) -> Line:
    """`alertd raise research 600`: the next round amount above what is likely or certain, at least a fifth more."""
    if not event.amount or not is_raise_an_answer(event):
        return ()
    least = max(event.amount, event.spent or Decimal(0)) * _RAISE_BY * _JUST_BELOW
    certain = Decimal(0) if event.committed is None else event.committed.total
    higher = round_amount_above(max(event.projected.get("0.5", Decimal(0)), certain, least))
    figure = tokens(higher) + " tokens" if event.currency == TOKENS else f"{higher.normalize():f}"
    scopes = [word for label, value in event.scope for word in ("--scope", f"{label}={value or ''}")]
    words = ["alertd", "raise", event.budget, figure, *scopes]
    return command(words)


def _is_over(event: Event) -> bool:
    return event.spent is not None and event.amount is not None and event.spent >= event.amount


def _label(item: Contributor, *, one_label: bool) -> Line:
    return (name(item.value),) if one_label else (plain(f"{clean(item.label, 40)} "), name(item.value, "code"))


def _move(item: Contributor) -> Decimal:
    return (item.pace_now or Decimal(0)) - (item.pace_before or Decimal(0))


def price_or_volume(pace: Decimal, volume: float | None) -> str:
    """Price against volume: which of the two made the pace change."""
    if volume is None or volume <= 0 or pace <= 0:
        return _times(pace, "as much")
    price = pace / Decimal(str(volume))
    volume_text = "same volume" if abs(volume - 1) <= _SAME else _times(volume, "the volume")
    return f"{volume_text}, {'same price' if abs(price - 1) <= _SAME else _times(price, 'the price')}"


def _times(factor: Decimal | float, of_what: str) -> str:
    """`6.8 times the volume`."""
    return f"{times(factor).lstrip('×')} times {of_what}"
