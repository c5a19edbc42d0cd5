"""What conversations with billing interfaces share: asking, paging to the documented end, reading stretch by stretch.

A stretch that could be read in part only is handed on as a lower bound, with a warning, and then the fault is raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from alertd.core.billing.backlog import Stretch
from alertd.core.usage import BilledCost, Labels, Usage
from alertd.options import SourceOptions
from alertd.ports import Reading, SourceError
from alertd.wire.fields import Fields
from alertd.wire.http import Access, Http
from alertd.wire.noticed import Noticed

Record = Usage | BilledCost
Query = Mapping[str, str | Sequence[str]]
#: The records of a stretch page by page; a later page's record takes the place of one of the same key.
Pages = AsyncIterator[Mapping[Any, Record]]


class Billing(Noticed):
    """One provider's billing interface: JSON objects in, SourceErrors for everything else."""

    def __init__(
        self,
        name: str,
        options: SourceOptions,
        *,
        bearer: str = "",
        headers: Mapping[str, str] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        super().__init__(name)
        self._http = Http(
            Access(
                proxy=options.proxy,
                ca_file=options.ca_file,
                timeout=options.timeout,
                bearer=bearer,
                headers=headers or {},
                hidden=tuple(hidden),
            )
        )

    async def get(self, url: str, query: Query | None = None, *, headers: Mapping[str, str] | None = None) -> Fields:
        """The JSON object at an address. SourceError for any other answer."""
        answer = await self._http.send("GET", url, params=query or None, headers=headers)
        return Fields(answer.json(), self.name)

    async def find(self, url: str, query: Query | None = None) -> Fields | None:
        """The JSON object at an address, None where the server says 404: it does not have it."""
        answer = await self._http.send("GET", url, params=query or None, allowed=frozenset({404}))
        return None if answer.status == 404 else Fields(answer.json(), self.name)  # noqa: PLR2004 - allowed above

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes = b"") -> Fields:
        """The JSON object that a request answers with, sent exactly as it was signed."""
        answer = await self._http.send(method, url, headers=headers, content=content or None)
        return Fields(answer.json(), self.name)

    def expect(self, found: Fields, known: Iterable[str]) -> None:
        """Tell once of fields that the interface's reference does not have; they are left unread."""
        if beyond := found.beyond(known):
            self.once(f"unknown fields are left unread: {', '.join(beyond)}")

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.close()


async def by_stretches(
    stretches: Sequence[Stretch],
    pages: Callable[[Stretch], Pages],
    *,
    cursor: str | None,
    now: datetime,
    delay: timedelta,
) -> AsyncIterator[Reading]:
    """One Reading a stretch, each replacing what is held of it. What a fault leaves of a stretch never lowers."""
    for stretch in stretches:
        records: dict[Any, Record] = {}
        window = (stretch.start, stretch.end)
        try:
            async for page in pages(stretch):
                records.update(page)
        except SourceError as error:
            if records:
                said = f"only a part of {stretch.start:%Y-%m-%d} to {stretch.end:%Y-%m-%d} could be read: {error}"
                kept = tuple(records.values())
                yield Reading(cursor or "", stretch.start, records=kept, window=window, warnings=(said,))
            raise
        cursor = str(stretch.come)
        yield Reading(
            cursor,
            stretch.until(now, delay),
            records=tuple(records.values()),
            window=window,
            progress=stretch.progress,
            complete_from=stretch.come.begun,
        )


def attributed(options: SourceOptions, found: Mapping[str, str]) -> Labels:
    """The labels of a record: what the source knows and the configuration adds, nothing dropped, hashes where asked."""
    labels = options.pseudonyms().applied({**found, **options.labels})
    return {name: value for name, value in sorted(labels.items()) if value and name not in options.drop_labels}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a source is read, how late its data arrive, and how old the newest may be before nothing is known."""

    interval: timedelta
    delay: timedelta
    stale_after: timedelta

    def set_by(self, options: SourceOptions) -> Pace:
        """The same, with what the configuration says instead."""
        return Pace(
            options.interval or self.interval,
            self.delay if options.delay is None else options.delay,
            options.stale_after or self.stale_after,
        )


def ago(at: datetime, now: datetime) -> str:
    """An age in words of one unit: 40 min, 5 h, 3 days."""
    minutes = max(0, (now - at) // timedelta(minutes=1))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"  # noqa: PLR2004 - two days
