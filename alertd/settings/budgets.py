"""From a budget as it is written to a budget as it is judged: defaults, periods, tables, and the names it refers to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from alertd.core.budgets import Budget
from alertd.core.faults import one_of
from alertd.core.periods import PeriodRule
from alertd.settings.checking import Part
from alertd.settings.document import BudgetKeys, BudgetOptions
from alertd.settings.layers import Leaf
from alertd.settings.tables import Table, read_table

Known = Mapping[str, Collection[str]]


def with_defaults(own: Mapping[str, Leaf], defaults: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """A budget's keys over those of ALERTD_DEFAULTS; a default currency stays out, it is only for bare amounts."""
    written = {key.removesuffix("_file") for key in own if key != "table_file"}
    kept = {
        key: leaf for key, leaf in defaults.items() if key != "currency" and key.removesuffix("_file") not in written
    }
    return {**kept, **own}


def read_budget(name: str, part: Part, default_currency: str | None, zone: ZoneInfo, known: Known) -> Budget | None:
    """One budget, or None with its faults recorded in `part`; `known` holds the names of notifiers and actions."""
    context = {"currency": default_currency}
    options: BudgetKeys | None = part.read(BudgetOptions, context)
    sound = options is not None
    options = options or part.rest(BudgetKeys, context)
    if options is None:
        return None
    _check_names(options, part, known)
    _check_escalation(options, part)
    table = _table(options, part, known)
    rule = _period(options, part, options.timezone or zone)
    if not sound or options.amount is None or rule is None:
        return None
    return Budget(
        name=name,
        amount=options.amount,
        period=rule,
        where=options.where,
        per=tuple(options.per),
        thresholds=options.thresholds,
        notify=options.notify,
        actions=options.actions,
        owner=options.owner,
        runbook_url=options.runbook_url,
        channel=options.channel,
        opening=options.opening,
        remind=options.remind,
        escalate_after=options.escalate_after,
        escalate_to=options.escalate_to,
        listed=bool({"thresholds"} & options.model_fields_set),
        table=table,
    )


def _period(options: BudgetKeys, part: Part, zone: ZoneInfo) -> PeriodRule | None:
    try:
        return PeriodRule(options.period, zone, options.start_day)
    except ValueError as error:
        part.fault("start_day", str(error), "1 is the default")
        return None


def _table(options: BudgetKeys, part: Part, known: Known) -> Table:
    if options.table_file is None:
        return {}
    if not options.per:
        part.fault("table_file", "a table without PER", f"name the labels of its rows: {part.place('per')}=team")
        return {}
    unit = options.amount.unit if options.amount else None
    table, faults = read_table(Path(options.table_file), part.place("table_file"), options.per, unit, known)
    part.faults += faults
    return table


def _check_escalation(options: BudgetKeys, part: Part) -> None:
    if options.escalate_after is not None and not options.escalate_to:
        part.fault("escalate_after", "tells nobody", f"name a notifier: {part.place('escalate_to')}=ops")
    if options.escalate_to and options.escalate_after is None:
        part.fault("escalate_to", "is told after no time", f"say when: {part.place('escalate_after')}=30m")


def _check_names(options: BudgetKeys, part: Part, known: Known) -> None:
    listed = {name for names in options.notify.values() for name in names}
    named = (
        ("notifiers", "notify", listed),
        ("notifiers", "escalate_to", set(options.escalate_to)),
        ("actions", "actions", set(options.actions)),
    )
    for room, key, names in named:
        for name in sorted(names - set(known[room])):
            part.fault(key, f"no {name!r} in {room}", one_of(name, known[room]))
