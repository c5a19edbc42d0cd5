"""Faults in what people wrote, as values: place, problem and remedy. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the place as the user wrote it (a variable, a TOML key, file:line), what is wrong, what to write."""

    place: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


class SettingsError(Exception):
    """Every fault of a configuration at once; its text is one line a fault. Holds no secret."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def shortened(text: str) -> str:
    """A text that fits into a message; what was pasted by mistake does not fill the screen."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"


def unreadable(error: Exception) -> str:
    """Why a file cannot be read, in words: without the error number and the path."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant, or None where none is near."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def one_of(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the known ones, and the one that was probably meant."""
    names = sorted(known)
    meant = nearest(word, names)
    listed = f"there are: {', '.join(names)}" if names else "there are none"
    return listed + (f"; did you mean {meant}?" if meant else "")
