"""Answers of servers that speak like a Prometheus: nulls, numbers, histograms, parts, and refusals in other words."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.prometheus import Prometheus, is_too_much, number_or_nan
from tests.servers.billing import Reply, serving


def ask(*replies):
    """The last answer's series, and the methods that the server was asked by."""
    waiting = list(replies)

    async def talk(url):
        server = Prometheus(Http(Access()), url)
        try:
            while len(waiting) > 1:
                await server.query("tokens", 1.0)
            return await server.query("tokens", 1.0)
        finally:
            await server.close()

    with serving(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]) as server:
        return asyncio.run(talk(server.url)), [asked.method for asked in server.asked]


def success(result, **more):
    return Reply({"status": "success", "data": {"resultType": "matrix", "result": result}, **more})


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        (success([{"metric": {}, "values": [[1, 5], [2, 6.5]]}]), [[(1.0, "5"), (2.0, "6.5")]]),
        (success([{"metric": {}, "values": [[1, "5"]]}], warnings=None, infos=None), [[(1.0, "5")]]),
        (success([{"metric": {}, "values": None}], warnings=None), [[]]),
        (success(None), []),
        (success(None, warnings=None), []),
        (Reply({"status": "success", "data": {"resultType": "", "result": None}}), []),
        (success([{"metric": {}, "histograms": [[2, {"count": "9", "sum": "1000"}]]}]), [[(2.0, "1000")]]),
        (
            success([{"metric": {}, "values": [[1, "7"]], "histograms": [[2, {"sum": "9", "buckets": []}]]}]),
            [[(1.0, "7"), (2.0, "9")]],
        ),
    ],
)
def test_nulls_numbers_and_native_histograms_are_read(answer, values):
    raw, _ = ask(answer)
    assert [series.values for series in raw.series] == values
    assert raw.warnings == ()


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "1e+06", "007", "seven", '7","8', "\\u0037"])
def test_the_columns_of_samples_are_what_the_samples_are_one_by_one(odd):
    plain = [
        {"metric": {"n": str(n)}, "values": [[n, str(7 * n)], [n + 0.5, f"{n}.25"]] * (n % 3)} for n in range(9000)
    ]
    for found in plain, [*plain, {"metric": {}, "values": [[1.5, odd], [2, "8"]]}, plain[1]]:
        raw, _ = ask(success(found))
        listed = [point for series in raw.series for point in series.values]
        assert raw.points.lengths.tolist() == [len(series["values"]) for series in found]
        assert raw.points.at.tolist() == [at for at, _ in listed]
        np.testing.assert_array_equal(raw.points.values, [number_or_nan(text) for _, text in listed])


def test_an_instant_native_histogram_is_its_sum():
    raw, _ = ask(success([{"metric": {}, "histogram": [2, {"count": "9", "sum": "1000"}]}]))
    assert raw.series[0].value == (2.0, "1000")


def test_an_answer_of_a_part_of_the_storage_says_so():
    raw, _ = ask(success([], isPartial=True))
    assert "isPartial" in raw.warnings[0]
    raw, _ = ask(success([], isPartial=False))
    assert raw.warnings == ()


def test_a_proxy_that_forbids_post_is_asked_by_get_from_then_on():
    _, methods = ask(Reply("no", 403), success([]), success([]))
    assert methods == ["POST", "GET", "GET"]


def test_where_get_is_forbidden_too_the_credentials_are_the_problem():
    with pytest.raises(HttpProblem, match="403"):
        ask(Reply("no", 403))


@pytest.mark.parametrize(
    "error", ["the query time range exceeds the limit (query length: 744h, limit: 721h)", "Too many samples"]
)
def test_a_range_over_the_limit_can_be_halved_whatever_its_status(error):
    with pytest.raises(HttpProblem) as caught:
        ask(Reply({"status": "error", "errorType": "bad_data", "error": error}, 400))
    assert is_too_much(caught.value)
    with pytest.raises(HttpProblem) as caught:
        ask(Reply({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400))
    assert not is_too_much(caught.value)
