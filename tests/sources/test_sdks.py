"""Independent eyes: the providers' own SDKs send the same requests and read the same figures from the same servers.

They are no dependency: `pip install alertd[sdks]`, and `together` in an environment of its own: it wants an older rich.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from alertd.core.money import from_nanos
from tests.servers.billing import Asked, Reply, Server, serving
from tests.sources import test_alibaba as alibaba
from tests.sources import test_anthropic as anthropic_fixtures
from tests.sources import test_openai as openai_fixtures
from tests.sources import test_scaleway as scaleway_fixtures
from tests.sources import test_together as together_fixtures

pytestmark = pytest.mark.filterwarnings("default")
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def sdk(name: str) -> Any:
    return pytest.importorskip(name, reason=f"the SDK {name} is not installed (pip install alertd[sdks])")


def questions(server: Server, path: str) -> list[Asked]:
    return [asked for asked in server.asked if asked.path == path]


def test_scaleways_sdk_asks_for_and_reads_the_same_bill() -> None:
    sdk("scaleway")
    client_class = sdk("scaleway_core.client").Client
    billing = sdk("scaleway.billing.v2beta1")
    lines = [scaleway_fixtures.line(2, 700_000_000), scaleway_fixtures.line(1, project_id="other")]
    served = scaleway_fixtures.paged(scaleway_fixtures.bill(lines, "2026-11-20T04:12:33Z", discount=-0.9))
    with serving(served) as server:
        ours = scaleway_fixtures.held(server.url).round(scaleway_fixtures.SINCE, NOW)
        secret = "11111111-1111-1111-1111-111111111111"
        api = billing.BillingV2Beta1API(
            client_class(access_key="SCWXXXXXXXXXXXXXXXXX", secret_key=secret, api_url=server.url)
        )
        answer = api.list_consumptions(organization_id="org-1", billing_period="2026-11", page=1, page_size=100)
        mine, theirs = server.asked
    assert mine.path == theirs.path
    assert mine.query.items() >= {name: value for name, value in theirs.query.items() if name != "order_by"}.items()
    assert {"x-auth-token"} <= mine.headers.keys() & theirs.headers.keys()
    read = sum(Decimal(line.value.units) + Decimal(line.value.nanos) / 10**9 for line in answer.consumptions)
    assert ours.cost(currency="EUR") == read + Decimal(str(answer.total_discount_untaxed_value))
    assert ours.until == answer.updated_at


def bss_client(server: Server) -> Any:
    sdk("alibabacloud_bssopenapi20171214")
    config = sdk("alibabacloud_tea_openapi.utils_models").Config(
        access_key_id="LTAI", access_key_secret=alibaba.SECRET, protocol="HTTP"
    )
    config.endpoint = server.url.removeprefix("http://")
    return sdk("alibabacloud_bssopenapi20171214.client").Client(config)


def test_alibabas_sdk_signs_as_we_do_and_reads_the_same_rows() -> None:
    models = sdk("alibabacloud_bssopenapi20171214.models")
    with serving(alibaba.Bss(d2026_11_19=[alibaba.row(), alibaba.row(PretaxAmount=1.5)])) as server:
        ours = alibaba.held(server.url).round(alibaba.SINCE, NOW)
        request = models.DescribeInstanceBillRequest(
            billing_cycle="2026-11",
            granularity="DAILY",
            billing_date="2026-11-19",
            is_billing_item=True,
            max_results=300,
        )
        answer = bss_client(server).describe_instance_bill(request).body
        theirs = server.asked[-1]
        mine = next(asked for asked in server.asked if asked.one("BillingDate") == "2026-11-19")
    assert ours.error is None
    # The SDK writes a truth as Python does (True); the reference writes true.
    said = {**theirs.query, "IsBillingItem": ["true"]}
    assert (mine.method, mine.path, mine.query) == (theirs.method, theirs.path, said)
    signed = {name for name in theirs.headers if name.startswith("x-acs-")}
    assert signed <= {*mine.headers, "x-acs-credentials-provider"}
    assert answer.success
    assert ours.cost() == sum(Decimal(str(item.pretax_amount)) for item in answer.data.items)


def test_alibabas_model_studio_sdk_asks_for_the_same_trend() -> None:
    models = sdk("alibabacloud_modelstudio20260210.models")
    details = [{"key": "101", "name": "ci", "amount": "4.10", "pretaxAmount": "4.10"}]
    total = {"amount": "4.10", "currency": "USD", "pretaxAmount": "4.10"}
    data = {"resultByTime": [{"period": "20261119", "total": total, "periodDetails": details}]}
    with serving(alibaba.trend(data)) as server:
        ours = alibaba.held(server.url, read="trend").round(alibaba.SINCE, NOW)
        config = sdk("alibabacloud_tea_openapi.utils_models").Config(
            access_key_id="LTAI", access_key_secret=alibaba.SECRET, protocol="HTTP"
        )
        config.endpoint = server.url.removeprefix("http://")
        client = sdk("alibabacloud_modelstudio20260210.client").Client(config)
        mine = server.asked[-1]
        request = models.GetBillingTrendRequest(
            granularity="DAY",
            group_by=[models.GetBillingTrendRequestGroupBy(code="API_KEY_ID")],
            time_period=models.GetBillingTrendRequestTimePeriod(start="2026-11-17", end="2026-11-20"),
            top_num=20,
        )
        answer = client.get_billing_trend(request).body
        theirs = server.asked[-1]
    assert (mine.method, mine.path) == (theirs.method, theirs.path)
    for name in ("granularity", "topNum"):
        assert mine.one(name) == theirs.one(name)
    for name in ("groupBy", "timePeriod"):
        assert json.loads(mine.one(name)) == json.loads(theirs.one(name))
    read = answer.data.result_by_time[0].period_details[0]
    assert ours.cost() == Decimal(read.pretax_amount)


def test_togethers_sdk_reads_the_same_jobs_and_the_same_bill() -> None:
    together = sdk("together")
    cloud = together_fixtures.Cloud([together_fixtures.job()])
    cloud.bill = together_fixtures.billed
    with serving(cloud) as server:
        ours = together_fixtures.held(server.url).round(together_fixtures.SINCE, NOW)
        client = together.Together(api_key="tg-secret", base_url=server.url, max_retries=0)
        (job,) = client.fine_tuning.list().data
        windows = list(client.organization.usage.costs.list(month="2026-11", granularity="hour", limit=1000))
        asked = questions(server, "/v1/billing/usage")
    theirs, mine = asked[-2].query, asked[1].query
    assert mine == theirs
    assert asked[0].headers["authorization"] == asked[-1].headers["authorization"]
    assert from_nanos(job.total_price).amount == Decimal("36.25728")
    billed = sum(Decimal(line.cost) for window in windows for line in window.line_items)
    assert ours.cost() == billed


def test_openais_sdk_sends_the_same_parameters_and_reads_the_same_tokens() -> None:
    openai = sdk("openai")
    served = openai_fixtures.Organization(openai_fixtures.usage(), costs=(openai_fixtures.cost(value=0.5),))
    since = datetime(2026, 11, 16, tzinfo=UTC)
    with serving(served) as server:
        ours = openai_fixtures.held(server.url).round(since, NOW)
        client = openai.OpenAI(
            api_key="sk-admin-secret", admin_api_key="sk-admin-secret", base_url=f"{server.url}/v1", max_retries=0
        )
        mine = questions(server, "/v1/organization/usage/completions")[0]
        start, end = int(mine.one("start_time")), int(mine.one("end_time"))
        groups: Any = ["project_id", "api_key_id", "model", "batch", "service_tier"]
        answer = client.admin.organization.usage.completions(
            start_time=start, end_time=end, bucket_width="1h", limit=168, group_by=groups
        )
        theirs = server.asked[-1]
        costs = client.admin.organization.usage.costs(
            start_time=start, end_time=end, bucket_width="1d", limit=31, group_by=["project_id", "line_item"]
        )
        asked = questions(server, "/v1/organization/costs")
    assert mine.query == theirs.query
    assert mine.headers["authorization"] == theirs.headers["authorization"]
    assert asked[0].query == asked[-1].query
    result = answer.data[0].results[0]
    assert ours.tokens("output") == result.output_tokens
    assert ours.tokens("input") == result.input_tokens - result.input_cached_tokens - result.input_cache_write_tokens
    assert ours.cost() == Decimal(str(costs.data[0].results[0].amount.value))


def test_anthropics_sdk_reads_the_same_analytics() -> None:
    anthropic = sdk("anthropic")
    served = anthropic_fixtures.Organization()
    money = {"amount": "1234.5", "list_amount": "1500.0", "currency": "USD", "requests": 12}
    group = {"api_key_id": "apikey_01Rj", "model": "claude", "cost_type": "tokens"}
    served.analytics = [{"starting_at": "2026-11-19T00:00:00Z", "ending_at": "2026-11-20T00:00:00Z", "group": group,
                         "cost": money}]  # fmt: skip

    def lenient(asked: Asked) -> Reply:
        """The SDK sends the key as a bearer, the reference as x-api-key: both are let in here."""
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        key = asked.headers.get("x-api-key", bearer)
        return served(replace(asked, headers={**asked.headers, "x-api-key": key, "anthropic-version": "2023-06-01"}))

    with serving(lenient) as server:
        ours = anthropic_fixtures.held(server.url, analytics="true").round(anthropic_fixtures.SINCE, NOW)
        client = anthropic.Anthropic(api_key="sk-ant-admin-x", base_url=server.url, max_retries=0)
        mine = questions(server, "/v1/organizations/analytics/cost")[0]
        ask: Callable[..., Any] = client.beta.organization.analytics.cost.list
        rows = list(
            ask(
                starting_at=mine.one("starting_at"), ending_at=mine.one("ending_at"), time_bucket_width="1d",
                limit=1000, group_by=["api_key_id", "workspace_id", "model", "cost_type"],
            )
        )  # fmt: skip
        theirs = questions(server, "/v1/organizations/analytics/cost")[-1]
    assert mine.query == theirs.query
    assert mine.headers["anthropic-beta"] == theirs.headers["anthropic-beta"]
    assert ours.cost() == Decimal(rows[0].cost.amount) / 100
