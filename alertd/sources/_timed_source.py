"""What sources have in common: their times and role; and bases for a provider's reports and a cloud's metrics.

Reports are paged and hold ids that have names; metrics are sums by period. Both bases read recent windows again and
replace what they read, so that nothing is added twice. A part of a window is a lower bound, and the cursor stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Literal, NamedTuple

from alertd.clients.billing_api import (
    Billing,
    Names,
    Noticed,
    Pace,
    Pages,
    Query,
    ago,
    look_at_reports,
    next_page,
    read_windows,
)
from alertd.clients.json_fields import Fields, every_page
from alertd.core.billing.read_plan import Come, ReadWindow, plan_windows
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import Committed, Usage
from alertd.plugin_options import SourceOptions
from alertd.ports import Look, Reading, SourceError


class TimedSource:
    """A source's name, its role, its interval, the delay of its data, and the age from which they are stale."""

    def __init__(
        self, name: str, options: SourceOptions, pace: Pace, cost_from: Literal["usage", "bill"] = "usage"
    ) -> None:
        """`cost_from`: which of the source's own figures is the cost if it reports both usage and bill."""
        pace = pace.set_by(options)
        self.name = name
        self.interval, self.delay, self.stale_after = pace.interval, pace.delay, pace.stale_after
        self.standing = SourceRole(options.role, cost_from)


#: Metrics are published within minutes, and come late by hours at times.
METRIC_PACE: Final = Pace(timedelta(minutes=5), timedelta(minutes=5), timedelta(hours=1))
AGAIN: Final = timedelta(hours=3)
_QUARTER: Final = 900


class MetricSpan(NamedTuple):
    """The half-open time that is asked for, and the length of one sum in it, in seconds."""

    start: datetime
    end: datetime
    period: int


@dataclass(slots=True)
class Found:
    """The content of a window: usage by period, gaps, and the error that ended the read."""

    records: list[Usage] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    failed: SourceError | None = None
    commitments: list[Committed] = field(default_factory=list)


class MetricSource(TimedSource):
    """Token metrics of one cloud. `again`: how much is read again each time; `kept`: how far back metrics reach."""

    again = AGAIN
    kept = timedelta(days=90)
    #: Sums of five minutes are asked for this far back, of an hour before.
    fine = timedelta(days=90)

    def __init__(self, name: str, options: SourceOptions) -> None:
        super().__init__(name, options, METRIC_PACE, "usage")
        self.noticed = Noticed(name)

    async def window(self, span: MetricSpan, now: datetime) -> Found:
        """What the metrics hold of a span."""
        raise NotImplementedError

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """New usage, and the last hours again; each window replaces what is stored of it."""
        for window in self._windows(cursor, since, now):
            found = await self.window(self._span(window, now), now)
            if found.failed is None:
                cursor = str(window.come)
            elif not found.records:
                raise found.failed
            else:
                found.gaps.append(str(found.failed))
            yield Reading(
                cursor or "",
                window.until(now, self.delay) if found.failed is None else window.start,
                records=tuple(found.records),
                window=(window.start, window.end),
                warnings=tuple(found.gaps),
                progress=window.progress,
                complete_from=window.come.begun,
                commitments=tuple(found.commitments),
            )
            if found.failed is not None:
                raise found.failed

    async def look(self, now: datetime) -> Look:
        """What the last hour holds, by model."""
        start = now - timedelta(hours=1)
        start -= timedelta(seconds=start.timestamp() % _QUARTER)
        found = await self.window(self._span(ReadWindow(start, now, Come(start, now)), now), now)
        if found.failed is not None:
            raise found.failed
        latest = max((min(record.end, now) for record in found.records), default=None)
        tokens = sum(record.quantity for record in found.records)
        said = f"{tokens:,} tokens in the last hour" + (f", the newest {ago(latest, now)} old" if latest else "")
        names = sorted({name for record in found.records for name in record.labels})
        labels = {name: sorted({r.labels[name] for r in found.records if name in r.labels}) for name in names}
        labels["model"] = sorted({record.line.model for record in found.records})
        remarks = () if found.records else ("nothing was used in the last hour, or the metrics are elsewhere",)
        return Look(said, latest, tuple(found.gaps), labels, remarks)

    def _windows(self, cursor: str | None, since: datetime, now: datetime) -> Iterator[ReadWindow]:
        come = Come.of(cursor)
        for window in plan_windows(cursor, since, now, reach_back=self.again, days=7, at_most=self.kept):
            if come is None or window.come.begun != come.begun:
                yield window
            else:
                start = come.read - self.again
                yield replace(window, start=max(window.start, start - timedelta(seconds=start.timestamp() % _QUARTER)))

    def _span(self, window: ReadWindow, now: datetime) -> MetricSpan:
        return MetricSpan(window.start, min(window.end, now), 300 if window.start > now - self.fine else 3600)


REPORT_PACE: Final = Pace(timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=2))
#: Costs settle within about a day [not promised]; the last days are read again every time.
SETTLING: Final = timedelta(days=2)
#: 7 days of hours are one page of usage; costs fit as well.
_DAYS: Final = 7


class ReportSource(TimedSource):
    """One organization's usage and costs. `about` are the labels that `look` lists: whose usage it is."""

    about: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, options: SourceOptions, billing: Billing, names: Mapping[str, Names]) -> None:
        """`names` are the names of ids, by the field of a row that holds the id."""
        super().__init__(name, options, REPORT_PACE, "usage")
        self.billing = billing
        self.names = names

    def pages(self, window: ReadWindow, now: datetime) -> Pages:
        """The records of a window, page by page."""
        raise NotImplementedError

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Usage and costs of the same days together, the last days again each time."""
        plan = plan_windows(cursor, since, now, reach_back=SETTLING, days=_DAYS)
        async for step in read_windows(
            plan, lambda window: self.pages(window, now), cursor=cursor, now=now, delay=self.delay
        ):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the last day holds: tokens, money, and whose they are."""
        plan = plan_windows(None, now - timedelta(days=1), now, days=_DAYS)
        return await look_at_reports(self.pages(plan[-1], now), now, self.about)

    async def close(self) -> None:
        """Close the connections."""
        await self.billing.close()

    async def rows(self, url: str, query: Query) -> AsyncIterator[list[tuple[Fields, Fields]]]:
        """Every (bucket, result) of a report page by page, once the names in it are known."""
        async for page in self.every(url, query):
            rows = [(bucket, row) for bucket in page.items("data") for row in bucket.items("results")]
            await self.learn([row for _, row in rows])
            yield rows

    async def every(self, url: str, query: Query, headers: Mapping[str, str] | None = None) -> AsyncIterator[Fields]:
        """Every page of a report."""

        async def ask(page: str) -> Fields:
            return await self.billing.get(url, {**query, **({"page": page} if page else {})}, headers=headers)

        async for page in every_page(ask, next_page, self.name):
            yield page

    async def learn(self, rows: list[Fields]) -> None:
        """Look up the names of new ids."""
        for of, names in self.names.items():
            await names.learn({row.text(of) for row in rows})
