"""What is said when a budget's threshold is reached: one function for each basis. Headline first, evidence after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event, ForecastReached, details_of
from alertd.core.messages import evidence
from alertd.core.messages.actions import proposed
from alertd.core.messages.format import (
    chance,
    clock_time,
    estimated,
    frees,
    how_surely,
    level_text,
    money,
    per_unit,
    percent,
    period_name,
    possessive,
    rate,
    soon_or_day,
    spent_of,
    zone_of,
)
from alertd.core.messages.rich_text import Fact, Line, Said, bold, joined, plain
from alertd.core.messages.surges import anomaly, balance, burn_rate, novel

_HUNDRED: Final = 100
#: How a share that is spent goes with the status of its budget.
_STATUSES: Final = {
    "runaway": ", and a key is running away", "no_forecast": ", no forecast yet",
    "unknown": " or more; data are missing",
}  # fmt: skip
#: From this level on, in percent, "on track" would calm too much.
_NEARLY_ALL: Final = 90
_SHARES: Final = {Decimal(25): "a quarter", Decimal(50): "half", Decimal(75): "three quarters"}


def threshold(event: Event, now: datetime) -> Said:
    """A threshold that was reached, by its basis."""
    basis = "over" if event.basis == "actual" and _is_full(event) else event.basis
    return _BY_BASIS.get(basis, _actual)(event, now)


def forecast_text(event: Event, now: datetime) -> str:
    """`will probably go over: $564 of $500, runs out Fri 27 Nov`: what is expected, how surely, and when."""
    surely, middle = how_surely(event.probability_over), event.projected.get("0.5")
    figure = ""
    if middle is not None and event.amount and not evidence.is_too_early(event) and middle > event.amount:
        figure = f"{estimated(middle, event.currency, event.spent)} of {money(event.amount, event.currency)}"
    elif surely == "may" and event.probability_over is not None:
        figure = f"{chance(event.probability_over)} chance"
    out = evidence.runs_out(event, now)
    said = ", ".join(part for part in (figure, f"runs out {out}" if out else "") if part)
    return f"{surely} go over{': ' + said if said else ''}"


def _actual(event: Event, now: datetime) -> Said:
    """research has spent half of November's budget, on track"""
    budget = possessive(period_name(event, now))
    is_quiet = event.severity == "info"
    lines = (
        _also_passed(event),
        evidence.committed(event, now),
        evidence.cause(event),
        evidence.to_do(event, commands=not is_quiet),
    )
    calm = is_quiet and not evidence.is_running_away(event) and not event.unpriced
    headline = (*evidence.who(event), bold(f" has spent {_share(event)} of {budget}{_ahead(event, now)}"))
    return Said(headline, lines, ("no action needed",) if calm else (), evidence.figures(event, now))


def _ahead(event: Event, now: datetime) -> str:
    """How the rest of the period looks, for the headline of a share."""
    if event.window is not None:
        return _fills(event, now) if event.anchored else ""
    if event.status == "at_risk":
        return f" and {forecast_text(event, now)}"
    if event.status == "on_track":
        return ", likely to last" if (event.level or 0) >= _NEARLY_ALL else ", on track"
    return _STATUSES.get(event.status, "" if event.severity == "info" else ", faster than planned")


def _fills(event: Event, now: datetime) -> str:
    """When a window that use opened is full, or that it is not before it closes, for the headline of a share."""
    if event.period_end is None:
        return ""
    closes = clock_time(event.period_end, zone_of(event), now)
    if event.exhausted_at is None:
        return f", which closes at {closes}"
    return f": full at {clock_time(event.exhausted_at, zone_of(event), now)} at this pace, closes at {closes}"


def _over(event: Event, now: datetime) -> Said:
    """research is over November's budget: $503.20 of $500"""
    budget = possessive(period_name(event, now))
    is_above = event.spent is not None and event.amount is not None and event.spent > event.amount
    said = f"is over {budget}" if is_above else f"has used up {budget}"
    figures = "" if event.spent is None or not event.amount else _of(event.spent, event)
    frees_at = frees(event, now)
    lines = (
        _also_passed(event),
        evidence.committed(event, now),
        evidence.cause(event),
        (plain("Keys still work: no action is configured for this budget."),) if event.unguarded else (),
        proposed(event, now),
        evidence.to_do(event),
    )
    facts = (
        evidence.spent(event),
        Fact("Frees", (bold(frees_at.removeprefix("frees ")),) if frees_at else ()),
        evidence.likely_total(event, now),
        Fact("Used up", _since(event, now)),
        _daily(event),
    )
    return Said((*evidence.who(event), bold(f" {said}{': ' + figures if figures else ''}")), lines, (), facts)


