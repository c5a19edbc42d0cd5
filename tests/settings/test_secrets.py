"""A secret is in no repr, no text and no fault, whatever it is and whatever is wrong with it."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_plugins import PACKAGE

from alertd.core.config_errors import SettingsError
from alertd.settings import load_settings

#: Long enough that it stands in no message by chance; with what quotes, URLs, numbers and JSON are made of.
SECRETS = st.text(
    string.ascii_letters + string.digits + "!#$%&()*+-./:;<=>?@[]^_{|}~ \\'\"", min_size=8, max_size=40
).map(lambda text: "Zq9" + text.strip() + "9qZ")
HIDDEN = [
    "ALERTD_DATABASE",
    "ALERTD_HEARTBEAT_URL",
    "ALERTD_HTTP__TOKEN",
    "ALERTD_SOURCES__GATEWAY__TOKEN",
    "ALERTD_SOURCES__GATEWAY__TIMEOUTT_TOKEN",
    "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL",
    "ALERTD_NOTIFIERS__OPS__BOT_TOKEN",
    "ALERTD_NOTIFIERS__OPS__HEADERS",
    "ALERTD_NOTIFIERS__OPS__API_KEY",
    "ALERTD_NOTIFIERS__OPS",
    "ALERTD_ACTIONS__STOP__TOKEN",
    "ALERTD_PASSWORD",
]
BASE = {
    "ALERTD_SOURCES__GATEWAY__KIND": "tap",
    "ALERTD_SOURCES__GATEWAY__URL": "http://tap:9090",
    "ALERTD_NOTIFIERS__OPS__KIND": "post",
    "ALERTD_ACTIONS__STOP__KIND": "stop",
}


def said(env: dict[str, str]) -> str:
    """Everything that loading says: the settings in every form that could be logged, or the error and its chain."""
    try:
        settings = load_settings(env, package=PACKAGE)
    except SettingsError as error:
        chain = [error, error.__cause__, error.__context__]
        return "\n".join(f"{e}{e!r}" for e in chain) + repr(error.faults)
    options = [
        entry.options for group in (settings.sources, settings.notifiers, settings.actions) for entry in group.values()
    ]
    return "\n".join([repr(settings), str(settings), repr(settings.in_force), *map(repr, options), *map(str, options)])


@given(secret=SECRETS, key=st.sampled_from(HIDDEN))
def test_a_secret_is_never_shown(secret: str, key: str) -> None:
    assert secret not in said({**BASE, key: secret})


@given(secret=SECRETS)
def test_secrets_that_a_plug_in_is_careless_with_are_not_shown_either(secret: str) -> None:
    keys = ("ALERTD_NOTIFIERS__OPS__WEBHOOK_URL", "ALERTD_NOTIFIERS__OPS__BOT_TOKEN")
    text = said({**BASE, **dict.fromkeys(keys, secret)})
    assert "ALERTD_NOTIFIERS__OPS: *** beside BOT_TOKEN; keep one" in text
    assert secret not in text


@given(secret=st.text(string.ascii_letters + string.digits, min_size=8).map(lambda text: f"Zq9{text}"))
def test_the_password_in_an_address_is_not_shown(secret: str) -> None:
    env = {
        **BASE,
        "ALERTD_DATABASE": f"postgresql://alertd:{secret}@db/alertd",
        "ALERTD_HEARTBEAT_URL": f"https://hc.example.com/ping/{secret}",
        "ALERTD_SOURCES__GATEWAY__URL": f"http://user:{secret}@tap:9090",
        "ALERTD_SOURCES__GATEWAY__PROXY": f"http://user:{secret}@proxy:3128",
    }
    text = said(env)
    assert "Settings(" in text
    assert "http://***@proxy:3128" in text
    assert secret not in text
    assert secret not in said({**env, "ALERTD_PUBLIC_URL": "x", "ALERTD_SOURCES__GATEWAY__PRESET": "x"})


@pytest.mark.parametrize("name", ["token", "api_key", "X-Amz-Signature", "sig", "PASSWORD", "a=b&code"])
def test_a_secret_in_the_query_of_an_address_is_not_shown(name: str) -> None:
    text = said({**BASE, "ALERTD_SOURCES__GATEWAY__URL": f"http://tap:9090/x?{name}=Zq9secret&page=1"})
    assert "Settings(" in text
    assert f"{name}=***&page=1" in text
    assert "Zq9secret" not in text


def test_no_fault_repeats_what_stands_in_a_file_that_a_key_names_by_mistake(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("Zq9secret\n")
    keys = ("ALERTD_BUDGETS__RESEARCH__AMOUNT_FILE", "ALERTD_POLL_INTERVAL_FILE", "ALERTD_DATABASE_FILE")
    text = said({**BASE, **dict.fromkeys(keys, str(file))})
    assert all(key in text for key in keys)
    assert "'***' is not an amount" in text
    assert "Zq9secret" not in text


@pytest.mark.parametrize("place", ["ALERTD_SOURCES__GATEWAY__TOKEN", "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL"])
def test_a_secret_that_is_right_reaches_its_plug_in(place: str) -> None:
    settings = load_settings({**BASE, place: "s3cret"}, package=PACKAGE)
    _, _, rest = place.partition("__")
    name, _, option = rest.lower().partition("__")
    group = settings.sources if "SOURCES" in place else settings.notifiers
    assert getattr(group[name].options, option).get_secret_value() == "s3cret"
