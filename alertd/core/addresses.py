"""Addresses: channels with labels in their names (`#llm-{team}`), links to pages, signed ones of pictures, loopback.

A missing label is not guessed, and DNS is not asked. The signed address of a message's picture needs no login, and only
alertd can make one. It holds what is drawn, so any replica answers it, also after a restart, and it shows what was
announced.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

import msgspec

from alertd.core.budgets import Scope, scope_text
from alertd.core.events import Event

#: Below which path pictures are; no session is needed there.
PICTURES: Final = "/pictures/"
#: What the picture shows of an event.
_FIELDS: Final = (
    "budget", "scope", "period_start", "period_end", "zone", "status", "amount", "currency", "spent", "projected",
    "probability_over", "exhausted_at", "daily", "data_until", "seen_until", "complete_from",
)  # fmt: skip
#: Chats take addresses of 2,000 characters; a curve of more points than this looks no different.
_LONGEST: Final = 2000
_POINTS: Final = 62
_SIGNATURE: Final = 16
_MOST_BYTES: Final = 20_000
_CENT: Final = Decimal("0.01")


def picture_key(token: str) -> bytes:
    """The key of signatures, made from the page's token: the same in all replicas."""
    return hashlib.sha256(b"alertd pictures " + token.encode()).digest()


def picture_url(public_url: str, key: bytes, event: Event) -> str:
    """Where the event's picture is; "" without a key, without https, or where there is nothing to draw."""
    is_course = event.kind in {"threshold", "recovered"} and event.basis != "balance" and event.window is None
    has_days = event.daily and event.amount and event.period_start and event.period_end
    if not key or not (is_course and has_days) or not public_url.startswith("https://"):
        return ""
    shown = {name: value for name, value in event.to_json().items() if name in _FIELDS and value not in (None, "", [])}
    shown["daily"] = [(day, str(value.quantize(_CENT).normalize())) for day, value in _thinned(event)]
    shown["projected"] = {name: str(value.quantize(_CENT)) for name, value in event.projected.items()}
    packed = zlib.compress(json.dumps([event.at.isoformat(), shown], separators=(",", ":")).encode(), 9)
    url = f"{public_url.rstrip('/')}{PICTURES}{_text(_signed(key, packed) + packed)}.png"
    return url if len(url) <= _LONGEST else ""


def event_of(name: str, key: bytes) -> Event | None:
    """The event of a picture's name, as much of it as is drawn; None where alertd did not sign it."""
    try:
        raw = urlsafe_b64decode(name.removesuffix(".png") + "==")
        signature, packed = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if not key or not hmac.compare_digest(signature, _signed(key, packed)):
            return None
        at, shown = json.loads(zlib.decompressobj().decompress(packed, _MOST_BYTES))
        return Event.from_json({"id": name, "kind": "threshold", "severity": "info", "at": at, **_mapping(shown)})
    except (ValueError, TypeError, zlib.error, binascii.Error, msgspec.ValidationError):
        return None


def _mapping(found: object) -> Mapping[str, object]:
    return found if isinstance(found, dict) else {}


def _thinned(event: Event) -> list[tuple[str, Decimal]]:
    """The days, several as one where there are many: each group under its last day."""
    days = list(event.daily or ())
    step = -(-len(days) // _POINTS)
    groups = [days[begin : begin + step] for begin in range(0, len(days), step)]
    return [(group[-1][0], sum((value for _, value in group), Decimal(0))) for group in groups]


def _signed(key: bytes, packed: bytes) -> bytes:
    return hmac.digest(key, packed, "sha256")[:_SIGNATURE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


_FIELD: Final = re.compile(r"\{([\w.-]+)\}")


def fill(template: str, event: Event) -> str | None:
    """`#llm-{team}` with the label of the event's scope, `{budget}` and `{severity}` too; None where a label lacks."""
    values: dict[str, str | None] = {"budget": event.budget, "severity": event.severity, **dict(event.scope)}
    wanted = _FIELD.findall(template)
    if not all(values.get(label) for label in wanted):
        return None
    return _FIELD.sub(lambda field: values[field[1]] or "", template)


def labels_of(template: str) -> tuple[str, ...]:
    """The labels that an address needs, in order."""
    return tuple(dict.fromkeys(_FIELD.findall(template)))


def budget_path(name: str, scope: Scope) -> str:
    """Where a budget's page is, below the daemon's own address."""
    path = f"/budgets/{quote(name, safe='')}"
    return f"{path}?scope={quote(scope_text(scope), safe='=')}" if scope else path


def page_of(public_url: str, event: Event) -> str:
    """The URL of the page of an event's budget; "" without PUBLIC_URL or without a budget."""
    return public_url.rstrip("/") + budget_path(event.budget, event.scope) if public_url and event.budget else ""


def answer_page(public_url: str, event: Event) -> str:
    """The URL of the page on which people answer an alert or an action; "" without PUBLIC_URL."""
    place = {"threshold": "alerts", "source_stale": "alerts", "action": "actions"}.get(event.kind)
    if not (public_url and event.handle and place) or (place == "alerts" and event.severity == "info"):
        return ""
    return f"{public_url.rstrip('/')}/{place}/{quote(event.handle, safe='')}"


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is reached from its own machine only."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
