"""A value that is worked out when it is first asked for. What it is worked out from must not change meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """Most of what might be said of a budget is never asked for: this is its place until somebody does."""

    __slots__ = ("_found", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work

    @property
    def value(self) -> T:
        """Found once; two threads that ask at the same time may both work it out."""
        work = self._work
        if work is not None:
            self._found = work()
            self._work = None
        return self._found
