"""What is said of spending that is unlike itself, and of credit that runs low: burn rates, anomalies, balances."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import (
    AnomalyReached,
    BalanceReached,
    BurnRateReached,
    Event,
    NovelUsed,
    details_of,
)
from alertd.core.messages import evidence
from alertd.core.messages.actions import proposed
from alertd.core.messages.format import (
    clock_time,
    estimate,
    money,
    plural,
    rate,
    share_percent,
    zone_of,
)
from alertd.core.messages.rich_text import Fact, Line, Said, bold, clean, joined, name, plain

_SPANS: Final = {"1h": "the last hour", "1d": "the last day", "24h": "the last 24 hours", "5m": "the last 5 minutes"}
_UNITS: Final = {"h": "hour", "d": "day", "w": "week"}
_COUNTS: Final = ("no", "one", "two", "three", "four", "five", "six")


def burn_rate(event: Event, now: datetime) -> Said:
    """rag-indexer is burning $40 an hour (normally 30¢ in all of research). research runs out about 09:50"""
    burn = details_of(event, BurnRateReached)
    is_counted = event.since is not None and burn.requests is not None
    since = f"Since {clock_time(event.since, zone_of(event), now)}" if is_counted and event.since else "Pace"
    likely, chance = evidence.likely_total(event, now), evidence.chance_of_going_over(event)
    facts = (evidence.spent(event), Fact(since, _composition(burn)), likely, chance)
    lines = (proposed(event, now), evidence.to_do(event))
    return Said(_burning(event, burn, now), lines, _readings(burn), facts)


def _burning(event: Event, burn: BurnRateReached, now: datetime) -> Line:
    """Who burns how much; what is usual for the whole budget, and when it runs out."""
    top, spent, usual = burn.top_contributor, burn.window_spent, burn.window_usual
    out = evidence.runs_out(event, now)
    is_named = top is not None and top.spent is not None and (top.label, top.value) not in event.scope
    who = (name(top.value, "bold"),) if top is not None and is_named else evidence.who(event)
    figure = top.spent if top is not None and is_named else spent
    verb = "burned" if burn.rising is False else "is burning" if burn.window == "1h" else "spent"
    if figure is None:
        burning = " is spending far too fast"
    elif burn.window == "1h" and verb == "is burning":
        burning = f" is burning {rate(figure, event.currency)} an hour"
    else:
        burning = f" {verb} {rate(figure, event.currency)} in {_window(burn.window)}"
    normal = "" if usual is None else f"{rate(usual, event.currency) if usual else 'nothing'}"
    if not is_named:
        rest = f" (normally {normal})" if normal else ""
        return (*who, bold(f"{burning}{rest}{', runs out ' + out if out else ''}"))
    usually: Line = (
        (plain(f" (normally {normal} in all of "), *evidence.who(event, "plain", budget=False), plain(")"))
        if normal
        else ()
    )
    runs: Line = (bold(". "), *evidence.who(event, budget=False), bold(f" runs out {out}")) if out else ()
    return (*who, bold(burning), *usually, *runs)


def anomaly(event: Event, now: datetime) -> Said:
    """research spent $41.30 today; by this hour it is normally $2.10 to $9.40"""
    day = details_of(event, AnomalyReached)
    spent, low, high = day.window_spent, day.usual_low, day.usual_high
    is_day = day.window in {"1d", ""}
    when = "today" if is_day else f"in {_window(day.window)}"
    figure = " spends more than usual" if spent is None else f" spent {money(spent, event.currency)} {when}"
    by = "by this hour it is normally" if is_day else "normally"
    usual = "" if low is None or high is None else f"; {by} {_between(low, high, event)}"
    top = day.top_contributor
    named = top is not None and top.spent is not None and (top.label, top.value) not in event.scope
    most: Line = () if top is None or not named or top.spent is None else (
        plain("Most of it: "), name(top.value, "code"), plain(f" {money(top.spent, event.currency)}."),
    )  # fmt: skip
    facts = (
        evidence.spent(event),
        evidence.likely_total(event, now, between=False),
        evidence.chance_of_going_over(event),
        evidence.on_track_means(event),
    )
    return Said(
        (*evidence.who(event), bold(f"{figure}{usual}")), (most or evidence.cause(event), evidence.to_do(event)), (),
        facts,
    )  # fmt: skip


def novel(event: Event, now: datetime) -> Said:
    """research uses a new model: gpt-image-9, $8.20 so far"""
    new = details_of(event, NovelUsed)
    label = clean(new.label, 40)
    cost = "" if new.spent is None else f", {money(new.spent, event.currency)} so far"
    lines = (
        (plain(f"Nobody used this {label} in the 30 days before. If nobody expects it, look at who uses the key."),),
        evidence.to_do(event),
    )
    return Said(
        (*evidence.who(event), bold(f" uses a new {label}: "), name(new.value, "bold"), bold(cost)), lines, (),
        evidence.figures(event, now),
    )  # fmt: skip


def balance(event: Event, now: datetime) -> Said:
    """openrouter-credit has $42.10 of credit left and runs out Fri 27 Nov"""
    left, out = details_of(event, BalanceReached).balance, evidence.runs_out(event, now)
    figure = " is low on credit" if left is None else f" has {money(left, event.currency)} of credit left"
    if left is not None and left <= 0:
        beyond = f": {money(-left, event.currency)} more was spent" if left else ""
        figure, out = f" has used up its credit{beyond}", ""
    between = evidence.runs_out_between(event, now)
    facts = (
        Fact("Left", () if left is None else (bold(money(left, event.currency)),)),
        Fact("Runs out", (bold(out), plain(between)) if out else ()),
        Fact("Last 7 days", () if event.pace is None else (plain(f"{rate(event.pace, event.currency)} a day"),)),
        _level(event),
    )
    lines = (
        evidence.reconciled(event),
        (plain(_out_of_credit(event, left)),),
        evidence.cause(event),
        evidence.to_do(event),
    )
    return Said((*evidence.who(event), bold(f"{figure}{' and runs out ' + out if out else ''}")), lines, (), facts)


def _out_of_credit(event: Event, left: Decimal | None) -> str:
    """What follows; where more was spent than was paid, and no source says so, what was paid is not all known."""
    if left is not None and left < 0 and event.credit is not None and not event.credit.by:
        return "More was spent than CREDIT says was paid: add the top-up to it, or write what is left."
    return "When it is used up, requests fail until somebody tops it up at the provider."


def _level(event: Event) -> Fact:
    """At what it alerts: an amount, or `3 days before it ends` of the threshold `balance 3d`."""
    if event.amount is not None:
        return Fact("Alerts when below", (plain(money(event.amount, event.currency)),))
    if event.threshold[-1:] not in _UNITS:
        return Fact("Alerts", ())
    number, unit = event.threshold.rsplit(maxsplit=1)[-1][:-1], _UNITS[event.threshold[-1]]
    return Fact("Alerts", (plain(f"{number} {unit}{'' if number == '1' else 's'} before it ends"),))


def _window(text: str, otherwise: str = "a short time") -> str:
    text = clean(text)
    return _SPANS.get(text, f"the last {text}" if text else otherwise)


def _composition(burn: BurnRateReached) -> Line:
    """*1,840 requests* (normally 12), 98% gpt-5"""
    main, usual = burn.main, burn.requests_usual
    counted: Line = () if burn.requests is None else (bold(plural(burn.requests, "request")),)
    if counted and usual is not None:
        counted = (*counted, plain(f" (normally {usual:,})"))
    of_it: Line = () if main is None else (plain(f"{share_percent(main.share)} "), name(main.value))
    pace: Line = () if burn.factor is None or counted else (plain(f"{burn.factor:,.0f} times the budgeted rate"),)
    return joined([counted, pace, of_it], ", ")


def _readings(burn: BurnRateReached) -> tuple[str, ...]:
    """`confirmed by two readings`; the first one is being confirmed."""
    count = len(burn.readings)
    if not count:
        return ()
    said = _COUNTS[count] if count < len(_COUNTS) else str(count)
    return (f"confirmed by {said} readings" if count > 1 else "first reading, being confirmed",)


def _between(low: Decimal, high: Decimal, event: Event) -> str:
    """`$2.10 to $9.40`."""
    unit = event.currency
    if money(low, unit).startswith(("$", "€", "£")):
        return f"{money(low, unit)} to {money(high, unit)}"
    return f"{estimate(low, unit)} to {estimate(high, unit)} {unit}"
