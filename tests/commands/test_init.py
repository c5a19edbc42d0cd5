"""`alertd init` finds the counters of a real small server and writes an env file that the daemon takes."""

from __future__ import annotations

import asyncio
import io
import json
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.clients.local_files import quoted
from alertd.commands._discovery import find
from alertd.settings import load_settings
from tests.servers.billing import Asked, Reply, Server, serving
from tests.servers.prometheus import Memory, prometheus

LITELLM = """\
# TYPE litellm_input_tokens_metric_total counter
litellm_input_tokens_metric_total{model="gpt-5",team_alias="search",api_key_alias="ci"} 100
# TYPE litellm_output_tokens_metric_total counter
litellm_output_tokens_metric_total{model="gpt-5",team_alias="search",api_key_alias="ci"} 50
"""
VLLM = 'vllm:prompt_tokens_total{model_name="llama"} 7\nvllm:generation_tokens_total{model_name="llama"} 3\n'
OTHER = 'acme_llm_tokens_total{model="x"} 1\n'


@contextmanager
def page(text: str) -> Iterator[Server]:
    def answer(asked: Asked) -> Reply:
        if asked.path != "/metrics":
            return Reply({"detail": "not found"}, 404)
        return Reply(text, headers={"Content-Type": "text/plain; version=0.0.4"})

    with serving(answer) as server:
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def written(file: str = "alertd.env") -> dict[str, str]:
    lines = [line for line in Path(file).read_text().splitlines() if line and not line.startswith("#")]
    return {name.removeprefix("ALERTD_"): value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("text", "path", "preset"),
    [(LITELLM, "/metrics", "litellm"), (LITELLM, "", "litellm"), (VLLM, "/metrics", "vllm")],
    ids=["a page by its address", "a page by its host alone", "another exporter"],
)
def test_the_counters_of_a_metrics_page_are_found(text: str, path: str, preset: str) -> None:
    with page(text) as server:
        assert main(["init", "--yes", "--url", server.url + path]) == 0
        assert written() == {
            "DATABASE": "sqlite:///alertd.db",
            "SOURCES__GATEWAY__KIND": "scrape",
            "SOURCES__GATEWAY__URL": f"{server.url}/metrics",
            "SOURCES__GATEWAY__PRESET": preset,
            "BUDGETS__SPEND__AMOUNT": "500 USD",
            "NOTIFIERS__OPS__KIND": "console",
        }
        assert main(["check", "--env-file", "alertd.env"]) == 0, "the daemon finds them with this file"


def test_the_counters_of_a_prometheus_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    memory = Memory()
    memory.add("vllm:prompt_tokens_total", [(time.time(), "5")], model_name="llama")
    with prometheus(memory) as server:
        assert main(["init", "--yes", "--json", "--url", server.url]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["found"]
    assert said["source"] == {"kind": "prometheus", "url": server.url, "preset": "vllm"}
    with prometheus(memory) as server:
        assert main(["init", "--yes", "--out", "other.env", "--url", server.url]) == 0
    assert "\nFound 1 token counter of 1 model (vllm).\n" in capsys.readouterr().out


def test_a_person_is_asked_and_a_wrong_answer_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with page(LITELLM) as server:
        host = server.url.removeprefix("http://")
        answers(monkeypatch, host, "lots", "300 EUR", "team", "https://hooks.slack.com/services/T0/B0/zzz")
        assert main(["init"]) == 0
    said = capsys.readouterr().out
    assert "'lots' is not an amount; write it as 500 USD or 5M tokens" in said
    assert "(team, key)" in said, "it offers the labels that it saw"
    assert "zzz" not in said
    found = load_settings({}, ["alertd.env"], need=("sources", "budgets", "notifiers"))
    assert (str(found.budgets["spend"].amount), found.budgets["spend"].per) == ("300 EUR", ("team",))
    assert found.notifiers["ops"].kind == "slack"


def test_an_e_mail_address_asks_for_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with page(LITELLM) as server:
        answers(monkeypatch, server.url, "", "", "ana@example.com", "smtp.example.com", "alertd@example.com", "")
        assert main(["init"]) == 0
    options = load_settings({}, ["alertd.env"]).notifiers["ops"].options
    assert (options.host, options.sender, options.to) == ("smtp.example.com", "alertd@example.com", ["ana@example.com"])


def test_only_its_owner_can_read_the_file_and_it_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    with page(LITELLM) as server:
        words = ["init", "--yes", "--url", f"{server.url}/metrics", "--out", "my.env"]
        assert main(words) == 0
        assert stat.S_IMODE(Path("my.env").stat().st_mode) == 0o600
        Path("my.env").write_text("mine\n")
        assert main(words) == 1
    assert Path("my.env").read_text() == "mine\n"
    assert "my.env is there already and is left as it is; name another with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "much"], "'much' is not an amount; write it as 500 USD or 5M tokens"),
        (["--notify", "slak"], "no 'slak' in notifiers"),
        (["--notify", "ana@"], "one of these is no e-mail address"),
        (["--url", "ftp://x"], "write it with http:// or https://"),
        (["--out", "nowhere/x.env"], "nowhere/x.env cannot be written (No such file or directory)"),
    ],
)
def test_what_is_given_and_wrong_writes_nothing(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with page(LITELLM) as server:
        assert main(["init", "--yes", "--url", f"{server.url}/metrics", *words]) == 1
    assert said in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_nobody_at_the_terminal_is_told_of_the_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch)
    assert main(["init"]) == 1
    assert "no answer; give it as an option" in capsys.readouterr().err
    assert not Path("alertd.env").exists()


