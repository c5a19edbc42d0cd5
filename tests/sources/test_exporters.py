"""Pages of exporters as they are: every token in one meter, each once, and what no rule takes is named."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from alertd.sources.scrape import Options, build
from tests.memory_ledger import Ledger
from tests.servers.billing import Reply, serving

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
PAGE = {"Content-Type": "text/plain; version=0.0.4"}


def collect(lines, **options):
    """Two polls of a page whose counters (each a pattern with {}) went from 7 to what the mapping says beyond that."""
    ledger = Ledger()
    pages = [Reply("".join(f"{line} {7 + more * n}\n" for line, more in lines.items()), 200, PAGE) for n in range(2)]

    async def polls(url):
        source = build("gateway", Options(url=f"{url}/metrics", **options))
        for number in range(2):
            await ledger.collect(source, SINCE, NOW + timedelta(minutes=number))
        look = await source.look(NOW + timedelta(minutes=2))
        await source.close()
        return look

    with serving(lambda _: pages[0] if len(pages) == 1 else pages.pop(0)) as server:
        look = asyncio.run(polls(server.url))
    return {meter: count for (_, meter), count in ledger.totals().items()}, ledger, look


def typed(metric, label, counts, more=""):
    return {f'{metric}{{{label}="{value}",{more}}}': count for value, count in counts.items()}


@pytest.mark.parametrize(
    ("preset", "lines", "meters"),
    [
        ("spring_ai", typed("gen_ai_client_token_usage_total", "gen_ai_token_type",
                            {"input": 100, "output": 10, "total": 110}), {"input": 100, "output": 10}),
        ("claude_code", typed("claude_code_token_usage_tokens_total", "type",
                              {"input": 100, "output": 10, "cacheRead": 900, "cacheCreation": 50}),
         {"input": 100, "output": 10, "cached_input": 900, "cache_write": 50}),
        ("codex", typed("codex_turn_token_usage_sum", "token_type",
                        {"input": 100, "output": 10, "total": 110, "cached_input": 60, "cache_write_input": 10,
                         "reasoning_output": 5}),
         {"input": 30, "output": 10, "cached_input": 60, "cache_write": 10}),
        ("gemini_cli", typed("gemini_cli_token_usage_total", "type",
                             {"input": 100, "output": 10, "thought": 5, "cache": 60, "tool": 3}),
         {"input": 43, "output": 15, "cached_input": 60}),
        ("agentgateway", typed("agentgateway_gen_ai_client_token_usage_sum", "gen_ai_token_type",
                               {"input": 1_000_000, "output": 10, "input_cache_read": 900_000}),
         {"input": 100_000, "output": 10, "cached_input": 900_000}),
        ("otel", typed("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 1000, "cached": 900}),
         {"input": 100, "cached_input": 900}),
        ("kong", typed("kong_ai_llm_tokens_total", "token_type",
                       {"prompt_tokens": 2000, "prompt_cache_tokens": 1861, "completion_tokens": 100,
                        "total_tokens": 2100}), {"input": 139, "cached_input": 1861, "output": 100}),
        ("apisix", {'apisix_llm_prompt_tokens{llm_model="m",consumer="c"}': 100,
                    'apisix_llm_completion_tokens{llm_model="m",consumer="c"}': 10}, {"input": 100, "output": 10}),
        ("higress", {'route_upstream_model_consumer_metric_input_token{ai_model="m"}': 100,
                     'route_upstream_model_consumer_metric_output_token{ai_model="m"}': 10},
         {"input": 100, "output": 10}),
        ("llamacpp", {"llamacpp:prompt_tokens_total": 100, "llamacpp:tokens_predicted_total": 10,
                      "llamacpp:prompt_tokens_seconds": 5}, {"input": 100, "output": 10}),
        ("triton", {'nv_llm_input_token_len_sum{model="m",version="1"}': 100,
                    'nv_llm_output_token_len_sum{model="m",version="1"}': 10}, {"input": 100, "output": 10}),
        ("vllm", {'vllm:prompt_tokens_total{model="m",version="1"}': 100,
                  'vllm:generation_tokens_total{model="m",version="1"}': 10}, {"input": 100, "output": 10}),
        ("ollama", {'ollama_tokens_processed_total{model="m"}': 100,
                    'ollama_tokens_generated_total{model="m"}': 10}, {"input": 100, "output": 10}),
        ("dynamo", {'dynamo_frontend_input_sequence_tokens_sum{model="m"}': 100,
                    'dynamo_frontend_output_tokens_total{model="m"}': 10}, {"input": 100, "output": 10}),
    ],
)  # fmt: skip
def test_an_exporters_tokens_are_each_in_one_meter(preset, lines, meters):
    found, ledger, _ = collect(lines, preset=preset)
    assert found == meters
    assert not any(reading.warnings for reading in ledger.readings)


def test_several_metrics_in_one_source_are_distinguished_by_their_names():
    lines = {"my_prompt_tokens_total": 100, "my_cached_tokens_total": 60, "my_answer_tokens_total": 10}
    found, _, _ = collect(
        lines,
        type_label="__name__",
        type_map={
            "my_prompt_tokens_total": "input",
            "my_cached_tokens_total": "cached_input<input",
            "my_answer_tokens_total": "output",
        },
    )
    assert found == {"input": 40, "cached_input": 60, "output": 10}


@pytest.mark.parametrize(
    ("preset", "lines", "meters"),
    [
        ("vllm_ray", {'ray_vllm_prompt_tokens_total{WorkerId="w1",model_name="qwen"}': 100_000,
                      'ray_vllm_prompt_tokens{WorkerId="w1",model_name="qwen"}': 100_000,
                      'ray_vllm_prompt_tokens_total{WorkerId="w2",model_name="qwen"}': 500,
                      'ray_vllm_prompt_tokens{WorkerId="w2",model_name="qwen"}': 500}, {"input": 100_500}),
        ("litellm", {'litellm_input_tokens_metric{model="m"}': 10, 'litellm_input_tokens_metric_total{model="m"}': 10},
         {"input": 10}),
        ("otel", typed("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 30}, 'gen_ai_system="openai"')
         | typed("gen_ai_client_token_usage_tokens_sum", "gen_ai_token_type", {"input": 30},
                 'gen_ai_provider_name="openai"'), {"input": 30}),
    ],
)  # fmt: skip
def test_two_spellings_side_by_side_are_one_count(preset, lines, meters):
    found, _, _ = collect(lines, preset=preset)
    assert found == meters


def test_two_services_with_a_spelling_each_both_count():
    lines = typed("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 30}, 'service_name="a"') | typed(
        "gen_ai_client_token_usage_tokens_sum", "gen_ai_token_type", {"input": 40}, 'service_name="b"'
    )
    assert collect(lines, preset="otel")[0] == {"input": 70}


@pytest.mark.parametrize(
    ("value", "more", "doubtful"),
    [("audio_input", 5, True), ("cache_something", 5, True), ("prompt_image", 5, True),
     ("image", 5, False), ("something_new", 5, False), ("audio_input", 0, False)],
)  # fmt: skip
def test_a_type_that_no_rule_takes_is_named_and_doubtful_where_it_may_be_input_that_is_used(value, more, doubtful):
    """What may be among the input at another price makes the figure too high: actions wait. The rest is none of it."""
    lines = typed("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 30, value: more, "total": 35})
    found, ledger, look = collect(lines, preset="otel")
    assert found == {"input": 30}
    named = f'no rule takes gen_ai_client_token_usage_sum{{gen_ai_token_type="{value}"}}'
    reading = ledger.readings[-1]
    said, unsaid = (reading.warnings, reading.assumed) if doubtful else (reading.assumed, reading.warnings)
    assert (said[0].partition(":")[0], unsaid) == (named, ())
    assert any(named in text for text in (*look.problems, *look.remarks))
    assert not any("total" in text.replace("_total", "") for text in (*look.problems, *look.remarks))


@pytest.mark.parametrize(
    "options", [{"meter": "cached_input<input"}, {"type_label": "t", "type_map": {"x": "cached_input<input<output"}}]
)
def test_a_meter_that_can_have_no_price_is_refused(options):
    with pytest.raises(ValidationError, match="meter"):
        Options(url="http://x/metrics", metric=["tokens"], **options)


def test_a_map_beside_a_preset_adds_to_its_rules_and_goes_before_them():
    lines = typed("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 90, "audio_input": 5, "cached": 60})
    found, ledger, look = collect(lines, preset="otel", type_map="audio_input=input,cached=cached_input")
    assert found == {"input": 95, "cached_input": 60}, "cached tokens are beside input, as the operator says"
    assert not look.problems
    assert not ledger.readings[-1].warnings
    lines = {'litellm_input_tokens_metric_total{model="m"}': 9, 'litellm_audio_tokens_metric_total{model="m"}': 3}
    more = {"type_label": "__name__", "type_map": {"litellm_audio_tokens_metric_total": "input"}}
    assert collect(lines, preset="litellm", **more)[0] == {"input": 12}
    lines = {'litellm_input_tokens_metric_total{model="m",tier="batch"}': 9,
             'litellm_input_tokens_metric_total{model="m"}': 4}  # fmt: skip
    more = {"type_label": "tier", "type_map": {"batch": "batch_input"}}
    assert collect(lines, preset="litellm", **more)[0] == {"batch_input": 9, "input": 4}


def test_a_metric_beside_a_preset_is_a_further_name_of_its_metric():
    lines = typed("shepherd_gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input": 100, "cached_input": 60})
    found, _, _ = collect(
        lines, preset="otel", metric="shepherd_gen_ai_client_token_usage", kind_of_metric="histogram_sum"
    )
    assert found == {"input": 40, "cached_input": 60}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "litellm", "metric": "my_tokens"}, "a metric for each meter"),
        ({"preset": "litellm", "type_map": {"a": "input"}}, "name it in `type_label`"),
        ({"preset": "otel", "meter": "input"}, "`meter` has no effect"),
        ({"preset": "otel", "type_label": "kind"}, "`type_label` has no effect"),
        ({"metric": "tokens", "meter": "input", "type_map": {"a": "input"}}, "name it in `type_label`"),
    ],
)
def test_what_would_have_no_effect_is_a_fault(options, said):
    with pytest.raises(ValidationError, match=said):
        Options(url="http://x/metrics", **options)


@pytest.mark.parametrize(
    ("preset", "metric", "labels"),
    [
        ("otel", "gen_ai.client.token.usage_sum", {"gen_ai.token.type": "input", "gen_ai.request.model": "m"}),
        ("otel", "gen_ai.client.token.usage_sum", {"gen_ai.token.type": "input", "gen_ai.response.model": "m"}),
        ("otel", "gen_ai.client.token.usage_tokens_sum", {"gen_ai.token.type": "input", "gen_ai.response.model": "m"}),
        ("claude_code", "claude_code.token.usage_tokens_total", {"type": "input", "model": "m"}),
        ("claude_code", "claude_code.token.usage", {"type": "input", "model": "m"}),
        ("gemini_cli", "gemini_cli.token.usage_total", {"type": "input", "model": "m"}),
    ],
)
def test_names_with_the_dots_of_opentelemetry_are_the_same_names(preset, metric, labels):
    """Prometheus 3 keeps them where translation_strategy says so; a page has them in quotes."""
    attributor = Options(url="http://gateway:4000/metrics", preset=preset).attributor()
    found = attributor.of(metric, {**labels, "service.name": "shop", "user.email": "ana"})
    assert found is not None
    assert (found.line.model, found.line.meter) == ("m", "input")
    named = {"service": "shop"} if preset == "otel" else {"user": "ana"}
    assert named.items() <= found.labels.items()
