"""`alertd check`: the configuration, then everything that it names, tried; each fault with its place and its remedy."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertd import registry
from alertd.cli import main
from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow
from tests.servers.billing import Asked, Reply, serving
from tests.servers.gateway import serving_gateway

GOOD = {
    "DATABASE": "sqlite:///alertd.db",
    "SOURCES__GATEWAY__KIND": "scrape",
    "SOURCES__GATEWAY__PRESET": "vllm",
    "SOURCES__GATEWAY__TOKEN": "first",
    "BUDGETS__ALL__AMOUNT": "500 USD",
    "NOTIFIERS__LOG__KIND": "console",
}


def check(**changed: str) -> int:
    """The exit status over the good configuration with these keys otherwise; an empty one is left out."""
    values = {**GOOD, **changed}
    Path("my.env").write_text("".join(f"ALERTD_{name}={value}\n" for name, value in values.items() if value))
    return main(["check", "--env-file", "my.env"])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")


def test_a_sound_configuration_is_ok_and_shows_what_its_budgets_match(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_gateway() as (_, server):
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics") == 0
        assert main(["check", "--env-file", "my.env", "--json"]) == 0
    said = capsys.readouterr().out
    assert "ok   source gateway: 1 token counter of 1 model" in said
    answer = json.loads(said[said.index("{\n") :])
    assert (answer["ok"], [row["budget"] for row in answer["budgets"]]) == (True, ["all"])


@pytest.mark.parametrize(
    ("changed", "warned"),
    [
        ({}, False),
        ({"BUDGETS__ALL__AMOUNT": "500 EUR"}, True),
        ({"BUDGETS__ALL__AMOUNT": "500 EUR", "FX__EUR_USD": "1.08"}, False),
        ({"BUDGETS__ALL__AMOUNT": "500 EUR", "BUDGETS__ALL__THRESHOLDS": "burn_rate 10x over 1h above 20 EUR"}, False),
    ],
)
def test_a_floor_in_a_currency_without_a_rate_is_warned_of_with_what_it_counts_as(
    capsys: pytest.CaptureFixture[str], changed: dict[str, str], *, warned: bool
) -> None:
    with serving_gateway() as (_, server):
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics", **changed) == 0
    said = capsys.readouterr().out
    assert ("warn budget all: THRESHOLDS" in said) is warned
    assert ("the minimum spend counts as 20 EUR: no rate from EUR to USD; set ALERTD_FX__EUR_USD" in said) is warned


@pytest.mark.parametrize("address", ["http://h:99999/x", "http://h:0", "http://a b/x", "https://[::1/x", "http://:80/"])
@pytest.mark.parametrize(
    "key", ["SOURCES__GATEWAY__URL", "NOTIFIERS__S__WEBHOOK_URL", "NOTIFIERS__W__URL", "SOURCES__GATEWAY__PROXY"]
)
def test_an_address_that_cannot_be_one_is_a_fault_of_its_key_and_is_not_repeated(
    capsys: pytest.CaptureFixture[str], key: str, address: str
) -> None:
    given = {
        "SOURCES__GATEWAY__URL": "http://h:1/metrics",
        "NOTIFIERS__S__KIND": "slack",
        "NOTIFIERS__S__WEBHOOK_URL": "http://h:1/services/x",
        "NOTIFIERS__W__KIND": "webhook",
        "NOTIFIERS__W__URL": "http://h:1/",
        "NOTIFIERS__W__SECRET": "0123456789abcdef",
    }
    assert check(**given | {key: address}) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ALERTD_{key} (my.env:")
    assert "not a web address" in line or "not the address of a proxy" in line
    assert address not in line


def test_an_address_of_the_page_with_a_path_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_gateway() as (_, server):
        for address, warned in (("https://ops.example.com/alertd/", True), ("https://alertd.example.com/", False)):
            assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics", PUBLIC_URL=address) == 0
            said = "warn configuration ALERTD_PUBLIC_URL: has a path, and the page's own links begin at /"
            assert (said in capsys.readouterr().out) is warned


def test_a_budget_that_never_alerts_and_a_star_in_a_table_are_warned_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("model,amount\ngpt-*,5\nm,6\n")
    changed = {"BUDGETS__ALL__THRESHOLDS": "[]", "BUDGETS__ALL__PER": "model"}
    with serving_gateway() as (_, server):
        assert check(
            SOURCES__GATEWAY__URL=f"{server.url}/metrics", BUDGETS__ALL__TABLE_FILE=str(tmp_path / "t.csv"), **changed
        ) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "warn budget all: THRESHOLDS is empty: it is shown, and never alerts" in said
    assert "warn budget all: TABLE_FILE: gpt-* is this very value, not a pattern; what is not listed has AMOUNT" in said
    assert "TABLE_FILE: m " not in said


@pytest.mark.parametrize(
    ("changed", "place", "remedy"),
    [
        ({"BUDGETS__ALL__AMOUNT": "lots"}, "ALERTD_BUDGETS__ALL__AMOUNT (my.env:5)", "write it as 500 USD"),
        ({"BUDGETS__ALL__AMOUNT": ""}, "ALERTD_BUDGETS__TEAM__...", "write ALERTD_BUDGETS__TEAM__AMOUNT=500 USD"),
        ({"SOURCES__GATEWAY__KIND": "prometeus"}, "ALERTD_SOURCES__GATEWAY__KIND", "did you mean prometheus?"),
        ({"BUDGETS__ALL__NOTIFY": "ops"}, "ALERTD_BUDGETS__ALL__NOTIFY", "there are: log"),
        ({"TIMEZONE": "Berlin"}, "ALERTD_TIMEZONE", "write an IANA name such as Europe/Berlin"),
        (
            {"BUDGETS__ALL__TRESHOLDS": "x"},
            "ALERTD_BUDGETS__ALL__TRESHOLDS",
            "did you mean ALERTD_BUDGETS__ALL__THRESHOLDS",
        ),
    ],
)
def test_a_broken_configuration_names_the_key_and_the_remedy_and_reaches_nothing(
    capsys: pytest.CaptureFixture[str], changed: dict[str, str], place: str, remedy: str
) -> None:
    with serving_gateway() as (_, server):
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics", **changed) == 1
        assert server.asked == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(place)
    assert remedy in line


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SOURCES__GATEWAY__TOKEN": "wrong"}, "FAIL source gateway: "),
        ({"SOURCES__GATEWAY__PRESET": "litellm"}, "these look like token counters: vllm:prompt_tokens_total"),
        ({"SOURCES__GATEWAY__URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"DATABASE": "sqlite:///no/such/folder/alertd.db"}, "create it, writable by alertd's user"),
        (
            {"NOTIFIERS__LOG__KIND": ""},
            "no notifier is configured, so nobody gets alerts; set ALERTD_NOTIFIERS__OPS__KIND",
        ),
    ],
)
def test_what_cannot_be_reached_or_used_fails_and_says_why(
    capsys: pytest.CaptureFixture[str], changed: dict[str, str], said: str
) -> None:
    with serving_gateway() as (_, server):
        assert check(**{"SOURCES__GATEWAY__URL": f"{server.url}/metrics", **changed}) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("table", ["usage_sum", "series", "note"])
def test_a_database_that_lacks_a_table_fails_in_one_line(capsys: pytest.CaptureFixture[str], table: str) -> None:
    asyncio.run(counted("alertd.db"))
    with closing(sqlite3.connect("alertd.db")) as database:
        database.execute(f"DROP TABLE {table}")
        database.commit()
    with serving_gateway() as (_, server):
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics") == 1
    said = capsys.readouterr()
    (line,) = [line for line in (said.out + said.err).splitlines() if "no such table" in line]
    assert f"no such table: {table}" in line


def test_one_that_is_down_does_not_hide_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: Asked) -> Reply:
        return Reply("no", 503)

    with serving(refuse) as server:
        more = {"NOTIFIERS__HOOK__KIND": "slack", "NOTIFIERS__HOOK__BOT_TOKEN": "xoxb-secret-token",
                "NOTIFIERS__HOOK__CHANNEL": "#x", "NOTIFIERS__HOOK__API_URL": f"{server.url}/api/"}  # fmt: skip
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics", **more) == 1
    said = capsys.readouterr().out
    assert "FAIL source gateway: " in said
    assert "FAIL notifier hook: " in said
    assert "ok   notifier log: " in said
    assert "xoxb-secret-token" not in said


def test_what_nobody_has_is_a_warning_and_a_name_from_outside_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A label's value may look like mark-up; a misspelt `PER` puts all usage under nobody."""

    def answer(_: Asked) -> Reply:
        labels = 'model="m",team_alias="[/b] [red]x\x1b]0;PWNED\x07\x1b[2J"'
        text = f"# TYPE litellm_input_tokens_metric counter\nlitellm_input_tokens_metric_total{{{labels}}} 7\n"
        return Reply(text, headers={"Content-Type": "text/plain; version=0.0.4"})

    asyncio.run(counted("alertd.db"))
    with serving(answer) as server:
        given = {"SOURCES__GATEWAY__PRESET": "litellm", "SOURCES__GATEWAY__TOKEN": ""}
        given |= {"BUDGETS__ALL__PER": "tema", "BUDGETS__EURO__AMOUNT": "5 EUR"}
        assert check(SOURCES__GATEWAY__URL=f"{server.url}/metrics", **given) == 0
    said = capsys.readouterr().out
    assert "ok   source gateway:   label team: [/b] [red]x ]0;PWNED [2J" in said
    assert not {"\x1b", "\x07"} & set(said), "a label moves nobody's terminal"
    assert "warn budget all: PER: no usage has the label tema; there are: meter, model, " in said
    assert "did you mean team?" in said
    assert "0 EUR and the price of 9M tokens without a rate" in said


