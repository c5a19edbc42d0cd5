"""The Prometheus source against a server that behaves badly in every way that servers and their proxies do."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import SecretStr, ValidationError

from alertd.clients.prometheus import PointColumns, Raw, RawSeries
from alertd.core.counting.matchers import parse_matchers
from alertd.ports import SourceError
from alertd.sources._windows import Windows
from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers import hanging_server
from tests.servers.billing import Reply
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=3)
T = NOW.timestamp()
PAGE = "<!DOCTYPE html><html><body>Please sign in</body></html>"
HTML = {"Content-Type": "text/html"}
INPUT, CACHED = "litellm_input_tokens_metric_total", "litellm_input_cached_tokens_metric_total"


def minutes(count, step=0, first=0, end=T):
    """A sample a minute up to `end`, each `step` higher."""
    return [(end - 60 * (count - 1 - n), str(first + n * step)) for n in range(count)]


def gateway(count=180, step=10, **labels):
    """A LiteLLM that was scraped every minute for hours, with its target's `up`."""
    memory = Memory()
    memory.add(INPUT, minutes(count, step), model="gpt-5", team_alias="research", **labels)
    memory.add("up", [(at, "1") for at, _ in minutes(count)])
    return memory


def source(url, **options):
    return build("gateway", Options(url=url, preset=options.pop("preset", "litellm"), **options))


def collect(url, ledger=None, *, now=NOW, since=SINCE, **options):
    """One poll; the ledger."""
    ledger = ledger or Ledger()

    async def poll():
        made = source(url, **options)
        try:
            await ledger.collect(made, since, now)
        finally:
            await made.close()

    asyncio.run(poll())
    return ledger


def failure(url, **options):
    """What a poll raises."""
    with pytest.raises(SourceError) as caught:
        collect(url, **options)
    return caught.value


def look(url, **options):
    """What `alertd check` would learn."""

    async def ask():
        made = source(url, **options)
        try:
            return await made.look(NOW)
        finally:
            await made.close()

    return asyncio.run(ask())


def total(ledger):
    return ledger.totals().total()


# asking


@pytest.mark.parametrize("status", [405, 501])
def test_a_proxy_that_takes_no_post_is_asked_by_get_from_then_on(status):
    memory = gateway()
    memory.moods.append(lambda asked, _: Reply("no", status) if asked.method == "POST" else None)
    with prometheus(memory) as server:
        ledger = collect(server.url)
        assert total(ledger) == 179 * 10
        assert [asked.method for asked in server.asked].count("POST") == 1


@pytest.mark.parametrize("prefix", ["", "/prometheus", "/select/0/prometheus", "/prometheus/api/v1"])
def test_a_path_prefix_stays_in_front(prefix):
    with prometheus(gateway()) as server:
        collect(server.url + prefix)
        assert {asked.path for asked in server.asked} == {prefix.removesuffix("/api/v1") + "/api/v1/query"}


def test_credentials_and_tenant_go_with_every_request():
    with prometheus(gateway()) as server:
        collect(server.url, token=SecretStr("t0ken"), headers={"X-Scope-OrgID": SecretStr("acme")})
        sent = {(asked.headers.get("authorization"), asked.headers.get("x-scope-orgid")) for asked in server.asked}
    assert sent == {("Bearer t0ken", "acme")}


def test_a_value_with_quotes_and_backslashes_cannot_leave_its_matcher():
    memory = gateway()
    with prometheus(memory) as server:
        failure(server.url, matchers='{team="a\\"} or up{job=\\"x"}')
        forms = [asked.body.decode() for asked in server.asked]
    assert all("or+up%7B" not in form or "%5C%22" in form for form in forms)


def test_an_expression_that_python_reads_with_a_warning_is_taken_as_prometheus_reads_it():
    assert [str(matcher) for matcher in parse_matchers('{job=~"[[a]+"}')] == ['job=~"[[a]+"']


