"""Many events as one message: a headline that counts, a row for each, cut with a count. The worst comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import Event, Unpriced
from alertd.core.messages import details, evidence
from alertd.core.messages.dates import day, period_name, zone_of
from alertd.core.messages.figures import amount, chance, estimate, level_text, plural, used_of
from alertd.core.messages.notices import notice
from alertd.core.messages.spans import Line, Said, bold, code, joined, plain
from alertd.core.messages.thresholds import how_surely

_SHOWN: Final = 12
#: How many budgets that are well a summary names: the nearest to their limits.
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
    "over": "🔴", "runaway": "🔴", "at_risk": "🟠", "unknown": "⚫", "no_forecast": "⚪", "on_track": "🟢"
}  # fmt: skip
_COUNTED: Final = {"critical": "critical", "warning": "warning", "info": "for information"}
_SUMMARIES: Final = {
    "first_start": "Watching {count} from now on: {states}",
    "period_closed": "{Period} has closed: {count}, {states}",
    "digest": "{count}{period}: {states}",
}


def several(events: Sequence[Event], now: datetime) -> Said:
    """Ten scopes that pass together, the first start, a digest, a period's close: one message, worst first."""
    ordered = sorted(events, key=_weight)
    loud = [event for event in ordered if state(event) not in _WELL]
    quiet = [event for event in ordered if state(event) in _WELL]
    shown = [*loud[:_SHOWN], *quiet[: max(_QUIET, _SHOWN - len(loud)) if _urgent(ordered) else _QUIET]][:_SHOWN]
    rest = [event for event in ordered if all(event is not one for one in shown)]
    alone = len({event.budget for event in events}) == 1
    explained = {id(event) for event in loud[:_EXPLAINED]}
    lines: list[Line] = [_summary_note(ordered)]
    for event in shown:
        lines.append(_row(event, now, budget=not alone))
        if id(event) in explained:
            lines += _why(event)
    if rest:
        lines.append((plain(f"… and {len(rest):,} more: {_states(rest)}"),))
    lines.append(_links(ordered))
    return (bold(_headline(ordered, now)),), tuple(lines), ()


def merged(events: Sequence[Event]) -> Event:
    """One event whose footer speaks for all: the oldest data, everything unpriced, the earliest end."""
    first = min(events, key=lambda event: event.period_end or event.at)
    unpriced: dict[tuple[str, str, str], Unpriced] = {}
    for event in events:
        for item in event.unpriced:  # two budgets over the same usage lack the same price: told once
            unpriced[item.provider, item.model, item.meter] = max(
                item, unpriced.get((item.provider, item.model, item.meter), item), key=lambda one: one.quantity
            )
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
    budgets = {event.budget for event in events}
    of_one = f" of {next(iter(budgets))}" if len(budgets) == 1 else ""
    what = f"{len(events):,} {'scopes' if of_one else 'budgets'}{of_one}"
    if bases == {("threshold", "forecast")}:
        first = min((event.exhausted_at for event in events if event.exhausted_at), default=None)
        out = "" if first is None else f"; the first runs out {day(first, zone_of(events[0]))}"
        verb = how_surely(min(_ONE_BY_ONE, *(event.probability_over or 0 for event in events)))
        return f"{what} {verb} their budgets{out}"
    if bases == {("threshold", "actual")}:
        lowest = min(event.level or _HUNDRED for event in events)
        return (
            f"{what} have used up their budgets"
            if lowest >= _HUNDRED
            else f"{what} passed {level_text(lowest)} or more"
        )
    severities = Counter(event.severity for event in events)
    counted = ", ".join(f"{severities[one]} {_COUNTED[one]}" for one in _RANK if severities[one])
    return f"{len(events):,} alerts at once: {counted}"


