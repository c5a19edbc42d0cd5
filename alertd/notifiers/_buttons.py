"""Buttons below Slack's messages: build them, and parse their interactions. Pure; trusts only values that it signed.

A button's value holds what to do, to what, and until when, signed with a key derived from the bot token: a
value without this signature is ignored.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alertd.core.evaluation.interactions import ACKNOWLEDGE, APPROVE, REFUSE, SNOOZE, Interaction
from alertd.core.events import ActionStep, BurnRateReached, Event, Live, OpenAction, OpenAlert, details_of
from alertd.core.messages.rich_text import Span, clean

#: How long a button lives that no period ends.
_LONGEST: Final = timedelta(days=35)
_SIGNATURE_LENGTH: Final = 24
#: The most handles in a message about many budgets; Slack's value holds 2,000 characters.
_MOST: Final = 120
_ACTION_ID: Final = "alertd."
#: Slack's limits of a button.
_LONGEST_URL: Final = 3000
_LONGEST_TEXT: Final = 75
_MOST_LINKS: Final = 5
_DEEDS: Final = {"ack": ACKNOWLEDGE, "snooze": SNOOZE, "approve": APPROVE, "refuse": REFUSE}
_SNOOZES: Final = (("1h", "Snooze 1 h", "3600"), ("1d", "Snooze 1 d", "86400"))
#: States of an alert in which a button still does something.
_TO_ACKNOWLEDGE: Final = frozenset({"firing", "snoozed"})
_TO_SNOOZE: Final = frozenset({"firing", "acknowledged"})


@dataclass(frozen=True, slots=True)
class ButtonSigner:
    """Signs the values of buttons; equal in all replicas with the same bot token."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, token: str) -> ButtonSigner:
        """The signature key made from this token."""
        return cls(hashlib.sha256(b"alertd buttons " + token.encode()).digest())

    def signed(self, text: str) -> str:
        """The text followed by its signature."""
        return f"{text}.{hmac.new(self.key, text.encode(), 'sha256').hexdigest()[:_SIGNATURE_LENGTH]}"

    def verified(self, value: str) -> str | None:
        """The text; None if the signature is wrong."""
        text, _, _ = value.rpartition(".")
        return text if hmac.compare_digest(self.signed(text).encode(), value.encode()) else None


def buttons(events: Sequence[Event], signer: ButtonSigner) -> list[dict[str, Any]]:
    """A message's blocks of buttons: approve and refuse where something waits, then acknowledge and snooze, details."""
    first = events[0]
    rows = [*_for_acts(first, signer), _for_alerts(events, signer)]
    blocks = [{"type": "actions", "block_id": f"{_ACTION_ID}{n}", "elements": row} for n, row in enumerate(rows) if row]
    return blocks[:5]


def link_buttons(actions: Sequence[Span]) -> list[dict[str, object]]:
    """A message's links as a block of buttons, which need no bot: a webhook may have them."""
    elements: list[dict[str, Any]] = [
        {"type": "button", "action_id": f"{_ACTION_ID}link.{count}", "url": one.href[:_LONGEST_URL],
         "text": {"type": "plain_text", "text": one.text[:_LONGEST_TEXT]}}
        for count, one in enumerate(actions[:_MOST_LINKS])
        if one.href.startswith(("https://", "http://")) and len(one.href) <= _LONGEST_URL
    ]  # fmt: skip
    return [{"type": "actions", "block_id": f"{_ACTION_ID}links", "elements": elements}] if elements else []


