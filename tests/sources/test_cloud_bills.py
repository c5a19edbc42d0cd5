"""The clouds' bills by their own interfaces: every line once, pages joined, gross of credits, few requests."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from alertd.registry import load
from tests.servers.billing import Asked, Reply, Server, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECRET = "s" * 20
GIVEN: dict[str, dict[str, Any]] = {
    "aws_costs": {"access_key_id": "AKIA", "secret_access_key": SECRET},
    "azure_costs": {"scopes": "/subscriptions/S", "tenant_id": "t", "client_id": "c", "client_secret": SECRET},
    "bigquery": {"project": "p", "table": "p.billing.gcp_billing_export_v1_0123AB", "tags": "team"},
}
#: A day's lines: what the service is called, the meter, the cost.
Lines = Mapping[str, list[tuple[str, str, str]]]
ACCOUNT = "/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/acme"


@contextmanager
def reading(kind: str, answer: Callable[[Asked], Reply], **options: Any) -> Iterator[tuple[SourceLedger, Server]]:
    plugin = load("sources", kind)
    if kind == "aws_costs":
        pytest.importorskip("botocore", reason="botocore is not installed (pip install alertd[aws])")
    with serving(answer) as server:
        given = plugin.Options.model_validate({**GIVEN[kind], "url": server.url, **options})
        yield SourceLedger(plugin.build("bill", given)), server


def cost_explorer(lines: Lines, page: int = 2) -> Callable[[Asked], Reply]:
    """Cost Explorer, whose pages cut a day in two."""

    def answer(asked: Asked) -> Reply:
        assert asked.headers["x-amz-target"] == "AWSInsightsIndexService.GetCostAndUsage"
        body = json.loads(asked.body)
        assert body["GroupBy"] == [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "USAGE_TYPE"}]
        period = body["TimePeriod"]
        known = [(day, one) for day, rows in sorted(lines.items()) if period["Start"] <= day < period["End"]
                 for one in rows]  # fmt: skip
        first = int(body.get("NextPageToken", 0))
        results = [
            {"TimePeriod": {"Start": day, "End": day}, "Total": {}, "Estimated": True,
             "Groups": [{"Keys": [service, meter], "Metrics": {"UnblendedCost": {"Amount": cost, "Unit": "USD"}}}]}
            for day, (service, meter, cost) in known[first : first + page]
        ]  # fmt: skip
        more = {"NextPageToken": str(first + page)} if first + page < len(known) else {}
        return Reply({"ResultsByTime": results, "GroupDefinitions": body["GroupBy"], **more})

    return answer


BEDROCK = {
    "2026-11-18": [("Amazon Bedrock", "USE1-NovaPro-input-tokens", "0.1"), ("Amazon EC2", "BoxUsage", "99")],
    "2026-11-19": [("Claude Sonnet 4.6 (Amazon Bedrock Edition)", "USE1-MP:USE1_InputTokenCount-Units", "3.07"),
                   ("Amazon Bedrock", "USE1-NovaPro-input-tokens", "0.2"), ("Tax", "x", "0.5")],
}  # fmt: skip


def test_cost_explorer_is_read_page_by_page_without_credits_and_each_line_counts_once():
    with reading("aws_costs", cost_explorer(BEDROCK), services="*bedrock*") as (ledger, server):
        ledger.round(SINCE, NOW)
        ledger.round(SINCE, NOW + timedelta(hours=8))
    assert (ledger.error, ledger.cost()) == (None, Decimal("3.37"))
    assert ledger.days() == {
        NOW.date() - timedelta(days=2): Decimal("0.1"),
        NOW.date() - timedelta(days=1): Decimal("3.27"),
    }
    models = {key.line.model for key, _, _ in ledger.buckets}
    assert models == {"nova-pro", "claude-sonnet-4-6"}
    bodies = [json.loads(asked.body) for asked in server.asked]
    assert all(body["Filter"]["Not"]["Dimensions"]["Values"] == ["Credit", "Refund"] for body in bodies)


def test_moto_answers_it_as_it_answers_the_sdk():
    moto = pytest.importorskip("moto.server", reason="moto is not installed (pip install alertd[emulators])")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        cost = {"UnblendedCost": {"Amount": "1.234567891", "Unit": "USD"}}
        groups = [{"Keys": ["Amazon Bedrock", "USE1-NovaPro-input-tokens"], "Metrics": cost}]
        day = {"TimePeriod": {"Start": "2026-11-19", "End": "2026-11-20"}, "Groups": groups, "Estimated": True}
        seeded = {"results": [{"ResultsByTime": [day]}]}
        httpx.post(f"{url}/moto-api/static/ce/cost-and-usage-results", json=seeded).raise_for_status()
        plugin = load("sources", "aws_costs")
        options = plugin.Options.model_validate({**GIVEN["aws_costs"], "url": url})
        ledger = SourceLedger(plugin.build("bill", options)).round(SINCE, NOW)
    finally:
        server.stop()
    assert (ledger.error, ledger.cost()) == (None, Decimal("1.234567891"))


def test_credits_are_subtracted_where_they_are_asked_for():
    lines = {"2026-11-19": [("Amazon Bedrock", "USE1-NovaPro-input-tokens", "10"), ("Amazon Bedrock", "Credit", "-4")]}
    with reading("aws_costs", cost_explorer(lines), credits=True) as (ledger, server):
        ledger.round(SINCE, NOW)
    assert ledger.cost() == Decimal(6)
    assert "Filter" not in json.loads(server.asked[0].body)


def test_a_months_readings_are_the_requests_that_the_guide_names():
    begin, asked = datetime(2026, 10, 20, 1, tzinfo=UTC), defaultdict[date, int](int)
    with reading("aws_costs", cost_explorer(BEDROCK, page=1000)) as (ledger, server):
        assert ledger.source.interval == timedelta(hours=8)
        for at in (begin + timedelta(hours=8 * number) for number in range(3 * 45)):
            before = len(server.asked)
            ledger.round(begin - timedelta(days=19), at)
            asked[at.date()] += len(server.asked) - before
    november = {day.day: count for day, count in asked.items() if day.month == 11}
    assert [november[day] for day in (1, 2, 3, 15, 16, 30)] == [6, 6, 4, 4, 3, 3]
    assert max(november.values()) == 6
    assert sum(november.values()) == 109


def test_days_that_change_are_replaced_and_a_day_of_long_ago_is_read_again_once_a_day():
    lines = {day: list(rows) for day, rows in BEDROCK.items()}
    with reading("aws_costs", cost_explorer(lines), services="*bedrock*") as (ledger, _):
        ledger.round(SINCE, NOW)
        lines["2026-11-18"] = [("Amazon Bedrock", "USE1-NovaPro-input-tokens", "0.4")]
        ledger.round(SINCE, NOW + timedelta(days=5))
    assert ledger.cost() == Decimal("3.67")


def cost_management(rows: list[list[Any]]) -> Callable[[Asked], Reply]:
    """Azure's query, one row a page, its columns in an order of its own."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/t/oauth2/v2.0/token":
            return Reply({"access_token": "T", "expires_in": 3600})
        assert asked.headers["authorization"] == "Bearer T"
        assert asked.path == "/subscriptions/S/providers/Microsoft.CostManagement/query"
        assert asked.one("api-version") == "2025-03-01"
        body = json.loads(asked.body)
        assert (body["type"], body["dataset"]["granularity"]) == ("ActualCost", "Daily")
        number = int(asked.one("$skiptoken") or 0)
        names = ["Cost", "UsageDate", "ResourceId", "Meter", "Currency"]
        columns = [{"name": name, "type": "String"} for name in names]
        host = f"http://{asked.headers['host']}{asked.path}?api-version=2025-03-01"
        link = f"{host}&$skiptoken={number + 1}" if number + 1 < len(rows) else None
        return Reply({"properties": {"columns": columns, "rows": rows[number : number + 1], "nextLink": link}})

    return answer


