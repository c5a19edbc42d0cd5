"""Many events as one message: a headline with counts, a row for each; also why an alert is repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event, FirstStart, UnpricedUsage, details_of
from alertd.core.messages import evidence
from alertd.core.messages.format import (
    chance,
    clock_time,
    day,
    estimated,
    how_surely,
    level_text,
    money,
    percent,
    period_name,
    plural,
    spent_of,
    zone_of,
)
from alertd.core.messages.notices import notice
from alertd.core.messages.rich_text import Line, Said, bold, clean, code, joined, link, name, plain

_REPEATS: Final = {
    "reminder": ("Reminder: ", "nobody has acknowledged it"),
    "escalation": ("Escalated: ", "nobody has acknowledged it, so you get it too"),
    "snooze over": ("Snooze over: ", "it still fires"),
    "unexplained": ("Still firing: ", "a part of it was alerted instead, and no longer explains it"),
}


def again(event: Event, said: Said, now: datetime) -> Said:
    """Reminder: research will probably go over. First announced Fri 20 Nov 08:05; nobody has acknowledged it."""
    prefix, why = _REPEATS[event.repeat]
    first = event.first_announced_at
    since = "" if first is None else f"First announced {clock_time(first, zone_of(event), now)}; "
    text = f"{since}{why}"
    return said._replace(
        headline=(bold(prefix), *said.headline), lines=((plain(f"{text[:1].upper()}{text[1:]}."),), *said.lines)
    )


_SHOWN: Final = 12
#: How many budgets that are well a summary names one by one; of more it names the nearest to its limit.
_QUIET: Final = 3
_EXPLAINED: Final = 3
#: What needs no look.
_WELL: Final = frozenset({"on_track", "no_forecast"})
#: Of several budgets none is called all but certain: that is said of one.
_ONE_BY_ONE: Final = 0.9
_HUNDRED: Final = Decimal(100)
_RANK: Final = {"critical": 0, "warning": 1, "info": 2}
#: Each status in words, and its sign; the worst first.
_STATES: Final = {
    "over": "over",
    "runaway": "running away",
    "at_risk": "at risk",
    "unknown": "unknown",
    "no_forecast": "without a forecast yet",
    "on_track": "on track",
}
_DOTS: Final = {
    "over": "🔴", "runaway": "🔴", "at_risk": "🟠", "unknown": "🔌", "no_forecast": "⚪", "on_track": "🟢"
}  # fmt: skip
_COUNTED: Final = {"critical": "critical", "warning": "warning", "info": "for information"}


def several(events: Sequence[Event], now: datetime) -> Said:
    """One message for several scopes that cross together, a first start, a digest or a closed period, worst first."""
    ordered = sorted(events, key=_weight)
    summary = not _urgent(ordered)
    loud = [event for event in ordered if not summary or state(event) not in _WELL]
    quiet = [event for event in ordered if summary and state(event) in _WELL]
    shown = loud[:_SHOWN] if len(quiet) > _QUIET else [*loud[:_SHOWN], *quiet][:_SHOWN]
    rest = [event for event in loud if all(event is not one for one in shown)]
    explained: set[str] = set()
    lines: list[Line] = []
    for count, event in enumerate(shown):
        row = _row(event, ordered, now, explained if count < _EXPLAINED else None)
        if row not in lines:  # two thresholds of one budget may say the same
            lines += [row, evidence.because(event), evidence.also(event)]
    if rest:
        lines.append((plain(f"… and {len(rest):,} more: {_states(rest)}"),))
    if len(quiet) > _QUIET:
        lines.append(_quiet(quiet, ordered))
    if ordered[0].summary == "first_start":
        lines.append((plain("alertd started watching today. Thresholds crossed before are listed here once and are not "
                            "sent again."),))  # fmt: skip
    lines.append(_to_do(ordered))
    return Said((bold(_headline(ordered, now)),), tuple(lines), _owners(ordered))


def _quiet(quiet: Sequence[Event], events: Sequence[Event]) -> Line:
    """🟢 12 on track, the closest web (62%, likely $468)"""
    first = max(quiet, key=lambda one: one.spent / one.amount if one.spent is not None and one.amount else Decimal(-1))
    dot = plain(f"{_DOTS[state(quiet[-1])]} {_states(quiet)}, the closest ")
    parts = [percent(first.spent, first.amount)] if first.spent is not None and first.amount else []
    middle = first.projected.get("0.5")
    if middle is not None and first.summary != "period_closed" and not evidence.is_too_early(first):
        parts.append(f"likely {estimated(middle, first.currency, first.spent)}")
    return (dot, *_who(first, events), plain(f" ({', '.join(parts)})" if parts else ""))


def merged(events: Sequence[Event]) -> Event:
    """One event whose footer speaks for all: the oldest data, everything unpriced, the earliest end."""
    first = min(events, key=lambda event: event.period_end or event.at)
    unpriced: dict[tuple[str, str, str, str], UnpricedUsage] = {}
    for event in events:
        for item in event.unpriced:  # two budgets over the same usage lack the same price: shown once
            kind = (item.provider, item.model, item.meter, item.rate)
            unpriced[kind] = max(item, unpriced.get(kind, item), key=lambda one: (one.quantity, one.cost or Decimal(0)))
    known = [event.data_until for event in events if event.data_until]
    since = [event.complete_from for event in events if event.complete_from]
    return Event(
        id=first.id,
        kind=first.kind,
        severity=min((event.severity for event in events), key=lambda one: _RANK.get(one, 0)),
        at=max(event.at for event in events),
        period_end=first.period_end if len({event.period_end for event in events}) == 1 else None,
        zone=first.zone,
        spent=first.spent,
        data_until=min(known) if known else None,
        complete_from=max(since) if since else None,
        unpriced=tuple(unpriced.values()),
        assumed_prices=tuple(dict.fromkeys(model for event in events for model in event.assumed_prices)),
    )


def state(event: Event) -> str:
    """The status that the event carries; unknown for what is about no budget."""
    return event.status or "unknown"


def _weight(event: Event) -> tuple[int, int, Decimal]:
    fraction = event.spent / event.amount if event.spent is not None and event.amount else Decimal(0)
    return _RANK.get(event.severity, 0), list(_STATES).index(state(event)), -fraction


def _headline(events: Sequence[Event], now: datetime) -> str:
    if all(event.kind == "summary" for event in events):
        return _summary_headline(events, now)
    bases = {(event.kind, event.basis) for event in events}
    what = _counted(len(events), events)
    if bases == {("threshold", "forecast")}:
        first = min((event.exhausted_at for event in events if event.exhausted_at), default=None)
        out = "" if first is None else f"; the first runs out {day(first, zone_of(events[0]))}"
        return f"{what} {how_surely(min(_ONE_BY_ONE, *(event.probability_over or 0 for event in events)))} go over{out}"
    if bases == {("threshold", "actual")}:
        lowest = min(event.level or _HUNDRED for event in events)
        said = "are over their budgets" if lowest >= _HUNDRED else f"have spent {level_text(lowest)} or more"
        return f"{what} {said}"
    severities = Counter(event.severity for event in events)
    counted = ", ".join(f"{severities[one]} {_COUNTED[one]}" for one in _RANK if severities[one])
    return f"{len(events):,} alerts at once: {counted}"


def _summary_headline(events: Sequence[Event], now: datetime) -> str:
    """November so far: $2,934 of $7,000 (42%). 1 team over, 1 at risk, 12 on track"""
    same = len({(event.period_start, event.period_end) for event in events}) == 1
    period = period_name(events[0], now) if same else ""
    named = f"{period[:1].upper()}{period[1:]}"
    if events[0].summary == "period_closed":
        begin = f"{named or 'The period'} has closed: "
    else:
        begin = f"{named} so far: " if named else "So far: "
    together = _together(events)
    states = _states(events, noun=True).replace("budgets within budget", "budgets stayed within")
    return f"{begin}{together + '. ' if together else ''}{states}"


def _counted(count: int, events: Sequence[Event]) -> str:
    """`10 teams of teams`, `3 budgets`."""
    budgets, labels = {event.budget for event in events}, {tuple(label for label, _ in event.scope) for event in events}
    if len(budgets) != 1 or not next(iter(budgets)):
        return plural(count, "budget")
    (own,) = labels if len(labels) == 1 else ((),)
    return plural(count, clean(own[0], 40) if len(own) == 1 else "scope")


def _urgent(events: Sequence[Event]) -> bool:
    """Alerts are all shown as far as there is space; of a summary, the quiet part is only sampled."""
    return any(event.kind != "summary" for event in events)


def _states(events: Sequence[Event], *, noun: bool = False) -> str:
    """`1 team over, 1 at risk, 12 on track`; without the noun where the headline had it."""
    found = Counter(state(event) for event in events)
    closed = {"on_track": "within budget"} if events[0].summary == "period_closed" else {}
    words = {**_STATES, **closed}
    said = [(found[one], words[one]) for one in words if found[one]]
    return ", ".join(
        f"{_counted(count, events) if noun and not number else f'{count:,}'} {word}"
        for number, (count, word) in enumerate(said)
    )


def _who(event: Event, events: Sequence[Event]) -> Line:
    """The value of a scope alone where every line is of one label of one budget."""
    budgets, labels = {one.budget for one in events}, {tuple(label for label, _ in one.scope) for one in events}
    if len(budgets) == 1 and len(labels) == 1 and len(event.scope) == 1 and event.scope[0][1]:
        return (name(event.scope[0][1], "bold"),)
    return evidence.who(event, budget=len(budgets) > 1)


def _row(event: Event, events: Sequence[Event], now: datetime, explained: set[str] | None) -> Line:
    """🟠 *support* $390 of $500 (78%), likely $585, runs out Fri 27 Nov. rag-indexer went from $2 to $14 a day"""
    dot = plain(f"{_DOTS[state(event)]} ")
    if event.spent is None or event.kind not in {"threshold", "summary"} or event.basis == "balance":
        return (dot, *notice(event, now).headline)
    used = spent_of(event.spent, event.amount, event.currency) if event.amount else money(event.spent, event.currency)
    out = evidence.runs_out(event, now) if state(event) in {"at_risk", "runaway"} else ""
    crossed = ", ".join(details_of(event, FirstStart).crossed)
    after = [_likely(event), f"runs out {out}" if out else "", f"crossed {crossed}" if crossed else ""]
    said = plain(f" {', '.join(part for part in (used, *after) if part)}")
    return (dot, *_who(event, events), said, *(() if explained is None else _why(event, explained)))


def _likely(event: Event) -> str:
    middle = event.projected.get("0.5")
    if middle is None or event.summary == "period_closed" or state(event) == "unknown":
        return ""
    if evidence.is_too_early(event):
        return "too early to say"
    said = f"likely {estimated(middle, event.currency, event.spent)}"
    if event.probability_over is None or state(event) != "at_risk":
        return said
    return f"{said} ({chance(event.probability_over)} chance of going over)"


def _why(event: Event, explained: set[str]) -> Line:
    """`. rag-indexer went from $2.10 to $14.30 a day`; the same key is not explained twice."""
    item = None if event.summary == "period_closed" else evidence.most_changed(event)
    if item is None or state(event) in _WELL:
        return ()
    if item.value in explained:
        return (plain(f". Same {clean(item.label, 40)}"),)
    explained.add(item.value)
    moved = "".join(span.text for span in evidence.went(item, event.currency)[2:]).partition(" (")[0]
    return (plain(". "), name(item.value), plain(moved))


def _together(events: Sequence[Event]) -> str:
    """The sum over the scopes of one budget, which are disjoint; other budgets may overlap and are not added."""
    if len({(event.budget, event.currency, event.period_start) for event in events}) != 1 or not events[0].budget:
        return ""
    if len({event.scope for event in events}) < len(events) or any(event.basis == "balance" for event in events):
        return ""  # one scope twice, or amounts that are levels of a credit
    spent = [event.spent for event in events if event.spent is not None]
    total = sum((event.amount for event in events if event.amount is not None), Decimal(0))
    if len(spent) < len(events) or not total or any(event.amount is None for event in events):
        return ""
    return spent_of(sum(spent, Decimal(0)), total, events[0].currency)


def _owners(events: Sequence[Event]) -> tuple[str, ...]:
    owners = list(dict.fromkeys(clean(event.owner, 60) for event in events if event.owner))
    return (f"owner {', '.join(owners[:_EXPLAINED])}",) if owners else ()


def _to_do(events: Sequence[Event]) -> Line:
    if events[0].answer_url or events[0].details_url:
        return ()
    runbooks = {event.runbook_url for event in events if event.runbook_url}
    runbook: Line = (link("Runbook", runbooks.pop()),) if len(runbooks) == 1 else ()
    return joined([(plain("All of them: "), code("alertd status")), runbook])
