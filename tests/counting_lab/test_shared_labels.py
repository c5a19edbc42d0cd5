"""Cached counters whose labels are not those of the input counters that include them: taken off by what both share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.counting.attribution import Attributor, Terms, fingerprint
from alertd.core.counting.counters import count
from alertd.core.counting.presets import PRESETS
from alertd.core.counting.samples import CounterSamples

NOON = 1_795_176_000.0
IN, CACHED, WRITTEN = (f"litellm_input_{kind}tokens_metric_total" for kind in ("", "cached_", "cache_creation_"))
OPS, K1, K2 = {"team_alias": "ops"}, {"api_key_alias": "k1"}, {"api_key_alias": "k2"}
GPT, MINI = {"model": "gpt-4o"}, {"model": "gpt-4o-mini"}


def read(*polls):
    """(tokens by model and meter, the last reading): each poll is {(metric, labels as items): value}, one a minute."""
    attributor, states, found, result = Attributor(PRESETS["litellm"], Terms()), {}, Counter(), None
    for minute, poll in enumerate(polls):
        samples = []
        for (metric, items), value in poll.items():
            known = attributor.of(metric, dict(items))
            points = ((NOON + 60 * minute, str(value)),)
            name = fingerprint(metric, dict(items))
            samples.append(CounterSamples(name, known.line, known.labels, points, "t", within=known.within))
        result = count(states, samples, {}, first_read=minute == 0, period_start=NOON)
        states |= result.states
        for one in result.increments:
            found[one.line.model, one.line.meter] += one.quantity
            found[one.line.model, one.line.meter, one.labels.get("team"), one.labels.get("key")] += one.quantity
    return found, result


def grown(rates, times=4):
    """Polls of counters that grow by these rates, as (metric, labels, tokens a minute)."""
    return [{(name, tuple(sorted(labels.items()))): rate * n for name, labels, rate in rates} for n in range(times)]


LABELS = {
    "as the input": {**GPT, **OPS, **K1, "requested_model": "gpt"},
    "a subset": {**GPT, **OPS},
    "the model alone": GPT,
    "no model": {**OPS, **K1},
    "nothing at all": {},
    "a superset": {**GPT, **OPS, **K1, "requested_model": "gpt", "end_user": "ana"},
    "other names": {**GPT, **OPS, "end_user": "ana", "api_provider": "openai"},
    "another name of the key": {**GPT, **OPS, "hashed_api_key": "5e88"},
    "another name of the model": {"requested_model": "my-gpt", **OPS, **K1},
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_cached_tokens_come_off_the_input_by_the_labels_that_both_have(labels):
    rates = [(IN, LABELS["as the input"], 1_000_000), (CACHED, labels, 850_000), (WRITTEN, labels, 50_000)]
    found, last = read(*grown(rates))
    assert found["gpt-4o", "input"] == 300_000
    assert sum(found[key] for key in found if key[1:] == ("cached_input",)) == 2_550_000
    assert bool(last.doubts) is ("another" in next(name for name, one in LABELS.items() if one == labels))


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_several_input_counters_are_reduced_in_proportion_and_to_the_token(labels):
    inputs = [{**LABELS["as the input"], **key} for key in (K1, K2, {"api_key_alias": "k3"})]
    rates = [*((IN, one, rate) for one, rate in zip(inputs, (999_983, 333_331, 77), strict=True)), (CACHED, labels, 71)]
    found, _ = read(*grown(rates))
    assert found["gpt-4o", "input"] == 3 * (999_983 + 333_331 + 77 - 71)


def test_a_team_pays_only_for_its_own_cache():
    rates = [
        (IN, {**GPT, **OPS, **K1}, 1000),
        (IN, {**GPT, **OPS, **K2}, 3000),
        (IN, {**GPT, "team_alias": "web", **K1}, 5000),
        (IN, {**GPT, "api_key_alias": "k9"}, 700),
        (CACHED, {**GPT, **OPS}, 2000),
    ]
    found, last = read(*grown(rates))
    assert found["gpt-4o", "input", "ops", "k1"] == 3 * 500
    assert found["gpt-4o", "input", "ops", "k2"] == 3 * 1500
    assert found["gpt-4o", "input", "web", "k1"] == 3 * 5000
    assert found["gpt-4o", "input", None, "k9"] == 3 * 700
    assert "labels that both have" in last.assumed[0]


def test_models_are_never_mixed():
    rates = [
        (IN, {**GPT, **OPS, **K1}, 1000),
        (IN, {**MINI, **OPS, **K1}, 1000),
        (CACHED, {**GPT, **OPS}, 900),
        (CACHED, {**MINI, **OPS}, 100),
    ]
    found, last = read(*grown(rates))
    assert (found["gpt-4o", "input"], found["gpt-4o-mini", "input"]) == (300, 2700)
    assert last.doubts == ()


def test_a_model_without_an_input_counter_takes_nothing_off_another_one():
    rates = [(IN, {**GPT, **OPS}, 1000), (CACHED, {**GPT, **OPS}, 10), (CACHED, {**MINI, **OPS}, 60_000)]
    found, last = read(*grown(rates))
    assert found["gpt-4o", "input"] == 3 * 990
    assert "CACHED_APART=true" in last.doubts[0]


def test_a_key_whose_input_is_late_takes_nothing_off_another_key():
    one, two = ((("api_key_alias", key), ("model", "gpt-4o")) for key in ("k1", "k2"))
    polls = [
        {(IN, one): 1000 * n, (IN, two): 1000 * late, (CACHED, two): 900 * n} for n, late in enumerate((0, 0, 2, 3))
    ]
    found, last = read(*polls)
    assert found["gpt-4o", "input", None, "k1"] == 3000
    assert found["gpt-4o", "input", None, "k2"] == 300
    assert last.doubts == ()


NAMES = ("team_alias", "api_key_alias", "end_user")
sets = st.sets(st.sampled_from(NAMES))
traffic = st.lists(
    st.tuples(
        st.tuples(*[st.sampled_from("ab")] * 3), st.sampled_from(("m", "n")), st.integers(0, 10**6), st.floats(0, 1)
    ),
    min_size=1,
    max_size=12,
)


@given(traffic, sets, sets, st.integers(2, 5))
def test_whatever_labels_an_exporter_cuts_the_tokens_of_every_model_are_exact(requests, has_input, has_cached, polls):
    """Each metric is one counter by the labels that it keeps; cached tokens are a part of each request's input."""
    counters, truth = Counter(), Counter()
    for values, model, tokens, share in requests:
        cached = int(tokens * share)
        truth[model, "input"] += (polls - 1) * (tokens - cached)
        truth[model, "cached_input"] += (polls - 1) * cached
        for metric, kept, rate in ((IN, has_input, tokens), (CACHED, has_cached, cached)):
            labels = {name: value for name, value in zip(NAMES, values, strict=True) if name in kept} | {"model": model}
            counters[metric, tuple(sorted(labels.items()))] += rate
    found, last = read(*({key: rate * n for key, rate in counters.items()} for n in range(polls)))
    assert {key: value for key, value in found.items() if len(key) == 2 and value} == {
        key: value for key, value in truth.items() if value
    }
    assert last.doubts == ()
