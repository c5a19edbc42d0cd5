"""Messages to the many services that Apprise knows by URL (Telegram, Matrix, ntfy, Webex, ...): plain text, no threads.

Use the kind of its own where there is one (Slack, mail, Teams, PagerDuty ...): Apprise says only whether a message was
taken, and why not in its log alone. It reads proxies and certificates from the environment; this cannot be changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self

from pydantic import Field, model_validator

from alertd.clients.redaction import in_address, longest_first, without
from alertd.core.events import Event
from alertd.core.messages import Message, compose, text_of
from alertd.core.messages.rich_text import clean
from alertd.notifiers._posted import fitting
from alertd.plugin_options import NotifierOptions, Secret
from alertd.ports import Delivery, DeliveryError, Receipt

try:
    import apprise
except ImportError:  # the extra is not installed: its absence is said where the notifier is configured
    apprise = None  # type: ignore[assignment] # its absence is looked at below, nowhere else

_SAID_LENGTH: Final = 300
_SECRET_LENGTH: Final = 6
#: Apprise logs to one logger for all: one send at a time knows what is its own.
_ONE_AT_A_TIME: Final = threading.Lock()


def is_installed() -> bool:
    """Whether the extra `apprise` is there."""
    return apprise is not None


def service_of(url: str) -> str:
    """Apprise's name for the service of a URL, or "". Sends no request."""
    found = _server(url)
    return "" if found is None else str(getattr(found, "service_name", "") or found.__class__.__name__)


class AppriseUrl:
    """One URL of Apprise's. `seconds` bounds a whole send; requests inside are bounded by Apprise itself."""

    def __init__(self, name: str, url: str, seconds: float) -> None:
        self._name, self._url, self._seconds = name, url, seconds
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="apprise")
        parts = url.partition("://")[2].replace("?", "/").split("/")
        self._secrets = longest_first((*in_address(url), *parts), _SECRET_LENGTH)

    async def notify(self, title: str, body: str, kind: str) -> None:
        """Send; `kind` is info, warning, failure or success. DeliveryError: Apprise never says what may be retried."""
        try:
            async with asyncio.timeout(self._seconds):
                said = await asyncio.get_running_loop().run_in_executor(self._threads, self._notify, title, body, kind)
        except TimeoutError as error:
            raise DeliveryError(f"{self._name}: no answer in {self._seconds:g} s", uncertain=True) from error
        if said is not None:
            raise DeliveryError(f"{self._name}: Apprise could not send: {self._harmless(said)}")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _notify(self, title: str, body: str, kind: str) -> str | None:
        """None where it was taken, else what Apprise logged."""
        server = _server(self._url)
        if server is None:
            return "it knows no such service"
        lines = _LogLines()
        logger = logging.getLogger("apprise")
        with _ONE_AT_A_TIME:
            logger.addHandler(lines)
            logger.propagate = False  # its lines hold addresses, which are secrets
            try:
                taken = server.notify(body=body, title=title, notify_type=apprise.NotifyType(kind), body_format="text")
            finally:
                logger.removeHandler(lines)
        return None if taken else "; ".join(lines.said) or "it gives no reason"

    def _harmless(self, text: str) -> str:
        return clean(without(self._secrets, text), _SAID_LENGTH)


class _LogLines(logging.Handler):
    """Keeps what is logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _server(url: str) -> Any:
    return None if apprise is None else apprise.Apprise.instantiate(url, suppress_exceptions=True)


_KINDS: Final = {"info": "info", "warning": "warning", "critical": "failure"}
#: What most of its services take in one piece.
_BODY: Final = 1800
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "the host of its service"


class Options(NotifierOptions):
    """One URL; two services are two notifiers, so that each is retried by itself."""

    url: Secret = Field(description="The service as Apprise writes it: tgram://token/chat, ntfy://topic, matrix://...")

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        if not is_installed():
            raise ValueError("this kind needs the extra apprise: pip install alertd[apprise]")
        if not service_of(self.url.get_secret_value()):
            raise ValueError("Apprise does not know this url; see https://appriseit.com/services/")
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
    links = [f"{one.text}: {one.href}" for one in message.actions]
    lines = [*(text_of(line) for line in message.body), *links, text_of(message.footer)]
    lines = [line for line in lines if line]
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
