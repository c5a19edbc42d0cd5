"""Independent eyes: the providers' own SDKs send the same requests and read the same figures from the same servers.

They are no dependency: `pip install alertd[sdks]`, and `together` in an environment of its own: it wants an older rich.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alertd.core.money import from_nanos
from alertd.registry import load
from tests.servers import azure_google as azure_fixtures
from tests.servers.billing import Asked, Reply, Server, serving
from tests.servers.source_ledger import SourceLedger
from tests.sources import test_alibaba as alibaba
from tests.sources import test_anthropic as anthropic_fixtures
from tests.sources import test_cloud_bills as bill_fixtures
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


def azure_client(made: Callable[..., Any], server: Server, *given: str) -> Any:
    """A client of Azure's, which sends its token over plain HTTP for once."""

    class Bearer(sdk("azure.core.pipeline.policies").SansIOHTTPPolicy):  # type: ignore[misc]
        def on_request(self, request: Any) -> None:
            request.http_request.headers["Authorization"] = "Bearer T"

    return made(object(), *given, base_url=server.url, authentication_policy=Bearer())


def test_azures_sdks_ask_for_the_same_metrics_and_deployments_and_read_the_same_tokens() -> None:
    management, monitor = sdk("azure.mgmt.cognitiveservices"), sdk("azure.mgmt.monitor")
    azure = azure_fixtures.Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)})
    azure.use(NOW - timedelta(hours=1), "chat", ProcessedPromptTokens=100, GeneratedTokens=10)
    given = {"tenant_id": "t", "client_id": "c", "client_secret": azure.secret, "resources": azure_fixtures.RESOURCE}
    plugin = load("sources", "azure_openai")

    def lenient(asked: Asked) -> Reply:
        """The SDK of the metrics asks for an older version of their interface."""
        version = {"api-version": ["2024-02-01"]} if "/metrics" in asked.path else {}
        path = asked.path.replace("/Microsoft.Insights/", "/microsoft.insights/")
        return azure(replace(asked, path=path, query={**asked.query, **version}))

    with serving(lenient) as server:
        options = plugin.Options.model_validate({**given, "url": server.url})
        ours = SourceLedger(plugin.build("azure", options)).round(NOW - timedelta(days=1), NOW)
        mine = [asked for asked in server.asked if asked.method == "GET"]
        client = azure_client(management.CognitiveServicesManagementClient, server, "S")
        (deployment,) = client.deployments.list("R", "acme")
        listed = server.asked[-1]
        wanted = next(one for one in mine if one.one("$filter") and "ProcessedPromptTokens" in one.one("metricnames"))
        metrics = azure_client(monitor.MonitorManagementClient, server, "S").metrics.list(
            azure_fixtures.RESOURCE.strip("/"),
            timespan=wanted.one("timespan"),
            interval=wanted.one("interval"),
            metricnames=wanted.one("metricnames"),
            aggregation=wanted.one("aggregation"),
            top=int(wanted.one("top")),
            filter=wanted.one("$filter"),
            metricnamespace=wanted.one("metricnamespace"),
        )
        theirs = server.asked[-1]
    assert (listed.path, listed.query) == (mine[0].path, mine[0].query)
    assert wanted.path.lower() == theirs.path.lower()
    assert wanted.query == {**theirs.query, "api-version": wanted.query["api-version"]}
    assert (deployment.name, deployment.sku.name, deployment.properties.model.name) == (
        "chat",
        "GlobalStandard",
        "gpt-5",
    )
    read = sum(
        point.total or 0 for metric in metrics.value for series in metric.timeseries for point in series.data
        if metric.name.value in {"ProcessedPromptTokens", "GeneratedTokens"}
    )  # fmt: skip
    assert ours.tokens("input") + ours.tokens("output") == read == 110


def test_azures_sdk_asks_cost_management_for_the_same_days() -> None:
    management = sdk("azure.mgmt.costmanagement")
    given = {"scopes": "/subscriptions/S", "tenant_id": "t", "client_id": "c", "client_secret": "s" * 20}
    plugin = load("sources", "azure_costs")
    with serving(bill_fixtures.cost_management(bill_fixtures.AZURE[:1])) as server:
        options = plugin.Options.model_validate({**given, "url": server.url})
        ours = SourceLedger(plugin.build("bill", options)).round(bill_fixtures.SINCE, NOW)
        mine = next(asked for asked in server.asked if asked.path.endswith("/query"))
        body = json.loads(mine.body)
        models = management.models
        dataset = models.QueryDataset(
            granularity="Daily",
            aggregation={"cost": models.QueryAggregation(name="Cost", function="Sum")},
            grouping=[models.QueryGrouping(type="Dimension", name=name) for name in ("ResourceId", "Meter")],
        )
        period = models.QueryTimePeriod(
            from_property=datetime.fromisoformat(body["timePeriod"]["from"]),
            to=datetime.fromisoformat(body["timePeriod"]["to"]),
        )
        definition = models.QueryDefinition(type="ActualCost", timeframe="Custom", time_period=period, dataset=dataset)
        answer = azure_client(management.CostManagementClient, server).query.usage("/subscriptions/S", definition)
        theirs = server.asked[-1]
    assert mine.query == theirs.query
    assert mine.path == theirs.path.replace("//", "/")
    assert body == json.loads(theirs.body)
    assert ours.cost(currency="EUR") == Decimal(str(answer.rows[0][0]))


