"""`alertd report --send`: each team's month by mail, once, with its page and CSV attached."""

from __future__ import annotations

import os
from email.message import EmailMessage
from pathlib import Path

import pytest

from alertd.cli import main
from tests.servers.smtp import SmtpServer

USAGE = """date,provider,model,input_tokens,output_tokens,team,key
2026-10-05,openai,gpt-4o,1000000,100000,search,ci
2026-10-06,openai,gpt-4o,2000000,0,support,bot
2026-11-01,openai,gpt-4o,1000000,0,search,ci
"""
WORDS = ["report", "--month", "2026-10", "--send", "mail", "--env-file", "my.env"]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """An env file without notifiers, and the usage of two teams in its database."""
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = tmp_path / "my.env"
    env.write_text(
        "ALERTD_DATABASE=sqlite:///alertd.db\nALERTD_BUDGETS__TEAMS__AMOUNT=5 USD\nALERTD_BUDGETS__TEAMS__PER=team\n"
    )
    Path("usage.csv").write_text(USAGE)
    assert main(["import", "usage.csv", "--env-file", "my.env"]) == 0
    capsys.readouterr()
    return env


def with_mail(env: Path, port: int, *lines: str, to: str = "{team}@example.com") -> None:
    mail = "ALERTD_NOTIFIERS__MAIL__"
    env.write_text(
        env.read_text()
        + f"{mail}KIND=email\n{mail}HOST=localhost\n{mail}PORT={port}\n{mail}SECURITY=none\n"
        + f"{mail}SENDER=alertd@example.com\n{mail}TO={to}\n"
        + "".join(f"{line}\n" for line in lines)
    )


def attached(mail: EmailMessage) -> dict[str, str]:
    return {str(one.get_filename()): str(one.get_content()) for one in mail.iter_attachments()}


def test_each_team_gets_its_month_once_with_the_page_and_the_figures(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SmtpServer() as server:
        with_mail(configured, server.port)
        assert main(WORDS) == 0
        assert "search: mailed to search@example.com" in capsys.readouterr().out
        assert sorted(to for (to,) in server.recipients) == ["search@example.com", "support@example.com"]
        mail = next(one for one in server.mails if one["To"] == "search@example.com")
        assert mail["Subject"] == "[info] team search: $3.50 of $5 (70%) in October 2026: monthly report"
        body = mail.get_body(("plain",))
        assert body is not None
        assert "By key: ci $3.50" in body.get_content()
        files = attached(mail)
        assert set(files) == {"search-2026-10.html", "search-2026-10.csv"}
        assert "2026-10-05,search,openai,gpt-4o,ci,3.5,USD," in files["search-2026-10.csv"]
        assert "team search: October 2026" in files["search-2026-10.html"]
        assert "–" in files["search-2026-10.html"], "a reader that shows it without a browser knows its encoding"
        assert main(WORDS) == 0
        assert "search: was mailed on" in capsys.readouterr().out
        assert len(server.mails) == 2
        assert main([*WORDS, "--team", "search", "--again"]) == 0
        assert len(server.mails) == 3
        assert server.mails[2]["Message-ID"] != mail["Message-ID"]


@pytest.mark.parametrize("name", ["team-mail", "TEAM_MAIL"])
def test_a_notifier_is_named_as_in_the_file_or_as_in_the_environment(configured: Path, name: str) -> None:
    with SmtpServer() as server:
        with_mail(configured, server.port)
        written = configured.read_text().replace("ALERTD_NOTIFIERS__MAIL__", "ALERTD_NOTIFIERS__TEAM_MAIL__")
        configured.write_text(written)
        assert main([name if word == "mail" else word for word in WORDS]) == 0
        assert len(server.mails) == 2


def test_a_mail_that_was_not_taken_is_said_and_sent_by_the_next_run(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SmtpServer(refuse={"search@example.com": "451 4.7.1 later"}) as server:
        with_mail(configured, server.port)
        assert main(WORDS) == 1
        assert "search: not mailed: mail: " in capsys.readouterr().err
        server.refuse = {}
        assert main(WORDS) == 0
        assert sorted(to for (to,) in server.recipients) == ["search@example.com", "support@example.com"]


@pytest.mark.parametrize(
    ("send", "line", "words"),
    [
        ("slack", "", "slack is no notifier of the kind email; there are: mail"),
        ("mail", "ALERTD_DRY_RUN=true", "ALERTD_DRY_RUN is on: nothing is sent"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    configured: Path, capsys: pytest.CaptureFixture[str], send: str, line: str, words: str
) -> None:
    with SmtpServer() as server:
        with_mail(configured, server.port, line)
        assert main([*WORDS[:-3], send, *WORDS[-2:]]) == 1
        assert words in capsys.readouterr().err
        assert server.mails == []


def test_a_report_needs_a_folder_or_a_notifier(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--month", "2026-10", "--env-file", str(configured)]) == 1
    assert "--out: or --send is needed" in capsys.readouterr().err
