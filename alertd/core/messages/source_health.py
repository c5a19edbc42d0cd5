"""What is said when a source cannot be seen, once, and when it can be seen again, with what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from alertd.core.events import (
    ConfigurationRefused,
    DatabaseReplaced,
    Event,
    NotEvaluated,
    SecondDaemon,
    SourceReturned,
    SourceStale,
    details_of,
)
from alertd.core.messages import evidence
from alertd.core.messages.format import age, clock_time, money, plural, spent_of, zone_of
from alertd.core.messages.rich_text import Fact, Line, Said, bold, clean, code, joined, name, plain

#: How many faults are shown, and how much of each.
_FAULTS: Final = 5
_FAULT_LENGTH: Final = 300
_EVERY: Final = {"1m": "every minute", "60s": "every minute", "1h": "every hour"}


def source_stale(event: Event, now: datetime) -> Said:
    """No data from `gateway` since 13:58 (22 min)"""
    match event.details:
        case ConfigurationRefused(faults=faults):
            return _refused(faults)
        case DatabaseReplaced() as found:
            return _damaged(found)
        case SecondDaemon():
            return _two_daemons(event)
        case NotEvaluated() as failed:
            return _not_evaluated(event, failed, now)
    stale = details_of(event, SourceStale)
    since, error, every = event.since, clean(stale.error), _every(stale.retry_every)
    when = "" if since is None else f" since {clock_time(since, zone_of(event), now)} ({age(now - since)})"
    paused = " Actions on its data are paused." if stale.actions_paused else ""
    error = f"{error[:1].upper()}{error[1:]}" if error else ""
    tried = "; ".join(part for part in (error, f"retrying {every}" if every else "") if part)
    near, count = stale.nearest, stale.budgets
    whose = () if near is None else evidence.who_is(near.budget, near.scope, "plain")
    facts = (
        Fact("Affected", () if count is None else (bold(plural(count, "budget")),)),
        Fact("Nearest its limit when last seen", () if near is None else (
            *whose, plain(", "), bold(spent_of(near.spent, near.amount, near.currency)))),
    )  # fmt: skip
    lines = (
        (plain(f"{tried[:1].upper()}{tried[1:]}."),) if tried else (),
        (
            plain("Runaways there are "),
            bold("not"),
            plain(f" being watched.{paused} Thresholds that are certain without it are still announced."),
        ),
        () if event.answer_url else joined([(plain("To look closer: "), code("alertd check")),
                                            evidence.to_do(event, commands=False)]),
    )  # fmt: skip
    notes = ("you get one message when it returns, with what was spent meanwhile",)
    return Said((bold("No data from "), name(event.source, "bold"), bold(when)), lines, notes, facts)


def seeing_again(event: Event, now: datetime) -> Said:
    """Data from `gateway` again: missing from 13:58 to 14:42 (44 min)"""
    zone, since, until = zone_of(event), event.since, event.until
    lasted = "" if since is None or until is None else f" for {age(until - since)})"
    match event.details:
        case ConfigurationRefused():
            headline = (
                bold("The configuration is sound again"),
                plain(f" and in force{lasted and ' (refused' + lasted}"),
            )
            return Said(headline, (), ("no action needed",))
        case SecondDaemon():
            return Said((bold("One alertd uses the database's file again"),), (), ("no action needed",))
        case NotEvaluated(everything=everything):
            whose: Line = (bold("All budgets are"),) if everything else (name(event.budget), bold(" is"))
            failed = plain(f"{lasted and ' (it failed' + lasted}")
            return Said((*whose, bold(" evaluated again"), failed), (), ("no action needed",))
    when = ""
    if since is not None and until is not None:
        one_day = since.astimezone(zone).date() == until.astimezone(zone).date()
        shown = now if one_day else until + timedelta(days=2)  # both with their days
        begin, end = (clock_time(at, zone, shown) for at in (since, until))
        when = f"; {begin} to {end} was missing ({age(until - since)})"
    found = details_of(event, SourceReturned)
    missed = [money(spent, unit) for unit, spent in found.missed.items()]
    facts = (Fact("Spent meanwhile", (bold(" and ".join(missed)), plain(", now counted")) if missed else ()),)
    lines = ((plain("Runaways are watched again."),), evidence.to_do(event, commands=False))
    source = name(event.source, "bold")
    return Said((bold("Data from "), source, bold(f" again{when}")), lines, ("no action needed",), facts)


def _refused(faults: Sequence[str]) -> Said:
    """The new configuration is refused (2 faults); the old one stays in force"""
    more = len(faults) - _FAULTS
    lines: tuple[Line, ...] = (
        *((code(clean(fault, _FAULT_LENGTH)),) for fault in faults[:_FAULTS]),
        (plain(f"and {plural(more, 'more fault')}"),) if more > 0 else (),
        (
            plain("Correct it, then "),
            code("alertd check"),
            plain("; it is read when its file changes, or on SIGHUP."),
        ),
        (plain("You get one message when it is sound."),),
    )
    count = plural(len(faults), "fault")
    return Said((bold(f"The new configuration is refused ({count})"), plain("; the old one stays in force")), lines)


def _not_evaluated(event: Event, found: NotEvaluated, now: datetime) -> Said:
    """research cannot be evaluated since 13:58"""
    count, total = found.failed_scopes, found.scopes
    when = "" if event.since is None else f" since {clock_time(event.since, zone_of(event), now)}"
    part = f"{count} of {plural(total, 'scope')}; " if count is not None and total is not None and total > 1 else ""
    others = "No alert is announced" if found.everything else "All other budgets are evaluated as usual"
    lines = (
        (code(clean(found.failed, _FAULT_LENGTH)),),
        (plain(f"{part}{others}; alertd tries again every round. The traceback is in its log."),),
        (plain("This is a fault of alertd: please report it with that line."),),
    )
    whose = (bold("No budget"),) if found.everything else (name(event.budget),)
    return Said((*whose, bold(f"{' can' if found.everything else ' cannot'} be evaluated"), plain(when)), lines)


def _two_daemons(event: Event) -> Said:
    """Two alertd use one SQLite file"""
    lines: tuple[Line, ...] = (
        (plain(clean(event.reason, _FAULT_LENGTH)),),
        (plain("Stop one of them. Two replicas need a PostgreSQL: "), code("ALERTD_DATABASE=postgresql://...")),
        (plain("You get one message when only one is left."),),
    )
    return Said((bold("Two alertd use one SQLite file"),), lines)


def _damaged(found: DatabaseReplaced) -> Said:
    """alertd's database was damaged and was made anew"""
    if found.replaced:
        replaced: tuple[Line, ...] = (
            (plain("What the old file held is gone with it; the new one is used as it is."),),
            (plain("Look for what replaced it. To restore a backup, stop alertd first: "), code("alertd db restore")),
        )
        return Said((bold("alertd's database file was replaced"), plain(" while it was in use")), replaced)
    lines: tuple[Line, ...] = (
        (code(clean(found.fault, _FAULT_LENGTH)),),
        (plain("Lost, at least in part: "), bold(", ".join(found.lost)))
        if found.lost
        else (plain("Nothing else is lost."),),
        ()
        if found.ledger
        else (plain("Usage is read again as far as the sources still have it; until then nothing is announced."),),
        (plain("The old file is "), code(found.aside), plain("; look at its disk."))
        if found.aside
        else (plain("Look for what removed it: a clean-up job, or a volume that went away."),),
    )
    return Said((bold("alertd's database was damaged"), plain(" and was made anew")), lines)


def _every(text: str) -> str:
    return _EVERY.get(text, f"every {clean(text)}" if text else "")
