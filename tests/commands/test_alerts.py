"""`alertd alerts` lists what is open, and the completion scripts are sound."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from alertd import registry
from alertd.cli import GROUPS, command_names, main
from alertd.core.evaluation.state import LIFECYCLES, AlertLifecycle
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.ports import AlertRow


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/alertd.db"
    for name, value in {"DATABASE": url, "BUDGETS__RESEARCH__AMOUNT": "500 USD"}.items():
        monkeypatch.setenv(f"ALERTD_{name}", value)

    async def write() -> None:
        store = registry.store(url)
        await store.open()
        rows, notes = [], {}
        for number, state in enumerate(("firing", "resolved")):
            event = replace(SAMPLES["forecast"](NOW)[0], id=f"{number}bcc1a2b3c4d5e6f7a8b9c0")
            rows.append(AlertRow(f"key-{number}", NOW, event))
            life = AlertLifecycle.begin(f"key-{number}", "warning", NOW, "said")
            life = life.after("end", NOW, "alertd") if state == "resolved" else life
            notes |= {name: (value, 0) for name, value in LIFECYCLES.put(life, event.id).items()}
        assert await store.commit_decisions(rows, [], notes)
        await store.close()

    asyncio.run(write())


@pytest.mark.usefixtures("database")
def test_the_open_alerts_are_listed_with_their_handles(capsys: pytest.CaptureFixture[str]):
    assert main(["alerts"]) == 0
    (head, rule, line) = capsys.readouterr().out.splitlines()
    assert set(rule) == {"─"}
    assert head.split() == ["Handle", "State", "Age", "Alert"]
    assert line.split()[:2] == ["0bcc1a", "firing"]
    assert main(["alerts", "--all", "--json"]) == 0
    found = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert {(one["handle"], one["state"]) for one in found} == {("0bcc1a", "firing"), ("1bcc1a", "resolved")}
    assert main(["alerts", "--handles"]) == 0
    assert capsys.readouterr().out == "0bcc1a\n"
    assert main(["alerts", "--budget", "other"]) == 0
    assert capsys.readouterr().out == "No alert is open.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in command_names())
    assert "--env-file" in script or "-l env-file" in script
    for live in ("alertd alerts --handles", "alertd status --names", "alertd actions --handles"):
        assert live in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_its_completion_script(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    assert main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_the_manual_page_has_every_command_with_its_options(capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "man"]) == 0
    page = capsys.readouterr().out
    for name in command_names():
        assert f".SS {name}".replace("-", r"\-") in page
    assert r"\-\-env\-file F" in page


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_groff_reads_the_manual_page_without_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["completion", "man"]) == 0
    file = tmp_path / "alertd.1"
    file.write_text(capsys.readouterr().out)
    read = subprocess.run(["groff", "-man", "-Tutf8", "-ww", str(file)], capture_output=True, text=True, check=True)
    # A long word that is not broken leaves a line unadjusted, whatever the page says.
    assert [line for line in read.stderr.splitlines() if "cannot adjust line" not in line] == []
    assert "budgets, forecasts and alerts" in read.stdout


def test_the_commands_stand_in_groups_and_none_is_twice_or_missing(capsys: pytest.CaptureFixture[str]):
    grouped = [name for _, group in GROUPS for name in group]
    assert sorted(grouped) == command_names()
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert [title for title, _ in GROUPS if f"\n{title}\n" in f"\n{out}"] == [title for title, _ in GROUPS]
    assert all(f"  {name} " in out for name in command_names())
    assert max(map(len, out.splitlines())) <= 110
