"""Which meter, model, provider and labels a gateway's counter feeds, preset by preset."""

from __future__ import annotations

import pytest

from alertd.core.counting.attribution import Attributor, Terms, fingerprint
from alertd.core.counting.copies import REPLICAS
from alertd.core.counting.presets import PRESETS
from alertd.core.usage import COST_METER, METERS

HASH = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"


@pytest.mark.parametrize(
    ("preset", "metric", "labels", "expected"),
    [
        ("litellm", "litellm_input_tokens_metric_total", {"model": "gpt-5", "api_provider": "openai"},
         ("openai", "gpt-5", "input", None)),
        ("litellm", "litellm_input_cached_tokens_metric_total", {"model": "gpt-5"},
         ("", "gpt-5", "cached_input", "input")),
        ("litellm", "litellm_input_cache_creation_tokens_metric_total", {"model": "claude"},
         ("", "claude", "cache_write", "input")),
        ("litellm", "litellm_output_tokens_metric_total", {"model": "anyscale/meta-llama/Llama-3-8b"},
         ("anyscale", "meta-llama/Llama-3-8b", "output", None)),
        ("litellm", "litellm_output_tokens_metric_total", {"model": "anthropic/claude", "api_provider": "openrouter"},
         ("openrouter", "anthropic/claude", "output", None)),
        ("litellm", "litellm_total_tokens_metric_total", {"model": "gpt-5"}, None),
        ("litellm", "litellm_output_reasoning_tokens_metric_total", {"model": "gpt-5"}, None),
        ("litellm", "litellm_spend_metric_total", {"model": "gpt-5"}, ("", "gpt-5", "cost", None)),
        ("vllm", "vllm:prompt_tokens_total", {"model_name": "meta-llama/Llama-3"},
         ("vllm", "meta-llama/Llama-3", "input", None)),
        ("vllm", "vllm:prompt_tokens_by_source_total", {"model_name": "x"}, None),
        ("vllm_ray", "ray_vllm_generation_tokens_total", {"model_name": "x", "ReplicaId": "r1"},
         ("anyscale", "x", "output", None)),
        ("otel", "gen_ai_client_token_usage_sum",
         {"gen_ai_token_type": "input", "gen_ai_request_model": "gpt-5", "gen_ai_system": "az.ai.openai"},
         ("azure", "gpt-5", "input", None)),
        ("otel", "gen_ai_client_token_usage_token_sum",
         {"gen_ai_token_type": "output", "gen_ai_request_model": "a", "gen_ai_response_model": "b"},
         ("", "b", "output", None)),
        ("envoy", "gen_ai_client_token_usage_sum",
         {"gen_ai_token_type": "cached_input", "gen_ai_request_model": "gpt-5"},
         ("", "gpt-5", "cached_input", "input")),
        ("envoy", "gen_ai_client_token_usage_sum",
         {"gen_ai_token_type": "reasoning", "gen_ai_request_model": "gpt-5"}, None),
        ("scaleway", "generative_apis_tokens_total", {"type": "output_tokens", "resource_name": "llama-70b"},
         ("scaleway", "llama-70b", "output", None)),
        ("kong", "kong_ai_llm_tokens_total", {"token_type": "total_tokens", "ai_model": "gpt-5"}, None),
        ("kong", "ai_llm_tokens_total", {"token_type": "prompt_tokens", "ai_model": "gpt-5", "ai_provider": "openai"},
         ("openai", "gpt-5", "input", None)),
        ("tgi", "tgi_request_generated_tokens_sum", {"job": "mistral-7b"}, ("tgi", "mistral-7b", "output", None)),
        ("sglang", "sglang:cached_tokens_total", {"model_name": "q", "cache_source": "device"},
         ("sglang", "q", "cached_input", "input")),
        ("bifrost", "bifrost_cache_read_input_tokens_total", {"provider": "anthropic", "model": "claude"},
         ("anthropic", "claude", "cached_input", "input")),
    ],
)  # fmt: skip
def test_a_counter_feeds_one_disjoint_meter_or_none(preset, metric, labels, expected):
    found = Attributor(PRESETS[preset], Terms()).of(metric, labels)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        within = found.within.meter if found.within is not None else None
        assert (found.line.provider, found.line.model, found.line.meter, within) == expected


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ({"api_key_alias": "rag-indexer", "hashed_api_key": HASH}, "rag-indexer"),
        ({"api_key_alias": "None", "hashed_api_key": HASH}, HASH),
        ({"hashed_api_key": "None"}, None),
    ],
)
def test_a_key_is_shown_by_its_alias_and_by_its_hash_only_without_one(labels, key):
    found = Attributor(PRESETS["litellm"], Terms()).of("litellm_input_tokens_metric_total", {"model": "m", **labels})
    assert found is not None
    assert found.labels.get("key") == key


def test_pods_of_one_team_feed_one_ledger_series_and_stay_apart_in_their_fingerprints():
    attributor = Attributor(PRESETS["litellm"], Terms())
    pods = [{"model": "m", "team_alias": "a", "pod": f"p{n}", "instance": f"p{n}:1", "job": "g"} for n in (1, 2)]
    one, two = (attributor.of("litellm_input_tokens_metric_total", labels) for labels in pods)
    assert one is not None
    assert two is not None
    assert one.labels is two.labels
    assert one.line is two.line
    assert one.labels == {"team": "a", "job": "g"}
    assert fingerprint("x", pods[0]) != fingerprint("x", pods[1])


def test_copies_of_an_ha_pair_are_one_raw_series():
    labels = {"model": "m", "instance": "p:1"}
    assert fingerprint("x", {**labels, "prometheus_replica": "a"}, REPLICAS) == fingerprint(
        "x", {**labels, "prometheus_replica": "b"}, REPLICAS
    )


def test_what_the_operator_says_wins_and_what_is_dropped_is_never_kept():
    terms = Terms(provider="openai", model="gpt-5", account="main", labels={"team": "search"},
                  scope_labels=("tenant",), drop_labels=frozenset({"end_user"}))  # fmt: skip
    found = Attributor(PRESETS["litellm"], terms).of(
        "litellm_input_tokens_metric_total", {"model": "x", "team": "b", "tenant": "t", "end_user": "ana", "other": "y"}
    )
    assert found is not None
    assert (found.line.provider, found.line.model, found.line.account) == ("openai", "gpt-5", "main")
    assert found.labels == {"team": "search", "tenant": "t"}


def test_every_preset_feeds_known_meters_and_takes_contained_ones_off_a_meter_that_it_has():
    for name, preset in PRESETS.items():
        meters = {rule.meter for rule in preset.rules}
        assert meters <= METERS | {COST_METER}, name
        assert {rule.within for rule in preset.rules if rule.within} <= meters, name