AZURE = [
    [1.25, 20261119, ACCOUNT.lower(), "GPT 5 Inpt Glbl", "EUR"],
    [0.75, 20261119, ACCOUNT.lower(), "GPT 5 outpt Glbl", "EUR"],
    [55.0, 20261119, "/subscriptions/S/resourceGroups/R/providers/Microsoft.Compute/virtualMachines/vm", "D2", "EUR"],
]


def test_cost_management_is_read_by_resource_and_model_and_other_resources_are_left_out():
    with reading("azure_costs", cost_management(AZURE)) as (ledger, _):
        ledger.round(SINCE, NOW)
        ledger.round(SINCE, NOW)
    assert (ledger.error, ledger.cost(currency="EUR")) == (None, Decimal(2))
    assert ledger.labels("resource") == {"acme"}
    assert ledger.labels("service") == {"microsoft.cognitiveservices"}
    assert {key.line.model for key, _, _ in ledger.buckets} == {"gpt-5"}


def test_a_next_page_on_another_server_gets_no_token():
    def answer(asked: Asked) -> Reply:
        reply = cost_management(AZURE)(asked)
        if isinstance(reply.body, dict) and "properties" in reply.body:
            reply.body["properties"]["nextLink"] = "http://127.0.0.1:9/steal"
        return reply

    with reading("azure_costs", answer) as (ledger, _):
        ledger.round(SINCE, NOW)
    assert "another server" in str(ledger.error)
    assert ledger.buckets == {}