def test_an_address_without_counters_says_what_looks_like_some_and_writes_the_file_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with page(OTHER) as server:
        assert main(["init", "--yes", "--url", f"{server.url}/metrics"]) == 0
    said = capsys.readouterr().out
    assert "these look like token counters: acme_llm_tokens_total" in said
    assert "alertd check looks again" in said
    assert said.count("\n") < 12, "eleven presets that are absent are not eleven lines"
    assert written()["SOURCES__GATEWAY__KIND"] == "scrape"


@pytest.mark.parametrize("value", ["plain", "500 USD", "it's", 'say "x"', "a #b", "back\\slash", "https://u:p@h/$x"])
def test_a_value_reads_back_as_it_was(folder: Path, value: str) -> None:
    (folder / "x.env").write_text(f"ALERTD_BUDGETS__A__OWNER={quoted(value)}\nALERTD_BUDGETS__A__AMOUNT=1 USD\n")
    assert load_settings({}, ["x.env"]).budgets["a"].owner == value


def test_a_label_that_no_counter_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with page(LITELLM) as server:
        assert main(["init", "--yes", "--url", f"{server.url}/metrics", "--per", "tema"]) == 0
    said = capsys.readouterr().out
    assert "No counter has the label tema; there are: " in said
    assert "did you mean team?" in said


def test_a_gateways_root_that_wants_a_token_becomes_its_page_of_metrics_and_says_so():
    def answer(asked):
        return Reply("no key", 401) if asked.path.startswith("/metrics") else Reply("not here", 404)

    with serving(answer) as server:
        found = asyncio.run(find(server.url))
    assert found.keys["ALERTD_SOURCES__GATEWAY__KIND"] == "scrape"
    assert found.keys["ALERTD_SOURCES__GATEWAY__URL"] == f"{server.url}/metrics"
    assert any("TOKEN_FILE" in line for line in found.tried)


def test_a_second_gateway_on_the_same_page_is_named():
    page = 'litellm_input_tokens_metric_total{model="m"} 5\nvllm:prompt_tokens_total{model_name="q"} 5\n'
    with serving(lambda _: Reply(page, 200, {"Content-Type": "text/plain"})) as server:
        found = asyncio.run(find(f"{server.url}/metrics"))
    assert found.keys["ALERTD_SOURCES__GATEWAY__PRESET"] == "litellm"
    assert found.tried == ("Counters of vllm are there too; to read them, add a source with PRESET=vllm",)


