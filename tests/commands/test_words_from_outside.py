"""Commands that are given what nobody expected: a label that looks like mark-up, a number that is none, half a file."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertd import registry
from alertd.cli import main
from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow

ENV = {
    "ALERTD_DATABASE": "sqlite:///alertd.db",
    "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
    "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:1/metrics",
    "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
    "ALERTD_BUDGETS__TEAMS__AMOUNT": "5 USD",
    "ALERTD_BUDGETS__TEAMS__PER": "team",
    "ALERTD_NOTIFIERS__OPS__KIND": "console",
}
TEAM = "[/red] [bold]"
MODEL = "[/]mystery"


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)


def used() -> None:
    """A database in which a team with such a name used a model with such a name."""

    async def write() -> None:
        store = registry.store(ENV["ALERTD_DATABASE"])
        await store.open()
        now = datetime.now(UTC)
        minute = int(now.timestamp()) // 60 * 60
        row = SourceRow("gateway", cursor="1", until=now)
        await store.commit_counters(row, [Increment(Line("", MODEL, "input"), {"team": TEAM}, minute, 60, 7)], {})
        await store.close()

    asyncio.run(write())


def test_explain_shows_names_from_outside_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    used()
    assert main(["explain", "teams"]) == 0
    said = capsys.readouterr().out
    assert f"teams/team={TEAM.replace('/', '%2F')}" in said
    assert f"{MODEL} input counts in no figure" in said


def test_check_shows_names_from_outside_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    used()
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert f"team={TEAM}" in said
    assert f"price {MODEL} input" in said


@pytest.mark.parametrize("word", ["team", "=a", "team="])
def test_a_silence_that_could_hush_nothing_is_refused(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["silence", word, "--for", "2h", "--reason", "load test"]) == 1
    assert "write it as team=search" in capsys.readouterr().err
    assert main(["silence", "--json"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [("team=a", "--for", "2h"), ("--for", "2h"), ("team=a", "--reason", "load test")])
def test_a_silence_of_some_or_of_all_has_an_end_and_a_reason(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert main(["silence", *words]) == 1
    assert "an end and a reason are needed" in capsys.readouterr().err


def test_a_level_that_is_no_number_is_a_wrong_use_of_reconcile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reconcile", "--level", "much"])
    assert ended.value.code == 2
    assert "--level" in capsys.readouterr().err


def test_a_cell_that_no_csv_has_is_told_by_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("provider,model,meter,quantity,timestamp\n" + "x" * 200_000 + ",m,input,1,2026-11-01\n")
    limit = csv.field_size_limit(131_072)  # the interpreter's own; a source of this process may have raised it
    try:
        assert main(["replay", "--usage", str(file), "--budget", "5 USD"]) == 1
    finally:
        csv.field_size_limit(limit)
    assert str(file) in capsys.readouterr().err


def test_a_job_nested_too_deep_is_one_bad_line_and_the_others_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"start": "2026-11-01", "values": [1, 2, 3, 4], "period_start": "2026-11-01", "period_end": "2026-12-01"}
    file = tmp_path / "jobs.jsonl"
    file.write_text(f"{'[' * 100_000}\n{json.dumps({'id': 'sound', **job})}\n")
    assert main(["project", str(file)]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["id"] == "sound"
    assert said.err.startswith("line 1: ")
