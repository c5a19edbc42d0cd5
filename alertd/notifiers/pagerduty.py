"""Incidents in PagerDuty (Events API v2): an alert triggers, its end resolves, under one key. Digests stay away."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from pydantic import Field

from alertd.clients.http_response import ERROR_CODES
from alertd.clients.webhook import Poster, find_host
from alertd.core.events import Event
from alertd.core.messages import compose, text_of
from alertd.notifiers._incidents import is_end, is_heard, subject_of
from alertd.notifiers._posted import ALTERNATIVE, encoded
from alertd.plugin_options import NotifierOptions, Secret
from alertd.ports import Delivery, Receipt

_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "alertd"}
_SEVERITIES: Final = {"info": "info", "warning": "warning", "critical": "critical"}
_SUMMARY: Final = 1024
_KEY: Final = 255
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "events.pagerduty.com:443 (events.eu.pagerduty.com)"


class Options(NotifierOptions):
    """The integration's key."""

    routing_key: Secret = Field(description="The integration key of a service (Events API v2), 32 characters")
    url: str = Field("https://events.pagerduty.com", description="https://events.eu.pagerduty.com for the EU")
    least: Literal["info", "warning", "critical"] = Field("warning", description="The least severity it hears")


def build(name: str, options: Options) -> PagerDuty:
    """Return the notifier that triggers and resolves."""
    return PagerDuty(name, options, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The events that would be posted, one a line, with an example of a key."""
    lines = [encoded(render(event, "R" * 32, now)) for event in delivery.events if is_heard(event, options.least)]
    return {".pagerduty.jsonl": b"\n".join(lines) or b"(not sent: below the least severity, or a summary)\n"}


def render(event: Event, routing_key: str, now: datetime) -> dict[str, object]:
    """An event of the Events API v2."""
    key = f"alertd/{subject_of(event)}"
    dedup_key = key if len(key) <= _KEY else f"alertd/{hashlib.sha256(key.encode()).hexdigest()}"
    if is_end(event):
        return {"routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key}
    message = compose([event], now)
    links = [(one.href, one.text) for one in message.actions] or [
        (event.runbook_url, "runbook"),
        (event.details_url, "details"),
    ]
    return {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "alertd",
        "images": [{"src": message.picture_url, "alt": ALTERNATIVE}] if message.picture_url else [],
        "links": [{"href": href, "text": text} for href, text in links if href],
        "payload": {
            "summary": message.subject[:_SUMMARY],
            "source": "alertd",
            "severity": _SEVERITIES[event.severity],
            "timestamp": event.at.isoformat(),
            "component": event.budget,
            "class": event.basis or event.kind,
            "custom_details": {
                **{one.label: text_of(one.value) for one in message.facts},
                "message": "\n".join(text_of(line) for line in (*message.lines, message.footer)),
                **{name: value for name, value in event.contract().items() if value not in (None, "", [], {})},
            },
        },
    }


class PagerDuty:
    """Posts each event that it should hear; the key makes a repetition harmless."""

    people = False

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._key = options.routing_key.get_secret_value()
        self._url = options.url.rstrip("/")
        self._least = options.least
        self._proxied = options.proxy is not None
        self._poster = Poster(name, options, (self._key,), error_fields=(*ERROR_CODES, "message"))

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        heard = [event for event in delivery.events if is_heard(event, self._least)]
        for event in heard:
            body = encoded(render(event, self._key, self._now()))
            delivery.require_lease()
            await self._poster.post(f"{self._url}/v2/enqueue", body, _HEADERS)
        return Receipt("taken" if heard else f"left out: a summary, or below {self._least}")

    async def look(self) -> str:
        """Whether PagerDuty has an address; a key cannot be tried without an incident."""
        host = await find_host(self.name, self._url, proxied=self._proxied)
        return f"posts to {host} from {self._least} on; to try it: alertd test-notify {self.name} --event over"

    async def close(self) -> None:
        await self._poster.close()
