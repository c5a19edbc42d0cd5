"""What was noticed is said once, however often it is seen. It remembers so much and no more."""

from __future__ import annotations

import logging
from typing import Final

from alertd.core.messages.spans import clean

log = logging.getLogger(__name__)

#: Whoever has said so many different things is full of names from outside: it begins anew.
_MOST: Final = 1_000


class Noticed:
    """Says what a source noticed, the first time only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._said: set[str] = set()

    def once(self, text: str) -> None:
        """Log something that was noticed, unless it was said before."""
        if text in self._said:
            return
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said.add(text)
        log.warning("%s: %s", self.name, clean(text))