@pytest.mark.parametrize(
    "text", ["{job=gateway", '{job=~"("}', '{job=~"a{99999999999}"}', "sum(rate(x[5m]))", '{job="a"} or vector(1)']
)
def test_matchers_that_are_none_are_refused_with_an_example(text):
    with pytest.raises(ValidationError, match="write it as|no regular expression"):
        Options(url="http://prometheus:9090", preset="litellm", matchers=text)


@pytest.mark.parametrize("text", ["sum(x)", "x[5m]", "increase(x[1h])", '{team=~".*"} or up', '{team!="a"}'])
def test_a_query_is_a_selector_of_raw_counters_and_nothing_else(text):
    with pytest.raises(ValidationError):
        Options(url="http://prometheus:9090", query=text, meter="input", model="m")


def test_a_free_selector_maps_its_types_to_meters():
    memory = Memory()
    for kind, step in (("prompt", 7), ("completion", 3), ("total", 10)):
        memory.add("my_tokens_total", minutes(60, step), kind=kind, llm="gpt-5", project="apollo")
    with prometheus(memory) as server:
        ledger = collect(
            server.url, preset="", query='my_tokens_total{job="gateway"}', type_label="kind",
            type_map={"prompt": "input", "completion": "output"}, model_label=["llm"], scope_labels=["project"],
            scale="1000", provider="openai",
        )  # fmt: skip
    assert ledger.totals("project") == {
        ("gpt-5", "input", "apollo"): 59 * 7000, ("gpt-5", "output", "apollo"): 59 * 3000,
    }  # fmt: skip


# bad answers


@pytest.mark.parametrize(
    ("status", "permanent", "says"),
    [
        (401, True, "401 (it wants other credentials): a web page"),
        (403, True, "403 (these credentials may not do this): a web page"),
        (404, True, "404 (there is nothing at this address): a web page"),
        (429, False, "429 (too many requests): a web page"),
        (500, False, "500: a web page"),
        (502, False, "502: a web page"),
        (503, False, "503: a web page"),
    ],
)
def test_a_page_of_a_proxy_is_told_by_its_status_and_never_read_as_data(status, permanent, says):
    memory = gateway()
    memory.moods.append(lambda *_: Reply(PAGE, status, HTML))
    with prometheus(memory) as server:
        error = failure(server.url)
    assert says in str(error)
    assert error.permanent is permanent


def test_a_login_page_with_status_200_is_no_empty_answer():
    memory = gateway()
    memory.moods.append(lambda *_: Reply(PAGE, 200, HTML))
    with prometheus(memory) as server:
        assert "is a web page; does a login" in str(failure(server.url))


def test_a_query_that_it_cannot_execute_is_told_in_its_own_words():
    memory = gateway()
    body = {"status": "error", "errorType": "bad_data", "error": "invalid parameter"}
    memory.moods.append(lambda *_: Reply(body, 400))
    with prometheus(memory) as server:
        error = failure(server.url)
    assert "answers 400: bad_data: invalid parameter" in str(error)
    assert error.permanent


def test_retry_after_is_handed_on():
    memory = gateway()
    memory.moods.append(lambda *_: Reply("slow down", 429, {"Retry-After": "120"}))
    with prometheus(memory) as server:
        assert failure(server.url).retry_after == timedelta(seconds=120)


def test_a_redirect_to_another_host_is_refused_and_gets_no_token():
    with prometheus(gateway()) as elsewhere, prometheus(memory := gateway()) as server:
        away = elsewhere.url.replace("127.0.0.1", "localhost")
        memory.moods.append(lambda asked, _: Reply("", 307, {"Location": away + asked.path}))
        error = failure(server.url, token=SecretStr("t0ken"))
        assert elsewhere.asked == []
    assert f"redirects to {away}" in str(error)
    assert error.permanent