def parse_interaction(payload: Mapping[str, Any], signer: ButtonSigner) -> Interaction | None:
    """The press in a payload of Slack; None if it does not come from a button of alertd."""
    try:
        action, user = payload["actions"][0], payload["user"]
        who, container = str(user["id"]), payload["container"]
        place = str(container["view_id"] if container.get("type") == "view" else container["message_ts"])
        at = datetime.fromtimestamp(float(action["action_ts"]), UTC)
        text = signer.verified(str(action["value"]))
        if payload["type"] != "block_actions" or text is None or not str(action["action_id"]).startswith(_ACTION_ID):
            return None
        deed, argument, on, expires = text.split(".")
        interaction = Interaction(
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
    return interaction


def _until(argument: str, at: datetime) -> datetime | None:
    """The end of a snooze: a number of seconds after the press, or an instant (`@` and its seconds)."""
    if argument.startswith("@"):
        return datetime.fromtimestamp(int(argument[1:]), UTC)
    return at + timedelta(seconds=int(argument)) if argument else None


def _for_alerts(events: Sequence[Event], signer: ButtonSigner) -> list[dict[str, object]]:
    acknowledge, snooze = _open(events)
    end = events[0].period_end
    expires = events[0].at + _LONGEST if end is None or events[0].window is not None else end
    row: list[dict[str, Any]] = []
    if acknowledge:
        row.append(_button("ack", "Acknowledge", signer, _value("ack", "", acknowledge, expires), style="primary"))
    if snooze:
        row += [
            _button(f"snooze.{name}", words, signer, _value("snooze", seconds, snooze, expires))
            for name, words, seconds in _SNOOZES
        ]
        if end is not None:
            until = _value("snooze", f"@{int(end.timestamp())}", snooze, expires)
            row.append(_button("snooze.end", "Snooze until period ends", signer, until))
    if row and events[0].details_url.startswith(("https://", "http://")):
        row.append({"type": "button", "action_id": f"{_ACTION_ID}details", "url": events[0].details_url,
                    "text": {"type": "plain_text", "text": "Open budget"}})  # fmt: skip
    return row


def _open(events: Sequence[Event]) -> tuple[list[str], list[str]]:
    """The alerts that can be acknowledged, and those that can be snoozed."""
    lives = details_of(events[0], Live).open_alerts
    if lives:
        return _ids(lives, _TO_ACKNOWLEDGE), _ids(lives, _TO_SNOOZE)
    alerts = [event for event in events if event.kind in {"threshold", "source_stale"} and event.severity != "info"]
    handles = [event.handle for event in alerts]
    found = [handle for handle in handles if _is_handle(handle)][:_MOST]
    return found, found


def _ids(alerts: Iterable[OpenAlert], states: frozenset[str]) -> list[str]:
    return [one.id for one in alerts if one.state in states and _is_handle(one.id)][: _MOST // 4]


def _is_handle(text: str) -> bool:
    return bool(text) and all(char in "0123456789abcdef" for char in text)


def _for_acts(event: Event, signer: ButtonSigner) -> list[list[dict[str, object]]]:
    """Approve and refuse for each act that waits: of a live message, of an alert that proposes one, of a proposal."""
    waiting = [one for one in details_of(event, Live).open_actions if one.state == "awaiting"]
    if (proposed := details_of(event, BurnRateReached).proposed) is not None:
        waiting.append(proposed)
    step = details_of(event, ActionStep)
    if step.state == "proposed":
        undo, expires = bool(step.reversible), step.expires
        waiting.append(OpenAction(step.what, event.handle, step.target, reversible=undo, expires=expires))
    return [row for row in (_answers(one, event, signer) for one in waiting[:3]) if row]


def _answers(action: OpenAction, event: Event, signer: ButtonSigner) -> list[dict[str, object]]:
    handle = action.id or action.handle
    expires = action.expires or event.at + timedelta(days=1)
    if not _is_handle(handle):
        return []
    what = clean(f"{action.what or 'act'} {action.target}".strip(), 200)
    undo = "It can be undone." if action.reversible else "It can NOT be undone."
    confirm = {
        "title": {"type": "plain_text", "text": "Approve?"},
        "text": {"type": "plain_text", "text": f"{what}. {undo}"[:300]},
        "confirm": {"type": "plain_text", "text": "Approve"},
        "deny": {"type": "plain_text", "text": "Leave it"},
    }
    yes, no = (_value(deed, "", [handle], expires) for deed in ("approve", "refuse"))
    words = clean(f"Approve: {what}", 70)
    return [
        {**_button(f"approve.{handle[:6]}", words, signer, yes, style="danger"), "confirm": confirm},
        _button(f"refuse.{handle[:6]}", "Refuse", signer, no),
    ]


def _value(deed: str, argument: str, on: Iterable[str], expires: datetime) -> str:
    return f"{deed}.{argument}.{','.join(on)}.{int(expires.timestamp())}"


def _button(name: str, words: str, signer: ButtonSigner, value: str, **style: str) -> dict[str, object]:
    return {
        "type": "button",
        "action_id": f"{_ACTION_ID}{name}",
        "text": {"type": "plain_text", "text": words},
        "value": signer.signed(value),
        **style,
    }
