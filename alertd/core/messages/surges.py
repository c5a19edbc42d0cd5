"""What is said of spending that is unlike itself, and of credit that runs low: burn rates, anomalies, balances."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.actions import proposed
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.figures import amount, estimate, level_text, number, plural, share_percent, times
from alertd.core.messages.spans import Line, Said, bold, capital, clean, joined, name, plain

_SPANS: Final = {"1h": "the last hour", "1d": "the last day", "24h": "the last 24 hours", "5m": "the last 5 minutes"}
_BELIEVED: Final = 0.5
_COUNTS: Final = ("No", "One", "Two", "Three", "Four", "Five", "Six")


def burn_rate(event: Event, now: datetime) -> Said:
    """Runaway: research spent 41.30 USD in the last hour (usual 0.30), most of it by `rag-indexer` (40.10)"""
    spent, usual = details.decimal(event, "window_spent"), details.decimal(event, "window_usual")
    figure = "is spending" if spent is None else f"spent {amount(spent, event.currency)}"
    headline = (
        bold("Runaway: "),
        *evidence.who(event),
        bold(f" {figure} in {_window(event)}" if spent is not None else f" {figure} far too fast"),
        plain("" if usual is None else f" (usual {number(usual, event.currency)})"),
        *_top_contributor(event),
    )
    lines = (
        _against_pace(event, now),
        _composition(event, now),
        proposed(event, now),
        _likely(event),
        evidence.room(event),
        evidence.contributors(event),
        evidence.to_do(event),
    )
    return headline, lines, _readings(event, now)


def anomaly(event: Event, now: datetime) -> Said:
    """Unusual: research spent 41.30 USD in the last day (usual 2.10 to 9.40)"""
    spent = details.decimal(event, "window_spent")
    low, high = details.decimal(event, "usual_low"), details.decimal(event, "usual_high")
    figure = "spends more than usual" if spent is None else f"spent {amount(spent, event.currency)} in {_window(event)}"
    usual = "" if low is None or high is None else f" (usual {_between(low, high, event.currency)})"
    rarity = "" if event.level is None else f"More than in {level_text(event.level)} of such stretches before"
    lines = (
        (plain(rarity),) if rarity else (),
        evidence.standing(event),
        evidence.room(event),
        evidence.when(event, now),
        evidence.changed(event),
        evidence.contributors(event),
        evidence.to_do(event),
    )
    return (
        (bold("Unusual: "), *evidence.who(event), bold(f" {figure}"), plain(usual), *_top_contributor(event)),
        lines,
        (),
    )


def balance(event: Event, now: datetime) -> Said:
    """research: 42.10 USD of credit left, gone Fri 27 Nov (Wed 25 Nov to Mon 30 Nov)"""
    left, out = details.decimal(event, "balance"), evidence.runs_out(event, now)
    figure = "credit is low" if left is None else f"{amount(left, event.currency)} of credit left"
    level = () if event.amount is None else (plain(f"Told below {amount(event.amount, event.currency)}"),)
    pace = () if event.pace is None else (plain(f"last 7 days {number(event.pace, event.currency)} a day"),)
    spent = () if event.spent is None else (plain(f"used {amount(event.spent, event.currency)} in this period"),)
    lines = (
        joined([level, pace, spent], "; "),
        (plain("When it is gone, requests will fail until someone tops it up."),),
        evidence.contributors(event),
        evidence.changed(event),
        evidence.to_do(event),
    )
    headline = (
        *evidence.who(event),
        bold(f": {figure}{', gone ' + out if out else ''}"),
        plain(evidence.runs_out_between(event, now) if out else ""),
    )
    return headline, lines, ()


def _top_contributor(event: Event) -> Line:
    """, most of it by `rag-indexer` (40.10); nothing where nobody spent most of it."""
    found = details.table(event, "top_contributor")
    if not found.get("value") or (str(found.get("label")), str(found["value"])) in event.scope:
        return ()
    spent = details.as_decimal(found.get("spent"))
    own = "" if spent is None else f" ({number(spent, event.currency)})"
    return (plain(", most of it by "), name(str(found["value"]), "code"), plain(own))


def _window(event: Event) -> str:
    text = clean(details.words(event, "window"))
    return _SPANS.get(text, f"the last {text}" if text else "a short time")


def _rate(event: Event) -> str:
    text = clean(details.words(event, "rate_window"))
    return _SPANS.get(text, f"the last {text}" if text else "the last minutes")


def _against_pace(event: Event, now: datetime) -> Line:
    """59× even pace, still rising; research used 424.50 of 500.00 USD (85 %), gone about 04:50 at this rate"""
    factor, rising = details.decimal(event, "factor"), event.details.get("rising")
    direction = (
        {True: ", still rising", False: ", no longer rising"}.get(rising, "") if isinstance(rising, bool) else ""
    )
    pace = () if factor is None else (plain(f"{times(factor).lstrip('×')}× even pace{direction}"),)
    used = (*evidence.who(event, "plain"), plain(" "), *evidence.used(event))
    out = evidence.runs_out(event, now)
    gone: Line = (
        (bold(f"gone {out}"), plain(f" at the rate of {_rate(event)}"), plain(evidence.runs_out_between(event, now)))
        if out
        else ()
    )
    return joined([pace, joined([used, gone], ", ")], "; ")


def _likely(event: Event) -> Line:
    """Likely total *640* ..; where a projection by days does not believe in the surge: Should it calm down: .."""
    line = joined([evidence.likely(event), evidence.exceeding(event)], ", ")
    if line and event.probability_over is not None and event.probability_over < _BELIEVED:
        return (plain("Should it calm down: "), *line)
    return capital(line)


def _composition(event: Event, now: datetime) -> Line:
    """98 % of it gpt-5, 1,840 requests (usual 12), since 02:05"""
    main = details.table(event, "main")
    share, requests = details.as_decimal(main.get("share")), details.decimal(event, "requests")
    usual, since = details.decimal(event, "requests_usual"), details.instant(event, "since")
    of_it = () if share is None else (plain(f"{share_percent(float(share))} of it "), name(str(main.get("value", ""))))
    counted = "" if requests is None else plural(int(requests), "request")
    if counted and usual is not None:
        counted += f" (usual {int(usual):,})"
    started = "" if since is None else f"since {clock_time(since, zone_of(event), now)}"
    return joined([of_it, (plain(counted),) if counted else (), (plain(started),) if started else ()], ", ")


def _readings(event: Event, now: datetime) -> tuple[str, ...]:
    instants = [found for value in details.rows(event, "readings") if (found := details.as_instant(value))]
    if not instants:
        return ()
    count = _COUNTS[len(instants)] if len(instants) < len(_COUNTS) else str(len(instants))
    times_of_day = " and ".join(clock_time(value, zone_of(event), now) for value in instants)
    return (f"{count.lower()} reading{'s' if len(instants) > 1 else ''}, {times_of_day}",)


def _between(low: Decimal, high: Decimal, unit: str) -> str:
    return f"{estimate(low, unit)} to {estimate(high, unit)}"
