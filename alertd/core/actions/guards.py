"""The guards: every reason for which nothing is done to a key, as one table. All are on by default.

A guard looks at one case and answers with its reason, "" where it has none. `when` says where it is asked: before
anything is proposed (`scope` of one budget, then of one `key`), again before an approved act begins (`begin`), and once
the provider has shown which key it is (`found`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.confirmation import Readings
from alertd.core.actions.policy import ActionPolicy
from alertd.core.budgets import duration_text
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.messages.spans import clean

PAUSED: Final = "actions/paused"
BEGUN: Final = "actions/begun"
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class GuardContext:
    """What a guard may look at.

    `position` is None where its period or budget is gone. `readings` are what was spent since the reading before the
    threshold fired, `jump` what one of them alone explains; `begun` when acts began lately, of any action; `own` says
    that the key is alertd's; `used_by` is whose usage it is and `belongs_to` whose key by its provider, by kind
    (team, project, workspace); `rehearsing` says that nothing would be done anyway (dry run); `drifting` names
    providers whose estimate was found to differ from the bill this month.
    """

    now: datetime
    terms: ActionPolicy
    position: BudgetStatus | None
    basis: str
    views: Sequence[SourceView] = ()
    catching_up: frozenset[str] = frozenset()
    readings: Readings = Readings({}, Decimal(0))  # noqa: RUF009 - frozen
    jump: str = ""
    names: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    notes: Mapping[str, Any] = field(default_factory=dict)
    begun: tuple[datetime, ...] = ()
    own: bool = False
    used_by: Mapping[str, Collection[str]] = field(default_factory=dict)
    belongs_to: Mapping[str, Collection[str]] = field(default_factory=dict)
    approved_by: str = ""
    drifting: tuple[str, ...] = ()
    rehearsing: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """One reason not to act: its name, what it is for, where it is asked, and how it is found."""

    name: str
    purpose: str
    when: frozenset[str]
    check: Callable[[GuardContext], str]


@dataclass(frozen=True, slots=True)
class Hold:
    """A guard that said no, and why."""

    guard: str
    reason: str


def _paused(case: GuardContext) -> str:
    note = case.notes.get(PAUSED)
    return f"actions are paused since {note['at'][:16]} by {clean(note['by'], 60)}" if note else ""


def _lacks(case: GuardContext) -> str:
    return "" if case.rehearsing else case.terms.lacks


def _basis(case: GuardContext) -> str:
    asked = {text.split()[0] for text in case.terms.on}
    return "" if case.basis in asked else f"it is not asked to act upon {case.basis}"


def _fresh(case: GuardContext) -> str:
    position = case.position
    if position is None or position.data_until is None:
        return "there are no data"
    stale = ", ".join(position.stale_sources)
    return f"the data of {stale} are stale: nothing newer than {position.data_until:%H:%M} UTC" if stale else ""


def _complete(case: GuardContext) -> str:
    back = sorted(case.catching_up & {view.name for view in case.views})
    if back:
        return f"{', '.join(back)} is still being read up to the present: back-filled data"
    unread = [view.name for view in case.views if view.until is None]
    return f"{', '.join(unread)} was never read" if unread else ""


def _steady(case: GuardContext) -> str:
    if case.drifting:
        return f"the estimate for {clean(', '.join(case.drifting), 80)} drifts from its bill"
    loose = [view for view in case.views if view.degraded or view.error]
    if not loose:
        return ""
    why = clean(loose[0].degraded or loose[0].error, 120)
    return f"the figures of {loose[0].name} are not to be relied upon: {why}"


def _priced(case: GuardContext) -> str:
    if case.position is None or not case.position.unpriced:
        return ""
    models = ", ".join(sorted({clean(item.model, 60) for item in case.position.unpriced})[:3])
    return f"a part of the usage has no price ({models}): it is unknown what is spent"


def _confirmed(case: GuardContext) -> str:
    if case.readings.confirmed:
        return ""
    if len(case.readings.increases) > 1:
        return "the readings do not confirm each other: they show new spend at rates over tenfold apart"
    return "one reading only: a second one that shows new spend has to confirm it"


def _jump(case: GuardContext) -> str:
    return case.jump


def _last_hours(case: GuardContext) -> str:
    if case.position is None or not case.terms.not_in_last:
        return ""
    left = case.position.period.end - case.now
    return f"the period ends within {duration_text(case.terms.not_in_last)}" if left <= case.terms.not_in_last else ""


def _protected(case: GuardContext) -> str:
    pattern = case.terms.protects(case.names, case.labels)
    return f"protected by {clean(pattern, 60)}" if pattern else ""


def _named(case: GuardContext) -> str:
    return "" if any(case.names) else f"this usage has no label {case.terms.label}: nobody can be named"


def _rate(case: GuardContext) -> str:
    recent = [at for at in case.begun if case.now - at < _HOUR]
    if len(recent) < case.terms.max_per_hour:
        return ""
    if not recent:
        return "max_per_hour is 0"
    again = min(recent) + _HOUR
    most = "one key" if case.terms.max_per_hour == 1 else f"{case.terms.max_per_hour} keys"
    return f"{most} an hour; next at {again:%H:%M} UTC"


def _dry_run(case: GuardContext) -> str:
    return "its mode is dry_run by now" if case.rehearsing else ""


def _approval(case: GuardContext) -> str:
    if case.terms.mode_in_force(dry_run=False) != "approve":
        return ""
    return case.terms.refuses_approver(case.approved_by)


def _own(case: GuardContext) -> str:
    return "it is a credential of alertd itself" if case.own else ""


def _team(case: GuardContext) -> str:
    for kind, known in sorted(case.belongs_to.items()):
        used = case.used_by.get(kind, ())
        if used and known and not set(used) & set(known):
            theirs, users = clean("/".join(sorted(known)), 80), clean(", ".join(sorted(used)), 80)
            remedy = "if it is the right one, name its id in TARGETS"
            return f"the key belongs to {kind} {theirs}, the usage to {users}; {remedy}"
    return ""


_SCOPE: Final = frozenset({"scope"})
_KEY: Final = frozenset({"key", "begin", "found"})
_BOTH: Final = frozenset({"scope", "begin"})

GUARDS: Final = (
    Guard("dry run", "an action acts only where its mode says so", frozenset({"begin"}), _dry_run),
    Guard("approval", "a named person approves, always of what cannot be undone", frozenset({"begin"}), _approval),
    Guard("paused", "`alertd actions pause` stops everything at once", _BOTH, _paused),
    Guard("credential", "without a credential of its own, apart from every source's, nothing acts", _BOTH, _lacks),
    Guard("basis", "a forecast stops nobody unless asked", _SCOPE, _basis),
    Guard("fresh", "nothing is done on stale data", _BOTH, _fresh),
    Guard("complete", "nothing is done on back-filled data", _BOTH, _complete),
    Guard("steady", "nothing is done on data that are partial, failing or drifting", _BOTH, _steady),
    Guard("priced", "nothing is done where a part of the spend is unknown", _BOTH, _priced),
    Guard("last hours", "a period's last hours can be excluded", _BOTH, _last_hours),
    Guard("confirmed", "two readings have to show new spend, at rates within tenfold", _SCOPE, _confirmed),
    Guard("jump", "nothing is done because of what one reading alone added", _SCOPE, _jump),
    Guard("named", "usage that names nobody stops nobody", _KEY, _named),
    Guard("protected", "protected keys and labels are never touched", _KEY, _protected),
    Guard("own", "alertd never stops a credential of its own", frozenset({"found"}), _own),
    Guard("team", "a key of another team, project or workspace is not touched", frozenset({"found"}), _team),
    Guard("rate", "at most one key an hour unless raised", frozenset({"begin"}), _rate),
)


def first_hold(case: GuardContext, when: str) -> Hold | None:
    """The first guard that says no, None where all agree."""
    for guard in GUARDS:
        if when in guard.when:
            reason = guard.check(case)
            if reason:
                return Hold(guard.name, reason)
    return None
