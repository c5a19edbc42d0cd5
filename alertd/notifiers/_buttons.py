"""Buttons below Slack's messages: what they are, and what a press of one says. Pure; believes none it did not seal.

A button's value names what it does, to what, and until when, under a seal that only who has the bot token can make: a
value that was made elsewhere says nothing here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alertd.core.evaluation.interactions import ACKNOWLEDGE, APPROVE, REFUSE, SNOOZE
from alertd.core.evaluation.state import Press
from alertd.core.events import Event
from alertd.core.messages import details
from alertd.core.messages.spans import clean

#: How long a button lives that no period ends.
_LONGEST: Final = timedelta(days=35)
_SEAL_LENGTH: Final = 24
#: Slack's value holds 2,000 characters: so many handles of a message about many budgets.
_MOST: Final = 120
_ACTION_ID: Final = "alertd."
_DEEDS: Final = {"ack": ACKNOWLEDGE, "snooze": SNOOZE, "approve": APPROVE, "refuse": REFUSE}
_SNOOZES: Final = (("1h", "Snooze 1 h", "3600"), ("1d", "Snooze 1 d", "86400"))
#: States of an alert in which a button still does something.
_TO_ACKNOWLEDGE: Final = frozenset({"firing", "snoozed"})
_TO_SNOOZE: Final = frozenset({"firing", "acknowledged"})


@dataclass(frozen=True, slots=True)
class Seal:
    """What makes a button's value alertd's own: the same in every replica with the same bot token."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, token: str) -> Seal:
        """The seal of whoever has this token."""
        return cls(hashlib.sha256(b"alertd buttons " + token.encode()).digest())

    def sealed(self, text: str) -> str:
        """The text with its seal behind it."""
        return f"{text}.{hmac.new(self.key, text.encode(), 'sha256').hexdigest()[:_SEAL_LENGTH]}"

    def opened(self, value: str) -> str | None:
        """The text, None where the seal is not its."""
        text, _, _ = value.rpartition(".")
        return text if hmac.compare_digest(self.sealed(text).encode(), value.encode()) else None


def buttons(events: Sequence[Event], seal: Seal) -> list[dict[str, Any]]:
    """A message's blocks of buttons: approve and refuse where something waits, then acknowledge and snooze, details."""
    first = events[0]
    rows = [*_for_acts(first, seal), _for_alerts(events, seal)]
    blocks = [{"type": "actions", "block_id": f"{_ACTION_ID}{n}", "elements": row} for n, row in enumerate(rows) if row]
    return blocks[:5]


def pressed(payload: Mapping[str, Any], seal: Seal) -> Press | None:
    """The press that a payload of Slack tells; None for whatever no button of alertd's would have caused."""
    try:
        action, user = payload["actions"][0], payload["user"]
        who, place = str(user["id"]), str(payload["container"]["message_ts"])
        at = datetime.fromtimestamp(float(action["action_ts"]), UTC)
        text = seal.opened(str(action["value"]))
        if payload["type"] != "block_actions" or text is None or not str(action["action_id"]).startswith(_ACTION_ID):
            return None
        deed, argument, on, expires = text.split(".")
        press = Press(
            key=f"{place}/{action['action_ts']}/{who}/{action['action_id']}",
            what=_DEEDS[deed],
            on=tuple(on.split(",")),
            person=f"slack:{who}",
            by=f"{clean(str(user.get('username') or user.get('name') or who), 60)} (slack:{who})",
            at=at,
            until=_until(argument, at),
            expires=datetime.fromtimestamp(int(expires), UTC),
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, OSError, AttributeError):
        return None
    return press


def _until(argument: str, at: datetime) -> datetime | None:
    """When a snooze ends: so many seconds after the press, or an instant (`@` and its seconds)."""
    if argument.startswith("@"):
        return datetime.fromtimestamp(int(argument[1:]), UTC)
    return at + timedelta(seconds=int(argument)) if argument else None


