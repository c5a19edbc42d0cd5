"""`alertd budgets propose`: what it writes is a configuration that alertd accepts, whatever a label contains."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.settings import load_settings

NAMES = ("search", "<!channel>", "=cmd", 'a,"b"')


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    file = tmp_path / "usage.csv"
    rows = ["date,team,cost,currency"]
    for n in range(62):
        day = date(2026, 9, 1) + timedelta(days=n)
        rows += [f'{day},"{name.replace(chr(34), chr(34) * 2)}",{10 * (k + 1)},USD' for k, name in enumerate(NAMES)]
        rows.append(f"{day},tiny,0.01,USD")
    file.write_text("\n".join(rows) + "\n")
    return file


def test_the_proposal_is_a_configuration_that_loads(
    usage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "proposal"
    arguments = ["budgets", "propose", "--usage", str(usage), "--per", "team", "--write", str(folder)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    settings = load_settings({}, [folder / "proposal.env"], None, need=("budgets",))
    (budget,) = settings.budgets.values()
    amounts = {values[0]: own.amount.value for values, own in budget.table.items() if own.amount}
    assert set(amounts) == set(NAMES)
    assert {one["scope"]["team"]: Decimal(one["amount"]) for one in found["proposals"]} == {**amounts, "tiny": 1}
    assert all(290 * (k + 1) <= amounts[name] <= 400 * (k + 1) for k, name in enumerate(NAMES))
    assert budget.amount.value == 1
    assert found["replay"]["periods"] >= 2 * 5
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "1 smaller, each" in shown
    assert "These months are the ones that the amounts come from" in shown.replace("\n", " ")


@pytest.mark.parametrize("label", ["team", "model"])
def test_the_ledger_proposes_as_the_file_that_was_imported_does(
    label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today = datetime.now(UTC).date()
    rows = [f"{today - timedelta(days=n)},search,gpt-4o,10,USD" for n in range(1, 41)]
    (tmp_path / "usage.csv").write_text("\n".join(["date,team,model,cost,currency", *rows]))
    env = tmp_path / "alertd.env"
    env.write_text(
        f"ALERTD_DATABASE=sqlite:///{tmp_path}/alertd.db\nALERTD_BUDGETS__ALL__AMOUNT=100 USD\n"
        "ALERTD_NOTIFIERS__OUT__KIND=console\nALERTD_SOURCES__OWN__KIND=csv\nALERTD_SOURCES__OWN__PATH=none.csv\n"
    )
    assert main(["import", str(tmp_path / "usage.csv"), "--env-file", str(env)]) == 0
    capsys.readouterr()
    found = []
    for source in (["--env-file", str(env)], ["--usage", str(tmp_path / "usage.csv")]):
        assert main(["budgets", "propose", "--per", label, *source, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["proposals"] == found[1]["proposals"]
    assert [one["scope"] for one in found[0]["proposals"]] == [{label: "search" if label == "team" else "gpt-4o"}]
    assert found[0]["replay"]["periods"] == found[1]["replay"]["periods"] >= 2


def test_what_has_no_rate_is_said_and_in_no_amount(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(
        "date,cost,currency\n" + "".join(f"2026-10-{day:02},5,{'USD' if day % 2 else 'JPY'}\n" for day in range(1, 32))
    )
    assert main(["budgets", "propose", "--usage", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == ["not in the amounts: costs in JPY; no rate to USD is known"]
    assert sum(map(Decimal, found["proposals"][0]["months"].values())) == 80


def test_a_file_without_costs_proposes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("date,cost\n2026-10-01,0\n")
    assert main(["budgets", "propose", "--usage", str(file)]) == 1
    assert "nothing" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["usage.csv"]  # noqa: PTH208 - nothing was written
