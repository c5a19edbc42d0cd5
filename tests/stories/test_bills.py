"""Bill in, alert out: what each provider says of November reaches a budget, in its own currency, counted once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from alertd.clients.price_files import price_book
from alertd.core.evaluation.values import SourceView
from alertd.core.pricing.source_roles import SourceRole
from alertd.loops.collect import Collect
from alertd.ports import Look, role_of
from alertd.registry import load
from alertd.stores.sqlite import build
from tests.scenario import Scenario, budget, said
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger
from tests.sources import test_alibaba as alibaba
from tests.sources import test_anthropic as anthropic
from tests.sources import test_focus as focus
from tests.sources import test_litellm as litellm
from tests.sources import test_openai as openai
from tests.sources import test_openrouter as openrouter
from tests.sources import test_scaleway as scaleway
from tests.sources import test_together as together

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
FAMOUS = "claude-sonnet-4-5-20250929"


def openrouter_account() -> openrouter.Account:
    account = openrouter.Account(openrouter.key(daily=3))
    account.did(openrouter.used(dollars=6))
    return account


def anyscale(_: Asked) -> Reply:
    return Reply({"results": [{"date": "2026-11-19", "dollar_value": 9.0, "anyscale_credits": 9.0}]})


#: kind: what is served, options, and what of November it costs. Prices of tokens are those that the product ships.
STORIES: dict[str, tuple[Callable[[Asked], Reply], dict[str, Any], str, str]] = {
    # 3 x 3.00 EUR of the bill, less 0.90 of free tier
    "scaleway": (
        scaleway.paged(scaleway.bill([scaleway.line(3), scaleway.line(6)], "2026-11-20T04:00:00Z", discount=-0.9)),
        {"secret_key": "k", "organization_id": "o"}, "8.10", "EUR",
    ),
    # pretax amounts of two lines; their tokens are not priced besides
    "alibaba": (
        alibaba.Bss(d2026_11_19=[alibaba.row(PretaxAmount=8.0), alibaba.row(PretaxAmount=1.25)]),
        {"access_key_id": "LTAI", "access_key_secret": alibaba.SECRET}, "9.25", "USD",
    ),
    # a job of 36,257,280,000 nano-dollars
    "together": (together.Cloud([together.job()]), {"api_key": "tg-secret"}, "36.25728", "USD"),
    "anyscale": (anyscale, {"cli_token": "t"}, "9", "USD"),
    # 39,000 input, 80,000 cached, 1,000 written, 15,000 output of gpt-4o at 2.50, 1.25, 2.50 and 10 a million;
    # the costs of the same tokens are not added
    "openai": (
        openai.Organization(openai.usage(), costs=(openai.cost(value=77),)),
        {"admin_key": "sk-admin-secret"}, "0.35", "USD",
    ),
    # 1,500 + 200 + 500 (5 m) + 1,000 (1 h) + 500 tokens of Sonnet 4.5 at 3, 0.30, 3.75, 6 and 15 a million
    "anthropic": (
        anthropic.Organization(anthropic.usage(), costs=(anthropic.cost(anthropic.line()),)),
        {"admin_key": "sk-ant-admin-x"}, "0.019935", "USD",
    ),
    # tokens at gpt-4o's price; the proxy's own 1.2345 is no cost
    "litellm": (
        litellm.pages([litellm.day(**{"gpt-4o": litellm.model(litellm.metrics())})]),
        {"api_key": "sk-master"}, "0.35", "USD",
    ),
    "openrouter": (openrouter_account(), {"management_key": "sk-or-secret"}, "9", "USD"),
}  # fmt: skip


def read(kind: str, url: str, since: datetime = SINCE, **options: Any) -> SourceLedger:
    plugin = load("sources", kind)
    path = {"openai": "/v1", "openrouter": "/api/v1"}.get(kind, "")
    found = SourceLedger(plugin.build(kind, plugin.Options.model_validate({**options, "url": url + path})))
    found.round(since, NOW)
    assert found.error is None, found.error
    return found


def evaluated(amount: str, *found: SourceLedger, standings: dict[str, SourceRole] | None = None) -> Scenario:
    """A world that has read the bills, after one evaluation."""
    world = Scenario(budget("everything", amount), at=NOW)
    world.book = price_book([])
    for one in found:
        one.into(world.ledger)
        name = one.source.name
        world.standings[name] = (standings or {}).get(name, role_of(one.source))
        world.sources[name] = SourceView(name, one.until, timedelta(days=5), one.source.delay)
    world.tick()
    return world


@pytest.mark.parametrize("kind", sorted(STORIES))
def test_a_bill_comes_in_and_an_alert_goes_out_with_its_figures(kind: str) -> None:
    served, options, cost, currency = STORIES[kind]
    with serving(served) as server:
        found = read(kind, server.url, **options)
    amount = Decimal(cost) / Decimal("0.9")
    world = evaluated(f"{amount:.12f} {currency}", found)
    assert ("threshold", "everything", "actual 80%") in said(world.alerts)
    alert = next(alert for alert in world.alerts if alert.event.threshold == "actual 80%")
    assert alert.event.spent == pytest.approx(Decimal(cost), abs=Decimal("1e-8"))
    print(f"{kind}: {alert.event.spent} {currency} of {amount:.4f}")


def test_an_export_in_focus_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "cost.csv").write_text(focus.text({}, {"BilledCost": "-0.25", "ChargeCategory": "Credit"}))
    found = focus.held(tmp_path).round(SINCE, NOW)
    world = evaluated("1.10 USD", found)
    alert = next(alert for alert in world.alerts if alert.event.threshold == "actual 80%")
    assert alert.event.spent == 1


def test_a_gateway_and_the_providers_bill_of_one_traffic_count_once_and_the_role_says_which() -> None:
    gateway, options, cost, _ = STORIES["litellm"]
    with serving(gateway) as server:
        proxy = read("litellm", server.url, **options)
    bill = openai.Organization(openai.usage(), costs=(openai.cost(value=77),))
    with serving(bill) as server:
        provider = read("openai", server.url, admin_key="sk-admin-secret")

    def spent(**roles: SourceRole) -> Decimal:
        world = evaluated("0.01 USD", proxy, provider, standings=roles)
        return max(alert.event.spent for alert in world.alerts if alert.event.spent is not None)

    checked = replace(role_of(provider.source), role="check")
    leading = replace(role_of(provider.source), role="authoritative", cost_from="bill")
    assert spent(openai=checked) == pytest.approx(Decimal(cost))
    assert spent(openai=leading) == 77
    assert spent() == pytest.approx(Decimal(cost) * 2)


@pytest.mark.parametrize("kind", sorted(STORIES))
def test_a_look_says_in_words_what_would_be_collected(kind: str) -> None:
    served, options, _, _ = STORIES[kind]
    plugin = load("sources", kind)
    path = {"openai": "/v1", "openrouter": "/api/v1"}.get(kind, "")

    async def look(url: str) -> Look:
        source = plugin.build(kind, plugin.Options.model_validate({**options, "url": url + path}))
        try:
            return cast("Look", await source.look(NOW))
        finally:
            await source.close()

    with serving(served) as server:
        found = asyncio.run(look(server.url))
    print(f"{kind}: {found.summary} {found.problems}")
    assert found.summary
    assert found.latest is not None
    assert found.latest.tzinfo is not None
    assert not any(str(secret) in repr(found) for secret in options.values() if len(str(secret)) > 3)


@pytest.mark.parametrize("kind", sorted(STORIES))
def test_in_a_real_database_reading_again_changes_nothing_before_and_after_compaction(
    kind: str, tmp_path: Path
) -> None:
    served, options, _, _ = STORIES[kind]
    plugin = load("sources", kind)
    path = {"openai": "/v1", "openrouter": "/api/v1"}.get(kind, "")

    class Stopped:
        def now(self) -> datetime:
            return NOW

    async def collect(url: str) -> list[dict[int, int]]:
        store = build(f"sqlite:///{tmp_path / 'alertd.db'}")
        await store.open()
        source = plugin.build(kind, plugin.Options.model_validate({**options, "url": url + path}))
        collector = Collect(source, store, Stopped(), lambda _: SINCE)
        sums = []
        for _ in range(3):
            await collector.tick()
            rows, _revision = await store.usage(SINCE - timedelta(days=40), 0)
            found: Counter[int] = Counter()
            for row in rows:
                found[row.series] += row.quantity
            sums.append({series: quantity for series, quantity in found.items() if quantity})
            while await store.compact(NOW):
                pass
        await source.close()
        await store.close()
        return sums

    with serving(served) as server:
        first, *later = asyncio.run(collect(server.url))
    assert first
    assert later == [first, first]