async def counted(path: str) -> None:
    """A database in which a daemon counted usage of a priced model by a team, and is gone."""
    store = registry.store(f"sqlite:///{path}")
    await store.open()
    now = datetime.now(UTC)
    used = Increment(Line("openai", "gpt-4o", "input"), {"team": "a"}, int(now.timestamp()) // 60 * 60, 60, 9_000_000)
    await store.commit_counters(SourceRow("gateway", cursor="1", until=now), [used], {})
    await store.close()


def test_hashed_labels_are_shown_as_the_ledger_has_them_and_a_retention_with_its_day(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "usage.csv").write_text("date,provider,model,meter,quantity,user\n2026-11-18,x,m,input,5,bob\n")
    given = {
        "SOURCES__GATEWAY__KIND": "csv", "SOURCES__GATEWAY__PATH": "usage.csv", "SOURCES__GATEWAY__PRESET": "",
        "SOURCES__GATEWAY__TOKEN": "", "SOURCES__GATEWAY__HASH_LABELS": "user",
        "SOURCES__GATEWAY__HASH_SECRET": "0123456789abcdef", "RETENTION": "400d",
    }  # fmt: skip
    assert check(**given) == 0
    said = capsys.readouterr().out
    assert "label user: h-" in said
    assert "bob" not in said
    assert "ok   retention: usage that ended before 20" in said
