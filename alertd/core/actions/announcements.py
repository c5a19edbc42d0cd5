"""Events of actions, in the conversation of the alert that an action answers. The words are composed elsewhere.

A table lists the steps that are announced: questions to people, changes and failures; attempts are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from alertd.core.actions.confirmation import Increase
from alertd.core.actions.offenders import Offender
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act, Step
from alertd.core.evaluation.event_builder import event_id, event_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import ActionStep, Event, details_of
from alertd.core.messages.format import money, rate

#: What happened -> the state that the message names, and how grave it is.
ANNOUNCED: Final[Mapping[str, tuple[str, str]]] = {
    "rehearse": ("rehearsed", "warning"),
    "ask": ("proposed", "critical"),
    "permit": ("approved", "critical"),
    "approve": ("approved", "warning"),
    "refuse": ("refused", "info"),
    "expire": ("expired", "warning"),
    "verify": ("verified", "critical"),
    "fail": ("failed", "critical"),
    "goes on": ("not_effective", "critical"),
    "drift": ("drifted", "warning"),
    "restored": ("restored", "warning"),
    "disown": ("disowned", "warning"),
}
#: States whose message says why it was proposed; the others say what happened.
_AS_PROPOSED: Final = frozenset({"proposed", "rehearsed", "approved", "failed", "not_restored"})
#: Windows as people call them.
_SPANS: Final = {"1h": "hour", "1d": "day", "5m": "5 minutes", "1m": "minute"}
#: A restore that failed is announced in words of its own.
_STUCK: Final = ("not_restored", "critical")


def event_of_step(act: Act, step: Step) -> Event | None:
    """The event of a step, None where it is not announced."""
    state, severity = _STUCK if step.state == "stuck" else ANNOUNCED.get(step.what, ("", ""))
    if not state:
        return None
    base = Event.from_json(act.event)
    details = msgspec.structs.replace(
        details_of(base, ActionStep),
        state=state,
        expires=act.expires if state in {"proposed", "approved"} else None,
        by=step.by if step.by != "alertd" else "",
        error=act.error if state in {"failed", "not_restored"} else "",
        restore=f"alertd actions restore {act.handle}" if _undoable(act, state) else "",
    )
    reason = base.reason if state in _AS_PROPOSED else step.reason or base.reason
    key = f"action/{act.id}/{step.number}"
    return replace(
        base, id=event_id(key), severity=severity, at=step.at, reason=_sentence(reason), handle=act.handle,
        details=details,
    )  # fmt: skip


def with_provider(act: Act, steps: Sequence[Step], shown: Mapping[str, str]) -> tuple[Act, tuple[Step, ...]]:
    """A proposed act, and its steps, with what its provider shows of the key."""
    event = Event.from_json(act.event)
    details = msgspec.structs.replace(details_of(event, ActionStep), provider=dict(shown))
    first = replace(steps[0], evidence={**steps[0].evidence, "provider": dict(shown)})
    return replace(act, event=replace(event, details=details).to_json()), (first, *steps[1:])


def held_event(
    terms: ActionPolicy, position: BudgetStatus, key: str, now: datetime, *, target: str, reason: str
) -> Event:
    """The event for an action that a guard keeps from being proposed, announced once."""
    details = ActionStep(terms.name, "held", terms.what, target)
    return event_of(position, "action", "warning", f"action/held/{key}", now, reason=reason, details=details)


def held_act(act: Act, guard: str, reason: str, now: datetime) -> Event:
    """The event for an approved act that a guard holds back, announced once."""
    base = Event.from_json(act.event)
    details = msgspec.structs.replace(details_of(base, ActionStep), state="held")
    key = event_id(f"action/{act.id}/held/{guard}")
    return replace(base, id=key, severity="warning", at=now, reason=reason, handle=act.handle, details=details)


def base_event(
    terms: ActionPolicy, position: BudgetStatus, one: Offender, key: str, now: datetime, *, window: str
) -> Event:
    """The event behind all messages of an act: the budget's status, why this key, what hangs on it."""
    unit = position.amount.unit
    share = round(one.share * 100)
    usual = f", normally {rate(one.usual, unit)}" if one.usual else ""
    span = _SPANS.get(window, window)
    reason = f"It spent {money(one.recent, unit)} in the last {span}{usual}: {share}% of what this budget spent then"
    details = ActionStep(
        terms.name, what=terms.what, target=one.name, reversible=terms.reversible, impact=impact(one, now)
    )
    return event_of(position, "action", "critical", key, now, reason=reason, details=details)


def impact(one: Offender, now: datetime) -> str:
    """What stops with it: 1,840 requests an hour, last used 2 min ago, also used by team search."""
    parts = [] if one.requests_hour is None else [f"{one.requests_hour:,} requests an hour"]
    if one.last_used is not None:
        ago = max(0, int((now - one.last_used).total_seconds()))
        parts.append(f"last used {_ago(ago)}")
    parts.append(f"used by {', '.join(one.shared)}" if one.shared else "no other user is seen")
    return ", ".join(parts)


def evidence_of(one: Offender, fits: Decimal, increases: Sequence[Increase], threshold: str) -> dict[str, object]:
    """What an act was proposed on, for the audit: plain JSON values, money as text."""
    return {
        "threshold": threshold,
        "readings": [one.at.isoformat() for one in increases],
        "spent": str(one.spent),
        "recent": str(one.recent),
        "usual": str(one.usual),
        "share": str(one.share),
        "fits": str(fits.quantize(Decimal("0.000001"))),
        "requests_hour": one.requests_hour,
        "last_used": one.last_used.isoformat() if one.last_used else None,
        "shared": list(one.shared),
        "groups": {kind: list(values) for kind, values in one.groups.items()},
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _undoable(act: Act, state: str) -> bool:
    return state in {"verified", "not_effective", "not_restored"} and act.reversible and act.ours


def _ago(seconds: int) -> str:
    if seconds < 300:  # noqa: PLR2004 - the width of a bucket
        return "just now"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"  # noqa: PLR2004 - two hours
