"""What is said when a source cannot be seen, once, and when it can be seen again, with what was missed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.dates import age, clock_time, zone_of
from alertd.core.messages.figures import amount, plural, used_of
from alertd.core.messages.spans import Line, Said, bold, clean, code, joined, name, plain

#: How many faults are shown, and how much of each.
_FAULTS: Final = 5
_FAULT_LENGTH: Final = 300
_EVERY: Final = {"1m": "every minute", "60s": "every minute", "1h": "every hour"}


def source_stale(event: Event, now: datetime) -> Said:
    """Cannot see spend from `gateway` since 13:58 (22 min)"""
    if "faults" in event.details:
        return _refused(event)
    if "aside" in event.details:
        return _damaged(event)
    if "daemons" in event.details:
        return _two_daemons(event)
    if "failed" in event.details:
        return _not_evaluated(event, now)
    since, error = details.instant(event, "since"), clean(details.words(event, "error"))
    every = _every(details.words(event, "retry_every"))
    when = "" if since is None else f" since {clock_time(since, zone_of(event), now)} ({age(now - since)})"
    paused = (
        "Thresholds and actions are paused. "
        if event.details.get("actions_paused", True)
        else "Thresholds are paused. "
    )
    lines = (
        (plain("; ".join(part for part in (error, f"retrying {every}") if part)),),
        _unknown(event),
        (plain(f"{paused}Runaways through it are "), bold("not"), plain(" being watched.")),
        joined([evidence.to_do(event, commands=False), (plain("Look closer: "), code("alertd check"))]),
        (plain("One message follows when it returns, with what was spent meanwhile"),),
    )
    return (bold("Cannot see spend from "), name(details.words(event, "source"), "code"), bold(when)), lines, ()


def seeing_again(event: Event, now: datetime) -> Said:
    """Seeing spend from `gateway` again: blind from 13:58 to 14:42 (44 min)"""
    zone, since, until = zone_of(event), details.instant(event, "since"), details.instant(event, "until")
    if "faults" in event.details:
        lasted = f" (refused for {age(until - since)})" if since is not None and until is not None else ""
        headline = (bold("The configuration is sound again"), plain(f" and in force{lasted}"))
        return headline, (), ("no action needed",)
    if "daemons" in event.details:
        return (bold("One alertd uses the database's file again"),), (), ("no action needed",)
    if "failed" in event.details:
        lasted = f" (it failed for {age(until - since)})" if since is not None and until is not None else ""
        return (*_evaluated(event), bold(" evaluated again"), plain(lasted)), (), ("no action needed",)
    when = ""
    if since is not None and until is not None:
        when = f": blind from {clock_time(since, zone, now)} to {clock_time(until, zone, now)} ({age(until - since)})"
    missed = [f"{amount(found, unit)}" for unit, value in details.table(event, "missed").items()
              if (found := details.as_decimal(value)) is not None]  # fmt: skip
    crossed = details.decimal(event, "crossed")
    lines = (
        (plain("Spent meanwhile, now counted: "), bold(" and ".join(missed))) if missed else (),
        (plain(_crossed(int(crossed))),) if crossed is not None else (),
        (plain("Thresholds and actions are at work again."),),
        evidence.to_do(event, commands=False),
    )
    source = name(details.words(event, "source"), "code")
    return (bold("Seeing spend from "), source, bold(f" again{when}")), lines, ("no action needed",)


def _refused(event: Event) -> Said:
    """The new configuration is refused (2 faults); the old one stays in force"""
    faults = [str(fault) for fault in details.rows(event, "faults")]
    more = len(faults) - _FAULTS
    lines: tuple[Line, ...] = (
        *((code(clean(fault, _FAULT_LENGTH)),) for fault in faults[:_FAULTS]),
        (plain(f"and {plural(more, 'more fault')}"),) if more > 0 else (),
        (
            plain("Correct it, then "),
            code("alertd check"),
            plain("; it is read when its file changes, or on SIGHUP."),
        ),
        (plain("I'll post once when it is sound."),),
    )
    count = plural(len(faults), "fault")
    return (bold(f"The new configuration is refused ({count})"), plain("; the old one stays in force")), lines, ()


def _not_evaluated(event: Event, now: datetime) -> Said:
    """research cannot be evaluated since 13:58"""
    since, count, total = (
        details.instant(event, "since"),
        *(details.decimal(event, n) for n in ("failed_scopes", "scopes")),
    )
    when = "" if since is None else f" since {clock_time(since, zone_of(event), now)}"
    part = (
        f"{count} of {plural(int(total), 'scope')}; " if count is not None and total is not None and total > 1 else ""
    )
    others = "No alert is announced" if event.details.get("everything") else "All other budgets are evaluated as usual"
    lines = (
        (code(clean(details.words(event, "failed"), _FAULT_LENGTH)),),
        (plain(f"{part}{others}; alertd tries again every round. The traceback is in its log."),),
        (plain("This is a fault of alertd: please report it with that line."),),
    )
    whose = (bold("No budget"),) if event.details.get("everything") else (name(event.budget),)
    can = " can" if event.details.get("everything") else " cannot"
    return (*whose, bold(f"{can} be evaluated"), plain(when)), lines, ()


def _evaluated(event: Event) -> Line:
    everything = event.details.get("everything")
    return (bold("All budgets are"),) if everything else (name(event.budget), bold(" is"))


def _two_daemons(event: Event) -> Said:
    """Two alertd use one SQLite file"""
    lines: tuple[Line, ...] = (
        (plain(clean(event.reason, _FAULT_LENGTH)),),
        (plain("Stop one of them. Two replicas need a PostgreSQL: "), code("ALERTD_DATABASE=postgresql://...")),
        (plain("I'll post once when it is one again."),),
    )
    return (bold("Two alertd use one SQLite file"),), lines, ()


def _damaged(event: Event) -> Said:
    """alertd's database was damaged and was made anew"""
    if event.details.get("replaced"):
        replaced: tuple[Line, ...] = (
            (plain("What the old file held is gone with it; the new one is used as it is."),),
            (plain("Look for what replaced it. To restore a backup, stop alertd first: "), code("alertd db restore")),
        )
        return (bold("alertd's database file was replaced"), plain(" while it was in use")), replaced, ()
    lost = [str(what) for what in details.rows(event, "lost")]
    lines: tuple[Line, ...] = (
        (code(clean(details.words(event, "fault"), _FAULT_LENGTH)),),
        (plain("Lost, at least in part: "), bold(", ".join(lost))) if lost else (plain("Nothing else is lost."),),
        ()
        if event.details.get("ledger")
        else (plain("Usage is read again as far as the sources still have it; until then nothing is announced."),),
        (plain("The old file is "), code(details.words(event, "aside")), plain("; look at its disk."))
        if details.words(event, "aside")
        else (plain("Look for what removed it: a clean-up job, or a volume that went away."),),
    )
    return (bold("alertd's database was damaged"), plain(" and was made anew")), lines, ()