@pytest.mark.parametrize(("deed", "says"), [(hanging_server.hang, "did not answer within 1 s")])
def test_a_server_that_hangs_costs_its_timeout(deed, says):
    with hanging_server.HangingServer(deed) as server:
        error = failure(server.url, timeout=timedelta(seconds=1), since=NOW - timedelta(minutes=5))
    assert says in str(error)
    assert not error.permanent


def test_half_a_body_is_no_answer():
    memory = gateway()
    memory.moods.append(lambda *_: Reply('{"status":"succ', 200))
    with prometheus(memory) as server:
        assert "the answer is not as expected" in str(failure(server.url))
    memory.moods[0] = lambda *_: Reply('{"status":"success"', 200, {"Content-Length": "5000", "Connection": "close"})
    with prometheus(memory) as server:
        assert "broke off" in str(failure(server.url, timeout=timedelta(seconds=2)))


def test_no_secret_and_no_query_is_in_an_error():
    memory = gateway()
    memory.moods.append(lambda *_: Reply({"status": "error", "error": "the token t0ken-123 is bad"}, 400))
    with prometheus(memory) as server:
        url = server.url.replace("http://", "http://anna:pa55word@")
        error = failure(url, token=SecretStr("t0ken-123"))
    assert "***" in str(error)
    for secret in ("t0ken-123", "pa55word", "query="):
        assert secret not in repr(error) + str(error)


# too much


@pytest.mark.parametrize(
    ("status", "body"), [(422, {"status": "error", "errorType": "execution", "error": "too many samples"}), (503, PAGE)]
)
def test_a_window_that_is_too_much_is_halved_until_it_is_answered(status, body):
    memory = gateway(720)
    memory.moods.append(lambda _, query: Reply(body, status) if query.window > 2600 else None)
    with prometheus(memory) as server:
        assert total(collect(server.url, since=NOW - timedelta(hours=13))) == 719 * 10


# partial


def test_a_partial_answer_never_lowers_and_what_was_missing_is_read_later():
    memory = gateway()
    memory.add(INPUT, minutes(180, 5), model="claude", team_alias="research", instance="b:4000")
    memory.add("up", [(at, "1") for at, _ in minutes(180)], instance="b:4000")
    with prometheus(memory) as server:
        ledger = collect(server.url, now=NOW - timedelta(minutes=60))
        lost = memory.series.pop(2)
        memory.warnings = ["remote read of shard-b failed"]
        before, cursor = total(ledger), ledger.cursor
        for age in (40, 20):
            collect(server.url, ledger, now=NOW - timedelta(minutes=age))
            assert ledger.readings[-1].warnings == ("remote read of shard-b failed",)
        assert total(ledger) >= before
        memory.warnings, _ = [], memory.series.append(lost)
        collect(server.url, ledger)
    assert cursor is not None
    assert total(ledger) == 179 * 10 + 179 * 5


def test_a_series_that_only_a_partial_answer_hid_is_not_taken_for_a_birth():
    memory, since = gateway(), NOW - timedelta(minutes=50)
    old = minutes(180, 5, first=10**9)
    memory.add(INPUT, old, model="claude", team_alias="research")
    with prometheus(memory) as server:
        whole = collect(server.url, since=since)
        memory.series[-1] = (memory.series[-1][0], old[150:])
        memory.warnings = ["the older store is down"]
        ledger = collect(server.url, since=since)
        assert (total(ledger), ledger.states, ledger.complete_from) == (0, {}, None)
        memory.series[-1] = (memory.series[-1][0], old)
        memory.warnings = []
        collect(server.url, ledger, since=since)
    inside = [
        sum(one.quantity for one in each.increments if one.start >= since.timestamp()) for each in (ledger, whole)
    ]
    assert inside == [50 * 10 + 50 * 5] * 2
    assert ledger.complete_from == whole.complete_from == since


