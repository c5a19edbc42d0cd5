"""Tokens of the page: how long, in which file, with which role; and the header of an authenticating proxy."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest
from sample_plugins import Faults, Load

HTTP = "ALERTD_HTTP__"
HASH = sha256(b"a token of thirty characters..").hexdigest()
SHORT = "tooshort-S3CRET"
REMEDY = "make one: openssl rand -base64 24"


@pytest.mark.parametrize("listen", ["0.0.0.0:9480", "[::]:9480", "10.0.0.5:9480", "alertd.example.com:9480"])
def test_off_loopback_a_short_token_is_refused_with_the_remedy(faults: Faults, tmp_path: Path, listen: str) -> None:
    said = f"on any address but loopback a token needs at least 24 characters, this one has {len(SHORT)}; {REMEDY}"
    env = {HTTP + "LISTEN": listen}
    assert [str(fault) for fault in faults({**env, HTTP + "TOKEN": SHORT})] == [f"{HTTP}TOKEN: {said}"]
    file = tmp_path / "token"
    file.write_text(SHORT + "\n")
    assert [str(fault) for fault in faults({**env, HTTP + "TOKEN_FILE": str(file)})] == [f"{HTTP}TOKEN_FILE: {said}"]
    assert faults({**env, HTTP + "TOKEN": "x" * 24}) == ()
    assert faults(env) == (), "without any token nobody comes in"


@pytest.mark.parametrize("listen", ["127.0.0.1:9480", "[::1]:9480", "localhost:9480"])
def test_on_loopback_any_token_will_do(faults: Faults, listen: str) -> None:
    assert faults({HTTP + "LISTEN": listen, HTTP + "TOKEN": "x"}) == ()


def test_a_file_of_tokens_and_users_gives_people_with_roles(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[tokens.grafana]\nrole = "viewer"\nhash = "{HASH}"\n'
        f'[tokens.ci]\nrole = "allowance"\nhash = "{HASH.upper()}"\n'
        f'[tokens.claude]\nrole = "editor"\nhash = "{HASH}"\nagent = true\n'
        '[users."ana@example.com"]\nrole = "editor"\n'
    )
    env = {HTTP + "TOKENS_FILE": str(file), HTTP + "USER_HEADER": "X-Forwarded-User"}
    settings = load({**env, HTTP + "TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7"})
    assert [(one.name, one.role, one.sha256) for one in settings.http.people] == [
        ("grafana", "viewer", HASH),
        ("ci", "allowance", HASH),
        ("claude", "editor", HASH),
        ("ana@example.com", "editor", ""),
    ]
    assert [one.name for one in settings.http.people if one.agent] == ["claude"]
    assert settings.http.user_header == "X-Forwarded-User"
    assert settings.http.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"))
    assert file in settings.watched
    assert HASH not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tokens.a]\nrole = 5\n", "tokens.a.role: none of its values; write allowance, viewer, responder or editor"),
        (f'[tokens.a]\nhash = "{HASH}"\n', "tokens.a.role: required; write allowance, viewer, responder or editor"),
        ('[tokens.a]\nrole = "editor"\n', "tokens.a.hash: required; write the SHA-256 of the token in hex: "),
        (f'[tokens.a]\nrole = "editor"\nhash = "{SHORT}"\n', "tokens.a.hash: no SHA-256; write the SHA-256 of "),
        (
            f'[tokens.a]\nrole = "editor"\ntoken = "{SHORT}"\n',
            "tokens.a.token: no such key; there are: role, hash, labels,",
        ),
        (f'[users.a]\nrole = "editor"\nhash = "{HASH}"\n', "users.a.hash: no such key; there are: role"),
        (f'[tokens]\na = "{SHORT}"\n', "tokens.a: no section; write [tokens.NAME] and its keys below: role, hash"),
        (f'[tokens.a]\nrole = "editor"\nhash = "{HASH}"\nagent = 1\n', "tokens.a.agent: neither true nor false"),
        (f'tokens = "{SHORT}"\n', "tokens: no such section; write [tokens.NAME] or [users.NAME]"),
        ("[[token]]\n", "token: no such section; write [tokens.NAME] or [users.NAME]"),
        ("[people.a]\n", "people: no such section; write [tokens.NAME] or [users.NAME]"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_with_its_place_and_without_what_it_holds(
    faults: Faults, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)
    (fault,) = faults({HTTP + "TOKENS_FILE": str(file)})
    assert str(fault).startswith(f"{file}: {said}")
    assert SHORT not in str(fault)


def test_a_file_that_is_no_toml_or_no_file_is_one_fault(faults: Faults, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'[tokens.a]\nhash = "{SHORT}\n')
    (fault,) = faults({HTTP + "TOKENS_FILE": str(file)})
    assert "not valid TOML (at line 2" in str(fault)
    assert SHORT not in str(fault)
    for path in ("/dev/zero", str(tmp_path), str(tmp_path / "absent")):
        (fault,) = faults({HTTP + "TOKENS_FILE": path})
        assert fault.place == HTTP + "TOKENS_FILE"
        assert fault.remedy


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"USER_HEADER": "X-Forwarded-User"},
            "USER_HEADER: does nothing without {0}TRUSTED_PROXIES; write {0}TRUSTED_PROXIES=10.0.0.0/8",
        ),
        (
            {"TRUSTED_PROXIES": "10.0.0.0/8"},
            "TRUSTED_PROXIES: does nothing without {0}USER_HEADER; write {0}USER_HEADER=X-Forwarded-User",
        ),
        (
            {"USER_HEADER": "X-Forwarded-User", "TRUSTED_PROXIES": "10.0.0.1/8"},
            "TRUSTED_PROXIES: '10.0.0.1/8' is not a network; write it as 10.0.0.0/8 or 10.0.0.7",
        ),
        (
            {"USER_HEADER": "X User:", "TRUSTED_PROXIES": "10.0.0.0/8"},
            "USER_HEADER: 'X User:' is not the name of a header; write it as X-Forwarded-User",
        ),
    ],
)
def test_a_proxy_is_named_with_its_header_and_its_addresses(faults: Faults, env: dict[str, str], said: str) -> None:
    assert [str(fault) for fault in faults({HTTP + name: value for name, value in env.items()})] == [
        HTTP + said.format(HTTP)
    ]
