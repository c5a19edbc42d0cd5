"""Budgets and commitments as values, from the configuration and from the database; every fault names its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.budgets import (
    CREDIT_THRESHOLDS,
    TOKENS,
    AllowancePolicy,
    Anomaly,
    Balance,
    Budget,
    CarryOver,
    Forecast,
    Threshold,
    parse_duration,
)
from alertd.core.config_errors import Fault, SettingsError, one_of
from alertd.core.money import Money
from alertd.core.periods import PeriodRule
from alertd.core.usage import CHARGE_LABEL, DIMENSIONS, Committed
from alertd.plugin_options import canonical
from alertd.settings.schema import BudgetOptions, CommitmentOptions, OwnBudgetKeys
from alertd.settings.tables import Table, read_table
from alertd.settings.validation import Section
from alertd.settings.values import Leaf, Settings

#: The source that charges what is configured; no other may have its name.
COMMITMENTS: Final = ("sources", "commitments")
#: The start of a commitment without FROM.
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_OWN: Final = frozenset({*DIMENSIONS, CHARGE_LABEL, "commitment"}) - {"provider", "model"}


def read_commitment(name: str, part: Section, default_currency: str | None, zone: ZoneInfo) -> Committed | None:
    """One commitment, or None with its faults recorded in `part`."""
    if "from" in part.leaves:  # no field of a model may be named like this
        part.leaves["from_"] = part.leaves.pop("from")
    options = part.read(CommitmentOptions, {"currency": default_currency})
    if options is None:
        return None
    before = len(part.faults)
    zone = options.timezone or zone
    start, end = (_instant(moment, zone) for moment in (options.from_, options.until))
    if options.amount.unit == TOKENS:
        part.fault("amount", "counts tokens", "a commitment is money: write it as 1200 USD")
    if options.amount.value <= 0:
        part.fault("amount", "is nothing", "write what is charged, as 1200 USD")
    if start and end and end <= start:
        part.fault("until", "is not after FROM", "UNTIL is exclusive: the first day that is no longer charged")
    for label in sorted(_OWN & options.labels.keys()):
        part.fault("labels", f"{label} is a label that alertd uses itself", "give the label another name")
    if len(part.faults) > before:
        return None
    labels = {label: value for label, value in options.labels.items() if label not in {"provider", "model"}}
    return Committed(
        provider=options.labels.get("provider", ""),
        start=start or _LONG_AGO,
        end=end,
        cost=Money(options.amount.value, options.amount.unit),
        labels={CHARGE_LABEL: "commitment", "commitment": name, **labels},
        model=options.labels.get("model", ""),
        counted=True,
        name=name,
        per=options.per,
        zone=zone.key,
    )


def _instant(moment: date | datetime | None, zone: ZoneInfo) -> datetime | None:
    """The instant that a day begins, or a time means, in a zone; as aware UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone follows
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


Known = Mapping[str, Collection[str]]


