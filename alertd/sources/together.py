"""Together AI: its bill where the organization has that interface, else fine-tuning jobs and dedicated endpoints.

Inference without the bill's interface has no usage that could be read: count it at a gateway.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from alertd.clients.billing_api import Billing, Pace, ago, attributed
from alertd.clients.json_fields import Fields, every_page
from alertd.core.billing.endpoint_runs import EndpointRun, from_json, observe, to_json
from alertd.core.billing.read_plan import floored, midnight, month_of, months, next_month
from alertd.core.messages.format import plural
from alertd.core.money import Money, from_cents
from alertd.core.pricing.source_roles import CHARGE, INFERENCE
from alertd.core.usage import BilledCost, Committed
from alertd.plugin_options import Secret, SourceOptions, TextList
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource
from alertd.sources._together import (
    Estimate,
    FineTuningJob,
    ended_jobs,
    endpoints_v1,
    endpoints_v2,
    running_jobs,
    running_prices,
)

PROVIDER: Final = "together"
PACE: Final = Pace(timedelta(minutes=5), timedelta(hours=1), timedelta(hours=3))
_DAY: Final = timedelta(days=1)
#: A month's bill is complete at most a day after its end.
_SETTLED: Final = timedelta(days=3)
_PARTS: Final = frozenset({"bill", "jobs", "endpoints"})
_CHARGES: Final = (("fine", "training"), ("training", "training"), ("dedicated", "endpoint"), ("endpoint", "endpoint"))
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Together AI

Reads: the organization's bill where Together has switched that interface on; else fine-tuning jobs and dedicated
endpoints, of both interfaces. A job is booked when it is done, one that ended early by its completed steps (if no
event reports steps, the current epoch counts as done), never twice where Together reduced its price itself. An
endpoint costs every begun minute of its replicas.
Least privilege: any API key; there are no narrower ones. Delay: minutes; the bill up to an hour, earlier months a day.
Cannot see: inference without the bill's interface (count it at a gateway); what an endpoint cost before alertd first
looked, and the minute it stopped between two looks (taken until the second); how many replicas an endpoint of the
first interface runs (`ENDPOINT_REPLICAS` says min or max).
```sh
ALERTD_SOURCES__TOGETHER__KIND=together
ALERTD_SOURCES__TOGETHER__API_KEY_FILE=/run/secrets/together
ALERTD_SOURCES__TOGETHER__PARTS=bill,jobs,endpoints
ALERTD_SOURCES__TOGETHER__BOOKED=completed
ALERTD_SOURCES__TOGETHER__ENDPOINT_REPLICAS=min
```
"""


class Options(SourceOptions):
    """Together AI. An ordinary API key reads all of it; it can also run inference, so keep it as one."""

    api_key: Secret = Field(description="An API key of the organization")
    parts: TextList = Field(
        ["bill", "jobs", "endpoints"],
        description="What is read: bill (switched on by Together for an organization; it takes the place of the others)"
        ", jobs (fine-tuning), endpoints (dedicated, by the minute)",
    )
    booked: Literal["completed", "created"] = Field(
        "completed", description="On which day a fine-tuning job's cost is booked"
    )
    endpoint_replicas: Literal["min", "max"] = Field(
        "min",
        description="How many replicas an endpoint of the first interface is taken to run: it reports only a range",
    )
    url: str = Field("https://api.together.ai", description="Where the API is")

    @field_validator("parts")
    @classmethod
    def _known_parts(cls, value: list[str]) -> list[str]:
        if unknown := set(value) - _PARTS:
            raise ValueError(f"no part {min(unknown)!r}; there are: {', '.join(sorted(_PARTS))}")
        return value


