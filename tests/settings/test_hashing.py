"""What cannot work with hashed labels is a fault of the configuration, with its place and its remedy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from alertd.settings import SettingsError, load_settings

SOURCE = "ALERTD_SOURCES__GATEWAY__"
ACTION = "ALERTD_ACTIONS__STOP__"
SOUND = {
    SOURCE + "KIND": "prometheus",
    SOURCE + "URL": "http://prometheus:9090",
    SOURCE + "PRESET": "litellm",
    SOURCE + "HASH_LABELS": "user,key",
    SOURCE + "HASH_SECRET": "0123456789abcdef",
    "ALERTD_BUDGETS__ALL__AMOUNT": "500 USD",
}
STOPPING = {ACTION + "KIND": "litellm", ACTION + "URL": "http://proxy:4000", ACTION + "TOKEN": "sk-9876543210"}


def faults(*more: Mapping[str, str]) -> list[str]:
    given = dict(SOUND)
    for one in more:
        given |= one
    try:
        load_settings({name: value for name, value in given.items() if value})
    except SettingsError as error:
        return str(error).splitlines()
    return []


def test_hashing_needs_a_label_and_a_secret_and_nothing_else() -> None:
    assert faults() == []


@pytest.mark.parametrize("secret", ["", "short"])
def test_without_a_secret_that_cannot_be_guessed_nothing_is_hashed_and_nothing_runs(secret: str) -> None:
    (fault,) = faults({SOURCE + "HASH_SECRET": secret})
    assert fault.startswith(SOURCE + "HASH_LABELS: ")
    assert "openssl rand -hex 16" in fault


def test_a_label_that_the_source_does_not_have_is_no_silent_gap() -> None:
    (fault,) = faults({SOURCE + "HASH_LABELS": "user_alias"})
    assert "'user_alias', which is no label of this source" in fault
    assert "user" in fault.partition(";")[2]


def test_an_action_cannot_look_for_a_key_by_a_hash() -> None:
    (fault,) = faults(STOPPING)
    assert fault.startswith(ACTION + "LABEL: gateway hashes key, and no provider finds a key by a hash; leave key")


@pytest.mark.parametrize(
    "sound",
    [{ACTION + "TARGETS": "h-0123456789ab=key-1"}, {ACTION + "LABEL": "team"}, {SOURCE + "HASH_LABELS": "user"}],
    ids=["hashes mapped to ids", "another label", "keys in clear"],
)
def test_an_action_that_finds_its_key_otherwise_is_sound(sound: dict[str, str]) -> None:
    assert faults(STOPPING, sound) == []


def test_a_protection_by_a_hashed_label_protects_no_key_and_is_a_fault() -> None:
    by_team = {**STOPPING, ACTION + "LABEL": "team"}
    (fault,) = faults(by_team, {ACTION + "PROTECT": "user=ana"})
    assert fault.startswith(ACTION + "PROTECT: user=ana protects no key")
    assert faults(by_team, {ACTION + "PROTECT": "user=h-0123456789ab"}) == []