def test_a_counter_born_while_its_target_was_out_of_sight_counts_whole():
    memory = Memory()
    memory.add(INPUT, minutes(60, 10, end=T - 7200), model="gpt-5")
    memory.add(INPUT, minutes(20, 10, first=590), model="gpt-5")
    memory.add(INPUT, minutes(20, 10, first=4000), model="newcomer")
    memory.add("up", [*((at, "1") for at, _ in minutes(60, end=T - 7200)), *((at, "1") for at, _ in minutes(20))])
    with prometheus(memory) as server:
        ledger = Ledger()
        for minute in (110, 60, 0):
            collect(server.url, ledger, now=NOW - timedelta(minutes=minute))
    assert ledger.totals()["newcomer", "input"] == 4000 + 19 * 10
    assert ledger.totals()["gpt-5", "input"] == 59 * 10 + 19 * 10


def test_a_store_that_stays_down_holds_the_cursor_for_an_hour_and_no_longer():
    memory = gateway(600)
    with prometheus(memory) as server:
        ledger = collect(server.url, now=NOW - timedelta(hours=3))
        memory.warnings = ["the older store is down"]
        for minute in (175, 150, 110, 60, 30, 0):
            collect(server.url, ledger, now=NOW - timedelta(minutes=minute))
        waited = [one.cursor for one in ledger.readings[-6:]]
        assert ledger.readings[-1].until == NOW
    assert total(ledger) == 599 * 10
    assert len(set(waited)) > 2


# empty


def test_an_absent_metric_is_told_and_is_not_zero_usage_and_its_history_is_read_once_it_is_found():
    memory = gateway()
    with prometheus(memory) as server:
        ledger = Ledger()
        error = failure(server.url, ledger=ledger, preset="vllm")
        assert "nothing of vllm:prompt_tokens_total" in str(error)
        assert ledger.cursor is None
        collect(server.url, ledger)
    assert total(ledger) == 179 * 10


def test_a_target_that_is_up_without_counters_is_told_and_its_first_counter_counts_whole():
    memory = Memory()
    memory.add("up", [(at, "1") for at, _ in minutes(180)])
    with prometheus(memory) as server:
        ledger = collect(server.url, matchers='{job="gateway"}', now=NOW - timedelta(minutes=30))
        assert "the metric is absent" in ledger.readings[-1].warnings[0]
        memory.add(INPUT, minutes(20, 10, first=5000), model="gpt-5")
        collect(server.url, ledger, matchers='{job="gateway"}')
    assert total(ledger) == 5000 + 19 * 10


def test_an_empty_poll_after_data_leaves_the_watermark_where_data_end():
    memory = gateway()
    with prometheus(memory) as server:
        ledger = collect(server.url)
        collect(server.url, ledger, now=NOW + timedelta(hours=2))
    assert ledger.readings[-1].until == NOW


# samples


def test_odd_values_are_read_exactly_or_refused():
    memory = Memory()
    values = ["0", "1.5e+07", "NaN", "15000010", "+Inf", "-3", "15000020"]
    memory.add(INPUT, [(T - 60 * (6 - n), value) for n, value in enumerate(values)], model="gpt-5")
    with prometheus(memory) as server:
        ledger = collect(server.url)
    assert total(ledger) == 15_000_020
    assert len(ledger.refused) == 2


@pytest.mark.parametrize("astray", [T + 86400, T - 50 * 365 * 86400])
def test_samples_from_outside_of_the_time_asked_for_are_left_out_and_told(astray):
    memory = gateway()
    lying = {"metric": {"__name__": INPUT, "job": "gateway", "instance": "a:4000", "model": "gpt-5"}}

    def lie(_, query):
        if not query.names(INPUT):
            return None
        values = [[astray, "500000"], *([at, value] for at, value in minutes(5, 7, first=1000, end=query.at))]
        return Reply({"status": "success", "data": {"resultType": "matrix", "result": [{**lying, "values": values}]}})

    with prometheus(memory) as server:
        ledger = collect(server.url, now=NOW - timedelta(minutes=1))
        memory.moods.append(lie)
        collect(server.url, ledger)
    assert total(ledger) == 178 * 10 + 28
    assert any("outside the requested time" in said for said in ledger.readings[-1].warnings)


