"""Hashed labels: one value has one hash, the secret decides which, and nothing is hashed twice."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.counting.attribution import Attributor, Terms
from alertd.core.counting.presets import PRESETS
from alertd.core.counting.pseudonyms import Pseudonyms

SECRET = "0123456789abcdef"
HASHING = Pseudonyms(frozenset({"user"}), SECRET)


@given(st.text(min_size=1))
def test_a_hash_is_the_start_of_an_hmac_and_is_never_hashed_again(value: str) -> None:
    hashed = HASHING.of(value)
    if not value.startswith("h-"):
        assert hashed == "h-" + hmac.new(SECRET.encode(), value.encode(), hashlib.sha256).hexdigest()[:12]
    assert HASHING.of(hashed) == hashed


def test_another_secret_gives_another_hash_and_the_secret_is_in_no_repr() -> None:
    other = Pseudonyms(frozenset({"user"}), SECRET + "x")
    assert HASHING.of("ana@example.com") != other.of("ana@example.com")
    assert SECRET not in repr(HASHING)


def test_only_what_is_chosen_is_hashed_and_nobody_stays_nobody() -> None:
    labels = {"user": "ana", "team": "search"}
    assert HASHING.applied(labels) == {"user": HASHING.of("ana"), "team": "search"}
    assert HASHING.applied({"user": ""}) == {"user": ""}


@pytest.mark.parametrize("raw", [{"user": "ana"}, {"user_alias": "ana", "user": "u-17"}])
def test_counters_are_attributed_by_the_hash_of_what_their_label_would_have_said(raw: dict[str, str]) -> None:
    attributors = [Attributor(PRESETS["litellm"], Terms(pseudonyms=one)) for one in (Pseudonyms(), HASHING)]
    plain, hashed = (
        one.of("litellm_input_tokens_metric_total", {"model": "m", "team": "t", **raw}) for one in attributors
    )
    assert plain is not None
    assert hashed is not None
    assert hashed.labels == {**plain.labels, "user": HASHING.of(plain.labels["user"])}
    assert "ana" not in str(hashed.labels)