@dataclass(slots=True)
class JobsCursor:
    """What a cursor remembers: since when, whether there was a bill, the jobs booked, the lives seen and when."""

    begun: datetime
    billed: bool = False
    #: The months before this one are not read again.
    settled: date | None = None
    jobs: dict[str, FineTuningJob] = field(default_factory=dict)
    lives: dict[str, EndpointRun] = field(default_factory=dict)
    looked: datetime | None = None
    #: What jobs on their way were to cost, in billionths of a dollar, by id.
    prices: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None, since: datetime) -> JobsCursor:
        """What a cursor says, a new state where it says nothing or another release wrote it."""
        try:
            known: dict[str, Any] = json.loads(cursor or "{}")
            begun = datetime.fromisoformat(known["begun"])
            return cls(
                min(begun, since),
                known["billed"],
                date.fromisoformat(known["settled"]) if known["settled"] and begun <= since else None,
                {key: FineTuningJob.from_json(*job) for key, job in known["jobs"].items()},
                from_json(known["lives"]),
                datetime.fromisoformat(known["looked"]) if known["looked"] else None,
                {str(key): int(price) for key, price in known["prices"].items()},
            )
        except (ValueError, TypeError, KeyError):
            return cls(since)

    def text(self, since: datetime) -> str:
        """The cursor, without what ended before `since`."""
        known = {
            "begun": self.begun.isoformat(),
            "billed": self.billed,
            "settled": str(self.settled) if self.settled else None,
            "jobs": {key: job.to_json() for key, job in self.jobs.items()},
            "lives": to_json(self.lives, since),
            "looked": self.looked.isoformat() if self.looked else None,
            "prices": self.prices,
        }
        return json.dumps(known, separators=(",", ":"))


def build(name: str, options: Options) -> Together:
    """Build the source; it makes no request yet."""
    return Together(name, options)


