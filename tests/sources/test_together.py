"""Together AI: jobs in nano-dollars, endpoints by the minute, the bill where there is one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.billing.endpoint_runs import EndpointObservation, EndpointRun, from_json, observe, to_json
from alertd.sources.together import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ABSENT = Reply({"error": {"message": "Not found", "type": "invalid_request_error", "param": None, "code": None}}, 404)


def job(key: str = "ft-01ab", **fields: Any) -> dict[str, Any]:
    return {
        "id": key, "status": "completed", "model": "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "user_id": "u1",
        "created_at": "2026-11-03T09:00:00Z", "started_at": "2026-11-03T09:04:10Z",
        "updated_at": "2026-11-03T11:20:00Z", "training_type": {"type": "Lora", "lora_r": 64, "lora_alpha": 128},
        "training_method": {"method": "sft"}, "n_epochs": 3, "epochs_completed": 3, "n_evals": 10, "n_checkpoints": 1,
        "batch_size": 8, "token_count": 75536000, "total_price": 36257280000, "param_count": 8030261248,
        "progress": {"estimate_available": False, "seconds_remaining": 0}, **fields,
    }  # fmt: skip


def endpoint(**fields: Any) -> dict[str, Any]:
    return {
        "id": "endpoint-d23", "name": "acme/llama", "model": "meta-llama/Llama-3.3-70B", "type": "dedicated",
        "owner": "acme", "state": "STARTED", "created_at": "2026-11-20T09:00:00Z", **fields,
    }  # fmt: skip


class Cloud:
    """What Together has: jobs, their events, endpoints of both interfaces, and perhaps a bill."""

    def __init__(self, jobs: list[dict[str, Any]] | None = None) -> None:
        self.jobs = jobs or []
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.endpoints: list[dict[str, Any]] = []
        self.replicas: int | None = None
        self.bill: Callable[[Asked], Reply] = lambda _: ABSENT

    def __call__(self, asked: Asked) -> Reply:
        path = asked.path
        assert asked.headers["authorization"] == "Bearer tg-secret"
        if path == "/v1/billing/usage":
            return self.bill(asked)
        if path.endswith("/events"):
            return Reply({"data": self.events.get(path.split("/")[3], [])})
        if path.startswith("/v1/endpoints/"):
            scaling = {"min_replicas": 2, "max_replicas": 5}
            return Reply({**self.endpoints[0], "hardware": "2x_nvidia_a100_80gb_sxm", "autoscaling": scaling})
        return Reply(
            {
                "/v1/fine-tunes": {"data": self.jobs},
                "/v1/endpoints": {"object": "list", "data": self.endpoints},
                "/v1/hardware": {"object": "list", "data": [
                    {"id": "2x_nvidia_a100_80gb_sxm", "pricing": {"cents_per_minute": 5.42}, "specs": {}}]},
                "/v1/projects": {"data": [{"id": "p1", "name": "prod"}] * (self.replicas is not None)},
                "/v2/projects/p1/endpoints": {"data": [
                    {"id": "e2", "name": "acme/two", "endpointType": "ENDPOINT_TYPE_DEDICATED"}], "next_cursor": None},
                "/v2/projects/p1/endpoints/e2/deployments": {"data": [{
                    "id": "d2", "model": "projects/x/models/qwen/revisions/1", "hardware": "1xH100",
                    "createdAt": "2026-11-01T00:00:00Z",
                    "status": {"state": "DEPLOYMENT_STATE_READY", "readyReplicas": self.replicas}}]},
                "/v2/public/inference-instance-types": {"object": "list", "data": [
                    {"id": "it-1", "name": "1xH100", "priceCentsPerHour": 399}]},
            }[path]
        )  # fmt: skip


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(build("together", Options.model_validate({"api_key": "tg-secret", "url": url, **options})))


def test_a_completed_job_costs_its_nano_dollars_on_the_day_it_was_done() -> None:
    with serving(Cloud([job()])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert found.cost() == Decimal("36.25728")
    assert list(found.days()) == [date(2026, 11, 3)]
    assert found.labels("charge") == {"training"}


def test_a_job_that_is_deleted_later_was_paid_all_the_same() -> None:
    cloud = Cloud([job()])
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        cloud.jobs = []
        found.round(SINCE, NOW + timedelta(days=1))
    assert found.cost() == Decimal("36.25728")


def test_a_job_that_is_touched_after_its_end_stays_on_its_day() -> None:
    cloud = Cloud([job()])
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        cloud.jobs = [job(updated_at="2026-11-19T00:00:00Z")]
        found.round(SINCE, NOW + timedelta(days=1))
    assert list(found.days()) == [date(2026, 11, 3)]


@pytest.mark.parametrize("status", ["pending", "queued", "running", "compressing", "uploading", "brand_new"])
def test_a_job_on_its_way_is_committed_and_not_spent(status: str) -> None:
    progress = {"estimate_available": True, "seconds_remaining": 3600}
    with serving(Cloud([job(status=status, progress=progress)])) as server:
        found = held(server.url).round(SINCE, NOW)
    (committed,) = found.readings[-1].commitments
    assert found.cost() == 0
    assert committed.cost.amount == Decimal("36.25728")
    assert committed.end == NOW + timedelta(hours=1)


def test_a_job_whose_tokens_are_not_counted_yet_has_no_price_and_no_zero() -> None:
    with serving(Cloud([job(status="queued", token_count=None, total_price=None)])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.readings[-1].commitments == ()


@pytest.mark.parametrize("status", ["cancelled", "error", "user_error"])
def test_a_job_that_ended_early_costs_its_completed_steps(status: str) -> None:
    cloud = Cloud([job(status=status, epochs_completed=0)])
    cloud.events["ft-01ab"] = [
        {"object": "fine-tune-event", "type": "epoch_complete", "step": step, "total_steps": 1000} for step in (1, 250)
    ]
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW + timedelta(hours=1))
        assert sum(asked.path.endswith("/events") for asked in server.asked) == 1
    assert found.cost() == Decimal("36.25728") / 4


def early(**more: Any) -> Cloud:
    """A job that was cancelled after a quarter of its steps."""
    cloud = Cloud([job(status="cancelled", epochs_completed=0, **more)])
    cloud.events["ft-01ab"] = [{"object": "fine-tune-event", "type": "log", "step": 250, "total_steps": 1000}]
    return cloud


@pytest.mark.parametrize(
    ("final", "dollars"),
    [
        pytest.param(36_257_280_000, "9.06432", id="the whole price is left: its steps are paid"),
        pytest.param(9_064_320_000, "9.06432", id="it was reduced already: it is not reduced again"),
    ],
)
def test_a_cancelled_job_costs_its_steps_whether_its_price_was_reduced_or_not(final: int, dollars, caplog) -> None:
    cloud = Cloud([job(status="running")])
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        after = early(total_price=final)
        cloud.jobs, cloud.events = after.jobs, after.events
        found.round(SINCE, NOW + timedelta(minutes=5))
    assert found.cost() == Decimal(dollars)
    assert "never seen running" not in caplog.text


def test_a_cancelled_job_that_was_never_seen_running_is_booked_by_its_steps_and_the_doubt_is_said(caplog) -> None:
    with serving(early()) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == Decimal("9.06432")
    assert "never seen running" in caplog.text
    assert "booked at 9.06 USD for 250 of 1000 steps; at most 36.26 USD" in caplog.text


def test_where_no_event_tells_steps_the_epoch_under_way_counts_as_done() -> None:
    with serving(Cloud([job(status="cancelled", epochs_completed=1)])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == Decimal("36.25728") * 2 / 3


def test_an_endpoint_costs_every_begun_minute_of_its_replicas_from_when_it_was_first_seen() -> None:
    cloud = Cloud()
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        cloud.endpoints = [endpoint(created_at="2026-11-20T10:01:00Z")]
        found.round(SINCE, NOW + timedelta(minutes=5))
        assert found.cost() == Decimal("5.42") / 100 * 2 * 4
        cloud.endpoints = [endpoint(state="STOPPED")]
        found.round(SINCE, NOW + timedelta(minutes=10))
        found.round(SINCE, NOW + timedelta(hours=10))
    assert found.cost() == Decimal("5.42") / 100 * 2 * 9
    assert found.labels("endpoint") == {"acme/llama"}


def test_what_an_endpoint_cost_before_anybody_looked_is_not_known_and_that_is_said() -> None:
    cloud = Cloud()
    cloud.endpoints = [endpoint(created_at="2026-11-02T00:00:00Z")]
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == 0
    assert found.readings[-1].complete_from == NOW
    (ahead,) = found.readings[-1].commitments
    assert ahead.counted
    assert (ahead.cost.amount, ahead.per, ahead.end) == (Decimal("5.42") / 100 * 2, "minute", None)


def test_endpoints_of_the_second_interface_are_paid_by_ready_replicas_and_cents_an_hour() -> None:
    cloud = Cloud()
    cloud.replicas = 3
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW + timedelta(hours=2))
        cloud.replicas = 1
        found.round(SINCE, NOW + timedelta(hours=3))
        found.round(SINCE, NOW + timedelta(hours=4))
    assert found.cost() == pytest.approx(Decimal("3.99") * (3 * 3 + 1), abs=Decimal("1e-8"))
    assert {key.line.model for key, _, _ in found.buckets} == {"qwen"}


def window(day: str, *lines: dict[str, Any]) -> dict[str, Any]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return {"date": day, "start_time": start.isoformat(), "end_time": (start + timedelta(days=1)).isoformat(),
            "line_items": list(lines)}  # fmt: skip


def item(cost: str, product: str = "Serverless Inference - Input Tokens", **attributes: str) -> dict[str, Any]:
    return {"product_name": product, "quantity": "1250000", "unit_price": "0.00000088", "cost": cost,
            "attributes": attributes, "pricing_dimensions": {"model": "qwen"}, "applied_credit": None}  # fmt: skip


def billed(asked: Asked) -> Reply:
    first = asked.one("after") == ""
    days = [window("2026-11-18", item("1.10", api_key_id="key-1", project_id="p1"))]
    if not first:
        days = [window("2026-11-19", item("2.20", api_key_id="key-2"), item("30", "Fine-Tuning - LoRA"))]
    return Reply(
        {"billing_period": asked.one("month"), "currency": "USD", "organization_id": "org_1",
         "latest_window_end": "2026-11-20T09:00:00Z", "next_cursor": "c2" if first else None, "data": days}
    )  # fmt: skip


def test_the_bill_takes_the_place_of_jobs_and_endpoints_when_it_appears() -> None:
    cloud = Cloud([job()])
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        assert found.cost() == Decimal("36.25728")
        cloud.bill = billed
        found.round(SINCE, NOW)
    assert found.cost() == Decimal("33.30")
    assert found.cost(lambda key: dict(key.labels).get("key") == "key-1") == Decimal("1.10")
    assert found.cost(lambda key: dict(key.labels).get("charge") == "training") == 30
    assert found.until == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_a_bill_that_goes_away_is_no_month_without_cost() -> None:
    cloud = Cloud()
    cloud.bill = billed
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        cloud.bill = lambda _: ABSENT
        found.round(SINCE, NOW)
    assert "now answers 404" in str(found.error)
    assert found.cost() == Decimal("33.30")


@pytest.mark.parametrize("fault", [Reply({"error": {"message": "slow"}}, 429), Reply({"error": {"message": "no"}}, 401),
                                   Reply({"object": "list"}), Reply("")])  # fmt: skip
def test_a_lost_page_of_the_bill_changes_nothing(fault: Reply) -> None:
    cloud = Cloud()
    cloud.bill = billed
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
        before = dict(found.buckets)
        cloud.bill = lambda asked: fault if asked.one("after") else billed(asked)
        found.round(SINCE, NOW)
    assert found.error is not None
    assert "tg-secret" not in str(found.error)
    assert found.buckets == before


def test_pages_that_go_in_a_circle_end() -> None:
    cloud = Cloud()
    cloud.bill = lambda asked: Reply({**billed(asked).body, "next_cursor": "c2"})
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, NOW)
    assert "circle" in str(found.error)


def test_months_that_have_settled_are_not_read_again() -> None:
    cloud = Cloud()
    cloud.bill = billed
    with serving(cloud) as server:
        found = held(server.url).round(SINCE, datetime(2026, 12, 2, tzinfo=UTC))
        found.round(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 10, tzinfo=UTC))
        before = len(server.asked)
        found.round(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 11, tzinfo=UTC))
        months = {asked.one("month") for asked in server.asked[before:] if asked.path == "/v1/billing/usage"}
    assert months == {"2026-12"}


def test_an_endpoint_on_hardware_without_a_price_is_an_error_and_not_free() -> None:
    cloud = Cloud()
    cloud.replicas = 1
    with serving(cloud) as server:
        answer = Reply({"object": "list", "data": []})
        with serving(lambda asked: answer if "instance-types" in asked.path else cloud(asked)) as other:
            found = held(other.url).round(SINCE, NOW)
        del server
    assert "has no price" in str(found.error)


@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    minutes=st.lists(st.integers(1, 3000), min_size=8, max_size=8),
)
def test_a_life_seen_in_pieces_costs_the_same_by_days_as_at_once(counts: list[int], minutes: list[int]) -> None:
    lives: dict[str, EndpointRun] = {}
    at, last = NOW, None
    for count, step in zip(counts, minutes, strict=False):
        lives = observe(lives, [EndpointObservation("e", count, Decimal("5.42"), at)] if count else [], last, at)
        lives = from_json(to_json(lives, SINCE))
        last, at = at, at + timedelta(minutes=step)
    whole = sum((life.cents(NOW, at, at) for life in lives.values()), Decimal(0))
    days = [NOW.replace(hour=0) + timedelta(days=number) for number in range(20)]
    assert whole == sum(life.cents(day, day + timedelta(days=1), at) for day in days for life in lives.values())
    assert whole == sum(c * Decimal("5.42") * step for c, step in zip(counts, minutes, strict=False))


def test_a_hashed_user_is_neither_in_the_ledger_nor_in_what_is_committed_nor_in_the_cursor() -> None:
    jobs = [job(user_id="user-ana"), job(id="ft-2", status="running", user_id="user-ana")]
    options = {"hash_labels": "user", "hash_secret": "0123456789abcdef", "drop_labels": "suffix"}
    with serving(Cloud(jobs)) as server:
        found = held(server.url, **options).round(SINCE, NOW)
        again = found.round(SINCE, NOW + timedelta(hours=1))
    (hashed,) = again.labels("user")
    assert hashed.startswith("h-")
    (committed,) = again.readings[-1].commitments
    assert committed.labels["user"] == hashed
    assert "suffix" not in committed.labels
    assert "user-ana" not in str(again.cursor)