def _summary_headline(events: Sequence[Event], now: datetime) -> str:
    period = period_name(events[0], now)
    same = len({(event.period_start, event.period_end) for event in events}) == 1
    form = _SUMMARIES.get(details.words(events[0], "summary"), _SUMMARIES["digest"])
    return form.format(
        count=_count(events),
        states=_states(events),
        period=f" in {period}" if same and period and not period.startswith(("t", "T")) else "",
        Period=period[:1].upper() + period[1:] if same and period else "The period",
    )


def _count(events: Sequence[Event]) -> str:
    budgets = {event.budget for event in events}
    return f"{len(events):,} scopes of {budgets.pop()}" if len(budgets) == 1 else plural(len(events), "budget")


def _urgent(events: Sequence[Event]) -> bool:
    """Alerts are all shown as far as there is room; of a summary, the quiet part is only sampled."""
    return any(event.kind != "summary" for event in events)


def _states(events: Sequence[Event]) -> str:
    found = Counter(state(event) for event in events)
    return ", ".join(f"{found[one]:,} {words}" for one, words in _STATES.items() if found[one])


def _row(event: Event, now: datetime, *, budget: bool) -> Line:
    """🟠 research 424.50 of 500.00 USD (85 %), likely 564 (80 %: 515 to 640), 93 % chance to exceed, runs out .."""
    dot = plain(f"{_DOTS[state(event)]} ")
    if event.spent is None or event.kind not in {"threshold", "summary"}:
        return (dot, *notice(event, now)[0])
    used = used_of(event.spent, event.amount, event.currency) if event.amount else amount(event.spent, event.currency)
    out = evidence.runs_out(event, now) if state(event) != "over" else ""
    crossed = ", ".join(str(one) for one in event.details.get("crossed") or ())
    after = [_likely(event), f"runs out {out}" if out else "", f"crossed {crossed}" if crossed else ""]
    return (dot, *evidence.who(event, budget=budget), plain(f" {', '.join(part for part in (used, *after) if part)}"))


def _likely(event: Event) -> str:
    middle = event.projected.get("0.5")
    if middle is None or details.words(event, "summary") == "period_closed":
        return ""
    said = f"likely {estimate(middle, event.currency, event.spent)}"
    low, high = event.projected.get("0.1"), event.projected.get("0.9")
    if low is not None and high is not None and state(event) not in _WELL:
        said += (
            f" (80 %: {estimate(low, event.currency, event.spent)} to {estimate(high, event.currency, event.spent)})"
        )
    if event.probability_over is None or state(event) == "over":
        return said
    return f"{said}, {chance(event.probability_over)} chance to exceed"


def _why(event: Event) -> list[Line]:
    """The indented lines below a row that matters: who it is, and what changed."""
    return [(plain("      "), *line) for line in (evidence.contributors(event), evidence.changed(event)) if line]


def _summary_note(events: Sequence[Event]) -> Line:
    summary = details.words(events[0], "summary")
    if summary == "first_start":
        return (plain("What was crossed before this start is listed here once; no alert of its own follows."),)
    sums = _together(events)
    return (plain(sums),) if sums else ()


def _together(events: Sequence[Event]) -> str:
    """The sum over the scopes of one budget, which are disjoint; other budgets may overlap and are not added."""
    if len({(event.budget, event.currency, event.period_start) for event in events}) != 1 or not events[0].budget:
        return ""
    spent = [event.spent for event in events if event.spent is not None]
    total = sum((event.amount for event in events if event.amount is not None), Decimal(0))
    if len(spent) < len(events) or not total:
        return ""
    together = sum(spent, Decimal(0))
    return f"Together used {used_of(together, total, events[0].currency)}"


def _links(events: Sequence[Event]) -> Line:
    owners = list(dict.fromkeys(event.owner for event in events if event.owner))
    runbooks = {event.runbook_url for event in events if event.runbook_url}
    merged_links = Event(
        "", "", "", events[0].at,
        owner=", ".join(owners[:_EXPLAINED]),
        runbook_url=runbooks.pop() if len(runbooks) == 1 else "",
    )  # fmt: skip
    return joined([evidence.to_do(merged_links), (plain("more: "), code("alertd status"))])
