"""Together's dedicated endpoints (replicas and their price) and fine-tuning jobs (what they cost, or certainly will).

Sources: Together's OpenAPI file of 2026-04 (v1: cents per minute), its SDK 3.1 (v2: cents per hour);
https://docs.together.ai/docs/fine-tuning-pricing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.clients.billing_api import Billing
from alertd.clients.json_fields import Fields, every_page
from alertd.core.billing.endpoint_runs import EndpointObservation, per_minute
from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.money import from_nanos
from alertd.core.pricing.source_roles import CHARGE
from alertd.core.usage import BilledCost, Committed
from alertd.ports import SourceError

#: An endpoint that starts may be billed already: cautiously, it is.
_RUNNING: Final = frozenset({"STARTED", "STARTING"})
_PAGE: Final = "100"


async def endpoints_v1(billing: Billing, url: str, replicas: str) -> list[EndpointObservation]:
    """The endpoints that run, by v1; it reports no current number of replicas, so `replicas` says min or max of them.

    Empty if the API is gone (it is announced to end with 2026).
    """
    listed = await billing.find(f"{url}/v1/endpoints", {"type": "dedicated", "mine": "true"})
    running = [row for row in listed.items("data") if row.text("state") in _RUNNING] if listed else []
    if not running:
        return []
    prices = await _prices_v1(billing, url)
    found = []
    for row in running:
        whole = await billing.get(f"{url}/v1/endpoints/{row.text('id')}")
        hardware = whole.text("hardware")
        count = max(1, whole.child("autoscaling").whole(f"{replicas}_replicas"))
        labels = {CHARGE: "endpoint", "endpoint": row.text("name") or row.text("id"), "hardware": hardware}
        price = _priced(prices, hardware, row)
        found.append(
            EndpointObservation(row.text("id"), count, price, row.instant("created_at"), labels, row.text("model"))
        )
    return found


async def endpoints_v2(billing: Billing, url: str) -> list[EndpointObservation]:
    """The deployments with ready replicas, by v2, of all projects that the key sees."""
    found: list[EndpointObservation] = []
    prices: dict[str, Decimal] = {}
    async for project in _rows(billing, f"{url}/v1/projects"):
        path = f"{url}/v2/projects/{project.text('id')}/endpoints"
        async for endpoint in _rows(billing, path):
            if endpoint.text("endpointType") == "ENDPOINT_TYPE_SERVERLESS":
                continue
            async for row in _rows(billing, f"{path}/{endpoint.text('id')}/deployments"):
                count = row.child("status").whole("readyReplicas")
                if not count:
                    continue
                prices = prices or await _prices_v2(billing, url)
                labels = {CHARGE: "endpoint", "endpoint": endpoint.text("name"), "hardware": row.text("hardware"),
                          "project": project.text("name") or project.text("id")}  # fmt: skip
                price = _priced(prices, row.text("hardware"), row)
                created = row.instant("createdAt")
                found.append(
                    EndpointObservation(row.text("id"), count, price, created, labels, _model(row.text("model")))
                )
    return found


async def _rows(billing: Billing, url: str) -> AsyncIterator[Fields]:
    """Every object of a list in pages; none where there is no such list."""

    async def ask(after: str) -> Fields:
        page = await billing.find(url, {"limit": _PAGE, **({"after": after} if after else {})})
        return page if page is not None else Fields({"data": []}, billing.name)

    async for page in every_page(ask, lambda page: page.text("next_cursor"), billing.name):
        for row in page.items("data"):
            yield row


async def _prices_v1(billing: Billing, url: str) -> dict[str, Decimal]:
    listed = await billing.get(f"{url}/v1/hardware")
    return {row.text("id"): row.child("pricing").number("cents_per_minute") for row in listed.items("data")}


async def _prices_v2(billing: Billing, url: str) -> dict[str, Decimal]:
    listed = await billing.get(f"{url}/v2/public/inference-instance-types")
    priced = [(row, per_minute(row.number("priceCentsPerHour"))) for row in listed.items("data")]
    return {row.text(name): price for name in ("name", "id") for row, price in priced}


def _priced(prices: dict[str, Decimal], hardware: str, row: Fields) -> Decimal:
    if hardware not in prices:
        raise SourceError(f"{row.place}: an endpoint runs on {hardware or 'unnamed hardware'}, which has no price")
    return prices[hardware]


def _model(resource: str) -> str:
    """`projects/p/models/m/revisions/r` is the model m."""
    parts = resource.split("/")
    return parts[parts.index("models") + 1] if "models" in parts[:-1] else resource


_DONE: Final = "completed"
_ENDED_EARLY: Final = frozenset({"cancelled", "error", "user_error"})
_GOING: Final = frozenset({"pending", "queued", "running", "compressing", "uploading", "cancel_requested"})
#: Below a millionth of a dollar for tokens that were counted: the unit is not what it is thought to be.
_LEAST_NANODOLLARS: Final = 1_000
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FineTuningJob:
    """The cost of a finished job, when it is booked, and its labels."""

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
    def from_json(cls, at: str, nanodollars: int, model: str, labels: Mapping[str, str]) -> FineTuningJob:
        return cls(datetime.fromisoformat(at), nanodollars, model, labels)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Together's estimate of a job, in dollars (a job's price is in billionths); `price` is None without one."""

    price: Decimal | None
    reason: str = ""
    training_tokens: int = 0
    evaluation_tokens: int = 0
    allowed: bool = True
    limit: Decimal = Decimal(0)

    @classmethod
    def of(cls, answer: Fields) -> Estimate:
        """The answer of POST /fine-tunes/estimate-price."""
        if not answer.flag("estimation_available"):
            return cls(None, answer.text("unavailable_reason") or "it gives no reason")
        return cls(
            price=answer.number("estimated_total_price"),
            training_tokens=answer.whole("estimated_train_token_count"),
            evaluation_tokens=answer.whole("estimated_eval_token_count"),
            allowed=answer.flag("allowed_to_proceed") is not False,
            limit=answer.number("user_limit") if "user_limit" in answer else Decimal(0),
        )


