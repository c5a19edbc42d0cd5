"""What clients of billing APIs share: requests, paging, names of ids, reports by time, remarks logged once.

A report that could be read in part only is returned as a lower bound with a warning; then the error is raised.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.clients.http import Access, Http
from alertd.clients.http_response import ERROR_CODES
from alertd.clients.json_fields import Fields, every_page, last_id
from alertd.core.billing.read_plan import ReadWindow
from alertd.core.messages.rich_text import clean
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Labels, Usage
from alertd.plugin_options import SourceOptions
from alertd.ports import Look, Reading, SourceError

log = logging.getLogger(__name__)

#: After this many different remarks the memory is cleared, because they may contain endless names.
_MOST: Final = 1_000


class Noticed:
    """Logs each remark of a source once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._said: set[str] = set()

    def once(self, text: str) -> None:
        """Log a remark, unless it was logged before."""
        if text in self._said:
            return
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said.add(text)
        log.warning("%s: %s", self.name, clean(text))


class Names:
    """The names of one kind of id. An unknown id is looked up once."""

    def __init__(self, what: str, ask: Callable[[], Awaitable[Mapping[str, str]]], noticed: Noticed) -> None:
        self._what, self._ask, self._noticed = what, ask, noticed
        self._names: dict[str, str] = {}

    async def learn(self, ids: set[str]) -> None:
        """Look up new ids. Without the right to list names, ids are shown as they are, with one warning in the log."""
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
        """The name of an id, or the id itself."""
        return self._names.get(one) or one


Record = Usage | BilledCost
Query = Mapping[str, str | Sequence[str]]
#: The records of a window page by page; a later page's record takes the place of one of the same key.
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
                error_fields=ERROR_CODES,
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
        """Log once the fields that the API reference does not have; they are ignored."""
        if beyond := found.beyond(known):
            self.once(f"unknown fields are left unread: {', '.join(beyond)}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


async def read_windows(
    windows: Sequence[ReadWindow],
    pages: Callable[[ReadWindow], Pages],
    *,
    cursor: str | None,
    now: datetime,
    delay: timedelta,
) -> AsyncIterator[Reading]:
    """One Reading a window, each replacing what is held of it. What a fault leaves of a window never lowers."""
    for window in windows:
        records: dict[Any, Record] = {}
        days = (window.start, window.end)
        try:
            async for page in pages(window):
                records.update(page)
        except SourceError as error:
            if records:
                said = f"only a part of {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d} could be read: {error}"
                kept = tuple(records.values())
                yield Reading(cursor or "", window.start, records=kept, window=days, warnings=(said,))
            raise
        cursor = str(window.come)
        yield Reading(
            cursor,
            window.until(now, delay),
            records=tuple(records.values()),
            window=days,
            progress=window.progress,
            complete_from=window.come.begun,
        )


def attributed(options: SourceOptions, found: Mapping[str, str]) -> Labels:
    """The labels of a record: what the source knows and the configuration adds, nothing dropped, hashes where asked."""
    labels = options.pseudonyms().applied({**found, **options.labels})
    return {name: value for name, value in sorted(labels.items()) if value and name not in options.drop_labels}


@dataclass(frozen=True, slots=True)
class Pace:
    """A source's interval, the delay of its data, and the age from which they are stale."""

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


def next_page(page: Fields) -> str:
    """The next page's name, "" after the last one. A page that is promised and not named is lost: SourceError."""
    if page.flag("has_more") and "next_page" not in page:
        raise SourceError(f"{page.place}: more pages are promised and none is named")
    return page.text("next_page") if page.flag("has_more") else ""


async def named(billing: Billing, url: str, after: str, *, name: str = "name") -> Mapping[str, str]:
    """What the ids of a list are called, by the field `name`; `after` is how its next page is asked for."""

    async def ask(last: str) -> Fields:
        return await billing.get(url, {"limit": "100", **({after: last} if last else {})})

    found: dict[str, str] = {}
    async for page in every_page(ask, last_id, billing.name):
        found |= {row.text("id"): row.text(name) for row in page.items("data")}
    return found


async def look_at_reports(pages: Pages, now: datetime, names: Sequence[str]) -> Look:
    """What the last window of a report holds: tokens, money, how old its newest hour is, and whose it is."""
    found: dict[Any, Record] = {}
    async for page in pages:
        found |= page
    usage = [record for record in found.values() if isinstance(record, Usage)]
    latest = max((min(record.end, now) for record in usage), default=None)
    labels = {name: sorted({record.labels[name] for record in found.values() if name in record.labels})
              for name in names}  # fmt: skip
    tokens = f"{sum(record.quantity for record in usage):,} tokens"
    age = f", the newest hour ended {ago(latest, now)} ago" if latest else ""
    costs = totals([record for record in found.values() if isinstance(record, BilledCost)])
    remarks = () if found else ("nothing was used since yesterday, or the key sees another organization",)
    return Look(
        f"since yesterday {tokens}{age}; billed so far: {costs or 'nothing'}", latest, labels=labels, remarks=remarks
    )


def totals(money: Sequence[BilledCost]) -> str:
    """Sums by currency, in words."""
    sums: dict[str, Money] = {}
    for record in money:
        currency = record.cost.currency
        sums[currency] = sums[currency] + record.cost if currency in sums else record.cost
    return ", ".join(str(total) for total in sums.values())
