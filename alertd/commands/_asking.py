"""Questions on a terminal, each answer tried on the settings before the next is asked. No command itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TextIO

from alertd.core.faults import Fault, SettingsError
from alertd.settings import load_settings

Keys = dict[str, str]
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks on `out` and reads standard input; a `quiet` one takes every default."""

    quiet: bool
    out: TextIO

    def say(self, text: str) -> None:
        """One line to whoever answers."""
        print(text, file=self.out, flush=True)

    def ask(self, given: str | None, question: str, default: str, keys: Callable[[str], Keys]) -> str:
        """What was given, else the answer, else the default. `keys`: what an answer would be written as.

        Raises SettingsError where that is not sound: at once for what was given, after three answers else.
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
        """One answer, or the default; EOFError where nobody answers."""
        print(f"{question}{f' [{default}]' if default else ''} ", end="", file=self.out, flush=True)
        return input().strip() or default


def _faults(keys: Mapping[str, str]) -> tuple[Fault, ...]:
    try:
        load_settings(keys)
    except SettingsError as error:
        return error.faults
    return ()
