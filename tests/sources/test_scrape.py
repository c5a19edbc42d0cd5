"""A /metrics page as a source: the same counters, births told by the page itself."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from alertd.ports import SourceError
from alertd.sources.scrape import Options, build
from tests.memory_ledger import Ledger
from tests.servers.billing import Reply, serving

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
OPENMETRICS = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
TEXT = {"Content-Type": "text/plain; version=0.0.4"}
LABELS = 'model="gpt-5",team_alias="research"'


def page(inputs, *, cached=0, started=None, created=None, extra=""):
    """A LiteLLM's page as its Python client writes it."""
    lines = ["# HELP python_info x", "# TYPE python_info gauge", 'python_info{version="3.12"} 1.0']
    for name, value in (("litellm_input_tokens_metric", inputs), ("litellm_input_cached_tokens_metric", cached)):
        lines += [f"# HELP {name} tokens", f"# TYPE {name} counter"]
        if value:
            lines.append(f"{name}_total{{{LABELS}}} {float(value)}")
        if created is not None:
            lines.append(f"{name}_created{{{LABELS}}} {created}")
    if started is not None:
        lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {started:.2f}"]
    return "\n".join([*lines, extra, ""]).replace("\n\n", "\n")


def collect(*replies, preset="litellm"):
    """One poll a reply, a minute apart, each by a source that was just started; the ledger."""
    ledger, waiting = Ledger(), list(replies)

    async def polls(url):
        for number in range(len(replies)):
            source = build("gateway", Options(url=f"{url}/metrics", preset=preset))
            try:
                await ledger.collect(source, SINCE, NOW + timedelta(seconds=60 * number))
            finally:
                await source.close()

    with serving(lambda _: waiting.pop(0)) as server:
        asyncio.run(polls(server.url))
    return ledger


@pytest.mark.parametrize("headers", [TEXT, OPENMETRICS])
def test_both_formats_give_the_same_totals(headers):
    end = "# EOF" if headers is OPENMETRICS else ""
    pages = [Reply(page(1000 + 10 * n, cached=500 + 4 * n, created=1.0, extra=end), 200, headers) for n in range(3)]
    assert collect(*pages).totals("team") == {
        ("gpt-5", "input", "research"): 12, ("gpt-5", "cached_input", "research"): 8,
    }  # fmt: skip


def test_what_was_used_before_the_first_look_counts_where_the_process_began_in_the_period():
    began = (NOW - timedelta(days=2)).timestamp()
    ledger = collect(Reply(page(5000, started=began), 200, TEXT))
    assert ledger.totals().total() == 5000
    assert ledger.complete_from == NOW - timedelta(days=2)


def test_what_was_used_before_the_first_look_is_unknown_where_the_process_is_older():
    ledger = collect(Reply(page(5000, started=1.0), 200, TEXT), Reply(page(5100, started=1.0), 200, TEXT))
    assert ledger.totals().total() == 100
    assert ledger.complete_from == NOW


def test_a_counter_that_the_page_before_did_not_have_counts_whole():
    ledger = collect(Reply(page(0), 200, TEXT), Reply(page(700), 200, TEXT))
    assert ledger.readings[0].warnings[0].endswith("no zero, but absent")
    assert ledger.totals().total() == 700


def test_a_restart_is_told_by_the_process_start_though_the_counter_stands_higher():
    ledger = collect(
        Reply(page(100, started=1.0), 200, TEXT),
        Reply(page(900, started=NOW.timestamp() + 30), 200, TEXT),
    )
    assert ledger.totals().total() == 900


def test_a_histograms_sum_and_its_type_label_are_read():
    def otel(value):
        sums = [f'gen_ai_client_token_usage_sum{{gen_ai_token_type="{kind}",gen_ai_request_model="gpt-5"}} {value}'
                for kind in ("input", "output", "total")]  # fmt: skip
        buckets = ['gen_ai_client_token_usage_bucket{gen_ai_token_type="input",le="+Inf"} 3']
        return Reply("\n".join(["# TYPE gen_ai_client_token_usage histogram", *buckets, *sums, ""]), 200, TEXT)

    assert collect(otel(100), otel(130), preset="otel").totals() == {("gpt-5", "input"): 30, ("gpt-5", "output"): 30}


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply("<html>sign in</html>", 200, {"Content-Type": "text/html"}), "is a web page"),
        (Reply("<html>sign in</html>", 401, {"Content-Type": "text/html"}), "401 (it wants other credentials)"),
        (Reply(page(5).replace("# EOF", ""), 200, OPENMETRICS), "cut short or no page of metrics"),
        (Reply('litellm_input_tokens_metric_total{model="gpt', 200, TEXT), "cut short or no page of metrics"),
        (Reply(f"litellm_input_tokens_metric_total 5 {'9' * 400}\n", 200, TEXT), "cut short or no page of metrics"),
        (Reply("down", 503), "503; the server's answer is not shown"),
    ],
)
def test_a_page_that_is_none_is_an_error_and_never_an_empty_reading(reply, says):
    with pytest.raises(SourceError, match=None) as caught:
        collect(reply)
    assert says in str(caught.value)


