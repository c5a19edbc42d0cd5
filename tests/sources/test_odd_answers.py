"""Odd answers of what speaks Prometheus's API: each counts what was used, or is an error; none counts too much."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from alertd.ports import SourceError
from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.billing import Reply, serving

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
T = NOW.timestamp()
UP = {"__name__": "up", "job": "gw", "instance": "a:1"}
COUNTER = {
    "__name__": "litellm_input_tokens_metric_total", "model": "gpt-4o", "team_alias": "ops", "job": "gw",
    "instance": "a:1",
}  # fmt: skip
#: A counter at 9700 half an hour ago, which counts ten a minute; and what of it is seen from the first sample on.
MINUTES = range(-30, 3)
USED = {("gpt-4o", "input"): 10 * (len(MINUTES) - 1)}


def samples(shift=0.0, value=lambda minute: str(10_000 + 10 * minute)):
    return [[T + 60 * minute + shift, value(minute)] for minute in MINUTES]


def answering(*series, more=None):
    """A server's answer to any question: the `series` (labels, samples), and `up`."""

    def answer(asked):
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        at, query = float(form["time"]), form["query"]
        if "litellm_input_tokens_metric_total" in query:
            given = series
        else:
            given = [] if "_created" in query else [(UP, [[T + 60 * minute, "1"] for minute in MINUTES])]
        result = [{"metric": labels, "values": [one for one in own if one[0] <= at]} for labels, own in given]
        return Reply({"status": "success", "data": {"resultType": "matrix", "result": result}, **(more or {})})

    return answer


def collected(answer):
    """Three polls, a minute apart; the ledger."""
    ledger = Ledger()

    async def polls(url):
        source = build("gateway", Options(url=url, preset="litellm"))
        try:
            for number in range(3):
                await ledger.collect(source, NOW - timedelta(minutes=30, seconds=1), NOW + timedelta(minutes=number))
        finally:
            await source.close()

    with serving(answer) as server:
        asyncio.run(polls(server.url))
    return ledger


@pytest.mark.parametrize(
    ("series", "more"),
    [
        pytest.param([(COUNTER, samples())], {}, id="as it should be"),
        pytest.param([(COUNTER, samples()[::-1])], {}, id="newest first"),
        pytest.param([(COUNTER, samples()[10:] + samples()[:10])], {}, id="part by part"),
        pytest.param([(COUNTER, samples()), (COUNTER, samples())], {}, id="a series twice"),
        pytest.param([(COUNTER, samples()[::2]), (COUNTER, samples()[1::2])], {}, id="a series in two halves"),
        pytest.param([(COUNTER, [one for one in samples() for _ in "12"])], {}, id="each sample twice"),
        pytest.param([(COUNTER, samples(value=lambda n: f"{10_000 + 10 * n:.6e}"))], {}, id="scientific notation"),
        pytest.param([(COUNTER, samples(value=lambda n: 10_000 + 10 * n))], {}, id="numbers for texts"),
        pytest.param([(COUNTER, samples(value=lambda n: str(2**53 + 1 + 10 * n)))], {}, id="beyond 2^53"),
        pytest.param([(COUNTER, samples(value=lambda n: "NaN" if n == -9 else str(10_000 + 10 * n)))], {}, id="NaN"),
        pytest.param([(COUNTER, samples(value=lambda n: "+Inf" if n == -9 else str(10_000 + 10 * n)))], {}, id="Inf"),
        pytest.param([(COUNTER, samples())], {"isPartial": False, "trace": None, "stats": {}}, id="VictoriaMetrics"),
        pytest.param([(COUNTER, samples())], {"infos": ["it might not be a counter"]}, id="infos"),
        pytest.param(
            [({**COUNTER, "job": "federate", "exported_job": "gw", "exported_instance": "a:1"}, samples())],
            {},
            id="federated",
        ),
    ],
)
def test_an_odd_answer_counts_what_was_used(series, more):
    assert collected(answering(*series, more=more)).totals() == USED


@pytest.mark.parametrize("shift", [0.123, 7.0, 50.0])
def test_timestamps_of_the_exporters_own_make_no_old_counter_a_new_one(shift):
    found = collected(answering((COUNTER, samples(shift)))).totals()
    assert USED["gpt-4o", "input"] - 10 <= found["gpt-4o", "input"] <= USED["gpt-4o", "input"]


def test_a_total_that_is_lower_by_a_float_s_rounding_counts_nothing_again():
    values = samples(value=lambda minute: "1234567.9999999998" if minute % 2 else "1234568.0000000002")
    ledger = collected(answering((COUNTER, values)))
    assert ledger.totals().total() == 0
    assert not any(ledger.doubts)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"resultType": "vector", "result": [{"metric": COUNTER, "value": [T, "5"]}]}, "answers a vector"),
        ({"resultType": "scalar", "result": [T, "5"]}, "not as expected"),
        ({"resultType": "string", "result": [T, "five"]}, "not as expected"),
        ({"resultType": "streams", "result": [{"stream": COUNTER, "values": [[str(T), "a line"]]}]}, "not as expected"),
        ([], "not as expected"),
        ("text", "not as expected"),
        (None, "answers an error"),
        ({"resultType": "matrix", "result": [{"metric": COUNTER, "values": [[T, None]]}]}, "not as expected"),
        ({"resultType": "matrix", "result": [{"metric": COUNTER, "values": [[str(T), "5"]]}]}, "not as expected"),
        ({"resultType": "matrix", "result": [{"values": [[T, "5"]]}]}, "not as expected"),
        ({"resultType": "matrix", "result": [None]}, "not as expected"),
    ],
)
def test_an_answer_of_another_kind_is_an_error_and_no_empty_reading(body, says):
    with pytest.raises(SourceError, match=says):
        collected(lambda _: Reply({"status": "success", "data": body}))


@pytest.mark.parametrize(
    "reply",
    [
        Reply("", 200),
        Reply("", 204),
        Reply("[]", 200),
        Reply('{"status":"success","data":{"resultType":"matrix","result":[{"met', 200),
        Reply("\ufeff" + json.dumps({"status": "success", "data": {}}), 200),
        Reply({"status": "partial", "data": {"resultType": "matrix", "result": []}}, 200),
    ],
)
def test_a_body_that_is_no_answer_is_an_error(reply):
    with pytest.raises(SourceError, match="not as expected|answers an error"):
        collected(lambda _: reply)


@pytest.mark.parametrize("value", ["1e308", "1e999999999", "-1", "+Inf", "-Inf", "five"])
def test_a_value_that_no_counter_has_counts_nothing_and_is_said(value):
    ledger = collected(answering((COUNTER, samples(value=lambda _: value))))
    assert ledger.totals().total() == 0
    assert any(ledger.doubts)