def _certain(event: Event, now: datetime) -> Said:
    """research will go over unless acme/llama is stopped: $854 of $500 by 30 Nov"""
    found, out = event.committed, evidence.runs_out(event, now)
    total = found.total if found else None
    over = event.amount is not None and total is not None and total > event.amount
    level = "go over" if over or event.level is None else f"reach {level_text(event.level)} of its budget"
    items = () if found is None else found.items
    several = len(items) > 1
    by = f" by {evidence.last_day(event)}" if event.period_end is not None else ""
    figures = "" if total is None or not event.amount else f": {_of(total, event)}{by}"
    headline = (
        *evidence.who(event),
        bold(f" will {level}"),
        *((bold(" unless "), *evidence.committed_names(event, "bold")) if items else ()),
        bold(f"{(' are' if several else ' is') + ' stopped' if items else ''}{figures}"),
    )
    cost = (
        [(bold(f"{rate(one.cost, event.currency)} {per_unit(one.per)}"),) for one in items]
        if all(one.per for one in items)
        else []
    )
    out_at = found.exhausted_at if found is not None else None
    used_up = "" if out_at is None else clock_time(out_at, zone_of(event), now)
    lines = (
        evidence.committed(event, now) if several or (found is not None and found.unconverted) else (),
        (plain("This is a contract, not a forecast: it is charged whether used or not, until somebody stops it."),),
        evidence.to_do(event),
    )
    facts = (
        evidence.spent(event),
        Fact(f"Certain{by}", () if total is None else (bold(money(total, event.currency)),)),
        Fact("It costs", joined(cost, " and ")),
        Fact("Budget is used up", (bold(used_up or out),) if used_up or out else ()),
        evidence.likely_total(event, now, between=False),
    )
    return Said(headline, lines, (), facts)


def _forecast(event: Event, now: datetime) -> Said:
    """research will probably go over: $564 of $500, runs out Fri 27 Nov"""
    if details_of(event, ForecastReached).certain:
        return _certain(event, now)
    if event.level in {None, Decimal(_HUNDRED)}:
        said = forecast_text(event, now)
    else:
        said = f"{how_surely(event.probability_over)} reach {level_text(event.level or Decimal(0))} of its budget"
    lines = (evidence.committed(event, now), evidence.cause(event), evidence.to_do(event))
    return Said((*evidence.who(event), bold(f" {said}")), lines, (), evidence.figures(event, now))


_BY_BASIS: Final[Mapping[str, Callable[[Event, datetime], Said]]] = {
    "actual": _actual,
    "over": _over,
    "forecast": _forecast,
    "burn_rate": burn_rate,
    "anomaly": anomaly,
    "balance": balance,
    "novel": novel,
}


def _is_full(event: Event) -> bool:
    over = event.spent is not None and event.amount is not None and event.spent >= event.amount
    return over or (event.level or 0) >= _HUNDRED


def _share(event: Event) -> str:
    """`half`, `81%`: what is spent now, not the level that was crossed on the way."""
    if event.spent is None or not event.amount:
        return "part" if event.level is None else level_text(event.level)
    share = round(event.spent / event.amount * _HUNDRED)
    return _SHARES.get(Decimal(share), percent(event.spent, event.amount))


def _of(spent: Decimal, event: Event) -> str:
    """`$503.20 of $500`; the share is in the facts."""
    return "" if event.amount is None else spent_of(spent, event.amount, event.currency).rpartition(" (")[0]


def _daily(event: Event) -> Fact:
    return Fact("Last 7 days", () if event.pace is None else (plain(f"{rate(event.pace, event.currency)} a day"),))


def _also_passed(event: Event) -> Line:
    """The other thresholds in this message: several at once, or one found late."""
    passed = [level_text(level) for level in event.levels]
    said = [f"{', '.join(passed[:-1])} and {passed[-1]} were reached in one evaluation"] if len(passed) > 1 else []
    since = event.found_late_since
    late = {"down": "reached while alertd was not running", "correction": "found by a late correction of the data"}
    found = late.get(event.found_late)
    if found:
        said.append(found + ("" if since is None else f" (since {clock_time(since, zone_of(event), event.at)})"))
    text = "; ".join(said)
    return (plain(f"{text[:1].upper()}{text[1:]}."),) if said else ()


def _since(event: Event, now: datetime) -> Line:
    if event.exhausted_at is None or event.exhausted_at > event.at:
        return ()
    return (bold(soon_or_day(event.exhausted_at, zone_of(event), now)),)
