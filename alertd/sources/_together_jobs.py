"""Together's fine-tuning jobs: what the finished ones cost, and what the running ones are certain to.

Source: Together's OpenAPI file of 2026-04 and its SDK 3.1; https://docs.together.ai/docs/fine-tuning-pricing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.pricing.amounts import from_nanos
from alertd.core.pricing.source_roles import CHARGE
from alertd.core.usage import BilledCost, Committed
from alertd.wire.billing import Billing
from alertd.wire.fields import Fields

_DONE: Final = "completed"
_ENDED_EARLY: Final = frozenset({"cancelled", "error", "user_error"})
_GOING: Final = frozenset({"pending", "queued", "running", "compressing", "uploading", "cancel_requested"})
#: Below a millionth of a dollar for tokens that were counted: the unit is not what it is thought to be.
_LEAST_NANODOLLARS: Final = 1_000
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Job:
    """What a job that has ended cost, when it is booked, and what it can be attributed by."""

    at: datetime
    nanodollars: int
    model: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def record(self, source: str, labels: Mapping[str, str]) -> BilledCost:
        """Its cost, in the hour that it is booked in: the ledger never merges one with others."""
        start = self.at.replace(minute=0, second=0, microsecond=0)
        return BilledCost(
            "together", start, start + _HOUR, from_nanos(self.nanodollars), labels, self.model, source, final=True
        )

    def to_json(self) -> list[Any]:
        return [self.at.isoformat(), self.nanodollars, self.model, dict(self.labels)]

    @classmethod
    def from_json(cls, at: str, nanodollars: int, model: str, labels: Mapping[str, str]) -> Job:
        return cls(datetime.fromisoformat(at), nanodollars, model, labels)


async def ended_jobs(
    billing: Billing,
    url: str,
    rows: list[Fields],
    known: Mapping[str, Job],
    *,
    since: datetime,
    booked: str,
    pseudonyms: Pseudonyms,
) -> dict[str, Job]:
    """The jobs that ended since, by id. A known one stays as it was booked, even where it is deleted meanwhile."""
    jobs = {key: job for key, job in known.items() if job.at >= since}
    for row in rows:
        status, key = row.text("status"), row.text("id")
        if status not in _ENDED_EARLY | _GOING | {_DONE}:
            billing.once(f"the job status {status!r} is not known and taken as not final")
        if key in known or status not in _ENDED_EARLY | {_DONE}:
            continue
        if status == _DONE and not row.whole("total_price"):
            billing.once(f"job {key} is completed and has no price yet")
            continue
        at = row.instant("created_at" if booked == "created" else "updated_at")
        if at >= since:
            jobs[key] = Job(at, await _cost(billing, url, row), row.text("model"), pseudonyms.applied(_labels(row)))
    return jobs


def running_jobs(rows: list[Fields], now: datetime) -> Iterator[Committed]:
    """What jobs on their way will cost once they are done; those whose tokens are not counted yet have no price."""
    for row in rows:
        if row.text("status") in _ENDED_EARLY | {_DONE, "cancel_requested"} or not row.whole("total_price"):
            continue
        progress = row.child("progress")
        left = timedelta(seconds=progress.whole("seconds_remaining")) if progress.flag("estimate_available") else None
        end = now + (left or timedelta(0))
        cost = from_nanos(row.whole("total_price"))
        name = f"job {row.text('suffix') or row.text('id')}"
        yield Committed("together", end, end, cost, _labels(row), row.text("model"), name=name)


async def _cost(billing: Billing, url: str, row: Fields) -> int:
    """In billionths of a dollar: the whole price, or that of the completed steps of a job that ended early."""
    price = row.whole("total_price")
    if price < _LEAST_NANODOLLARS and row.whole("token_count") > 0:
        billing.once(f"job {row.text('id')} has a price of {price} nano-dollars for {row.whole('token_count')} tokens")
    if row.text("status") == _DONE or not price:
        return price
    done, steps = await _steps(billing, url, row)
    return -(-price * min(done, steps) // steps)


async def _steps(billing: Billing, url: str, row: Fields) -> tuple[int, int]:
    """Completed steps and all steps. Where no event tells them: epochs, the one under way counted as done."""
    page = await billing.get(f"{url}/fine-tunes/{row.text('id')}/events")
    events = page.items("data")
    steps = max([row.whole("total_steps"), *(event.whole("total_steps") for event in events)])
    if steps:
        return max(event.whole("step") for event in events) if events else 0, steps
    billing.once(f"job {row.text('id')} ended early and tells no steps; the epoch under way counts as done")
    epochs = max(1, row.whole("n_epochs"))
    return min(epochs, row.whole("epochs_completed") + 1), epochs


def _labels(row: Fields) -> dict[str, str]:
    return {CHARGE: "training", "job": row.text("id"), "user": row.text("user_id"), "suffix": row.text("suffix")}
