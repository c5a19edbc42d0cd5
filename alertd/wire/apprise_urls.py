"""The services that Apprise reaches by URL, in a thread; its log is the only place where it says what went wrong.

Apprise takes proxies and certificates from the environment, and cannot be told otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from alertd.core.messages.spans import clean
from alertd.ports import DeliveryError
from alertd.wire.secrecy import in_address, longest_first, without

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
    """What Apprise calls the service of a URL, "" where it knows none. Contacts nobody."""
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
        lines = _Lines()
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


class _Lines(logging.Handler):
    """Keeps what is logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _server(url: str) -> Any:
    return None if apprise is None else apprise.Apprise.instantiate(url, suppress_exceptions=True)
