"""Ask questions on the terminal, and print to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TextIO

from rich import console as rich
from rich.box import SIMPLE_HEAD
from rich.console import ConsoleOptions, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.table import Column, Table

from alertd.core.config_errors import Fault, SettingsError
from alertd.settings import load_settings
from alertd.terminal import raw, without_controls


class PlainConsole(rich.Console):
    """Like rich's console: only rich itself may move the cursor; control characters in given text are escaped."""

    def __init__(self, *, stderr: bool = False, highlight: bool = True, **more: Any) -> None:
        stream = raw(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, emoji=False, highlight=highlight, **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else without_controls(segment.text)
            yield segment if safe == segment.text else Segment(safe, segment.style)


def plain_table(*columns: str | Column, expand: bool = False) -> Table:
    """The one style of every command's tables: no box, a thin rule below the heads."""
    return Table(*columns, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=expand)


Keys = dict[str, str]
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks on `out` and reads standard input; with `quiet` it takes every default."""

    quiet: bool
    out: TextIO

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=self.out, flush=True)

    def ask(self, given: str | None, question: str, default: str, keys: Callable[[str], Keys]) -> str:
        """The given value, else the answer, else the default. `keys`: turns an answer into settings.

        SettingsError if the value is invalid: at once for a given value, after three attempts for an answer.
        """
        if given is not None or self.quiet:
            answer = default if given is None else given
            faults = _faults(keys(answer))
        for _ in range(0 if given is not None or self.quiet else _TRIES):
            answer = self.read(question, default)
            faults = _faults(keys(answer))
            if not faults:
                break
            for fault in faults:
                self.say(f"  {fault.problem}" + (f"; {fault.remedy}" if fault.remedy else ""))
        if faults:
            raise SettingsError(faults)
        return answer

    def read(self, question: str, default: str = "") -> str:
        """One answer, or the default; EOFError without an answer."""
        print(f"{question}{f' [{default}]' if default else ''} ", end="", file=self.out, flush=True)
        return input().strip() or default


def _faults(keys: Mapping[str, str]) -> tuple[Fault, ...]:
    try:
        load_settings(keys)
    except SettingsError as error:
        return error.faults
    return ()


_LEVELS: Final = "▁▂▃▄▅▆▇█"

#: Lines of the screen that show no budget: head, foot, and the prompt.
FRAME: Final = 5


@contextmanager
def drawn(console: PlainConsole) -> Iterator[Callable[[RenderableType], None]]:
    """A function that replaces the previous table on a terminal; otherwise it prints one below the other."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield console.print
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda picture: live.update(picture, refresh=True)


def sparkline(values: Sequence[float]) -> str:
    """One block character per day, scaled from lowest to highest; a day without spend is a blank."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return ""
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(value / highest * top)] if value > 0 else " " for value in values)
