"""`alertd rate`, as a user and as a program meet it; and a real trace rated in full."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price

from alertd.cli import main
from alertd.commands import rate

ROOT = Path(__file__).parents[2]
EXAMPLE_2 = """provider,model,meter,quantity,project
scaleway,llama-3.3-70b-instruct,input,800000,a
scaleway,llama-3.3-70b-instruct,output,2500000,b
scaleway,mistral-small-3.1-24b-instruct-2503,input,100000,a
scaleway,mistral-small-3.1-24b-instruct-2503,output,100000,b
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def alertd_rate(capsys) -> Callable[..., Done]:
    """The command, called as the command line calls it."""

    def call(*arguments: object) -> Done:
        parser = argparse.ArgumentParser()
        rate.add_arguments(parser)
        status = rate.run(parser.parse_args([str(argument) for argument in arguments]))
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def answer(tmp_path, alertd_rate) -> Callable[..., dict]:
    def of(text: str, *arguments: object) -> dict:
        file = tmp_path / "usage.csv"
        file.write_text(text, encoding="utf-8")
        done = alertd_rate("--usage", file, "--json", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return of


def test_the_command_needs_no_configuration_and_no_variable(tmp_path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(EXAMPLE_2)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
    command = [sys.executable, "-m", "alertd", "rate", "--usage", str(file), "--period", "2025-05", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=bare, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["totals"] == {"EUR": "3.20"}


def test_the_answer_has_the_promised_form(answer) -> None:
    said = answer(EXAMPLE_2 + "scaleway,unheard-of,input,7,a\n", "--period", "2025-05")
    fields = {
        "provider",
        "model",
        "meter",
        "quantity",
        "billed_quantity",
        "unit",
        "unit_price",
        "cost",
        "currency",
        "rule",
    }
    assert all(fields <= line.keys() for line in said["lines"])
    assert said["totals"] == {"EUR": "3.20"}
    assert [line["cost"] for line in said["lines"]] == ["0.00", "2.70", "0.15", "0.35"]
    assert (said["lines"][1]["quantity"], said["lines"][1]["billed_quantity"]) == (2_500_000, 3_000_000)
    assert said["lines"][1]["unit_price"] == "0.90"
    (unpriced,) = said["unpriced"]
    assert {"provider", "model", "meter", "quantity", "reason"} <= unpriced.keys()
    assert unpriced["quantity"] == 7


def test_a_currency_with_a_priced_line_is_in_the_totals_at_nothing_too(answer) -> None:
    text = "provider,model,meter,quantity\nscaleway,llama-3.3-70b-instruct,input,1\n"
    assert answer(text, "--period", "2025-05")["totals"] == {"EUR": "0.00"}


def test_each_month_is_rated_apart(answer) -> None:
    rows = "".join(f"scaleway,llama-3.3-70b-instruct,input,1000000,2025-0{month}-15\n" for month in (4, 5))
    text = "provider,model,meter,quantity,timestamp\n" + rows
    said = answer(text)
    assert said["totals"] == {"EUR": "0.00"}
    assert [line["month"] for line in said["lines"]] == ["2025-04", "2025-05"]
    assert [line["month"] for line in answer(text, "--period", "2025-05")["lines"]] == ["2025-05"]


def test_a_month_is_that_of_the_provider_behind_a_gateways_name(answer) -> None:
    text = "model,meter,quantity,timestamp,team\ndashscope/qwen-max,input,1000,2025-05-31T16:00:00Z,a\n"
    said = answer(text, "--period", "2025-06", "--by", "team")
    assert (said["lines"][0]["provider"], said["shares"]) == ("alibaba", {"a": {"USD": "0.0016"}})
    assert answer(text, "--period", "2025-05")["lines"] == []


def test_a_bill_is_shared_over_the_values_of_a_column_and_adds_up(answer) -> None:
    shares = answer(EXAMPLE_2, "--period", "2025-05", "--by", "project")["shares"]
    assert sum(Decimal(costs["EUR"]) for costs in shares.values()) == Decimal("3.20")
    assert shares == {"a": {"EUR": "0.82"}, "b": {"EUR": "2.38"}}


def test_a_price_file_of_ones_own_wins_and_brings_rates_of_exchange(tmp_path, answer) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[[price]]\nprovider="openai"\nmodel="gpt-4o"\ncurrency="USD"\ninput="2"\n'
        '[[fx]]\nbase="EUR"\nquote="USD"\nrate="1.25"\n'
    )
    text = "provider,model,meter,quantity\nopenai,gpt-4o,input,1000000\nscaleway,llama-3.3-70b-instruct,input,2000000\n"
    said = answer(text, "--period", "2025-05", "--prices", own, "--currency", "EUR")
    assert said["totals"] == {"USD": "2.00", "EUR": "0.90"}
    assert said["converted"] == {"EUR": "2.50"}


def test_a_currency_without_a_rate_is_a_fault_that_is_shown(tmp_path, alertd_rate) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("provider,model,meter,quantity\nopenai,gpt-4o,input,1000000\n")
    done = alertd_rate("--usage", file, "--period", "2025-05", "--currency", "CHF", "--json")
    assert done.returncode == 1
    (fault,) = json.loads(done.stdout)["faults"]
    assert re.fullmatch(r"no rate from USD to CHF on \d{4}-\d\d-01; give it as \[\[fx\]\] in a file of --prices", fault)


def test_a_person_sees_each_line_its_rule_and_the_sentence_that_justifies_it(tmp_path, alertd_rate) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(EXAMPLE_2)
    said = alertd_rate("--usage", file, "--period", "2025-05").stdout
    for part in (
        "2,500,000",
        "3,000,000",
        "2.70 EUR",
        "scaleway-a: The minimum billing unit",
        "total 3.20 EUR, untaxed",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "provider,model,meter,quantity\nopenai,gpt-4o,input,many\n",
            "usage.csv: line 2: column quantity holds no number",
        ),
        ("date,sum\n2026-03-01,5\n", "wanted are date, provider, model with a column per meter"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_rated_is_one_clear_error(tmp_path, alertd_rate, text, fault) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(text)
    done = alertd_rate("--usage", file, "--period", "2026-03", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert fault in done.stderr


def test_a_file_that_is_not_there_is_one_clear_error(alertd_rate) -> None:
    done = alertd_rate("--usage", "no-such.csv")
    assert done.returncode == 2
    assert "no-such.csv" in done.stderr


# --- the real trace ---


@pytest.fixture
def trace_file(recorded) -> Path:
    return recorded / "trace" / "usage_daily.csv"


@pytest.fixture
def trace(trace_file, alertd_rate) -> dict:
    done = alertd_rate("--usage", trace_file, "--json")
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_the_trace_is_rated_in_full_but_for_codex(trace, trace_file) -> None:
    with trace_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    used = {row["model"] for row in rows if any(int(row[name]) for name in row if name.endswith("_tokens"))}
    assert {one["model"] for one in trace["unpriced"]} == {"codex"}
    assert {line["model"] for line in trace["lines"]} == used - {"codex"}
    assert [sum(line["quantity"] for line in trace[part]) for part in ("lines", "unpriced")] == [
        _tokens(row for row in rows if row["model"] != "codex"),
        _tokens(row for row in rows if row["model"] == "codex"),
    ]


def test_the_trace_costs_to_the_cent_what_the_list_itself_computes_for_small_requests(trace, trace_file) -> None:
    ours: dict[str, Decimal] = defaultdict(Decimal)
    for line in trace["lines"]:
        ours[line["model"]] += Decimal(line["cost"])
    with trace_file.open(encoding="utf-8") as file:
        theirs = _independent(csv.DictReader(file))
    cent = Decimal("0.01")
    assert {model: cost.quantize(cent) for model, cost in ours.items()} == {
        model: cost.quantize(cent) for model, cost in theirs.items()
    }
    assert Decimal(trace["totals"]["USD"]).quantize(cent) == sum(theirs.values()).quantize(cent)
    print(f"\ntrace: {trace['totals']['USD']} USD, by genai-prices' own arithmetic {sum(theirs.values())} USD")


def _tokens(rows) -> int:
    """Every token once: cached ones are within OpenAI's input, and beside Anthropic's."""
    return sum(
        int(row["output_tokens"]) + max(within, 0) + int(row["cache_read_tokens"]) + int(row["cache_write_tokens"])
        for row in rows
        for within in (_uncached(row),)
    )


def _uncached(row) -> int:
    cached = int(row["cache_read_tokens"]) + int(row["cache_write_tokens"])
    total = int(row["input_tokens"])
    return total if row["provider"] == "anthropic" else total - cached


def _independent(rows) -> dict[str, Decimal]:
    """genai-prices' own arithmetic, each row as equal requests too small for any tier, and one with what is left."""
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        counts = [
            _uncached(row),
            *(int(row[name]) for name in ("cache_read_tokens", "cache_write_tokens", "output_tokens")),
        ]
        if row["model"] == "codex" or not any(counts):
            continue
        requests = sum(counts[:3]) // 100_000 + 1
        small, rest = ([step(count, requests) for count in counts] for step in (int.__floordiv__, int.__mod__))
        costs[row["model"]] += requests * _listed(row, *small) + _listed(row, *rest)
    return costs


def _listed(row, uncached: int, read: int, written: int, output: int) -> Decimal:
    usage = ListUsage(
        input_tokens=uncached + read + written, cache_read_tokens=read, cache_write_tokens=written, output_tokens=output
    )
    at = datetime.fromisoformat(row["date"]).replace(hour=12, tzinfo=UTC)
    return calc_price(usage, row["model"], provider_id=row["provider"], genai_request_timestamp=at).total_price


@pytest.mark.parametrize(
    ("text", "dollars"),
    [
        ("date,provider,model,requests,input_tokens\n2026-11-20,perplexity,sonar-pro,1000,1000000", "17.00"),
        ("date,provider,model,requests,input_tokens\n2026-11-20,,sonar-pro,1000,1000000", "17.00"),
        ("date,provider,model,requests,input_tokens\n2026-11-20,openai,gpt-4o,1000,1000000", "2.50"),
        ("date,provider,model,batch,input_tokens\n2026-11-20,openai,gpt-4o,batch_abc123,1000000", "1.25"),
        ("date,provider,model,batch,input_tokens\n2026-11-20,openai,gpt-4o,,1000000", "2.50"),
        ("date,provider,model,region,input_tokens\n2026-11-20,openai,gpt-4o,us-east-1,1000000", "2.50"),
    ],
)
def test_fees_for_calls_ids_of_batches_and_regions_are_understood(tmp_path: Path, capsys, text, dollars) -> None:
    (tmp_path / "usage.csv").write_text(text)
    assert main(["rate", "--usage", str(tmp_path / "usage.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"] == {"USD": dollars}


def test_the_money_of_a_bill_is_the_total_and_its_tokens_an_estimate(tmp_path, alertd_rate) -> None:
    file = tmp_path / "activity.csv"
    file.write_text(
        "Date,Slug,Usage,BYOK Usage,Requests\n2026-11-20,openai/gpt-5,430.07,0,5\n2026-11-21,a/b,505.87,0,1\n"
    )
    said = json.loads(alertd_rate("--usage", file, "--json").stdout)
    assert said["totals"] == {"USD": "935.94"}
    assert [one["model"] for one in said["billed"]] == ["openai/gpt-5", "a/b"]
    assert "total 935.94 USD" in alertd_rate("--usage", file).stdout


@pytest.mark.parametrize("command", [["rate"], ["replay", "--budget", "10 USD"]], ids=" ".join)
def test_a_file_comes_from_standard_input_and_from_a_pipe(command: list[str]) -> None:
    text = b"date,provider,model,cost\n2026-11-20,openai,gpt-4o,12\n"
    outputs = set()
    for name in ("-", "/dev/stdin"):
        run = [sys.executable, "-m", "alertd", *command, "--usage", name, "--json"]
        done = subprocess.run(run, input=gzip.compress(text), capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        outputs.add(done.stdout)
    (answer,) = outputs
    assert b"12" in answer
