"""`alertd replay` on files as people have them: buckets are as long as they are, and money can be replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alertd.cli import main

HEAD = "start_time,end_time,start_time_iso,end_time_iso,model,input_tokens,output_tokens,cached_input_tokens\n"
FIRST, DAY = 1795478400, 86_400  # 2026-11-24


def buckets(tokens: int) -> str:
    return HEAD + "".join(
        f"{FIRST + DAY * day},{FIRST + DAY * (day + 1)},2026-11-{24 + day}T00:00:00+00:00,"
        f"2026-11-{25 + day}T00:00:00+00:00,gpt-5,{tokens},2500000,0\n"
        for day in range(5)
    )


@pytest.mark.parametrize(
    "text",
    [
        buckets(60_000_000),
        buckets(60_000_000).replace(",", "\t"),
        "date,cost\n" + "".join(f"2026-11-{24 + day},100\n" for day in range(5)),
        "date,model,input_tokens,output_tokens\n"
        + "".join(f"2026-11-{24 + day},gpt-5,60000000,2500000\n" for day in range(5)),
    ],
    ids=["buckets", "tabs", "costs", "days"],
)
def test_five_even_days_of_100_raise_no_alert_of_5000(tmp_path: Path, capsys, text: str) -> None:
    file = tmp_path / "usage.txt"
    file.write_text(text)
    assert main(["replay", "--usage", str(file), "--budget", "5000 USD", "--json"]) == 0
    (summary,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert summary["summary"]["periods"] == 1


def test_a_budget_that_is_exceeded_is_a_crossing_by_tokens_and_by_money(tmp_path: Path, capsys) -> None:
    for name, text in (("usage.csv", buckets(60_000_000)), ("cost.csv", "date,cost\n2026-11-03,300\n2026-11-04,300\n")):
        (tmp_path / name).write_text(text)
        assert main(["replay", "--usage", str(tmp_path / name), "--budget", "450 USD", "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["crossings"] == 1


def test_money_without_a_rate_is_said_and_the_json_stays_json(tmp_path: Path, capsys) -> None:
    file = tmp_path / "bill.csv"
    file.write_text("date,provider,model,cost\n2026-11-20,openai,gpt-4o,12\n")
    said = "not counted: the bill of gpt-4o: no rate from USD to EUR; give it as [[fx]] in a file of --prices\n"
    assert main(["replay", "--usage", str(file), "--budget", "10 EUR", "--json"]) == 0
    answer = capsys.readouterr()
    assert json.loads(answer.out)["summary"]["crossings"] == 0
    assert answer.err == said
    assert main(["replay", "--usage", str(file), "--budget", "10 EUR"]) == 0
    assert " ".join(said.split()) in " ".join(capsys.readouterr().out.split())
    rates = tmp_path / "fx.toml"
    rates.write_text('[[fx]]\nbase = "USD"\nquote = "EUR"\nrate = "0.9"\nfrom = 2026-01-01\nsource = "ECB"\n')
    assert main(["replay", "--usage", str(file), "--budget", "10 EUR", "--json", "--prices", str(rates)]) == 0
    answer = capsys.readouterr()
    assert (json.loads(answer.out.splitlines()[-1])["summary"]["crossings"], answer.err) == (1, "")
