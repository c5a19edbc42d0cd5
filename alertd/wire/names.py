"""What ids are called: an alias is shown where there is one, an id is never lost. It never makes a reading fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from alertd.ports import SourceError
from alertd.wire.noticed import Noticed


class Names:
    """The names of one kind of thing, asked for when an id turns up that nobody knows; each id is asked for once."""

    def __init__(self, what: str, ask: Callable[[], Awaitable[Mapping[str, str]]], noticed: Noticed) -> None:
        self._what, self._ask, self._noticed = what, ask, noticed
        self._names: dict[str, str] = {}

    async def learn(self, ids: set[str]) -> None:
        """Ask if one of the ids is new. Without the right to list them, ids stay as they are, which is said once."""
        fresh = {one for one in ids if one and one not in self._names}
        if not fresh:
            return
        try:
            self._names |= await self._ask()
        except SourceError as error:
            self._noticed.once(f"the names of {self._what} cannot be read, ids are shown: {error}")
        for one in fresh:
            self._names.setdefault(one, one)

    def of(self, one: str) -> str:
        """The name of an id; the id where it has none."""
        return self._names.get(one) or one