def test_samples_on_the_borders_of_windows_count_once_over_many_polls():
    memory = gateway()
    with prometheus(memory) as server:
        ledger = Ledger()
        for minute in range(20, -1, -1):
            collect(server.url, ledger, now=NOW - timedelta(minutes=minute))
    assert total(ledger) == 179 * 10


def test_copies_of_an_ha_pair_are_counted_once_and_the_other_goes_on_where_one_dies(caplog):
    memory = Memory()
    memory.add(INPUT, minutes(120, 10, end=T - 3600), model="gpt-5", prometheus_replica="a")
    memory.add(INPUT, [(at + 7, value) for at, value in minutes(180, 10, end=T - 7)], model="gpt-5",
               prometheus_replica="b")  # fmt: skip
    with prometheus(memory) as server:
        ledger = Ledger()
        for minute in range(90, -1, -5):
            collect(server.url, ledger, now=NOW - timedelta(minutes=minute))
    assert 178 * 10 <= total(ledger) <= 179 * 10
    assert "come in copies" in caplog.text


def test_pods_come_and_go_and_their_team_keeps_every_token():
    memory = Memory()
    for pod, (begin, end) in enumerate([(180, 120), (120, 50), (49, 0)]):
        points = [(T - 60 * minute, str(1000 + 10 * (begin - minute))) for minute in range(begin, end - 1, -1)]
        memory.add(INPUT, points, model="gpt-5", team_alias="research", pod=f"p{pod}", instance=f"p{pod}:4000")
        start = str(T - 60 * begin - 30) if pod else str(T - 10**7)
        memory.add("process_start_time_seconds", [(at, start) for at, _ in points], instance=f"p{pod}:4000")
    with prometheus(memory) as server:
        ledger = collect(server.url)
    assert ledger.totals("team", "pod") == {("gpt-5", "input", "research", ""): 600 + 1000 + 700 + 1000 + 490}


def test_retention_shorter_than_the_period_is_said():
    memory = gateway(120)
    with prometheus(memory) as server:
        ledger = collect(server.url)
    assert ledger.complete_from == NOW - timedelta(minutes=119)


def test_a_source_that_reaches_back_far_enough_is_complete_from_the_beginning():
    memory = gateway(4 * 1440)
    with prometheus(memory) as server:
        ledger = collect(server.url)
    assert ledger.complete_from == SINCE
    inside = sum(one.quantity for one in ledger.increments if one.start >= SINCE.timestamp())
    assert inside == 3 * 1440 * 10


def test_a_back_fill_tells_how_far_it_is_and_every_step_can_be_resumed():
    memory = gateway(3 * 1440)
    with prometheus(memory) as server:
        ledger = collect(server.url)
    shares = [one.progress for one in ledger.readings]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 4


# look


def test_look_names_what_looks_like_token_counters_where_the_preset_finds_none():
    memory = gateway()
    memory.add("acme_llm_tokens_total", minutes(2))
    memory.add("acme_llm_tokens_created", minutes(2))
    with prometheus(memory) as server:
        seen = look(server.url, preset="vllm")
    named = f"acme_llm_tokens_total, {INPUT}"
    assert seen.problems[0].endswith(f"these look like token counters: {named}")


def test_look_tells_labels_and_the_age_of_the_newest_sample():
    with prometheus(gateway()) as server:
        seen = look(server.url)
    assert seen.latest == NOW
    assert seen.labels == {"job": ("gateway",), "model": ("gpt-5",), "provider": ("",), "team": ("research",)}


def test_look_at_a_server_that_refuses_says_why():
    memory = gateway()
    memory.moods.append(lambda *_: Reply(PAGE, 401, HTML))
    with prometheus(memory) as server:
        assert "it wants other credentials" in look(server.url).problems[0]


