"""Messages on standard output, for a first run and for people who read logs. No colours, no terminal needed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, TextIO

from alertd.core.events import Event
from alertd.core.messages import Message, compose, text_of
from alertd.core.messages.format import zone_of
from alertd.plugin_options import NotifierOptions
from alertd.ports import Delivery, DeliveryError, Receipt

_INDENT: Final = "    "
#: Two facts beside one another are at most as long as this.
_WIDTH: Final = 100
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "none"


class Options(NotifierOptions):
    """The console needs none."""


def build(name: str, options: Options) -> Console:
    """Return the notifier that prints."""
    del options
    return Console(name, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """What would be printed, as a file."""
    del options
    return {".txt": _rendered(delivery, now).encode()}


def _rendered(delivery: Delivery, now: datetime) -> str:
    """The message, in the zone of its times."""
    return render(compose(delivery.events, now, links=False), now.astimezone(zone_of(delivery.events[0])))


def render(message: Message, now: datetime) -> str:
    """A headline with time, icon and severity; facts in two columns and lines indented below."""
    head = f"{now:%Y-%m-%d %H:%M} {message.icon} {message.severity.upper()}: {text_of(message.headline)}"
    lines = [*_columns(message), *(text_of(line) for line in (*message.lines, message.footer) if line)]
    return "\n".join([head, *(f"{_INDENT}{line}" for line in lines)]) + "\n"


def _columns(message: Message) -> list[str]:
    """The facts two on a line, the second of each below the second of the line before."""
    cells = [f"{one.label}: {text_of(one.value)}" for one in message.facts]
    width = max((len(cell) for cell in cells[::2]), default=0)
    if width + max((len(cell) for cell in cells[1::2]), default=0) > _WIDTH:
        return cells
    pairs = zip(cells[::2], [*cells[1::2], ""], strict=False)
    return [f"{left:<{width}}   {right}".rstrip() for left, right in pairs]


class Console:
    """Prints each message as a block; a closed output is a failed delivery."""

    people = True

    def __init__(self, name: str, *, now: Callable[[], datetime], output: TextIO | None = None) -> None:
        self.name = name
        self._now = now
        self._output = output

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        now = self._now()
        delivery.require_lease()
        await asyncio.to_thread(self._print, _rendered(delivery, now))
        return Receipt("printed")

    async def look(self) -> str:
        return "prints on standard output"

    async def close(self) -> None:
        return None

    def _print(self, text: str) -> None:
        output = self._output or sys.stdout
        encoding = getattr(output, "encoding", None) or "utf-8"
        try:
            output.write(text.encode(encoding, errors="replace").decode(encoding))
            output.flush()
        except (OSError, ValueError) as error:
            raise DeliveryError(f"{self.name}: standard output is closed ({error})") from error
