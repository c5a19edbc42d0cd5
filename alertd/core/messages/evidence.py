"""The lines that messages about a budget share: used, left, pace, projection, contributors, what to do, data's age.

Each function gives one line, empty where the event lacks its figures: unknown is left out or said, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS
from alertd.core.events import Contributor, Event
from alertd.core.messages import details
from alertd.core.messages.dates import clock_time, soon_or_day, zone_of
from alertd.core.messages.figures import (
    amount,
    chance,
    estimate,
    number,
    round_amount_above,
    times,
    tokens,
    used_of,
)
from alertd.core.messages.spans import Line, Span, bold, clean, code, command, joined, link, name, plain

_TOP: Final = 3
#: Labels whose values say themselves what they are.
_TELLING: Final = frozenset({"model"})
#: A pace or a price that moved less than this says nothing: Prometheus' own sampling moves them as much.
_SAME: Final = Decimal("0.1")
_CHANGED: Final = Decimal("0.25")
#: A runaway is stopped, not paid for; a credit is topped up at its provider.
_NOTHING_TO_RAISE: Final = frozenset({"burn_rate", "balance"})
_RAISE_BY: Final = Decimal("1.2")
#: A round amount that is a fifth more is enough.
_JUST_BELOW: Final = Decimal("0.999999")


def who(event: Event, style: str = "bold", *, budget: bool = True) -> Line:
    """Whose budget it is: `research`, `team research (teams)`, `usage without a team (teams)`.

    `budget` names the budget behind a scope.
    """
    if not event.scope:
        return (name(event.budget, style),)
    parts: list[Line] = [
        (Span(f"{clean(label)} ", style), name(value, style))
        if value
        else (Span(f"{'' if number else 'usage '}without a {clean(label)}", style),)
        for number, (label, value) in enumerate(event.scope)
    ]
    return (*joined(parts, ", "), *((Span(f" ({clean(event.budget)})", style),) if budget else ()))


def used(event: Event) -> Line:
    """used *251.40 of 500.00 USD (50 %)*"""
    if event.spent is None:
        return (plain("spend "), bold("unknown"), *_of_amount(event))
    if not event.amount:
        return (plain("used "), bold(amount(event.spent, event.currency)))
    return (plain("used "), bold(used_of(event.spent, event.amount, event.currency)))


def likely(event: Event) -> Line:
    """likely total *483* (80 %: 440 to 535)"""
    middle = event.projected.get("0.5")
    if middle is None:
        return ()
    low, high = event.projected.get("0.1"), event.projected.get("0.9")
    line = (plain("likely total "), bold(estimate(middle, event.currency, event.spent)))
    if low is None or high is None:
        return line
    between = (estimate(value, event.currency, event.spent) for value in (low, high))
    return (*line, plain(f" (80 %: {' to '.join(between)})"))


def exceeding(event: Event) -> Line:
    """24 % chance of exceeding"""
    if event.probability_over is None or _is_over(event):
        return ()
    return (plain(f"{chance(event.probability_over)} chance of exceeding"),)


def standing(event: Event) -> Line:
    """used ... (..), likely total ... (80 %: .. to ..), .. chance of exceeding"""
    projection = likely(event) or ((plain("no projection yet"),) if event.spent is not None else ())
    return joined([used(event), projection, exceeding(event)], ", ")


def room(event: Event) -> Line:
    """Left 248.60 = 17.03 a day; last 7 days 15.90 a day"""
    if event.spent is None or event.amount is None:
        return _pace(event, "Last 7 days")
    left = event.amount - event.spent
    if left <= 0:
        return joined([(plain("Nothing left"),), _pace(event, "last 7 days")], "; ")
    per_day = "" if event.pace_allowed is None else f" = {number(event.pace_allowed, event.currency)} a day"
    return joined([(plain(f"Left {number(left, event.currency)}{per_day}"),), _pace(event, "last 7 days")], "; ")


def to_stay_inside(event: Event) -> Line:
    """Left 176.40. To stay inside: *15.10 a day*; now 28.10"""
    if event.pace_allowed is None or event.pace is None or _is_over(event):
        return room(event)
    left = () if event.spent is None or event.amount is None else _left(event.amount - event.spent, event.currency)
    allowed, pace = number(event.pace_allowed, event.currency), number(event.pace, event.currency)
    return (*left, plain("To stay inside: "), bold(f"{allowed} a day"), plain(f"; last 7 days {pace} a day"))


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


def when(event: Event, now: datetime) -> Line:
    """Runs out *Tue 24 Nov* (Mon 23 Nov to Thu 26 Nov)"""
    out = runs_out(event, now)
    return (plain("Runs out "), bold(out), plain(runs_out_between(event, now))) if out else ()


def committed(event: Event, now: datetime) -> Line:
    """Certain if nobody stops it: `acme/llama` 644.00 USD more by 1 Dec (3.25 an hour), used up Thu 26 Nov 14:18"""
    table, zone = details.table(event, "committed"), zone_of(event)
    items = _commitments(event)
    if not items and not table.get("unconverted"):
        return ()
    parts: list[Line] = []
    for row in items[:_TOP]:
        ahead, cost = (details.as_decimal(row.get(key)) or Decimal(0) for key in ("ahead", "cost"))
        end = min(filter(None, (details.as_instant(row.get("until")), event.period_end)), default=None)
        by = "" if end is None else f" by {clock_time(end, zone, now)}"
        per = str(row.get("per", ""))
        rate = f" ({number(cost, event.currency)} {'an' if per == 'hour' else 'a'} {clean(per, 10)})" if per else ""
        parts.append(
            (name(str(row.get("what", "")), "code"), plain(f" {amount(ahead, event.currency)} more{by}{rate}"))
        )
    if len(items) > _TOP:
        parts.append((plain(f"{len(items) - _TOP} others"),))
    out = details.as_instant(table.get("exhausted_at"))
    used_up = "" if out is None else f"; that alone uses the budget up on {clock_time(out, zone, now)}"
    without = ", ".join(clean(str(one), 60) for one in table.get("unconverted") or ())
    missing = f"Committed in a currency without a rate, in no figure: {without}" if without else ""
    missing = f". {missing}" if items and missing else missing
    lead = plain("Certain if nobody stops it: ") if items else plain("")
    return (lead, *joined(parts, ", "), plain(used_up), plain(missing))


def committed_names(event: Event, style: str) -> Line:
    """acme/llama, seats and 2 others"""
    items = _commitments(event)
    named: list[Line] = [(name(str(row.get("what", "")), style),) for row in items[:_TOP]]
    more: list[Line] = [(Span(f"{len(items) - _TOP} others", style),)] if len(items) > _TOP else []
    return joined([*named, *more], ", ")


def _commitments(event: Event) -> list[Mapping[str, object]]:
    rows = details.table(event, "committed").get("items")
    return [row for row in rows or () if isinstance(row, Mapping)]


def contributors(event: Event) -> Line:
    """claude-sonnet 148.10 · gpt-5 71.90 · others 31.40; By key: rag-indexer 148.10 · ..."""
    shown = event.contributors[:_TOP]
    one_label = len({item.label for item in shown}) == 1
    by = f"By {clean(shown[0].label, 40)}: " if one_label and shown[0].label not in _TELLING else ""
    parts: list[Line] = [
        (*_label(item, one_label=one_label), plain(f" {number(item.spent, event.currency)}")) for item in shown
    ]
    rest = None if event.spent is None else event.spent - sum((item.spent for item in shown), Decimal(0))
    if one_label and rest is not None and rest > 0 and event.contributor_count > len(shown):
        parts.append((plain(f"others {number(rest, event.currency)}"),))
    return (plain(by), *joined(parts)) if parts else ()


def crossed_before(event: Event) -> Line:
    """Crossed before this start: 50 % and 80 %. They are listed here once; no alert of their own follows."""
    crossed = [clean(str(one), 60) for one in event.details.get("crossed") or ()]
    if not crossed:
        return (plain("No threshold was crossed before this start"),)
    said = " and ".join(part for part in (", ".join(crossed[:-1]), crossed[-1]) if part)
    return (plain(f"Crossed before this start: {said}. Listed here once; no alert of its own follows"),)


def changed(event: Event) -> Line:
    """Changed: key `rag-indexer` 2.10 → 14.30 a day (volume ×6.8, same price)"""
    if event.details.get("burning") or is_own_runaway(event):
        return (plain("It runs away now: should that go on, the likely total is too low"),)
    if running := _runaways(event):
        return running
    compared = [item for item in event.contributors if item.pace_now is not None and item.pace_before is not None]
    if not compared:
        return ()
    item = max(compared, key=lambda one: abs(_move(one)))
    if abs(_move(item)) <= _CHANGED * max(item.pace_before or Decimal(0), item.pace_now or Decimal(0)):
        return (plain("Nobody's pace changed by more than a quarter"),)
    return (plain("Changed: "), *_label(item, one_label=False), plain(_from_to(item, event.currency)))


def is_running_away(event: Event) -> bool:
    """Whether a burn rate is crossed now, of this budget or one over its usage: then nothing says that all is well."""
    return is_own_runaway(event) or bool(details.rows(event, "runaways"))


def is_own_runaway(event: Event) -> bool:
    """Whether it is this budget whose burn rate is crossed."""
    return "runaway" in event.flags or event.status == "runaway"


def _runaways(event: Event) -> Line:
    """Running away now: *team ci (teams)*"""
    rows = [row for row in details.rows(event, "runaways") if isinstance(row, Mapping)]
    named = [
        who(replace(event, budget=str(row.get("budget", "")), scope=tuple(map(tuple, row.get("scope") or ()))))
        for row in rows[:_TOP]
    ]
    more: list[Line] = [(plain(f"{len(rows) - _TOP} others"),)] if len(rows) > _TOP else []
    return (plain("Running away now: "), *joined([*named, *more], ", ")) if named else ()


def to_do(event: Event, *, commands: bool = True) -> Line:
    """Owner @ana · runbook · details · `alertd raise research 600` · `alertd ack 4f2`"""
    handle = clean(details.words(event, "handle"))
    parts: list[Line] = [
        (plain("Owner "), name(event.owner)) if event.owner else (),
        (link("runbook", event.runbook_url),) if event.runbook_url else (),
        (link("details", event.details_url),) if event.details_url else (),
    ]
    if commands:
        parts += [raise_command(event), (code(f"alertd ack {handle}"),) if handle else ()]
    return joined(parts)


def raise_command(event: Event) -> Line:
    """`alertd raise research 600`: the next round amount above what is likely or certain, at least a fifth more."""
    if not event.amount or event.basis in _NOTHING_TO_RAISE:
        return ()
    least = max(event.amount, event.spent or Decimal(0)) * _RAISE_BY * _JUST_BELOW
    certain = details.as_decimal(details.table(event, "committed").get("total")) or Decimal(0)
    higher = round_amount_above(max(event.projected.get("0.5", Decimal(0)), certain, least))
    figure = tokens(higher) + " tokens" if event.currency == TOKENS else f"{higher.normalize():f}"
    scopes = [word for label, value in event.scope for word in ("--scope", f"{label}={value or ''}")]
    words = ["alertd", "raise", event.budget, figure, *scopes]
    return command(words)


def _left(left: Decimal, unit: str) -> Line:
    return (plain(f"Left {number(left, unit)}. "),)


def _of_amount(event: Event) -> Line:
    return (plain(f" of {amount(event.amount, event.currency)}"),) if event.amount else ()


def _pace(event: Event, words: str) -> Line:
    return () if event.pace is None else (plain(f"{words} {number(event.pace, event.currency)} a day"),)


def _is_over(event: Event) -> bool:
    return event.spent is not None and event.amount is not None and event.spent >= event.amount


def _label(item: Contributor, *, one_label: bool) -> Line:
    return (name(item.value),) if one_label else (plain(f"{clean(item.label, 40)} "), name(item.value, "code"))


def _move(item: Contributor) -> Decimal:
    return (item.pace_now or Decimal(0)) - (item.pace_before or Decimal(0))


def _from_to(item: Contributor, unit: str) -> str:
    before, now = item.pace_before or Decimal(0), item.pace_now or Decimal(0)
    if not now:
        return f" {number(before, unit)} a day → stopped"
    if not before:
        return f" is new: {number(now, unit)} a day"
    return f" {number(before, unit)} → {number(now, unit)} a day ({price_or_volume(now / before, item.volume_change)})"


def price_or_volume(pace: Decimal, volume: float | None) -> str:
    """Price against volume: which of the two made the pace change."""
    if volume is None or volume <= 0 or pace <= 0:
        return times(pace)
    price = pace / Decimal(str(volume))
    volume_text = "same volume" if abs(volume - 1) <= _SAME else f"volume {times(volume)}"
    return f"{volume_text}, {'same price' if abs(price - 1) <= _SAME else f'price {times(price)}'}"
