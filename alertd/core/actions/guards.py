"""The guards: a table of every reason not to touch a key. All are on by default.

A guard looks at one case and answers with its reason, or "". `when` says where it is asked: before a proposal (`scope`
of one budget, then of one `key`), before an approved act begins (`begin`), and when the provider has shown the key
(`found`). A key that holds alertd's own credential is never revoked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from alertd.core.actions.confirmation import Readings
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import PAUSED
from alertd.core.budgets import duration_text
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.messages.rich_text import clean

#: What providers put in place of the middle of a key: sk-...abcd, sk-ant-api03-R2D…igAA, sk-****cd.
_CUT: Final = re.compile(r"(?:\.{2,}|…|\*+|•+|x{4,})")
#: Fewer visible characters than this fit too many keys to say anything.
_LEAST_PART: Final = 4


def is_own(secrets: Iterable[str], key_id: str, hint: str) -> bool:
    """Whether one of `secrets` is the key of this id (itself, or its SHA-256 as gateways store it) or of this hint."""
    return any(_same(secret, key_id, hint) for secret in secrets if secret)


def _same(secret: str, key_id: str, hint: str) -> bool:
    if key_id and key_id in {secret, sha256(secret.encode()).hexdigest()}:
        return True
    begin, _, end = _CUT.sub("\n", hint, count=1).partition("\n")
    if len(end) < _LEAST_PART:
        return bool(hint) and hint == secret
    return len(secret) >= len(begin) + len(end) and secret.startswith(begin) and secret.endswith(end)


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
    """One reason not to act: its name, where it is asked, and how it is found."""

    name: str
    when: frozenset[str]
    check: Callable[[GuardContext], str]


@dataclass(frozen=True, slots=True)
class Hold:
    """The guard that holds an action back, and its reason."""

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
    Guard("dry run", frozenset({"begin"}), _dry_run),  # an action acts only where its mode says so
    Guard("approval", frozenset({"begin"}), _approval),  # a named person approves, always of what cannot be undone
    Guard("paused", _BOTH, _paused),  # `alertd actions pause` stops everything at once
    Guard("credential", _BOTH, _lacks),  # without a credential of its own, apart from every source's, nothing acts
    Guard("basis", _SCOPE, _basis),  # a forecast stops nobody unless asked
    Guard("fresh", _BOTH, _fresh),  # nothing is done on stale data
    Guard("complete", _BOTH, _complete),  # nothing is done on back-filled data
    Guard("steady", _BOTH, _steady),  # nothing is done on data that are partial, failing or drifting
    Guard("priced", _BOTH, _priced),  # nothing is done where a part of the spend is unknown
    Guard("last hours", _BOTH, _last_hours),  # a period's last hours can be excluded
    Guard("confirmed", _SCOPE, _confirmed),  # two readings have to show new spend, at rates within tenfold
    Guard("jump", _SCOPE, _jump),  # nothing is done because of what one reading alone added
    Guard("named", _KEY, _named),  # usage that names nobody stops nobody
    Guard("protected", _KEY, _protected),  # protected keys and labels are never touched
    Guard("own", frozenset({"found"}), _own),  # alertd never stops a credential of its own
    Guard("team", frozenset({"found"}), _team),  # a key of another team, project or workspace is not touched
    Guard("rate", frozenset({"begin"}), _rate),  # at most one key an hour unless raised
)


def first_hold(case: GuardContext, when: str) -> Hold | None:
    """The first guard that objects, or None."""
    for guard in GUARDS:
        if when in guard.when:
            reason = guard.check(case)
            if reason:
                return Hold(guard.name, reason)
    return None
