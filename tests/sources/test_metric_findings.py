"""Answers of real servers that were once misread: each counts what it says, or says what it does not count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.billing import Reply
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=2)
T = NOW.timestamp()
INPUT = "litellm_input_tokens_metric_total"


def minutes(first, rate, *, begin=60, end=0):
    return [(T - 60 * n, str(first + rate * (60 - n))) for n in range(begin, end - 1, -1)]


def read(memory, *, polls=(0,), **options):
    ledger = Ledger()
    with prometheus(memory) as server:

        async def run():
            source = build("gateway", Options(**{"url": server.url, "preset": "litellm", **options}))
            for before in polls:
                await ledger.collect(source, SINCE, NOW - timedelta(minutes=before))
            await source.close()

        asyncio.run(run())
    return ledger


def gateway(points, **labels):
    memory = Memory()
    memory.add(INPUT, points, model="gpt-5", **labels)
    memory.add("up", [(at, "1") for at, _ in minutes(0, 0)])
    return memory


def test_kongs_cached_prompt_tokens_come_off_its_prompt_tokens():
    memory = Memory()
    for kind, tokens in (("prompt_tokens", 2000), ("prompt_cache_tokens", 1861), ("completion_tokens", 100)):
        points = [(T - 120, "0"), (T - 60, str(tokens)), (T, str(tokens))]
        memory.add("kong_ai_llm_tokens_total", points, token_type=kind, request_model="gpt-5")
    memory.add("up", [(T - 120, "1"), (T - 60, "1"), (T, "1")])
    found = {meter: quantity for (_, meter), quantity in read(memory, preset="kong").totals().items()}
    assert found == {"input": 139, "cached_input": 1861, "output": 100}


def test_an_answer_that_says_is_partial_without_warnings_is_said_and_read_again():
    memory = gateway(minutes(1000, 10), team_alias="a")
    memory.add(INPUT, minutes(1000, 10), model="gpt-5", team_alias="b")
    hidden = memory.series.pop()

    def partial(_, query):
        result = [
            {"metric": labels, "values": [[at, value] for at, value in points if at <= query.at]}
            for labels, points in memory.series
            if query.selects(labels)
        ]
        data = {"resultType": "matrix", "result": result}
        return Reply({"status": "success", "isPartial": True, "data": data})

    memory.moods.append(partial)
    with prometheus(memory) as server:
        ledger = Ledger()

        async def run():
            source = build("gateway", Options(url=server.url, preset="litellm"))
            await ledger.collect(source, SINCE, NOW - timedelta(minutes=1))
            first = ledger.totals().total(), ledger.readings[-1].warnings
            memory.moods.clear()
            memory.series.append(hidden)
            await ledger.collect(source, SINCE, NOW)
            await source.close()
            return first

        held, said = asyncio.run(run())
    assert held == 0
    assert "isPartial" in " ".join(said)
    assert ledger.totals("team")["gpt-5", "input", "b"] == ledger.totals("team")["gpt-5", "input", "a"] == 600


def test_a_native_histogram_counts_its_sum():
    memory = gateway(minutes(0, 0))

    def native(_, query):
        if not query.names("gen_ai_client_token_usage"):
            return None
        found = [[at, {"count": "1", "sum": value, "buckets": []}] for at, value in minutes(1000, 10)]
        labels = {"__name__": "gen_ai_client_token_usage", "job": "gateway", "instance": "a:4000"}
        labels |= {"gen_ai_token_type": "input", "gen_ai_request_model": "gpt-5"}
        result = [{"metric": labels, "histograms": found}]
        return Reply({"status": "success", "data": {"resultType": "matrix", "result": result}})

    memory.moods.append(native)
    ledger = read(memory, preset="", metric="gen_ai_client_token_usage", meter="input")
    assert ledger.totals().total() == 600


def test_null_for_a_result_and_for_warnings_is_an_empty_list():
    memory = gateway(minutes(1000, 10))
    null = {"status": "success", "data": {"resultType": "", "result": None}, "warnings": None}
    memory.moods.append(lambda _, query: Reply(null) if query.at < T - 3600 or query.names("litellm_x") else None)
    memory.moods.append(lambda _, query: Reply(null) if "_created" in str(query.matchers) else None)
    assert read(memory).totals().total() == 600


def test_a_counter_that_was_left_out_while_idle_counts_its_difference_when_it_is_back_with_more():
    points = [(T - 3600, "0"), (T - 3540, "800"), (T - 60, "900"), (T, "900")]
    for polls in ((0,), tuple(range(60, -1, -1))):
        ledger = read(gateway(points), polls=polls)
        assert ledger.totals().total() == 900
