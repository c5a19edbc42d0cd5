"""`alertd import`: files into the ledger, once; a newer file takes its place, and nothing is counted twice unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.cli import main

Run = Callable[..., int]
HEAD = "date,provider,model,cost\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("my.env").write_text(
        "ALERTD_DATABASE=sqlite:///alertd.db\nALERTD_SOURCES__OWN__KIND=csv\nALERTD_SOURCES__OWN__PATH=none.csv\n"
        "ALERTD_BUDGETS__ALL__AMOUNT=500 USD\nALERTD_BUDGETS__ALL__PERIOD=year\n"
    )
    return lambda *words: main([*words, "--env-file", "my.env"])


@pytest.fixture
def spent(run: Run, capsys: pytest.CaptureFixture[str]) -> Callable[[], Decimal]:
    def of() -> Decimal:
        capsys.readouterr()
        run("status", "--json")
        (budget,) = json.loads(capsys.readouterr().out)["budgets"]
        return Decimal(budget["spent"])

    return of


def this_year(text: str) -> str:
    return text.replace("YEAR", str(datetime.now(UTC).year))


def test_a_file_counts_once_however_often_it_is_imported(run: Run, spent) -> None:
    Path("bill.csv").write_text(HEAD + this_year("YEAR-01-01,openai,gpt-4o,12.50\n"))
    assert run("import", "bill.csv") == 0
    assert run("import", "bill.csv") == 0
    assert spent() == Decimal("12.50")


def test_a_newer_file_of_the_same_name_takes_the_place_of_the_older(run: Run, spent) -> None:
    Path("bill.csv").write_text(HEAD + this_year("YEAR-01-01,openai,gpt-4o,12.50\nYEAR-01-02,openai,gpt-4o,1\n"))
    run("import", "bill.csv")
    Path("bill.csv").write_text(HEAD + this_year("YEAR-01-01,openai,gpt-4o,13\nYEAR-01-02,openai,gpt-4o,2\n"))
    run("import", "bill.csv")
    assert spent() == 15


def test_what_was_imported_can_be_taken_out_again(run: Run, spent) -> None:
    Path("bill.csv").write_text(HEAD + this_year("YEAR-01-01,openai,gpt-4o,12.50\n"))
    Path("other.csv").write_text(HEAD + this_year("YEAR-01-01,mistral,m,1\n"))
    run("import", "bill.csv")
    run("import", "other.csv")
    assert run("import", "--remove", "bill") == 0
    assert spent() == 1


def test_what_another_source_holds_already_is_refused_unless_it_is_wanted_beside(run: Run, spent, capsys) -> None:
    Path("bill.csv").write_text(HEAD + this_year("YEAR-01-01,openai,gpt-4o,12.50\n"))
    run("import", "bill.csv")
    assert run("import", "bill.csv", "--as", "again") == 1
    assert "import:bill holds costs of openai" in capsys.readouterr().err
    assert run("import", "bill.csv", "--as", "again", "--beside") == 0
    assert spent() == 25


def test_a_file_that_cannot_be_read_changes_nothing(run: Run, capsys) -> None:
    Path("bill.csv").write_text("date,provider,model,weird_tokens\n2026-11-01,openai,gpt-4o,5\n")
    assert run("import", "bill.csv") == 1
    assert "weird_tokens counts tokens or money and is not understood" in capsys.readouterr().err
    assert run("import", "nowhere.csv") == 1


def test_equal_rows_of_two_files_are_asked_about_before_anything_is_imported(run: Run, spent, capsys) -> None:
    row = this_year("YEAR-01-01,openai,gpt-4o,5.00\n")
    for name in ("team-a.csv", "team-b.csv"):
        Path(name).write_text(HEAD + row)
    assert run("import", "team-*.csv") == 1
    assert "(5.00 USD)" in (said := capsys.readouterr().err)
    assert "(10.00 USD)" in said
    assert run("import", "team-*.csv", "--equal-rows", "each") == 0
    assert spent() == 10


def test_a_wrong_use_is_said(run: Run, capsys) -> None:
    assert run("import") == 2
    assert "name a FILE" in capsys.readouterr().err
    assert run("import", "--remove", "nothing") == 1