class Together(TimedSource):
    """One organization's costs."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        self._url = options.url.rstrip("/").removesuffix("/v1")
        self._billing = Billing(name, options, bearer=options.api_key.get_secret_value())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """The bill month by month where there is one; else everything since, of jobs and endpoints, in one reading."""
        start = floored(since, UTC)
        state = JobsCursor.of(cursor, start)
        rows = await self._jobs() if "jobs" in self._options.parts else []
        await self._look_at_endpoints(state, now)
        state.prices = running_prices(rows, state.prices)
        running = (replace(one, labels=attributed(self._options, one.labels)) for one in running_jobs(rows, now))
        commitments = (*running, *self._endpoints_ahead(state))
        if await self._has_bill(state, now):
            state.billed = True
            async for reading in self._bills(state, start, now, commitments):
                yield reading
            return
        state.jobs = await ended_jobs(
            self._billing,
            f"{self._url}/v1",
            rows,
            state.jobs,
            since=start,
            booked=self._options.booked,
            pseudonyms=self._options.pseudonyms(),
            seen=state.prices,
        )
        first = cursor is None and bool(state.lives)
        yield Reading(
            state.text(start),
            now,
            records=tuple(self._records(state, start, now)),
            window=(start, floored(now, UTC) + _DAY),
            commitments=commitments,
            complete_from=now if first else start,
        )

    async def look(self, now: datetime) -> Look:
        """What the key can see: jobs, endpoints that run and what they cost an hour, whether there is a bill."""
        rows = await self._jobs()
        state = JobsCursor(now)
        await self._look_at_endpoints(state, now)
        bill = await self._has_bill(state, now)
        newest = max((row.instant("updated_at") for row in rows), default=None)
        hourly = sum((s.run.replicas * s.cents_per_minute for s in self._running(state)), Decimal(0)) * 60
        parts = [
            "has the bill's interface, which is read" if bill else "has no bill's interface: inference cannot be read",
            f"{len(rows)} fine-tuning jobs" + (f", the newest changed {ago(newest, now)} ago" if newest else ""),
            f"{plural(len(state.lives), 'endpoint')} running at {from_cents(hourly)} an hour",
        ]
        return Look("; ".join(parts), newest, (), {"job": sorted(row.text("id") for row in rows)})

    async def estimate(self, job: Mapping[str, object]) -> Estimate:
        """What Together says that a job will cost which is not created yet; the job as for its creation."""
        content = json.dumps(job).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self._url}/v1/fine-tunes/estimate-price"
        return Estimate.of(await self._billing.send("POST", url, headers=headers, content=content))

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _jobs(self) -> list[Fields]:
        return (await self._billing.get(f"{self._url}/v1/fine-tunes")).items("data")

    async def _look_at_endpoints(self, state: JobsCursor, now: datetime) -> None:
        if "endpoints" not in self._options.parts:
            return
        seen = [
            *await endpoints_v1(self._billing, self._url, self._options.endpoint_replicas),
            *await endpoints_v2(self._billing, self._url),
        ]
        state.lives = observe(state.lives, seen, state.looked, now)
        state.looked = now

    def _running(self, state: JobsCursor) -> Iterator[Any]:
        return (life.running for life in state.lives.values() if life.running)

    def _endpoints_ahead(self, state: JobsCursor) -> Iterator[Committed]:
        """What endpoints cost if nobody stops them; their past part is among the records."""
        for life in state.lives.values():
            going = life.running
            if going is None:
                continue
            labels = attributed(self._options, life.labels)
            cost = from_cents(going.run.replicas * going.cents_per_minute)
            name = f"endpoint {labels.get('endpoint') or life.model}"
            yield Committed(
                PROVIDER, going.run.started, None, cost, labels, life.model, counted=True, name=name, per="minute"
            )

    def _records(self, state: JobsCursor, start: datetime, now: datetime) -> Iterator[BilledCost]:
        for job in state.jobs.values():
            yield job.record(self.name, attributed(self._options, job.labels))
        for life in state.lives.values():
            labels = attributed(self._options, life.labels)
            day = start
            while day <= now:
                if cents := life.cents(day, day + _DAY, now):
                    yield BilledCost(PROVIDER, day, day + _DAY, from_cents(cents), labels, life.model, self.name)
                day += _DAY

    async def _has_bill(self, state: JobsCursor, now: datetime) -> bool:
        if "bill" not in self._options.parts:
            return False
        found = await self._billing.find(f"{self._url}/v1/billing/usage", self._query(month_of(now, UTC), now, ""))
        if found is None and state.billed:
            raise SourceError(
                f"{self.name}: the bill was there and now answers 404; where it is gone, leave bill out of `parts`"
            )
        return found is not None

    async def _bills(
        self, state: JobsCursor, since: datetime, now: datetime, commitments: tuple[Committed, ...]
    ) -> AsyncIterator[Reading]:
        """The months from the first that has not settled, each whole: they take the place of jobs and endpoints."""
        first = month_of(since, UTC) if state.settled is None else min(state.settled, month_of(now - _SETTLED, UTC))
        wanted = list(months(first, month_of(now, UTC)))
        for number, month in enumerate(wanted, start=1):
            pages = [page async for page in self._pages(month, now)]
            start, end = midnight(month, UTC), midnight(next_month(month), UTC)
            ends = [page.instant("latest_window_end") for page in pages if "latest_window_end" in page]
            state.settled = max(state.settled or month, min(month, month_of(now - _SETTLED, UTC)))
            yield Reading(
                state.text(since),
                max(start, min(now, end, max(ends, default=start))),
                records=tuple(self._line(row, window, page) for page in pages for window in page.items("data")
                              for row in window.items("line_items")),
                window=(start, end),
                commitments=commitments,
                progress=number / len(wanted) if len(wanted) > 1 else None,
                complete_from=midnight(wanted[0], UTC),
            )  # fmt: skip

    async def _pages(self, month: date, now: datetime) -> AsyncIterator[Fields]:
        url = f"{self._url}/v1/billing/usage"

        async def ask(after: str) -> Fields:
            return await self._billing.get(url, self._query(month, now, after))

        async for page in every_page(ask, lambda page: page.text("next_cursor"), self.name):
            yield page

    def _query(self, month: date, now: datetime, after: str) -> dict[str, str]:
        fine = "hour" if month == month_of(now, UTC) else "day"
        return {"month": f"{month:%Y-%m}", "granularity": fine, "limit": "1000", **({"after": after} if after else {})}

    def _line(self, row: Fields, window: Fields, page: Fields) -> BilledCost:
        """One line of the bill; whose it is, is known of inference only."""
        product, attributes, sizes = row.text("product_name"), row.child("attributes"), row.child("pricing_dimensions")
        known = next((charge for word, charge in _CHARGES if word in product.lower()), "")
        charge = known or (INFERENCE if "api_key_id" in attributes or "inference" in product.lower() else "other")
        labels = {"key": attributes.text("api_key_id"), "project": attributes.text("project_id"), "product": product,
                  "paid_by": row.child("applied_credit").text("type").lower(),
                  **({CHARGE: charge} if charge != INFERENCE else {})}  # fmt: skip
        model = sizes.text("model") or attributes.text("model")
        cost: Money = row.money("cost", page.text("currency") or "USD")
        start, end = window.instant("start_time"), window.instant("end_time")
        return BilledCost(PROVIDER, start, end, cost, attributed(self._options, labels), model, self.name)