def bigquery(rows: list[list[str | None]], asked_for: list[dict[str, Any]]) -> Callable[[Asked], Reply]:
    """A query that is not done at first, then has two pages."""
    names = ["day", "service", "sku", "project", "category", "currency", "tag0", "cost"]
    schema = {"fields": [{"name": name, "type": "STRING"} for name in names]}
    job = {"projectId": "p", "jobId": "job_1", "location": "EU"}

    def shown(part: list[list[str | None]]) -> list[dict[str, Any]]:
        return [{"f": [{"v": cell} for cell in row]} for row in part]

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/token"):
            return Reply({"access_token": "T", "expires_in": 3600})
        assert asked.headers["authorization"] == "Bearer T"
        if asked.method == "POST":
            asked_for.append(json.loads(asked.body))
            return Reply({"jobReference": job, "jobComplete": False})
        assert (asked.path, asked.one("location")) == ("/bigquery/v2/projects/p/queries/job_1", "EU")
        if asked.one("pageToken"):
            return Reply({"jobReference": job, "jobComplete": True, "schema": schema, "rows": shown(rows[1:])})
        return Reply({"jobReference": job, "jobComplete": True, "schema": schema, "rows": shown(rows[:1]),
                      "pageToken": "two"})  # fmt: skip

    return answer


GOOGLE: list[list[str | None]] = [
    [
        "2026-11-19",
        "Vertex AI",
        "Gemini 2.5 Pro Global Text Input - Predictions",
        "p-1",
        "regular",
        "USD",
        "search",
        "3.5",
    ],
    ["2026-11-19", "Vertex AI", "something new", "p-1", "tax", "USD", None, "0.7"],
]


def test_the_billing_export_is_summed_by_bigquery_and_every_row_is_kept():
    asked_for: list[dict[str, Any]] = []
    with reading("bigquery", bigquery(GOOGLE, asked_for)) as (ledger, _):
        ledger.round(SINCE, NOW)
    assert (ledger.error, ledger.cost()) == (None, Decimal("4.2"))
    assert ledger.labels("team") == {"search", ""}
    assert ledger.labels("charge") == {"", "tax"}
    (query,) = asked_for
    assert query["maximumBytesBilled"] == str(10_000 << 20)
    given = {one["name"]: one["parameterValue"]["value"] for one in query["queryParameters"]}
    assert given == {"start": "2026-11-01", "end": "2026-11-21", "tag0": "team"}
    assert "credits" not in query["query"]


def test_a_query_that_bigquery_refuses_is_an_error_without_its_text():
    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/token"):
            return Reply({"access_token": "T", "expires_in": 3600})
        said = {"reason": "bytesBilledLimitExceeded", "message": "Query exceeded: SELECT secret"}
        return Reply({"jobReference": {"jobId": "j"}, "jobComplete": False, "errors": [said]})

    with reading("bigquery", answer) as (ledger, _):
        ledger.round(SINCE, NOW)
    assert "bytesBilledLimitExceeded" in str(ledger.error)
    assert "SELECT" not in str(ledger.error)


@pytest.mark.parametrize("table", ["x", "p.d", "p.d.t` WHERE TRUE; --", "p.d.t t"])
def test_a_table_is_a_name_and_nothing_else(table: str):
    with pytest.raises(ValueError, match="not a table"):
        load("sources", "bigquery").Options.model_validate({**GIVEN["bigquery"], "table": table})
