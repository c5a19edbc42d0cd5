"""Watch: whether files have changed, and have then been left alone. It reads none of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Marks = dict[Path, tuple[int, ...] | None]


class Watch:
    """The files of a configuration. One that is being written is left until two looks in a row see it the same."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._known = self._seen = _marks(files)

    def look(self) -> bool:
        """Whether a file is another than before and stays so: True once for each change."""
        marks = _marks(self._known)
        changed, still = marks != self._known, marks == self._seen
        self._seen = marks
        if changed and still:
            self._known = marks
        return changed and still

    def renew(self, files: Iterable[Path] | None = None) -> None:
        """Watch them, or those so far, as they are now."""
        self._known = _marks(self._known if files is None else files)


def _marks(files: Iterable[Path]) -> Marks:
    """What tells that a file is another than before: None for one that is not there."""
    marks: Marks = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            marks[file] = None
        else:
            marks[file] = (found.st_mtime_ns, found.st_size, found.st_ino)
    return marks
