"""Where a value comes from: environment over env file over secrets over TOML over defaults."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_plugins import Faults, Load

from alertd.plugin_options import Secret
from alertd.settings import load_settings

BUDGET = "ALERTD_BUDGETS__RESEARCH__AMOUNT"


def plain(secret: Secret | None) -> str:
    return secret.get_secret_value() if secret else ""


def test_without_a_word_everything_has_the_default_of_the_contract(load: Load) -> None:
    settings = load({})
    assert settings.database == "sqlite:////var/lib/alertd/alertd.db"
    assert settings.poll_interval == timedelta(seconds=60)
    assert settings.timezone.key == "UTC"
    assert settings.dry_run is False
    assert (settings.http.host, settings.http.port, settings.http.open_metrics) == ("127.0.0.1", 9480, False)
    assert settings.digest == "weekly"
    assert settings.quiet_hours is None
    assert settings.http.token is None
    assert (settings.public_url, settings.heartbeat_url) == ("", "")
    assert {**settings.sources, **settings.budgets, **settings.notifiers, **settings.actions, **settings.fx} == {}
    assert settings.prices + settings.watched == ()


def test_of_five_layers_the_stronger_wins_key_by_key(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'timezone = "Asia/Tokyo"\ndigest = "daily"\npublic_url = "http://toml"\n'
        'database = "sqlite:///toml.db"\npoll_interval = "11s"\n'
    )
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "ALERTD_DATABASE").write_text("sqlite:///secret.db\n")
    (tmp_path / "secrets" / "alertd_public_url").write_text("http://secret")
    (tmp_path / "secrets" / "ALERTD_POLL_INTERVAL").write_text("12s")
    (tmp_path / "one.env").write_text("ALERTD_PUBLIC_URL=http://one\nALERTD_POLL_INTERVAL=13s\n")
    (tmp_path / "two.env").write_text("ALERTD_POLL_INTERVAL=14s\n")
    env = {"ALERTD_CONFIG": str(tmp_path / "a.toml"), "ALERTD_SECRETS_DIR": str(tmp_path / "secrets")}

    settings = load(env, env_files=[tmp_path / "one.env"])
    assert settings.timezone.key == "Asia/Tokyo"
    assert settings.digest == "daily"
    assert settings.database == "sqlite:///secret.db"
    assert settings.public_url == "http://one"
    assert settings.poll_interval == timedelta(seconds=13)
    files = [tmp_path / "one.env", tmp_path / "two.env"]
    assert load(env, env_files=files).poll_interval == timedelta(seconds=14)
    assert load({**env, "ALERTD_POLL_INTERVAL": "15s"}, env_files=files).poll_interval == timedelta(seconds=15)


def test_a_toml_file_and_the_environment_share_one_budget(load: Load, tmp_path: Path) -> None:
    config = tmp_path / "alertd.toml"
    config.write_text(
        '[budgets.re_search]\namount = 500\ncurrency = "EUR"\nowner = "@ana"\n'
        'where = { team = ["a", "b"] }\n[fx]\nEUR_USD = 1.08\n'
    )
    budget = load({"ALERTD_BUDGETS__RE_SEARCH__OWNER": "@bo"}, config=config).budgets["re-search"]
    assert (str(budget.amount), budget.owner) == ("500 EUR", "@bo")
    assert budget.where.matches({"team": "b"})


def test_what_is_written_and_empty_is_absent(load: Load, tmp_path: Path) -> None:
    config = tmp_path / "alertd.toml"
    config.write_text('digest = "daily"\n')
    env = {
        "ALERTD_DIGEST": "",
        "ALERTD_PUBLIC_URL": "",
        "ALERTD_HTTP__TOKEN_FILE": "",
        "ALERTD_BUDGETS__A__AMOUNT": " ",
    }
    settings = load(env, config=config)
    assert settings.digest == "daily"
    assert settings.budgets == {}


def test_names_are_one_however_they_are_spelled(load: Load) -> None:
    settings = load(
        {
            "ALERTD_ACTIONS__STOP_RESEARCH__KIND": "stop",
            "alertd_notifiers__on_call__kind": "ECHO",
            "ALERTD_NOTIFIERS__OPS__KIND": "echo",
            "ALERTD_NOTIFIERS__OPS__FALLBACK": "On_Call",
            "ALERTD_BUDGETS__TEAM-A__AMOUNT": "5 USD",
            "ALERTD_BUDGETS__TEAM_A__ACTIONS": "Stop_Research",
            "ALERTD_BUDGETS__TEAM_A__NOTIFY": "ON-CALL,on_call",
        }
    )
    assert list(settings.budgets) == ["team-a"]
    assert settings.budgets["team-a"].actions == ("stop-research",)
    assert settings.budgets["team-a"].notify["critical"] == ("on-call",)
    assert settings.notifiers["on-call"].kind == "echo"
    assert settings.notifiers["ops"].options.model_dump()["fallback"] == "on-call"


def test_a_key_given_twice_in_one_layer_is_a_fault(faults: Faults, tmp_path: Path) -> None:
    config = tmp_path / "alertd.toml"
    config.write_text('[budgets.team-a]\namount = "5 USD"\n[budgets.team_a]\namount = "6 USD"\n')
    (fault,) = faults(config=config)
    assert str(fault) == (
        "budgets.team_a.amount (alertd.toml): given twice, "
        "also as budgets.team-a.amount (alertd.toml); keep one of them"
    )


def test_a_whole_section_may_be_json(load: Load) -> None:
    settings = load(
        {
            "ALERTD_BUDGETS": '{"research": {"amount": "5 USD", "where": {"Team": "a"}}}',
            "ALERTD_HTTP": '{"listen": "[::1]:0"}',
            "ALERTD_SOURCES__TAP": '{"kind": "tap", "url": "http://x", "drop_labels": ["a"]}',
        }
    )
    assert settings.budgets["research"].where.matches({"Team": "a"})
    assert (settings.http.host, settings.http.port) == ("::1", 0)
    assert settings.sources["tap"].options.model_dump()["drop_labels"] == ["a"]


def test_a_map_may_be_written_label_by_label(load: Load) -> None:
    budget = load(
        {BUDGET: "5 USD", "ALERTD_BUDGETS__RESEARCH__WHERE__TEAM": "a", "ALERTD_BUDGETS__RESEARCH__WHERE__MODEL": "b"}
    )
    assert dict(budget.budgets["research"].where.patterns) == {"team": ("a",), "model": ("b",)}


# --- the process environment ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERTD_PORT", "tcp://10.0.0.1:9480"),
        ("ALERTD_PORT", "9480"),
        ("ALERTD_PORT_9480_TCP_ADDR", "10.0.0.1"),
        ("ALERTD_SERVICE_HOST", "10.0.0.1"),
        ("ALERTD_SERVICE_PORT_HTTP", "9480"),
        ("ALERTD_POSTGRESQL_SERVICE_HOST", "10.0.0.2"),
        ("ALERTD_POSTGRESQL_SERVICE_PORT_TCP_POSTGRESQL", "5432"),
        ("ALERTD_POSTGRESQL_PORT", "tcp://10.0.0.2:5432"),
        ("ALERTD_POSTGRESQL_PORT_5432_TCP_PROTO", "tcp"),
        ("PATH", "/bin"),
        ("XALERTD_DATABASE", "x"),
    ],
)
def test_what_kubernetes_and_others_set_is_no_fault(faults: Faults, name: str, value: str) -> None:
    assert faults({name: value}) == ()


@pytest.mark.parametrize(
    "name",
    ["ALERTD_", "ALERTD_PROT", "ALERTD_HTTP_PORT", "ALERTD_TOKEN", "alertd_nonsense", "ALERTD_SERVICES", "ALERTD___A"],
)
def test_any_other_variable_with_the_prefix_is_a_fault(faults: Faults, name: str) -> None:
    (fault,) = faults({name: "1"})
    assert (fault.place, fault.problem) == (name, "no such key")
    assert "ALERTD_" in fault.remedy


# --- one env file, two readers ---

#: Without `?`: a file has no options, which ALERTD_DATABASE says of it.
_PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\#`?"), min_size=1)


@given(value=_PRINTABLE, quote=st.sampled_from(["", '"', "'"]))
def test_an_env_file_means_the_same_to_alertd_and_through_docker(
    tmp_path_factory: pytest.TempPathFactory, value: str, quote: str
) -> None:
    line = f"ALERTD_DATABASE={quote}sqlite:///{value}{quote}"
    file = tmp_path_factory.mktemp("env") / "my.env"
    file.write_text(line + "\r\n")
    docker = dict([(line + "\r").split("=", 1)])  # `docker run --env-file` splits at the first sign and keeps the rest
    assert load_settings({}, [file]).database == load_settings(docker).database == f"sqlite:///{value}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"Europe/Berlin"', "Europe/Berlin"),
        ("'Europe/Berlin'", "Europe/Berlin"),
        ("Europe/Berlin ", "Europe/Berlin"),
        ('"Europe/Berlin" # where we are', "Europe/Berlin"),
    ],
)
def test_the_quotes_that_docker_keeps_are_stripped(load: Load, written: str, meant: str) -> None:
    assert load({"ALERTD_TIMEZONE": written}).timezone.key == meant


def test_quotes_inside_json_stay(load: Load) -> None:
    env = {
        BUDGET: '"5 USD"',
        "ALERTD_BUDGETS__RESEARCH__THRESHOLDS": "'[\"actual 80%\"]'",
        "ALERTD_BUDGETS__RESEARCH__WHERE": '{"team": "\'quoted\'"}',
    }
    budget = load(env).budgets["research"]
    assert list(map(str, budget.thresholds)) == ["actual 80%"]
    assert budget.where.patterns == (("team", ("'quoted'",)),)


def test_nothing_in_an_env_file_is_interpolated(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "my.env"
    file.write_text('ALERTD_DATABASE=postgresql://u:pa${HOME}$x@h/db\nALERTD_PUBLIC_URL="http://h/#a" # b\n')
    settings = load({}, env_files=[file])
    assert settings.database == "postgresql://u:pa${HOME}$x@h/db"
    assert settings.public_url == "http://h/#a"


def test_of_two_lines_for_one_key_the_last_wins_as_with_docker(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "my.env"
    file.write_text("\ufeffALERTD_DIGEST=daily\nexport ALERTD_DIGEST=off\n")
    assert load({}, env_files=[file]).digest == "off"


# --- values from files ---


def test_every_value_may_come_from_a_file(load: Load, tmp_path: Path) -> None:
    def file(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    settings = load(
        {
            "ALERTD_DATABASE_FILE": file("db", "sqlite:///x.db\n"),
            "ALERTD_HTTP__TOKEN_FILE": file("token", "s3cret\r\n"),
            "ALERTD_BUDGETS__RESEARCH__AMOUNT_FILE": file("amount", "500 USD"),
            "ALERTD_DEFAULTS__OWNER_FILE": file("owner", "@ana"),
            "ALERTD_NOTIFIERS__OPS__KIND": "post",
            "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL_FILE": file("url", "https://hooks.example.com/1"),
            "ALERTD_FX__EUR_USD_FILE": file("rate", "1.08"),
        }
    )
    assert settings.database == "sqlite:///x.db"
    assert plain(settings.http.token) == "s3cret"
    assert str(settings.budgets["research"].amount) == "500 USD"
    assert settings.budgets["research"].owner == "@ana"
    assert settings.notifiers["ops"].options.webhook_url.get_secret_value() == "https://hooks.example.com/1"  # type: ignore[attr-defined]
    assert str(settings.fx["EUR", "USD"]) == "1.08"


def test_a_key_that_ends_in_file_by_its_own_is_a_path_and_not_opened(load: Load) -> None:
    settings = load({"ALERTD_NOTIFIERS__OPS__KIND": "post", "ALERTD_NOTIFIERS__OPS__CA_FILE": "/nowhere/ca.pem"})
    assert settings.notifiers["ops"].options.model_dump()["ca_file"] == Path("/nowhere/ca.pem")


def test_a_value_beside_its_file_is_a_fault_but_a_stronger_layer_wins(
    load: Load, faults: Faults, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("from-file")
    (tmp_path / "alertd.toml").write_text('[http]\ntoken = "from-toml"\n')
    by_file = {"ALERTD_HTTP__TOKEN_FILE": str(tmp_path / "token")}
    assert [str(fault) for fault in faults({**by_file, "ALERTD_HTTP__TOKEN": "x"})] == [
        "ALERTD_HTTP__TOKEN_FILE: given beside ALERTD_HTTP__TOKEN; keep one of them"
    ]
    token = load(by_file, config=tmp_path / "alertd.toml").http.token
    assert plain(token) == "from-file"
    (tmp_path / "alertd.toml").write_text(f'[http]\ntoken_file = "{tmp_path / "token"}"\n')
    token = load({"ALERTD_HTTP__TOKEN": "from-env"}, config=tmp_path / "alertd.toml").http.token
    assert plain(token) == "from-env"


def test_a_secret_file_that_is_empty_is_a_fault_and_nothing_else_is_said_of_its_key(
    faults: Faults, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("\n")
    env = {"ALERTD_SOURCES__GATEWAY__KIND": "tap", "ALERTD_SOURCES__GATEWAY__URL_FILE": str(tmp_path / "url")}
    assert [str(fault) for fault in faults(env)] == [
        f"ALERTD_SOURCES__GATEWAY__URL_FILE: {tmp_path / 'url'} is empty; write the value into it"
    ]


def test_a_folder_of_secrets_as_kubernetes_mounts_it(load: Load, faults: Faults, tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "ALERTD_HTTP__TOKEN").write_text("s3cret\n")
    (tmp_path / "ALERTD_HTTP__TOKEN").symlink_to(tmp_path / "..data" / "ALERTD_HTTP__TOKEN")
    (tmp_path / "postgres-password").write_text("not ours")
    env = {"ALERTD_SECRETS_DIR": str(tmp_path)}
    token = load(env).http.token
    assert plain(token) == "s3cret"
    (tmp_path / "ALERTD_HTTP__TOKN").write_text("x")
    assert [str(fault) for fault in faults(env)] == [
        f"{tmp_path / 'ALERTD_HTTP__TOKN'}: no such key; did you mean ALERTD_HTTP__TOKEN?"
    ]


def test_to_load_again_is_to_read_the_files_again(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    env = {"ALERTD_HTTP__TOKEN_FILE": str(file)}
    before, same = load(env), load(env)
    file.write_text("second")
    after = load(env)
    assert before == same
    assert plain(before.http.token) == "first"
    assert plain(after.http.token) == "second"
