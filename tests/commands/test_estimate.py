"""`alertd estimate`: a fine-tuning job's price before it runs, by the formula and by Together's own interface."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from alertd.cli import main
from tests.servers.billing import Reply, serving

LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    status = main(["estimate", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "tokens", "dollars"),
    [
        (["--training-tokens", "65.536M", "--evals", "10", "--validation-tokens", "1M"], 75_536_000, "36.25728"),
        (["--training-tokens", "10000", "--epochs", "3"], 30_000, "0.0144"),
        (["--examples", "100", "--longest", "8192"], 819_200, "0.393216"),
        (["--training-tokens", "1M", "--method", "dpo", "--type", "full"], 1_000_000, "1.35"),
        (["--training-tokens", "1M", "--parameters", "70B"], 1_000_000, "2.90"),
    ],
)
def test_a_job_costs_its_tokens_at_the_rate_of_its_size_method_and_type(capsys, words, tokens, dollars) -> None:
    status, found = answer(capsys, "--model", LLAMA, *words)
    assert status == 0
    assert (found["tokens"], found["price"], found["currency"]) == (tokens, dollars, "USD")


def test_a_rate_that_is_not_known_has_lines_to_paste_that_make_it_known(here: Path, capsys) -> None:
    words = ["--model", "acme/llama-405b", "--training-tokens", "2M"]
    status, found = answer(capsys, *words)
    assert status == 1
    (here / "own.toml").write_text(found["block"].replace('training = "8.00"', 'training = "11"'))
    status, found = answer(capsys, *words, "--prices", "own.toml")
    assert (status, found["price"]) == (0, "22")


def env(here: Path, url: str) -> None:
    (here / "alertd.env").write_text(
        f"ALERTD_SOURCES__TUNING__KIND=together\nALERTD_SOURCES__TUNING__API_KEY=tg-secret\n"
        f"ALERTD_SOURCES__TUNING__URL={url}\nALERTD_BUDGETS__ALL__AMOUNT=100 USD\n"
    )


def test_together_s_own_estimate_is_asked_for_with_the_job_as_it_would_be_created(here: Path, capsys) -> None:
    said = {"estimation_available": True, "estimated_total_price": 36.25728, "allowed_to_proceed": False,
            "estimated_train_token_count": 65_536_000, "estimated_eval_token_count": 10_000_000,
            "user_limit": 25.5}  # fmt: skip
    words = ["--source", "tuning", "--model", LLAMA, "--training-file", "file-1", "--epochs", "3", "--type", "full"]
    with serving(lambda _: Reply(said)) as server:
        env(here, server.url)
        status, found = answer(capsys, *words)
        main(["estimate", *words])
    assert status == 0
    assert (found["tokens"], found["price"], found["allowed"], found["limit"]) == (
        75_536_000,
        "36.25728",
        False,
        "25.5",
    )
    assert "it may not start: 25.50 USD are left of the limit" in capsys.readouterr().out
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/v1/fine-tunes/estimate-price")
    assert asked.headers["authorization"] == "Bearer tg-secret"
    assert json.loads(asked.body) == {
        "training_file": "file-1", "model": LLAMA, "n_epochs": 3, "n_evals": 0,
        "training_method": {"method": "sft"}, "training_type": {"type": "Full"},
    }  # fmt: skip


def test_where_together_has_no_estimate_its_reason_is_said(here: Path, capsys) -> None:
    said = {"estimation_available": False, "unavailable_reason": "train_file_not_validated"}
    with serving(lambda _: Reply(said)) as server:
        env(here, server.url)
        status, found = answer(capsys, "--source", "tuning", "--model", LLAMA, "--training-file", "file-1")
    assert (status, found["reason"]) == (1, "train_file_not_validated")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", LLAMA], "there are no training tokens; give it"),
        (["--model", LLAMA, "--source", "tunning"], "no source 'tunning' of kind together"),
        (["--model", LLAMA, "--source", "tuning"], "give the file's id"),
    ],
)
def test_a_job_that_says_too_little_is_refused_with_what_to_give(here: Path, capsys, words, said) -> None:
    env(here, "http://127.0.0.1:1")
    assert main(["estimate", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_part_of_an_epoch_is_refused_and_not_cut_off(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["estimate", "--model", LLAMA, "--tokens", "20M", "--epochs", "1.5"])
    assert ended.value.code == 2
    assert "'1.5' is not a whole number" in capsys.readouterr().err


def test_an_answer_that_is_no_estimate_is_a_fault_at_the_source(here: Path, capsys) -> None:
    with serving(lambda _: Reply({"error": {"message": "no such file"}}, 404)) as server:
        env(here, server.url)
        assert main(["estimate", "--source", "tuning", "--model", LLAMA, "--training-file", "file-9"]) == 1
    assert "404" in capsys.readouterr().err
