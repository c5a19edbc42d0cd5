"""Messages to the many services that Apprise knows by URL (Telegram, Matrix, ntfy, Webex, ...): plain text, no threads.

For what has a kind of its own (Slack, mail, Teams, PagerDuty ...) take that: Apprise says only whether it was taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Self

from pydantic import Field, model_validator

from alertd.core.events import Event
from alertd.core.messages import Message, compose, text_of
from alertd.notifiers._posted import fitting
from alertd.options import NotifierOptions, Secret
from alertd.ports import Delivery, DeliveryError, Receipt
from alertd.wire.apprise_urls import AppriseUrl, is_installed, service_of

_KINDS: Final = {"info": "info", "warning": "warning", "critical": "failure"}
#: What most of its services take in one piece.
_BODY: Final = 1800


class Options(NotifierOptions):
    """One URL; two services are two notifiers, so that each is retried by itself."""

    url: Secret = Field(description="The service as Apprise writes it: tgram://token/chat, ntfy://topic, matrix://...")

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        if not is_installed():
            raise ValueError("this kind needs the extra apprise: pip install alertd[apprise]")
        if not service_of(self.url.get_secret_value()):
            raise ValueError("url is none that Apprise knows; see https://appriseit.com/services/")
        if self.proxy is not None or self.ca_file is not None:
            raise ValueError("Apprise takes these from the environment: HTTPS_PROXY, REQUESTS_CA_BUNDLE")
        return self


def build(name: str, options: Options) -> Apprise:
    """Return the notifier for one service."""
    return Apprise(name, options, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """Title and body that would be handed to Apprise."""
    del options
    title, body = render(compose(delivery.events, now))
    return {".apprise.json": json.dumps({"title": title, "body": body}, ensure_ascii=False, indent=2).encode()}


def render(message: Message) -> tuple[str, str]:
    """The headline, and the evidence below it, as plain text."""
    lines = [text_of(line) for line in (*message.lines, message.footer) if line]
    return f"{message.icon} {message.subject}", "\n".join(fitting(lines, _BODY))


class Apprise:
    """Hands each delivery to Apprise as one notification."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        url = options.url.get_secret_value()
        self._service = service_of(url)
        self._door = AppriseUrl(name, url, options.timeout.total_seconds())

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        message = compose(delivery.events, self._now())
        over = all(event.kind == "recovered" for event in delivery.events)
        kind = "success" if over else _KINDS.get(message.severity, "info")
        title, body = render(message)
        delivery.require_lease()
        await self._door.notify(title, body, kind)
        return Receipt(f"taken by Apprise for {self._service}")

    async def look(self) -> str:
        """Which service it is; Apprise can try none without sending."""
        if not self._service:
            raise DeliveryError(f"{self.name}: Apprise knows no such service", permanent=True)
        return f"{self._service} by Apprise; to try it: alertd test-notify {self.name}"

    async def close(self) -> None:
        self._door.close()