def with_defaults(own: Mapping[str, Leaf], defaults: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """A budget's keys over those of ALERTD_DEFAULTS; a default currency stays out, it is only for bare amounts."""
    written = {key.removesuffix("_file") for key in own if key != "table_file"}
    kept = {
        key: leaf for key, leaf in defaults.items() if key != "currency" and key.removesuffix("_file") not in written
    }
    return {**kept, **own}


def read_budget(name: str, part: Section, default_currency: str | None, zone: ZoneInfo, known: Known) -> Budget | None:
    """One budget, or None with its faults recorded in `part`; `known` holds the names of notifiers and actions."""
    context = {"currency": default_currency}
    options: OwnBudgetKeys | None = part.read(BudgetOptions, context)
    sound = options is not None
    options = options or part.rest(OwnBudgetKeys, context)
    if options is None:
        return None
    _check_names(options, part, known)
    _check_escalation(options, part)
    if options.allowance_grace and options.allowance != "over":
        part.fault("allowance_grace", "is for ALLOWANCE=over only", "leave it out, or leave ALLOWANCE at over")
    _check_credit(options, part)
    table = _table(options, part, known)
    rule = _period(options, part, options.timezone or zone)
    if rule is not None and not rule.whole_days:
        _check_short(options, part, rule)
    if not sound or options.amount is None or rule is None:
        return None
    return Budget(
        name=name,
        amount=options.amount,
        amounts=options.amounts,
        carry_over=CarryOver(options.carry_over, options.carry_overspent),
        period=rule,
        where=options.where,
        per=tuple(options.per),
        parent=options.parent,
        credit=options.credit,
        thresholds=_with_credit(options),
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
        allowance=AllowancePolicy(
            options.allowance,
            warns=options.allowance_mode == "warn",
            grace=options.allowance_grace,
            refuse_unknown=options.allowance_unknown == "deny",
        ),
        table=table,
    )


def parent_faults(budgets: Mapping[str, Budget], place: Callable[[str], str]) -> Iterator[Fault]:
    """What keeps a budget from being a part of another; `place` names the setting by the budget's name."""
    for name, budget in budgets.items():
        for above in budget.parent:
            other = budgets.get(above)
            if other is None:
                yield Fault(place(name), f"no {above!r} in budgets", one_of(above, budgets))
            elif name in _ancestors(above, budgets):
                yield Fault(place(name), f"{above} is part of {name} itself", "a budget has its parts below it only")
            elif other.amount.unit != budget.amount.unit:
                said = f"is in {budget.amount.unit}, but {above} is in {other.amount.unit}"
                yield Fault(place(name), said, "give both one currency: costs of others are converted by ALERTD_FX")
            elif other.period != budget.period or not other.period.whole_days:
                said = f"has other periods than {above}"
                yield Fault(place(name), said, "give both the same PERIOD, TIMEZONE and START_DAY, of days or longer")


def _ancestors(name: str, budgets: Mapping[str, Budget]) -> set[str]:
    """A budget with all that are above it."""
    found, left = set[str](), [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += budgets[one].parent if one in budgets else ()
    return found


def _with_credit(options: OwnBudgetKeys) -> tuple[Threshold, ...]:
    """The thresholds; if none are listed and a credit is configured, also one for its end."""
    own = options.credit and "thresholds" not in options.model_fields_set
    return (*options.thresholds, *CREDIT_THRESHOLDS) if own else options.thresholds


def _check_credit(options: OwnBudgetKeys, part: Section) -> None:
    if options.credit and options.per:
        part.fault("credit", "is one for the whole budget", "leave PER out, and choose its usage by WHERE")
    levels = [one.level(options.amount) for one in options.thresholds if isinstance(one, Balance) and options.amount]
    if len(levels) != len(set(levels)):
        part.fault("thresholds", "two of balance have the same number", "let one of them differ: balance 50.01 USD")


def _period(options: OwnBudgetKeys, part: Section, zone: ZoneInfo) -> PeriodRule | None:
    try:
        kind, _, length = options.period.partition(" ")
        return PeriodRule(kind, zone, options.start_day, parse_duration(length) if length else None)
    except ValueError as error:
        part.fault("start_day", str(error), "1 is the default")
        return None


def _check_short(options: OwnBudgetKeys, part: Section, rule: PeriodRule) -> None:
    """What a window under a day, or one that rolls, does not have."""
    listed = options.thresholds if "thresholds" in options.model_fields_set else ()
    for threshold in listed:
        if isinstance(threshold, Forecast | Anomaly):
            part.fault("thresholds", f"{threshold} is for periods of days, not for {rule}", "write actual or burn_rate")
    if options.actions:
        part.fault("actions", f"nothing is done to keys for {rule}", "give the actions to a budget for a day or longer")
    if options.credit:
        part.fault("credit", f"is not for {rule}", "give it to a budget for a day or longer")
    if options.opening:
        part.fault("opening", f"has no meaning for {rule}", "leave it out")


def _table(options: OwnBudgetKeys, part: Section, known: Known) -> Table:
    if options.table_file is None:
        return {}
    if not options.per:
        part.fault("table_file", "a table without PER", f"name the labels of its rows: {part.place('per')}=team")
        return {}
    unit = options.amount.unit if options.amount else None
    table, faults = read_table(Path(options.table_file), part.place("table_file"), options.per, unit, known)
    part.faults += faults
    return table


def _check_escalation(options: OwnBudgetKeys, part: Section) -> None:
    if options.escalate_after is not None and not options.escalate_to:
        part.fault(
            "escalate_after", "has no notifier to escalate to", f"name a notifier: {part.place('escalate_to')}=ops"
        )
    if options.escalate_to and options.escalate_after is None:
        part.fault("escalate_to", "has no time to escalate after", f"say when: {part.place('escalate_after')}=30m")


def _check_names(options: OwnBudgetKeys, part: Section, known: Known) -> None:
    listed = {name for names in options.notify.values() for name in names}
    named = (
        ("notifiers", "notify", listed),
        ("notifiers", "escalate_to", set(options.escalate_to)),
        ("actions", "actions", set(options.actions)),
    )
    for group, key, names in named:
        for name in sorted(names - set(known[group])):
            part.fault(key, f"no {name!r} in {group}", one_of(name, known[group]))


#: Files on the server are not for others to name.
_NOT_STORED = ("table_file",)


def read_stored(name: str, written: Mapping[str, str], settings: Settings) -> Budget:
    """One stored budget; names of notifiers and actions are those of the configuration. Raises SettingsError."""
    place = f"budgets.{name}"
    if canonical(name) != name or not name.replace("-", "").isalnum():
        raise SettingsError([Fault(place, "not a valid name", "a name is lower-case letters, digits and -")])
    files = [key for key in written if key in _NOT_STORED or key.endswith("_file")]
    if files:
        raise SettingsError([Fault(f"{place}.{key}", "is not for stored budgets", "leave it out") for key in files])
    leaves = {key: Leaf(value, f"{place}.{key}", 0, toml=True) for key, value in written.items()}
    part = Section(("budgets", name), leaves)
    known = {"notifiers": settings.notifiers, "actions": settings.actions, "sources": settings.sources}
    budget = read_budget(name, part, None, settings.timezone, known)
    if budget is None or part.faults:
        raise SettingsError(part.faults)
    faults = parent_faults({**settings.budgets, name: budget}, lambda one: f"budgets.{one}.parent")
    if own := [fault for fault in faults if fault.place == f"{place}.parent"]:
        raise SettingsError(own)
    return budget