async def test_targets_that_come_and_go_leave_nothing_behind():
    class Pods:
        """Each answer is of other pods."""

        def __init__(self):
            self.polls = 0

        async def query(self, expression, at):
            self.polls += 1
            found = [series(f"pod-{self.polls}-{number}") for number in range(300)]
            return Raw(found, (), 0, PointColumns.of(found))

    def series(instance):
        labels = {"__name__": INPUT, "model": "gpt-5", "job": "vllm", "instance": instance}
        return RawSeries(msgspec.Raw(json.dumps(labels).encode()), value=(T, "1"))

    options = Options(url="http://127.0.0.1:9", preset="litellm")
    windows = Windows(Pods(), options.conditions(), options.attributor())
    for _ in range(20):
        await windows.newest(T)
    assert len(windows._texts) <= len(windows._places) + 1 <= 2_000


def test_a_counter_beside_its_deprecated_gauge_is_one_count_and_an_unknown_type_is_named():
    memory = Memory()
    for name in ("ray_vllm_prompt_tokens_total", "ray_vllm_prompt_tokens"):
        memory.add(name, minutes(180, 10), model_name="qwen", WorkerId="w1")
    memory.add("up", [(at, "1") for at, _ in minutes(180)])
    with prometheus(memory) as server:
        assert total(collect(server.url, preset="vllm_ray")) == 179 * 10
    memory = Memory()
    for kind in ("input", "image_input", "total"):
        memory.add("gen_ai_client_token_usage_sum", minutes(180, 10), gen_ai_token_type=kind)
    with prometheus(memory) as server:
        ledger = collect(server.url, preset="otel")
        assert total(ledger) == 179 * 10
        assert 'gen_ai_token_type="image_input"' in ledger.readings[-1].warnings[0]
        assert "image_input" in look(server.url, preset="otel").problems[0]


def test_a_counter_that_was_idle_for_hours_is_found_and_a_target_that_is_down_is_named():
    memory = Memory()
    memory.add(INPUT, minutes(60, 10, end=T - 7200), model="gpt-5")
    memory.add("up", [(at, "0") for at, _ in minutes(30)], instance="127.0.0.1:19640", job="litellm")
    with prometheus(memory) as server:
        seen = look(server.url)
        assert (seen.summary, seen.problems) == ("1 token counter of 1 model", ())
        assert seen.latest == NOW - timedelta(hours=2)
        assert "Prometheus cannot scrape 127.0.0.1:19640" in look(server.url, preset="vllm").problems


@pytest.mark.parametrize("others", [True, False])
def test_a_running_source_says_which_of_its_targets_is_down_and_why_until_it_is_back(others):
    """One replica's key was revoked for ten minutes: late, said, and nothing lost."""
    memory = Memory()
    memory.errors = {"a:4000": "", "b:4000": "server returned HTTP status 401 Unauthorized", "c:9": "HTTP status 500"}
    for instance in ("a:4000", "b:4000") if others else ("b:4000",):
        first = 5000 if instance == "a:4000" else 0
        points = [
            (at, value) for at, value in minutes(60, 10, first) if instance == "a:4000" or not T - 1200 < at < T - 600
        ]
        memory.add(INPUT, points, model="gpt-5", instance=instance)
        up = [(at, "0" if instance == "b:4000" and T - 1200 < at < T - 600 else "1") for at, _ in minutes(60)]
        memory.add("up", up, instance=instance)
    memory.add("up", [(at, "0") for at, _ in minutes(60)], instance="c:9")
    ledger, said = Ledger(), []

    async def polls(url):
        source = build("gateway", Options(url=url, preset="litellm"))
        for ago in (1800, 660, 0):
            await ledger.collect(source, NOW - timedelta(hours=2), NOW - timedelta(seconds=ago))
            said.append(ledger.readings[-1].warnings)
        await source.close()

    with prometheus(memory) as server:
        asyncio.run(polls(server.url))
    assert said[0] == said[2] == ()
    assert said[1][0].startswith("Prometheus cannot scrape b:4000 (401)")
    assert total(ledger) == 59 * 10 * (2 if others else 1)
