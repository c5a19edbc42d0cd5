"""The open benchmark scores a projector that speaks the contract, and tells a better one from a worse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def answer_of(tool: str, *arguments: str) -> str:
    command = [sys.executable, str(TOOLS / tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def figures_of(text: str) -> dict[str, float]:
    rows = (line.rsplit("+-", 1)[0].rsplit(None, 1) for line in text.splitlines()[2:])
    return {name.strip(): float(figure) for name, figure in rows}


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teams")
    answer_of("score_projector.py", "--simulate", str(folder), "--people", "3")
    return folder


def test_alertd_is_scored_by_its_command_and_beats_a_point(teams: Path) -> None:
    command = [sys.executable, "-m", "alertd", "project"]
    ours = figures_of(answer_of("score_projector.py", "--data", str(teams), "--", *command))
    point = figures_of("\n" + answer_of("score_projector.py", "--data", str(teams), "--baseline", "run-rate"))
    assert ours["warm WQL"] < point["warm WQL"]
    assert ours["Brier of the chance"] < point["Brier of the chance"]
    assert ours["warnings with a chance under one half"] == 0.0


def test_the_same_number_of_teams_is_the_same_folder(teams: Path, tmp_path: Path) -> None:
    answer_of("score_projector.py", "--simulate", str(tmp_path), "--people", "3")
    assert (tmp_path / "daily.csv").read_bytes() == (teams / "daily.csv").read_bytes()


def test_what_is_read_is_told_for_five_days_of_each_team(teams: Path) -> None:
    rows = [line.split("|") for line in answer_of("projection_readings.py", "--data", str(teams)).splitlines()[2:]]
    assert [row[2].strip() for row in rows] == ["1", "2", "5", "10", "20"] * 3
    assert all(row[7].strip() in {"yes", "no"} for row in rows)
    assert all("alerts" not in row[5] or int(row[5].partition("%")[0].split()[-1]) >= 50 for row in rows)
