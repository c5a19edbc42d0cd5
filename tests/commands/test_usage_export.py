"""`alertd usage export`: the ledger by day, for any labels and period; it adds up to what budgets count."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.clients.tables import open_table
from alertd.core.formats.records import read_table

Export = Callable[..., str]
USAGE = """date,provider,model,input_tokens,output_tokens,team
2026-10-05,openai,gpt-4o,1000000,100000,search
2026-10-06,openai,gpt-4o,2000000,0,support
2026-10-06,acme,unheard-of,7,0,support
2026-11-01,openai,gpt-4o,1000000,0,search
"""
BILL = "date,provider,cost,currency,team\n2026-10-06,mistral,12.50,EUR,search\n"


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Export:
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("my.env").write_text("ALERTD_DATABASE=sqlite:///alertd.db\n")
    Path("usage.csv").write_text(USAGE)
    Path("bill.csv").write_text(BILL)
    for name in ("usage.csv", "bill.csv"):
        assert main(["import", name, "--env-file", "my.env"]) == 0
    capsys.readouterr()

    def of(*words: str) -> str:
        assert main(["usage", "export", *words, "--env-file", "my.env"]) == 0
        return capsys.readouterr().out

    return of


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def cost(found: list[dict[str, str]], currency: str = "USD") -> Decimal:
    return sum((Decimal(row["cost"]) for row in found if row["currency"] == currency), Decimal(0))


def test_every_day_and_label_is_a_row_and_all_add_up(export: Export) -> None:
    found = rows(export("--period", "2026-10"))
    assert cost(found) == Decimal("2.50") + Decimal("1.00") + Decimal("5.00")
    assert cost(found, "EUR") == Decimal("12.50")
    assert {row["date"] for row in found} == {"2026-10-05", "2026-10-06"}
    assert [(row["model"], row["quantity"], row["cost"]) for row in found if row["unpriced"]] == [
        ("unheard-of", "7", "")
    ]


def test_rows_are_distinguished_by_the_labels_that_are_asked_for(export: Export) -> None:
    found = rows(export("--period", "2026-10", "--by", "team"))
    assert {(row["date"], row["team"], row["cost"], row["currency"]) for row in found} == {
        ("2026-10-05", "search", "3.5", "USD"),
        ("2026-10-06", "search", "12.5", "EUR"),
        ("2026-10-06", "support", "5", "USD"),
        ("2026-10-06", "support", "", ""),
    }


def test_a_part_and_any_days_can_be_asked_for(export: Export) -> None:
    found = rows(export("--from", "2026-10-06", "--to", "2026-11-01", "--where", "team=s*,model=gpt-*", "--by", "team"))
    assert [(row["date"], row["team"], row["cost"]) for row in found] == [
        ("2026-10-06", "support", "5"),
        ("2026-11-01", "search", "2.5"),
    ]


def test_json_lines_hold_the_same(export: Export) -> None:
    lines = [json.loads(line) for line in export("--period", "2026-10", "--format", "jsonl").splitlines()]
    assert cost(lines) == Decimal("8.50")


@pytest.mark.parametrize("form", ["csv", "parquet", "focus"])
def test_what_is_exported_can_be_read_again_with_the_same_sum(export: Export, form: str) -> None:
    export("--period", "2026-10", "--format", form, "--output", f"it.{form}")
    contents = read_table(open_table(Path(f"it.{form}")))
    sums = {"USD": Decimal(0), "EUR": Decimal(0)}
    for one in contents.costs:
        sums[one.cost.currency] += one.cost.amount
    assert sums == {"USD": Decimal("8.50"), "EUR": Decimal("12.50")}
    assert contents.layout == ("focus" if form == "focus" else "alertd-export")


FORMULAS = ('=HYPERLINK("http://x.example","open")', "+1+1", "-2+3", "@ana", "\uff1dcmd", "'quoted")


def test_no_cell_of_an_export_or_report_is_a_formula_and_the_export_is_read_again_as_it_was(export: Export) -> None:
    quoted = [name.replace('"', '""') for name in FORMULAS]
    lines = "".join(f'2026-10-07,openai,gpt-4o,1000,"{name}","{name}"\n' for name in quoted)
    Path("names.csv").write_text(f"date,provider,model,input_tokens,team,key\n{lines}")
    assert main(["import", "names.csv", "--env-file", "my.env"]) == 0
    export("--period", "2026-10", "--by", "team,key", "--output", "it.csv")
    assert not [row for row in rows(Path("it.csv").read_text()) if row["team"][:1] in {*"=+-@\uff1d"}]
    again = read_table(open_table(Path("it.csv")))
    assert {*FORMULAS} <= {one.labels["team"] for one in again.costs}
    budget = "ALERTD_BUDGETS__TEAMS__AMOUNT=5 USD\nALERTD_BUDGETS__TEAMS__PER=team\n"
    Path("my.env").write_text(f"ALERTD_DATABASE=sqlite:///alertd.db\n{budget}")
    words = ["--month", "2026-10", "--team", FORMULAS[0], "--out", "reports", "--env-file", "my.env"]
    assert main(["report", *words]) == 0
    (report,) = rows(next(Path("reports").glob("*.csv")).read_text())
    assert (report["team"], report["key"]) == (f"'{FORMULAS[0]}",) * 2


def test_a_focus_export_has_the_columns_that_1_2_asks_for(export: Export) -> None:
    found = rows(export("--period", "2026-10", "--format", "focus"))
    first = found[0]
    assert {"BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ProviderName", "Tags"} <= set(
        first
    )
    assert all(row["BilledCost"] and row["EffectiveCost"] and row["ServiceCategory"] for row in found)
    assert json.loads(first["Tags"])["team"] == "search"
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == ("2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timezone", "Mars"], "no such zone"),
        (["--period", "October"], "it is no month"),
        (["--from", "2026-11-02", "--to", "2026-11-01"], "is before"),
        (["--format", "parquet"], "name a file by --output"),
        (["--where", "team"], "--where"),
    ],
)
@pytest.mark.usefixtures("export")
def test_what_cannot_be_exported_is_said(capsys, words: list[str], said: str) -> None:
    assert main(["usage", "export", *words, "--env-file", "my.env"]) == 1
    assert said in capsys.readouterr().err
