"""Commands that change what the daemon remembers: with ./alertd.env as they find it, and nothing but the database."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from alertd import registry
from alertd.cli import command_names, main
from alertd.core.budgets import Budget
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.state import LIFECYCLES, AlertLifecycle, encode_record
from alertd.core.usage import Line
from alertd.ports import SourceRow
from alertd.web.answers import record_evaluation
from tests.scenario import Scenario, budget

ENV = """
ALERTD_DATABASE=sqlite:///alertd.db
ALERTD_SOURCES__GATEWAY__KIND=prometheus
ALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:1
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__KEYS__AMOUNT=5 USD
ALERTD_BUDGETS__KEYS__PER=team,key
ALERTD_BUDGETS__ALL__AMOUNT=100 USD
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the env file that `alertd init` writes."""
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    (tmp_path / "alertd.env").write_text(ENV)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(*changes: dict[str, object], labels: tuple[dict[str, str], ...] = ()) -> None:
    async def write() -> None:
        store = registry.store("sqlite:///alertd.db")
        await store.open()
        for change in changes:
            assert await store.commit_decisions([], [], {name: (value, 0) for name, value in change.items()})
        minute = int(datetime.now(UTC).timestamp()) // 60 * 60
        used = [Increment(Line("acme", "plain", "input"), one, minute, 60, 7) for one in labels]
        if used:
            await store.commit_counters(SourceRow("gateway", cursor="1", until=datetime.now(UTC)), used, {})
        await store.close()

    asyncio.run(write())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 1
    return capsys.readouterr().err


def test_without_any_configuration_every_command_says_so(tmp_path: Path, capsys):
    (tmp_path / "alertd.env").unlink()
    for words in (["ack", "071856"], ["raise", "keys", "3"], ["status"], ["explain", "keys"], ["check"], ["silence"]):
        assert "ALERTD_ENV_FILE: no configuration is given; use --env-file FILE" in refused(capsys, *words)


def test_the_env_file_may_be_named_by_a_variable(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "alertd.env").rename(tmp_path / "other.env")
    monkeypatch.setenv("ALERTD_ENV_FILE", "other.env")
    assert main(["ack"]) == 0
    assert capsys.readouterr().out == "No alert is open.\n"
    monkeypatch.setenv("ALERTD_ENV_FILE", "nowhere.env")
    assert refused(capsys, "ack").startswith("ALERTD_ENV_FILE=nowhere.env: nowhere.env cannot be read")


def test_ack_alone_lists_the_open_alerts_with_their_handles_and_no_control_characters(capsys):
    at = datetime(2026, 11, 3, tzinfo=UTC)
    fired = AlertLifecycle.begin("keys/team=\x1b[2Ja/2026-11-01/actual/80/5", "warning", at, "spent")
    over = AlertLifecycle.begin("all//2026-11-01/actual/80/100", "warning", at, "spent").after("end", at, "alertd")
    stored(LIFECYCLES.put(fired, "aaaaaabbbb"), LIFECYCLES.put(over, "ccccccdddd"))
    assert main(["ack"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("aaaaaa  warning ")
    assert "\x1b" not in line
    assert "\\u001b[2Ja" in line
    assert main(["ack", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["handle"] == "aaaaaa"
    assert main(["ack", "aaaaaa", "--by", "ana"]) == 0
    assert main(["ack", "aaaaaa", "--by", "ana"]) == 0, "twice is as once"


def test_top_up_enters_a_payment_once_lists_it_and_takes_it_back(here: Path, capsys):
    today = datetime.now(UTC).date()
    first = today.replace(day=1)
    with (here / "alertd.env").open("a") as file:
        file.write(f"ALERTD_BUDGETS__ALL__CREDIT={first}=500 USD\n")
    for again in ("", " It was entered before."):
        assert main(["top-up", "all", "300", "--id", "inv-7", "--by", "ana", "--reason", "card"]) == 0
        assert capsys.readouterr().out == f"all/inv-7: Paid on {today}: 300 USD. By ana.{again}\n"
    assert main(["top-up", "all"]) == 0
    configured, entered = capsys.readouterr().out.splitlines()
    assert configured == f"{first}  paid 500 USD  configuration"
    assert entered.startswith(f"{today}  paid 300 USD  inv-7, by ana at ")
    assert entered.endswith(": card")
    assert main(["top-up", "all", "--json"]) == 0
    assert [one["by"] for one in json.loads(capsys.readouterr().out)["payments"]] == [None, "ana"]
    assert main(["top-up", "all", "--remove", "inv-7"]) == 0
    assert "no such payment" in refused(capsys, "top-up", "all", "--remove", "inv-7")
    assert "keys has no prepaid credit" in refused(capsys, "top-up", "keys", "5")


def test_raise_refuses_what_would_not_raise_and_takes_the_same_amount_twice(capsys):
    assert "already has 100 USD" in refused(capsys, "raise", "all", "100")
    assert "already has 100 USD" in refused(capsys, "raise", "all", "80")
    assert main(["raise", "all", "120"]) == 0
    assert main(["raise", "all", "120"]) == 0
    assert "already has 120 USD" in refused(capsys, "raise", "all", "110")


@pytest.mark.parametrize(
    "words",
    [
        ["--scope", "team=research", "--scope", "key=rag"],
        ["--scope", "team=research,key=rag"],
        ["--scope", "key=rag"],
    ],
)
def test_a_scope_is_named_as_the_message_prints_it_or_by_the_labels_that_tell_it(words: list[str], capsys):
    stored(labels=({"team": "research", "key": "rag"}, {"team": "support", "key": "chat"}, {"key": "orphan"}))
    assert main(["raise", "keys", "9", *words]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("keys/team=research,key=rag/")
    assert printed.err == ""


def test_usage_without_a_label_is_named_by_an_empty_value_or_by_what_else_tells_it(capsys):
    stored(labels=({"team": "research", "key": "rag"}, {"key": "orphan"}))
    for words in (["--scope", "team= ", "--scope", "key=orphan"], ["--scope", "key=orphan"]):
        assert main(["raise", "keys", "9", *words]) == 0
        assert capsys.readouterr().out.startswith("keys/team=,key=orphan/")


def test_where_several_scopes_are_meant_they_are_listed(capsys):
    stored(labels=({"team": "research", "key": "rag"}, {"team": "research", "key": "chat"}))
    said = refused(capsys, "raise", "keys", "9", "--scope", "team=research")
    assert "keys has one budget per team and key" in said
    assert "--scope team=research --scope key=chat; --scope team=research --scope key=rag" in said


#: Prints what the help of each command imports, each in a process of its own that begins with the command line alone.
_HELPS = """
import contextlib, io, os, sys
from alertd.cli import command_names, main