def test_a_server_is_asked_a_few_questions_however_many_presets_there_are() -> None:
    memory = Memory()
    memory.add("vllm:prompt_tokens_total", [(time.time(), "5")], model_name="llama")
    with prometheus(memory) as server:
        found = asyncio.run(find(server.url))
    assert found.keys["ALERTD_SOURCES__GATEWAY__PRESET"] == "vllm"
    assert len(server.asked) <= 2
    with prometheus(Memory()) as server:
        assert asyncio.run(find(server.url)).look is None
    assert len(server.asked) <= 8


def test_a_page_is_read_a_few_times_however_many_presets_there_are() -> None:
    with page(VLLM) as server:
        assert asyncio.run(find(f"{server.url}/metrics")).look is not None
    assert len(server.asked) <= 2


def test_a_counter_that_was_idle_for_hours_is_found() -> None:
    memory = Memory()
    memory.add("claude_code_token_usage_tokens_total", [(time.time() - 40_000, "5")], type="input", model="m")
    with prometheus(memory) as server:
        found = asyncio.run(find(server.url))
    assert found.keys["ALERTD_SOURCES__GATEWAY__PRESET"] == "claude_code"


def test_a_server_without_a_list_of_names_is_asked_preset_by_preset() -> None:
    memory = Memory()
    memory.add("vllm:prompt_tokens_total", [(time.time(), "5")], model_name="llama")

    def answer(asked: Asked) -> Reply:
        return Reply("no", 403) if asked.path.endswith("/values") else memory.answer(asked)

    with serving(answer) as server:
        found = asyncio.run(find(server.url))
    assert found.keys["ALERTD_SOURCES__GATEWAY__PRESET"] == "vllm"


@contextmanager
def guarded(token: str) -> Iterator[Server]:
    def answer(asked: Asked) -> Reply:
        if asked.path != "/metrics":
            return Reply({"detail": "not found"}, 404)
        if asked.headers.get("authorization") != f"Bearer {token}":
            return Reply({"detail": "no key"}, 401)
        return Reply(LITELLM, headers={"Content-Type": "text/plain; version=0.0.4"})

    with serving(answer) as server:
        yield server


def test_a_token_is_asked_for_where_401_comes_and_stays_out_of_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *_: "sk-0123456789")
    with guarded("sk-0123456789") as server:
        answers(monkeypatch, server.url, "", "", "", "")
        assert main(["init"]) == 0
        assert main(["check", "--env-file", "alertd.env"]) == 0
    assert written()["SOURCES__GATEWAY__TOKEN"] == "sk-0123456789"
    assert written()["SOURCES__GATEWAY__URL"] == f"{server.url}/metrics"
    assert "sk-0123456789" not in capsys.readouterr().out


def test_a_token_from_a_file_is_used_and_the_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("key").write_text("sk-0123456789\n")
    with guarded("sk-0123456789") as server:
        assert main(["init", "--yes", "--json", "--url", server.url, "--token-file", "key"]) == 0
        assert main(["check", "--env-file", "alertd.env"]) == 0
    assert written()["SOURCES__GATEWAY__TOKEN_FILE"] == "key"
    assert "sk-0123456789" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "preset", "more"),
    [
        (LITELLM.replace("litellm_", "prod_litellm_"), "litellm",
         {"TYPE_LABEL": "__name__", "TYPE_MAP": "prod_litellm_input_tokens_metric_total=input,"
                                                "prod_litellm_output_tokens_metric_total=output"}),
        ('shepherd_gen_ai_client_token_usage_sum{gen_ai_token_type="input",team="search"} 5\n', "otel",
         {"METRIC": "shepherd_gen_ai_client_token_usage_sum"}),
    ],
    ids=["a metric for each meter", "a type label"],
)  # fmt: skip
def test_counters_that_were_renamed_on_the_way_are_found_with_the_options_that_read_them(
    text: str, preset: str, more: dict[str, str]
) -> None:
    with page(text) as server:
        assert main(["init", "--yes", "--url", f"{server.url}/metrics"]) == 0
        assert main(["check", "--env-file", "alertd.env"]) == 0
    found = {name.removeprefix("SOURCES__GATEWAY__"): value.strip("\"'") for name, value in written().items()}
    assert found["PRESET"] == preset
    assert {name: found[name] for name in more} == more
