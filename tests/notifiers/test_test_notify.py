"""`alertd test-notify` sends samples, or writes them, and its exit status says whether they were taken."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.core.messages.samples import SAMPLES
from tests.servers.slack import TOKEN, SlackServer


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my.env"


def written(env_file: Path, *lines: str) -> list[str]:
    env_file.write_text("\n".join(lines))
    return ["--env-file", str(env_file)]


def test_a_sample_of_every_kind_reaches_slack(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SlackServer() as server:
        words = written(
            env_file,
            "ALERTD_NOTIFIERS__OPS__KIND=slack",
            f"ALERTD_NOTIFIERS__OPS__BOT_TOKEN={TOKEN}",
            "ALERTD_NOTIFIERS__OPS__CHANNEL=#ops",
            f"ALERTD_NOTIFIERS__OPS__API_URL={server.api_url}",
        )
        assert main(["test-notify", "ops", "--event", "all", "--json", *words]) == 0
        assert main(["test-notify", "OPS", *words]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()[: len(SAMPLES)]]
    assert [one["event"] for one in told] == list(SAMPLES)
    assert len(server.messages) == len(SAMPLES) + 1
    assert "delivered late" not in json.dumps(server.messages)
    assert "Test message from alertd" in server.messages[-1]["text"]


def test_a_refusal_is_exit_status_1_with_the_remedy(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SlackServer(archived={"C024BE91L"}) as server:
        words = written(
            env_file,
            "ALERTD_NOTIFIERS__OPS__KIND=slack",
            f"ALERTD_NOTIFIERS__OPS__BOT_TOKEN={TOKEN}",
            "ALERTD_NOTIFIERS__OPS__CHANNEL=#ops",
            f"ALERTD_NOTIFIERS__OPS__API_URL={server.api_url}",
        )
        assert main(["test-notify", "ops", *words]) == 1
    assert "the channel is archived" in capsys.readouterr().err


def test_out_writes_the_mail_and_sends_nothing(env_file: Path, tmp_path: Path) -> None:
    words = written(
        env_file,
        "ALERTD_NOTIFIERS__MAIL__KIND=email",
        "ALERTD_NOTIFIERS__MAIL__HOST=no-such-host.invalid",
        "ALERTD_NOTIFIERS__MAIL__SENDER=alertd@example.com",
        "ALERTD_NOTIFIERS__MAIL__TO=ana@example.com",
    )
    assert main(["test-notify", "mail", "--event", "forecast", "--out", str(tmp_path / "out"), *words]) == 0
    mail = message_from_bytes((tmp_path / "out" / "forecast.eml").read_bytes(), policy=default)
    assert "research will probably go over" in mail["Subject"]


def test_an_unknown_notifier_names_those_that_there_are(env_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(env_file, "ALERTD_NOTIFIERS__OPS__KIND=console")
    assert main(["test-notify", "opps", *words]) == 1
    assert "ops" in capsys.readouterr().err
