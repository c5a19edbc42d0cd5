"""Money that an exporter counts itself: exact, over restarts, in its currency; compared, seldom the cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import currency_of
from alertd.ports import role_of
from alertd.sources import prometheus, scrape
from tests.memory_ledger import Ledger
from tests.servers.billing import Reply, serving
from tests.servers.prometheus import Memory
from tests.servers.prometheus import prometheus as serve_prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
PAGE = {"Content-Type": "text/plain; version=0.0.4"}
EACH = timedelta(minutes=1)


def read_pages(*pages, **options):
    """A poll a minute of these pages, one after the other; the ledger, and what `check` says of the last page."""
    ledger, left = Ledger(), list(pages)

    async def polls(url):
        source = scrape.build("gateway", scrape.Options(url=f"{url}/metrics", **options))
        for number in range(len(pages)):
            await ledger.collect(source, SINCE, NOW + number * EACH)
        look = await source.look(NOW + len(pages) * EACH)
        await source.close()
        return look

    with serving(lambda _: Reply(left.pop(0) if len(left) > 1 else left[0], 200, PAGE)) as server:
        look = asyncio.run(polls(server.url))
    return ledger, look


def money(ledger, *labels):
    """Nanos by currency, what they are for, and labels."""
    found = Counter()
    for one in ledger.increments:
        if currency := currency_of(one.line):
            charge = one.labels.get("charge", "")
            found[currency, charge, *(one.labels.get(name, "") for name in labels)] += one.quantity
    return dict(found)


def litellm(tokens, spend, began=None):
    start = "" if began is None else f"process_start_time_seconds {began.timestamp()}\n"
    return (
        f'litellm_input_tokens_metric_total{{model="gpt-4o",team_alias="a",api_key_alias="k"}} {tokens}\n'
        f'litellm_spend_metric_total{{model="gpt-4o",team_alias="a",api_key_alias="k"}} {spend}\n{start}'
    )


@pytest.mark.parametrize(
    ("preset", "metric", "labels"),
    [
        ("litellm", "litellm_spend_metric_total", 'model="m",team_alias="a"'),
        ("litellm", "litellm_spend_metric", 'model="m",team_alias="a"'),
        ("claude_code", "claude_code_cost_usage_USD_total", 'model="m",user_email="a"'),
        ("bifrost", "bifrost_cost_total", 'model="m",team_name="a"'),
        ("openlit", "gen_ai_usage_cost_sum", 'gen_ai_request_model="m"'),
    ],
)
def test_reported_money_is_an_estimate_to_the_billionth(preset, metric, labels):
    pages = [f"{metric}{{{labels}}} {value}\n" for value in ("0.1", "0.30000000000000004", "0.300000025")]
    ledger, look = read_pages(*pages, preset=preset)
    assert money(ledger) == {("USD", "estimate"): 200_000_025}
    assert look.labels == {}
    assert "only 1 money counter: an exporter's own estimate is compared with tokens" in look.problems[0]


def test_tokens_and_money_of_one_source_both_restart():
    """The gateway restarts twice, once between two polls and once while alertd is away."""
    began = [NOW - timedelta(days=2), NOW + 1.5 * EACH, NOW + 3.5 * EACH]
    pages = [litellm(100, 1.5, began[0]), litellm(200, 2.5, began[0]), litellm(50, 0.25, began[1]),
             litellm(60, 0.75, began[1]), litellm(90, 9, began[2])]  # fmt: skip
    ledger, look = read_pages(*pages, preset="litellm")
    assert money(ledger, "team", "key") == {("USD", "estimate", "a", "k"): int((2.5 + 0.75 + 9) * 10**9)}
    assert ledger.totals()["gpt-4o", "input"] == 200 + 60 + 90
    assert look.summary == "1 token counter of 1 model, and 1 money counter to compare with"
    assert not look.problems


def read_prometheus(**options):
    """The half hour of a gateway that counts money, over a restart, read from a Prometheus in one poll."""
    memory, start = Memory(), NOW - timedelta(minutes=30)
    at = [(start + number * EACH).timestamp() for number in range(30)]
    values = [1 + number / 8 for number in range(15)] + [number / 4 for number in range(15)]
    starts = [at[0] - 60] * 15 + [at[14] + 1] * 15
    labels = {"model": "gpt-4o", "team_alias": "a"}
    memory.add("litellm_spend_metric_total", [(t, str(v)) for t, v in zip(at, values, strict=True)], **labels)
    memory.add("up", [(t, "1") for t in at])
    memory.add("process_start_time_seconds", [(t, str(v)) for t, v in zip(at, starts, strict=True)])
    ledger = Ledger()

    async def poll(url):
        source = prometheus.build("gateway", prometheus.Options(url=url, **options))
        await ledger.collect(source, SINCE, NOW)
        await source.close()

    with serve_prometheus(memory) as server:
        asyncio.run(poll(server.url))
    return ledger


def test_a_prometheus_gives_the_same_money_over_a_restart():
    ledger = read_prometheus(preset="litellm")
    assert money(ledger, "team") == {("USD", "estimate", "a"): int((1 + 14 / 8 + 14 / 4) * 10**9)}


def test_a_prometheus_that_has_money_counters_alone_says_that_tokens_are_absent():
    (said,) = read_prometheus(preset="litellm").readings[-1].warnings
    assert said.startswith("there are only money counters")
    assert "litellm_input_tokens_metric_total" in said
    alone = read_prometheus(metric=["litellm_spend_metric_total"], meter="cost", provider="openai")
    assert alone.readings[-1].warnings == ()


@pytest.mark.parametrize(
    ("more", "options", "currency"),
    [
        ("", {}, "USD"),
        ("", {"currency": "eur"}, "EUR"),
        (',currency="chf"', {}, "CHF"),
        (',currency="CHF"', {"currency": "EUR"}, "EUR"),
        (',currency="credits"', {}, "USD"),
    ],
)
def test_the_currency_is_the_operators_else_the_labels_else_the_presets(more, options, currency):
    pages = [f'litellm_spend_metric_total{{model="m"{more}}} {value}\n' for value in (1, 3)]
    ledger, _ = read_pages(*pages, preset="litellm", **options)
    assert money(ledger) == {(currency, "estimate"): 2 * 10**9}


def test_two_currencies_of_one_exporter_stay_apart():
    page = 'acme_cost{{currency="USD"}} {}\nacme_cost{{currency="EUR"}} {}\n'
    ledger, _ = read_pages(page.format(1, 1), page.format(2, 6), metric=["acme_cost"], meter="cost")
    assert money(ledger) == {("USD", "estimate"): 10**9, ("EUR", "estimate"): 5 * 10**9}


def test_money_of_an_exporter_without_tokens_is_the_cost_where_it_is_said_to_be():
    pages = [f'acme_cost_total{{model="m"}} {value}\n' for value in (100, 350)]
    ledger, look = read_pages(*pages, metric=["acme_cost_total"], meter="cost", role="authoritative", scale="0.01")
    assert money(ledger) == {("USD", ""): 2_500_000_000}, "in cents"
    assert look.summary == "1 money counter of 1 model: what they count is the cost"
    ledger, look = read_pages(*pages, metric=["acme_cost_total"], meter="cost")
    assert money(ledger) == {("USD", "estimate"): 250 * 10**9}
    assert "ROLE=authoritative makes it the cost" in look.remarks[0]


def test_tokens_in_thousands_beside_money_scale_apart():
    page = "acme_tokens {}\nacme_cost {}\n"
    options = {"type_label": "__name__", "type_map": {"acme_tokens": "input", "acme_cost": "cost"}, "scale": "1000"}
    ledger, _ = read_pages(page.format(1, 1), page.format(3, 2), role="authoritative", **options)
    assert ledger.totals()["", "input"] == 2000
    assert money(ledger) == {("USD", "estimate"): 10**9}, "where there are tokens, they are the cost"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (scrape, {"metric": ["litellm_spend_metric_total"], "meter": "cost"}),
        (scrape, {"metric": ["x_cost", "bifrost_cost_total"], "meter": "cost"}),
        (prometheus, {"query": 'claude_code_cost_usage_USD_total{env="a"}', "meter": "cost"}),
        (prometheus, {"query": '{__name__=~"litellm_spend.*"}', "meter": "cost"}),
        (scrape, {"type_label": "__name__", "type_map": {"litellm_spend_metric_total": "cost"}}),
    ],
)
def test_money_of_an_exporter_that_counts_tokens_cannot_be_the_cost(kind, options):
    kind.Options(url="http://x", **options)
    with pytest.raises(ValidationError, match="the estimate of an exporter that counts tokens, too"):
        kind.Options(url="http://x", role="authoritative", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": ["x"], "meter": "cost", "currency": "dollars"}, "three letters"),
        ({"type_label": "t", "metric": ["x"], "type_map": {"a": "cost<input"}}, "money is within no meter"),
        ({"type_label": "t", "metric": ["x"], "type_map": {"a": "input<cost"}}, "money is within no meter"),
    ],
)
def test_what_money_cannot_be_is_a_fault(options, said):
    with pytest.raises(ValidationError, match=said):
        scrape.Options(url="http://x", **options)


@pytest.mark.parametrize("kind", [prometheus, scrape])
@pytest.mark.parametrize("role", ["auto", "authoritative", "check"])
def test_the_role_of_counters_is_the_one_that_was_given(kind, role):
    source = kind.build("gateway", kind.Options(url="http://x", preset="litellm", role=role))
    assert role_of(source) == SourceRole(role)
