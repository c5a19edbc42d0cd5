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
from alertd.core.counting.counters import Increment
from alertd.core.faults import SettingsError
from alertd.core.usage import Line
from alertd.ports import SourceRow
from alertd.web.recorded import record_evaluation
from tests.web.house import NOW, SHOUT, november

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
    records = record_evaluation(world.facts(), world.judged())
    status.show(records[:11], len(records), NOW, console)
    return console.file.getvalue()


def test_the_table_says_spent_low_likely_high_the_day_it_runs_out_and_the_datas_age():
    text = drawn()
    line = next(line for line in text.splitlines() if line.startswith("research"))
    for said in ("at risk", "304.02 of 500.00 USD (61 %)", "Nov", "█", "min old"):
        assert said in line
    assert re.search(r"\d+ \(\d+ to \d+\)", line), "the likely total, and its range"
    assert "–" not in text
    assert "marketing" in text
    assert "no data yet" in text
    assert "more, all further from their limits" in text


def test_on_a_narrow_terminal_the_last_days_make_room_for_the_figures():
    assert "Last days" not in drawn(width=80)
    assert "█" not in drawn(width=80)
    for share in ("(59 %)", "(61 %)", "(175 %)"):
        assert share in drawn(width=80), "a share is not torn apart"
    assert re.search(r"\(\d+ to \d+\)", drawn(width=80)), "nor is a range"
    assert all(f" {word} " in drawn(width=80) for word in ("349.89", "USD", "budget", "Nov"))
    assert "Last days" in drawn(width=130)


def test_what_is_on_track_has_no_day_on_which_it_runs_out():
    on_pace = [line for line in drawn().splitlines() if "on track" in line]
    assert len(on_pace) > 0
    assert [line for line in on_pace if "Nov" in line] == []


def test_names_from_outside_are_text_and_never_mark_up():
    world, _ = november()
    decisions = world.judged()
    (one,) = [p for p in decisions.positions if p.scope == (("team", SHOUT),)]
    console = Console(file=io.StringIO(), width=170)
    hostile = "[bold red]x[/bold red]"
    position = replace(one, scope=(("team", hostile),))
    records = record_evaluation(world.facts(), replace(decisions, positions=(one, position)))
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
    assert "no usage was seen yet" in status.NOTHING