def _unknown(event: Event) -> Line:
    """12 budgets unknown; last seen nearest its limit: research 424.50 of 500.00 USD; the real spend may be higher"""
    count, nearest = details.decimal(event, "budgets"), details.table(event, "nearest")
    spent, total = details.as_decimal(nearest.get("spent")), details.as_decimal(nearest.get("amount"))
    counted: Line = () if count is None else (plain(f"{plural(int(count), 'budget')} "), bold("unknown"))
    if spent is None or total is None:
        return joined([counted, (plain("the real spend may be higher than shown"),)], "; ")
    scope = tuple((str(label), value) for label, value in nearest.get("scope") or ())
    whose = evidence.who(Event("", "", "", event.at, budget=str(nearest.get("budget", "")), scope=scope), "plain")
    figures = plain(f" {used_of(spent, total, str(nearest.get('currency', '')))}")
    seen = (plain("last seen nearest its limit: "), *whose, figures)
    return joined([counted, seen, (plain("the real spend may be higher"),)], "; ")


def _crossed(count: int) -> str:
    return (
        f"{plural(count, 'level was', 'levels were')} crossed meanwhile; told apart"
        if count
        else "No level was crossed meanwhile"
    )


def _every(text: str) -> str:
    return _EVERY.get(text, f"every {clean(text)}" if text else "")