async def ended_jobs(
    billing: Billing,
    url: str,
    rows: list[Fields],
    known: Mapping[str, FineTuningJob],
    *,
    since: datetime,
    booked: str,
    pseudonyms: Pseudonyms,
    seen: Mapping[str, int],
) -> dict[str, FineTuningJob]:
    """The jobs that ended since, by id. A known one stays as it was booked, even where it is deleted meanwhile.

    `seen` are the prices that jobs had while they ran (`running_prices`): a job that ended early with less was reduced
    by Together itself.
    """
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
            cost = await _cost(billing, url, row, seen.get(key, 0))
            jobs[key] = FineTuningJob(at, cost, row.text("model"), pseudonyms.applied(_labels(row)))
    return jobs


def running_prices(rows: list[Fields], known: Mapping[str, int]) -> dict[str, int]:
    """The whole price of each job that is on its way, in billionths of a dollar, by id; of those known that are listed.

    Whether Together reduces the `total_price` of a job that is cancelled, its documentation does not say.
    """
    listed = {row.text("id"): row for row in rows}
    prices = {key: price for key, price in known.items() if key in listed}
    for key, row in listed.items():
        if row.text("status") not in _ENDED_EARLY | {_DONE} and row.whole("total_price"):
            prices[key] = row.whole("total_price")
    return prices


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


async def _cost(billing: Billing, url: str, row: Fields, seen: int) -> int:
    """In billionths of a dollar: the whole price, or that of the completed steps of a job that ended early."""
    price = row.whole("total_price")
    if price < _LEAST_NANODOLLARS and row.whole("token_count") > 0:
        billing.once(f"job {row.text('id')} has a price of {price} nano-dollars for {row.whole('token_count')} tokens")
    if row.text("status") == _DONE or not price:
        return price
    if price < seen:  # already that of the completed steps
        return price
    done, steps = await _steps(billing, url, row)
    part = -(-price * min(done, steps) // steps)
    if not seen and part < price:
        said = f"booked at {from_nanos(part)} for {done} of {steps} steps; at most {from_nanos(price)}"
        billing.once(f"job {row.text('id')} was never seen running, and its price may be reduced already: {said}")
    return part


async def _steps(billing: Billing, url: str, row: Fields) -> tuple[int, int]:
    """Completed steps and all steps; if no event reports them, epochs, counting the current one as done."""
    page = await billing.get(f"{url}/fine-tunes/{row.text('id')}/events")
    events = page.items("data")
    steps = max([row.whole("total_steps"), *(event.whole("total_steps") for event in events)])
    if steps:
        return max(event.whole("step") for event in events) if events else 0, steps
    billing.once(f"job {row.text('id')} ended early and reports no steps; the current epoch counts as done")
    epochs = max(1, row.whole("n_epochs"))
    return min(epochs, row.whole("epochs_completed") + 1), epochs


def _labels(row: Fields) -> dict[str, str]:
    return {CHARGE: "training", "job": row.text("id"), "user": row.text("user_id"), "suffix": row.text("suffix")}