def test_look_names_what_looks_like_token_counters():
    async def ask(url):
        source = build("gateway", Options(url=f"{url}/metrics", preset="vllm"))
        try:
            return await source.look(NOW)
        finally:
            await source.close()

    with serving(lambda _: Reply(page(5), 200, TEXT)) as server:
        seen = asyncio.run(ask(server.url))
    assert seen.problems[0].endswith("these look like token counters: litellm_input_tokens_metric_total")


@pytest.mark.parametrize(
    "odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\x1c", "\x1e", "a # b", "{}", '\\"']
)
@pytest.mark.parametrize("headers", [TEXT, OPENMETRICS])
def test_a_line_ends_at_its_line_feed_whatever_its_labels_hold(odd, headers):
    def at(value):
        end = "# EOF\n" if headers is OPENMETRICS else ""
        line = f'litellm_input_tokens_metric_total{{api_key_alias="bot{odd}one",model="gpt-5"}} {value}'
        return Reply(f"{line}\n{end}", 200, headers)

    assert collect(at(1000), at(1090)).totals() == {("gpt-5", "input"): 90}


def test_a_bad_line_costs_one_series_and_is_said():
    bad = 'litellm_input_tokens_metric_total{model="half'
    ledger = collect(*(Reply(page(value, extra=bad), 200, TEXT) for value in (1000, 1200)))
    assert ledger.totals() == {("gpt-5", "input"): 200}
    assert "1 line of the page cannot be read" in ledger.readings[-1].warnings[0]
    assert "half" not in ledger.readings[-1].warnings[0]


def test_a_label_of_a_million_quotes_is_read_in_no_time_and_not_kept():
    line = f'litellm_input_tokens_metric_total{{model="gpt-5",end_user="{chr(92) + chr(34)}'
    pages = [Reply(line.replace('\\"', '\\"' * 1_000_000) + f'"}} {value}\n', 200, TEXT) for value in (5, 9)]
    began = time.process_time()
    ledger = collect(*pages)
    assert ledger.totals() == {("gpt-5", "input"): 4}
    assert time.process_time() - began < 20
    assert all(len(value) < 5000 for one in ledger.increments for value in one.labels.values())


NANO, MILLI, ONE = 10**9, 1000, 1


@pytest.mark.parametrize(
    ("headers", "stamp"),
    [
        (OPENMETRICS, lambda at: at * MILLI), (OPENMETRICS, lambda at: at * NANO), (TEXT, lambda at: at * ONE),
        (TEXT, lambda at: at * NANO), (TEXT, lambda at: (at + 86400) * MILLI), (TEXT, lambda _: -62135596800000),
        (TEXT, lambda _: NOW.timestamp() * MILLI), (OPENMETRICS, lambda at: at + 400), (OPENMETRICS, lambda _: 0),
        (OPENMETRICS, lambda at: at - 20 * 365 * 86400), (OPENMETRICS, lambda _: 1e300),
    ],
)  # fmt: skip
def test_timestamps_that_cannot_be_right_are_taken_at_the_scrape_and_named(headers, stamp):
    end = "# EOF\n" if headers is OPENMETRICS else ""
    lines = [
        f"litellm_input_tokens_metric_total{{{LABELS}}} {5_000_000 + 100 * n} {stamp(NOW.timestamp() + 60 * n):.0f}\n"
        for n in range(4)
    ]
    ledger = collect_with_one_source(*(Reply(line + end, 200, headers) for line in lines))
    assert ledger.totals() == {("gpt-5", "input"): 300}
    assert "timestamps of litellm_input_tokens_metric_total cannot be right" in ledger.readings[-1].warnings[0]
    assert all(abs(one.start - NOW.timestamp()) < 3600 for one in ledger.increments)


