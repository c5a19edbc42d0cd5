"""What is said when a budget's threshold is reached: one function for each basis. Headline first, evidence after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.actions import proposed
from alertd.core.messages.dates import clock_time, period_name, possessive, soon_or_day, zone_of
from alertd.core.messages.figures import amount, chance, level_text, used_of
from alertd.core.messages.spans import Line, Said, bold, capital, joined, plain
from alertd.core.messages.surges import anomaly, balance, burn_rate

_HUNDRED: Final = 100
#: How a level that was crossed goes with the status of its budget.
_STATUSES: Final = {
    "on_track": "on track", "at_risk": "at risk of going over", "runaway": "running away",
    "no_forecast": "no forecast yet", "unknown": "with data missing",
}  # fmt: skip
_SHARES: Final = {Decimal(25): "a quarter", Decimal(50): "half", Decimal(75): "three quarters"}
#: From which probability on the headline says what.
_CERTAINTY: Final = (
    (0.99, "is all but certain to exceed"),
    (0.6, "will probably exceed"),
    (0.0, "may exceed"),
)


def how_surely(probability: float | None) -> str:
    """`may exceed`, `will probably exceed` or `is all but certain to exceed`."""
    return next(words for floor, words in _CERTAINTY if (probability or 0) >= floor)


def threshold(event: Event, now: datetime) -> Said:
    """A threshold that was reached, by its basis."""
    basis = "over" if event.basis == "actual" and _is_full(event) else event.basis
    return _BY_BASIS.get(basis, _actual)(event, now)


def _actual(event: Event, now: datetime) -> Said:
    """research: half of November's budget used, on track"""
    pace = _STATUSES.get(event.status, "ahead of budget" if event.severity != "info" else "on track")
    budget = possessive(period_name(event, now))
    headline = (*evidence.who(event), bold(f": {_share(event)} of {budget} used, {pace}"))
    lines = (
        _also_passed(event),
        evidence.standing(event),
        evidence.room(event),
        evidence.when(event, now) if event.severity != "info" else (),
        evidence.committed(event, now),
        evidence.contributors(event),
        evidence.changed(event),
        evidence.to_do(event, commands=event.severity != "info"),
    )
    return (
        headline,
        lines,
        (("no action needed",) if event.severity == "info" and not evidence.is_running_away(event) else ()),
    )


def _over(event: Event, now: datetime) -> Said:
    """research has used up November's budget: 3.20 USD over"""
    budget = possessive(period_name(event, now))
    share = "used up" if (event.level or 0) <= _HUNDRED else f"used {_share(event)} of"
    lines = (
        _also_passed(event),
        joined([evidence.used(event), evidence.likely(event)], ", "),
        joined([evidence.room(event), _since(event)], "; "),
        evidence.committed(event, now),
        evidence.contributors(event),
        evidence.changed(event),
        (plain("No action is configured for this budget: nothing is blocked"),)
        if event.details.get("unguarded")
        else (),
        proposed(event, now),
        evidence.to_do(event),
    )
    return (*evidence.who(event), bold(f" has {share} {budget}{_excess(event)}")), lines, ()


def _certain(event: Event, now: datetime) -> Said:
    """research is certain to go over its budget if nobody stops acme/llama: 644.00 of 300.00 USD, used up Thu 26 Nov"""
    total, out = details.as_decimal(details.table(event, "committed").get("total")), evidence.runs_out(event, now)
    over = event.amount is not None and total is not None and total > event.amount
    level = "its budget" if over or event.level is None else f"{level_text(event.level)} of its budget"
    figures = "" if total is None or not event.amount else f": {used_of(total, event.amount, event.currency)}"
    headline = (
        *evidence.who(event),
        bold(f" is certain to go over {level} if nobody stops "),
        *evidence.committed_names(event, "bold"),
        bold(f"{figures}{', used up ' + out if out else ''}"),
    )
    lines = (
        evidence.committed(event, now),
        (plain("This is a contract, not a forecast: it is charged whether used or not. Stop it, or raise the budget"),),
        evidence.used(event),
        evidence.contributors(event),
        evidence.to_do(event),
    )
    return headline, lines, ()


def _forecast(event: Event, now: datetime) -> Said:
    """research will probably exceed its budget: runs out Fri 27 Nov (Wed 25 Nov to Mon 30 Nov)"""
    if "certain" in event.details:
        return _certain(event, now)
    out = evidence.runs_out(event, now)
    level = "its budget" if event.level in {None, Decimal(_HUNDRED)} else f"{level_text(event.level)} of its budget"
    verb = how_surely(event.probability_over)
    headline = (
        *evidence.who(event),
        bold(f" {verb} {level}{': runs out ' + out if out else ''}"),
        plain(evidence.runs_out_between(event, now) if out else ""),
    )
    sure = "" if event.probability_over is None else f"{chance(event.probability_over)} sure. "
    likely = (plain(sure), *capital(evidence.likely(event)))
    lines = (
        joined([likely, evidence.used(event)], "; "),
        evidence.committed(event, now),
        evidence.changed(event),
        evidence.contributors(event),
        evidence.to_stay_inside(event),
        evidence.to_do(event),
    )
    return headline, lines, ()


_BY_BASIS: Final[Mapping[str, Callable[[Event, datetime], Said]]] = {
    "actual": _actual,
    "over": _over,
    "forecast": _forecast,
    "burn_rate": burn_rate,
    "anomaly": anomaly,
    "balance": balance,
}


def _is_full(event: Event) -> bool:
    over = event.spent is not None and event.amount is not None and event.spent >= event.amount
    return over or (event.level or 0) >= _HUNDRED


def _share(event: Event) -> str:
    if event.level is None:
        return "part"
    return _SHARES.get(event.level, level_text(event.level))


def _excess(event: Event) -> str:
    if event.spent is None or event.amount is None or event.spent <= event.amount:
        return ""
    return f": {amount(event.spent - event.amount, event.currency)} over"


def _also_passed(event: Event) -> Line:
    """What the one message stands for: several levels at once, or a level found late."""
    passed = [level_text(level) for level in event.levels]
    said = [f"{', '.join(passed[:-1])} and {passed[-1]} passed at once"] if len(passed) > 1 else []
    since = details.instant(event, "found_late_since")
    late = {"down": "crossed while alertd was not running", "correction": "found by a late correction of the data"}
    found = late.get(details.words(event, "found_late"))
    if found:
        said.append(found + ("" if since is None else f" (since {clock_time(since, zone_of(event), event.at)})"))
    return (plain(" · ".join(said)),) if said else ()


def _since(event: Event) -> Line:
    if event.exhausted_at is None or event.exhausted_at > event.at:
        return ()
    return (plain(f"used up {soon_or_day(event.exhausted_at, zone_of(event), event.at)}"),)