def _for_alerts(events: Sequence[Event], seal: Seal) -> list[dict[str, Any]]:
    acknowledge, snooze = _open(events)
    end = events[0].period_end
    expires = events[0].at + _LONGEST if end is None else end
    row: list[dict[str, Any]] = []
    if acknowledge:
        row.append(_button("ack", "Acknowledge", seal, _value("ack", "", acknowledge, expires), style="primary"))
    if snooze:
        row += [
            _button(f"snooze.{name}", words, seal, _value("snooze", seconds, snooze, expires))
            for name, words, seconds in _SNOOZES
        ]
        if end is not None:
            until = _value("snooze", f"@{int(end.timestamp())}", snooze, expires)
            row.append(_button("snooze.end", "Snooze until period ends", seal, until))
    if row and events[0].details_url.startswith(("https://", "http://")):
        row.append({"type": "button", "action_id": f"{_ACTION_ID}details", "url": events[0].details_url,
                    "text": {"type": "plain_text", "text": "Details"}})  # fmt: skip
    return row


def _open(events: Sequence[Event]) -> tuple[list[str], list[str]]:
    """The alerts that can be acknowledged, and those that can be snoozed."""
    lives = details.rows(events[0], "open_alerts")
    if lives:
        return _ids(lives, _TO_ACKNOWLEDGE), _ids(lives, _TO_SNOOZE)
    alerts = [event for event in events if event.kind in {"threshold", "source_stale"} and event.severity != "info"]
    handles = [details.words(event, "handle") for event in alerts]
    found = [handle for handle in handles if _is_handle(handle)][:_MOST]
    return found, found


def _ids(rows: Iterable[Any], states: frozenset[str]) -> list[str]:
    return [str(row["id"]) for row in rows if row.get("state") in states and _is_handle(str(row["id"]))][: _MOST // 4]


def _is_handle(text: str) -> bool:
    return bool(text) and all(char in "0123456789abcdef" for char in text)


def _for_acts(event: Event, seal: Seal) -> list[list[dict[str, Any]]]:
    """Approve and refuse for each act that waits: of a standing, of an alert that proposes one, of a proposal."""
    waiting = [row for row in details.rows(event, "open_actions") if row.get("state") == "awaiting"]
    proposed = details.table(event, "proposed")
    if proposed:
        waiting.append(proposed)
    if event.kind == "action" and details.words(event, "state") == "proposed":
        waiting.append(event.details)
    return [row for row in (_answers(act, event, seal) for act in waiting[:3]) if row]


def _answers(act: Mapping[str, Any], event: Event, seal: Seal) -> list[dict[str, Any]]:
    handle = str(act.get("id") or act.get("handle") or "")
    expires = details.as_instant(act.get("expires")) or event.at + timedelta(days=1)
    if not _is_handle(handle):
        return []
    what = clean(f"{act.get('what', 'act')} {act.get('target', '')}".strip(), 200)
    undo = "It can be undone." if act.get("reversible") else "It can NOT be undone."
    confirm = {
        "title": {"type": "plain_text", "text": "Approve?"},
        "text": {"type": "plain_text", "text": f"{what}. {undo}"[:300]},
        "confirm": {"type": "plain_text", "text": "Approve"},
        "deny": {"type": "plain_text", "text": "Leave it"},
    }
    yes, no = (_value(deed, "", [handle], expires) for deed in ("approve", "refuse"))
    words = clean(f"Approve: {what}", 70)
    return [
        {**_button(f"approve.{handle[:6]}", words, seal, yes, style="danger"), "confirm": confirm},
        _button(f"refuse.{handle[:6]}", "Refuse", seal, no),
    ]


def _value(deed: str, argument: str, on: Iterable[str], expires: datetime) -> str:
    return f"{deed}.{argument}.{','.join(on)}.{int(expires.timestamp())}"


def _button(name: str, words: str, seal: Seal, value: str, **style: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": f"{_ACTION_ID}{name}",
        "text": {"type": "plain_text", "text": words},
        "value": seal.sealed(value),
        **style,
    }
