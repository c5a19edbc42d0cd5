"""`alertd status`: the budgets from the database alone, as a table for people and as the API's JSON."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from alertd import registry
from alertd.commands import status
from alertd.core.config_errors import SettingsError
from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow
from alertd.web.answers import record_evaluation
from tests.scenario import Scenario, budget
from tests.web.dashboard_client import NOW, SHOUT, november

Status = Callable[..., tuple[int, str, str]]


@pytest.fixture
def alertd_status(capsys, monkeypatch, tmp_path) -> Status:
    """The command over a database file, called as the command line calls it."""
    env = {
        "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
        "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
        "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:1",
        "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
        "ALERTD_BUDGETS__RESEARCH__AMOUNT": "5M tokens",
        "ALERTD_BUDGETS__OTHER__AMOUNT": "5 USD",
        "ALERTD_BUDGETS__OTHER__WHERE": "team=nobody",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        status.add_arguments(parser)
        code = status.run(parser.parse_args(words))
        return code, *capsys.readouterr()

    return call


def used(path: Path, tokens: int) -> None:
    """A database in which a daemon counted so many tokens and is gone."""

    async def write() -> None:
        store = registry.store(f"sqlite:///{path}")
        await store.open()
        now = datetime.now(UTC)
        minute = int(now.timestamp()) // 60 * 60
        line = Line("acme", "plain", "input")
        row = SourceRow("gateway", cursor="1", until=now)
        await store.commit_counters(row, [Increment(line, {}, minute, 60, tokens)], {})
        await store.close()

    asyncio.run(write())


def test_the_figures_come_from_the_database_without_a_running_daemon(alertd_status: Status, tmp_path: Path):
    used(tmp_path / "alertd.db", 4_000_000)
    code, out, _ = alertd_status("research", "--json")
    (found,) = json.loads(out)["budgets"]
    assert (code, found["spent_at_least"], found["currency"]) == (0, "4000000", "tokens")


def test_the_json_is_that_of_the_api_and_the_unknown_is_null(alertd_status: Status):
    code, out, _ = alertd_status("--json")
    found = json.loads(out)
    assert (code, found["version"]) == (0, 1)
    assert [(item["budget"], item["status"], item["spent"]) for item in found["budgets"]] == [
        ("other", "unknown", None),
        ("research", "unknown", None),
    ]


def test_an_unknown_budget_is_a_fault_that_names_the_nearest(alertd_status: Status):
    with pytest.raises(SettingsError, match="research"):
        alertd_status("reserch")


def test_a_database_that_cannot_be_opened_is_one_line_and_status_1(alertd_status: Status, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ALERTD_DATABASE", f"sqlite:///{tmp_path}/nowhere/alertd.db")
    with pytest.raises(SettingsError, match=r"^[^\n]*nowhere[^\n]*$"):
        alertd_status()


def drawn(*, blind: bool = False, width: int = 170) -> str:
    world, _ = november(blind=blind)
    console = Console(file=io.StringIO(), width=width)
    records = record_evaluation(world.facts(), world.evaluate())
    status.show(records[:11], len(records), NOW, console)
    return console.file.getvalue()


def test_the_table_says_spent_low_likely_high_the_day_it_runs_out_and_the_datas_age():
    text = drawn()
    line = next(line for line in text.splitlines() if line.startswith("research"))
    for said in ("at risk", "304.02 of 500.00 USD (61%)", "Nov", "█", "min old"):
        assert said in line
    assert re.search(r"\d+ \(\d+ to \d+\)", line), "the likely total, and its range"
    assert "–" not in text
    assert "marketing" in text
    assert "no data yet" in text
    assert "more, all further from their limits" in text


def test_on_80_columns_a_budget_is_one_line_with_its_figures_short():
    lines = drawn(width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 2 + 11 + 1, "the heads, the rule, a line a budget, and what is left out"
    (line,) = (one for one in lines if one.startswith("research"))
    assert re.search(r"▲ at risk +61% +304/500 USD +568 +25 Nov +now", line)
    (line,) = (one for one in lines if one.startswith("tokens"))
    assert re.search(r"1\.19B/2B tok +2\.21B", line)
    (line,) = (one for one in drawn(blind=True, width=80).splitlines() if one.startswith("research"))
    assert re.search(r"≥61% +304/500 USD .* 42 min", line)
    assert "Last days" in drawn(width=150)


def test_the_names_of_budgets_are_printed_for_shells_without_a_database(alertd_status: Status, monkeypatch):
    monkeypatch.setenv("ALERTD_DATABASE", "sqlite:////nowhere/alertd.db")
    assert alertd_status("--names") == (0, "other\nresearch\n", "")


def test_what_is_on_track_has_no_day_on_which_it_runs_out():
    on_pace = [line for line in drawn().splitlines() if "on track" in line]
    assert len(on_pace) > 0
    assert [line for line in on_pace if "Nov" in line] == []


def test_names_from_outside_are_text_and_never_mark_up():
    world, _ = november()
    decisions = world.evaluate()
    (one,) = [p for p in decisions.statuses if p.scope == (("team", SHOUT),)]
    console = Console(file=io.StringIO(), width=170)
    hostile = "[bold red]x[/bold red]"
    position = replace(one, scope=(("team", hostile),))
    records = record_evaluation(world.facts(), replace(decisions, statuses=(one, position)))
    status.show(records, 2, NOW, console)
    assert SHOUT in console.file.getvalue()
    assert hostile in console.file.getvalue()


def test_a_blind_budget_shows_a_lower_bound_and_its_age():
    line = next(line for line in drawn(blind=True).splitlines() if line.startswith("research"))
    assert "at least 304.02 of 500.00 USD" in line
    assert "42 min old" in line


@pytest.mark.parametrize(
    ("days", "drawn_as"),
    [([], ""), ([0, 0], ""), ([1], "█"), ([0, 1, 2], " ▅█"), ([8, 4, 0.0001], "█▅▁")],
)
def test_a_day_is_a_block_and_a_day_without_spend_a_blank(days: list[float], drawn_as: str):
    assert status.sparkline(days) == drawn_as


def test_a_budget_for_every_team_before_any_usage_is_not_called_unconfigured(alertd_status: Status, monkeypatch):
    monkeypatch.setenv("ALERTD_BUDGETS__OTHER__PER", "team")
    code, out, _ = alertd_status("other")
    assert (code, " ".join(out.split())) == (0, status.NOTHING)
    assert "no usage carries the labels" in status.NOTHING


def test_the_tree_shows_budgets_below_their_parents_with_sums_that_fit():
    thresholds = ["actual 100%"]
    world = Scenario(
        budget("company", "50 USD", thresholds=thresholds),
        budget("teams", "40 USD", thresholds=thresholds, per=("team",), parent=("company",), where={"team": "*"}),
        at=NOW,
    )
    world.tick()
    for team, dollars in (("a", "10.004"), ("b", "9.004"), ("c", "0.004")):
        world.spend(dollars, team=team)
    world.spend("1.004")
    console = Console(file=io.StringIO(), width=120)
    console.print(status.tree(record_evaluation(world.facts(), world.evaluate()), 2))
    rows = [" ".join(line.split()) for line in console.file.getvalue().splitlines() if "──" not in line]
    assert rows[0] == "Budget Spent Of"
    assert rows[1].startswith("company 20.02 50.00 USD")
    assert rows[1].endswith("parts have 120.00 USD")
    assert rows[2].startswith("team a (teams) 10.01 40.00 USD")
    assert rows[3].startswith("team b (teams) 9.01 40.00 USD")
    assert rows[4:] == ["1 more 0.00", "in no part 1.00"]