def google_api(name: str, server: Server) -> Any:
    """A client by Google's own description of an interface, as google-api-python-client holds it."""
    discovery, http = sdk("googleapiclient.discovery"), sdk("httplib2").Http()
    return discovery.build(
        *name.split("."), http=http, static_discovery=True, client_options={"api_endpoint": server.url}
    )


def test_googles_sdk_asks_cloud_monitoring_for_the_same_series_and_reads_the_same_tokens() -> None:
    google = azure_fixtures.Google(NOW)
    google.use(NOW - timedelta(hours=1), "gemini-2.5-pro", "google", "global", "input", "shared", "global", n=70)
    plugin = load("sources", "vertex")
    with serving(google) as server:
        options = plugin.Options.model_validate({"projects": "my-llm-project", "url": server.url})
        ours = SourceLedger(plugin.build("google", options)).round(NOW - timedelta(days=1), NOW)
        mine = questions(server, "/v3/projects/my-llm-project/timeSeries")[0]
        given = {name.replace(".", "_"): mine.one(name) for name in mine.query}
        request = (
            google_api("monitoring.v3", server)
            .projects()
            .timeSeries()
            .list(name="projects/my-llm-project", **{**given, "pageSize": int(given["pageSize"])})
        )
        request.headers["authorization"] = "Bearer T"
        answer = request.execute()
        theirs = server.asked[-1]
    assert mine.path == theirs.path
    assert mine.query == {name: value for name, value in theirs.query.items() if name != "alt"}
    read = sum(int(point["value"]["int64Value"]) for one in answer["timeSeries"] for point in one["points"])
    assert ours.tokens("input") == read == 70


def test_googles_sdk_sends_the_same_query_to_bigquery_and_reads_the_same_rows() -> None:
    library, credentials = sdk("google.cloud.bigquery"), sdk("google.oauth2.credentials")
    plugin = load("sources", "bigquery")
    served, is_sdk = bill_fixtures.bigquery(bill_fixtures.GOOGLE, []), threading.Event()

    def at_once(asked: Asked) -> Reply:
        """For the SDK, which asks jobs.get while a query is not done, one is done at once."""
        reply = served(replace(asked, method="GET", path=f"{asked.path}/job_1", query={"location": ["EU"]}))
        rows = [{"f": [{"v": cell} for cell in row]} for row in bill_fixtures.GOOGLE]
        return Reply({**reply.body, "rows": rows, "pageToken": None, "totalRows": str(len(rows))})

    with serving(lambda asked: at_once(asked) if is_sdk.is_set() else served(asked)) as server:
        options = plugin.Options.model_validate({**bill_fixtures.GIVEN["bigquery"], "url": server.url})
        ours = SourceLedger(plugin.build("bill", options)).round(bill_fixtures.SINCE, NOW)
        mine = next(asked for asked in server.asked if asked.method == "POST")
        body = json.loads(mine.body)
        client = library.Client(
            project="p", credentials=credentials.Credentials("T"), client_options={"api_endpoint": server.url}
        )
        values = {one["name"]: one["parameterValue"]["value"] for one in body["queryParameters"]}
        config = library.QueryJobConfig(
            use_legacy_sql=False,
            maximum_bytes_billed=int(body["maximumBytesBilled"]),
            query_parameters=[library.ScalarQueryParameter(name, "STRING", value) for name, value in values.items()],
        )
        asked = len(server.asked)
        is_sdk.set()
        rows = client.query_and_wait(body["query"], job_config=config, page_size=body["maxResults"])
        read = sum(Decimal(row["cost"]) for row in rows)
        theirs = server.asked[asked]
    sent = json.loads(theirs.body)
    assert (mine.path, mine.headers["authorization"]) == (theirs.path, theirs.headers["authorization"])
    for name in ("query", "useLegacySql", "parameterMode", "queryParameters", "maxResults"):
        assert sent[name] == body[name], name
    assert int(sent["maximumBytesBilled"]) == int(body["maximumBytesBilled"])
    assert ours.cost() == read