@pytest.mark.parametrize("ahead", [-5, 0, 2, 30])
def test_clocks_that_differ_by_seconds_are_no_birth(ahead):
    lines = [
        f"litellm_input_tokens_metric_total{{{LABELS}}} {5_000_000 + 100 * n}"
        f" {(NOW.timestamp() + 60 * n + ahead) * 1000:.0f}\n"
        for n in range(4)
    ]
    ledger = collect_with_one_source(*(Reply(line, 200, TEXT) for line in lines))
    assert ledger.totals() == {("gpt-5", "input"): 300}
    assert not any(one.warnings for one in ledger.readings)


def collect_with_one_source(*replies):
    """The same, by a source that goes on."""
    ledger, waiting = Ledger(), list(replies)

    async def polls(url):
        source = build("gateway", Options(url=f"{url}/metrics", preset="litellm"))
        for number in range(len(replies)):
            await ledger.collect(source, SINCE, NOW + timedelta(seconds=60 * number))
        await source.close()

    with serving(lambda _: waiting.pop(0)) as server:
        asyncio.run(polls(server.url))
    return ledger


INPUT = "litellm_input_tokens_metric_total"


def lines(*pages):
    """One poll a page of these lines, without timestamps; the ledger."""
    return collect(*(Reply("\n".join([*page, ""]), 200, TEXT) for page in pages))


def warned(ledger):
    return [said for reading in ledger.readings for said in reading.warnings]


@pytest.mark.parametrize("second", ["900", "90", "100"])
def test_a_series_that_is_on_a_page_twice_counts_once_and_is_named_where_its_values_differ(second):
    """Pages of two processes put one after the other, without the label that distinguishes them."""
    pages = [(f'{INPUT}{{model="m"}} {100 + 10 * n}', f'{INPUT}{{model="m"}} {int(second) + 50 * n}') for n in range(3)]
    ledger = lines(*pages)
    assert ledger.totals().total() == 20
    assert all("comes more than once with the same labels; only the first counts" in said for said in warned(ledger))
    assert warned(ledger)


def test_one_line_twice_is_said_of_nobody():
    ledger = lines(*[(f'{INPUT}{{model="m"}} {value}',) * 2 for value in (100, 110)])
    assert ledger.totals().total() == 10
    assert warned(ledger) == []


@pytest.mark.parametrize("value", ["-5", "+Inf", "-Inf", "1e400"])
def test_a_value_that_no_counter_has_counts_nothing_and_is_said(value):
    ledger = lines(*[(f'{INPUT}{{model="m"}} {one}',) for one in (100, value, 130)])
    assert ledger.totals().total() == 30
    assert [bool(doubts) for doubts in ledger.doubts] == [False, True, False]
    assert "is no value of a counter" in ledger.doubts[1][0]


@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_page(start, end):
    pages = [f'{start}{INPUT}{{model="m"}} {value}{end}# HELP x y{end}' for value in (100, 130)]
    assert collect(*(Reply(one, 200, TEXT) for one in pages)).totals() == {("m", "input"): 30}


@pytest.mark.parametrize("start", [None, 1.0])
@pytest.mark.parametrize(("one", "other"), [("GPT-4o", "gpt-4o"), ("openai/gpt-4o", "gpt-4o"), ("prod-chat", "gpt-4o")])
def test_a_model_that_gets_another_name_while_its_process_goes_on_counts_the_difference(start, one, other):
    def at(model, value):
        text = f'litellm_input_tokens_metric_total{{model="{model}",team_alias="ops"}} {value}\n'
        return Reply(text + ("" if start is None else f"process_start_time_seconds {start}\n"), 200, TEXT)

    ledger = collect(at(one, 1000), at(one, 1100), at(other, 1200), at(other, 1250), at(one, 1300), at(one, 1310))
    assert ledger.totals().total() == 310
    assert any("the figure is a lower bound" in text for texts in ledger.doubts for text in texts)


def test_a_new_model_counts_whole_though_another_one_s_counter_is_missing_for_a_moment():
    def at(**models):
        return Reply(
            "".join(
                f'litellm_input_tokens_metric_total{{model="{model}",team_alias="ops"}} {value}\n'
                for model, value in models.items()
            ),
            200,
            TEXT,
        )

    ledger = collect(at(old=100), at(old=120), at(new=5000), at(old=130, new=5100))
    assert ledger.totals() == {("old", "input"): 30, ("new", "input"): 5100}