for command in command_names():
    if not (child := os.fork()):
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            main([command, "--help"])
        heavy = {"numpy", "alertd.daemon", "slack_sdk", "apscheduler", "aiosmtplib"} & set(sys.modules)
        print(command, sorted(heavy), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_no_help_waits_for_what_the_daemon_imports():
    ran = subprocess.run([sys.executable, "-c", _HELPS], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [f"{command} []" for command in command_names()]


@pytest.mark.parametrize("command", ["raise", "ack", "silence"])
def test_what_opens_the_store_alone_does_not_import_the_daemon(command: str):
    code = (
        "import sys; from alertd.cli import main\n"
        f"try: main(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'httpx', 'pydantic', 'alertd.daemon', 'alertd.settings'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


#: What only the daemon needs: a command that reads or changes what it remembers does not wait for their import.
HEAVY = frozenset({"numpy", "httpx", "genai_prices", "slack_sdk", "apscheduler", "alertd.daemon", "alertd.web.server"})


@pytest.mark.parametrize(
    "words", [["status"], ["explain", "all"], ["ack"], ["raise", "all", "120"], ["silence"]], ids=" ".join
)
def test_a_command_that_reads_the_daemons_record_imports_no_plugin_and_nothing_heavy(words: list[str], here: Path):
    with (here / "alertd.env").open("a") as file:
        file.write("ALERTD_NOTIFIERS__OPS__KIND=slack\nALERTD_NOTIFIERS__OPS__WEBHOOK_URL=http://127.0.0.1:9/hook\n")
    evaluated(budget("all", "100 USD"), budget("keys", "5 USD"))
    code = (
        "import sys; from alertd.cli import main\n"
        f"assert main({words!r}) == 0\n"
        f"heavy = {set(HEAVY)!r} & set(sys.modules)\n"
        "kinds = [one for one in sys.modules if one.startswith(('alertd.sources.', 'alertd.notifiers.'))]\n"
        "print(sorted(heavy), kinds)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[] []"


def evaluated(*budgets: Budget) -> None:
    """The record of an evaluation of just now, as the daemon leaves it."""
    world = Scenario(*budgets)
    now = datetime.now(UTC)
    records = [msgspec.structs.replace(one, at=now) for one in record_evaluation(world.facts(), world.evaluate())]

    async def write() -> None:
        store = registry.store("sqlite:///alertd.db")
        await store.open()
        texts = {one.name: (str(one.answer["budget"]), encode_record(one)) for one in records}
        await store.record_evaluation(now, texts, set(texts))
        await store.close()

    asyncio.run(write())


FILE = """
ALERTD_DATABASE=sqlite:///alertd.db
ALERTD_SOURCES__F__KIND=csv
ALERTD_SOURCES__F__PATH=usage.csv
ALERTD_SOURCES__F__STALE_AFTER=90d
ALERTD_BUDGETS__TEAMS__AMOUNT=5 USD
ALERTD_BUDGETS__TEAMS__PER=team
ALERTD_BUDGETS__TEAMS__THRESHOLDS=["actual 80%","actual 100%","burn_rate 10x over 1h and 5m above 20 USD"]
ALERTD_NOTIFIERS__C__KIND=console
"""


def test_check_now_says_what_would_fire_with_real_values_before_the_first_run_and_stores_nothing(here: Path, capsys):
    (here / "alertd.env").write_text(FILE)
    yesterday = f"{datetime.now(UTC):%Y-%m}-01T00:00:00Z"
    rows = [f"{yesterday},openai,gpt-4o,input,{tokens},{team}" for team, tokens in (("a", 1_700_000), ("b", 400_000))]
    (here / "usage.csv").write_text("\n".join(["timestamp,provider,model,meter,quantity,team", *rows, ""]))
    assert main(["check", "--now"]) == 0
    said = capsys.readouterr().out
    assert "actual 80%: spent 4.25 USD against 4.00 USD; would be announced now" in said
    assert "actual 80%: spent 1.00 USD against 4.00 USD\n" in said
    assert "1 threshold would fire now." in said
    assert main(["check", "--now", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["now"]
    assert {(one["answer"]["scope"]["team"], one["thresholds"][0]["firing"]) for one in found} == {
        ("a", True),
        ("b", False),
    }
    assert main(["ack"]) == 0
    assert capsys.readouterr().out == "No alert is open.\n"


def test_explain_of_a_budget_without_any_scope_says_what_is_missing(capsys):
    assert main(["explain", "keys"]) == 0
    assert capsys.readouterr().err == "No usage carries the labels in PER of keys yet.\n"


def test_explain_before_the_first_evaluation_says_so_and_shows_what_it_would_find(capsys):
    stored(labels=({"team": "research", "key": "rag"},))
    assert main(["explain", "keys"]) == 0
    printed = capsys.readouterr()
    assert "alertd run has not evaluated keys yet" in printed.err
    assert "keys/team=research,key=rag/" in printed.out
    assert "not firing  actual 80%" in printed.out


def test_explain_shows_the_scopes_that_are_asked_for(capsys):
    stored(labels=({"team": "research", "key": "rag"}, {"team": "web", "key": "rag"}, {"key": "orphan"}))
    assert main(["explain", "keys", "--scope", "team=web", "--json"]) == 0
    assert [json.loads(line)["scope"]["team"] for line in capsys.readouterr().out.splitlines()] == ["web"]
    assert main(["explain", "keys", "--scope", "team=", "--scope", "key=orphan", "--json"]) == 0
    assert [json.loads(line)["scope"] for line in capsys.readouterr().out.splitlines()] == [
        {"team": None, "key": "orphan"}
    ]
    assert main(["explain", "keys", "--scope", "team=wbe"]) == 1
    assert "--scope: no such scope has usage; there are: " in capsys.readouterr().err
    assert main(["explain", "all", "--scope", "team=web"]) == 1
    assert "all is one budget, without scopes" in capsys.readouterr().err
