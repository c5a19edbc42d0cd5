"""Budgets as code against the real daemon: a plan, an apply, a second one that changes nothing, and a conflict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import main
from tests.system.daemon import Daemon, env_file, wait_for

TOKENS = {"ada": "the-token-of-ada-0123456789", "team": "the-token-of-a-team-0123456789"}
FILE = """
[budgets.research]
amount = "500 USD"
where = {team = "research"}
thresholds = ["actual 80%", "actual 100%"]

[budgets.chat]
amount = "50 USD"
where = "team=chat"
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    hashes = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    (tmp_path / "tokens.toml").write_text(
        f'[tokens.ada]\nrole = "editor"\nhash = "{hashes["ada"]}"\n'
        f'[tokens.team]\nrole = "editor"\nhash = "{hashes["team"]}"\nlabels = {{team = "research"}}\n'
    )
    (tmp_path / "usage.csv").write_text("timestamp,provider,model,meter,quantity,team\n")
    settings = {
        "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_HTTP__TOKENS_FILE": f"{tmp_path}/tokens.toml",
        "ALERTD_SOURCES__FILE__KIND": "csv",
        "ALERTD_SOURCES__FILE__PATH": f"{tmp_path}/usage.csv",
        "ALERTD_BUDGETS__FIXED__AMOUNT": "900 USD",
        "ALERTD_NOTIFIERS__LOG__KIND": "console",
    }
    running = Daemon(env_file(tmp_path / "alertd.env", settings))
    wait_for("the page", lambda: running.port)
    monkeypatch.setenv("ALERTD_URL", f"http://127.0.0.1:{running.port}")
    monkeypatch.setenv("ALERTD_TOKEN", TOKENS["ada"])
    try:
        yield running
    finally:
        if running.ended() is None:
            running.stop()


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["budgets", *words])
    said: Any = capsys.readouterr()
    return status, said.out, said.err


def test_a_file_of_budgets_is_applied_once_and_a_conflict_is_told(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "budgets.toml"
    file.write_text(FILE)
    status, plan, _ = ask(capsys, "plan", str(file))
    assert status == 0
    assert "+ research\n    amount: 500 USD" in plan
    state = plan.rpartition("State: ")[2].strip()
    assert ask(capsys, "apply", str(file), "--if", state)[1].endswith("2 budgets changed.\n")
    assert ask(capsys, "apply", str(file))[1] == "Nothing to change.\n"
    assert ask(capsys, "plan", str(file))[1] == "Nothing to change.\n"

    exported = ask(capsys, "export")[1]
    assert "# ada, " in exported
    assert exported.endswith("# in the configuration, not stored: fixed\n")
    (tmp_path / "again.toml").write_text(exported)
    assert ask(capsys, "plan", str(tmp_path / "again.toml"), "--delete")[1] == "Nothing to change.\n"
    in_force = [line for line in daemon.lines if "2 budgets in the database" in line["message"]]
    wait_for("both in force", lambda: in_force or [x for x in daemon.lines if "2 budgets in" in x["message"]])

    # another editor is quicker
    file.write_text(FILE.replace("500 USD", "600 USD"))
    planned = ask(capsys, "plan", str(file))[1]
    assert "    amount: 500 USD -> 600 USD" in planned
    monkeypatch.setenv("ALERTD_TOKEN", TOKENS["team"])
    other = tmp_path / "other.toml"
    other.write_text(FILE.replace("500 USD", "550 USD"))
    assert ask(capsys, "apply", str(other))[0] == 0
    monkeypatch.setenv("ALERTD_TOKEN", TOKENS["ada"])
    status, _, said = ask(capsys, "apply", str(file), "--if", planned.rpartition("State: ")[2].strip())
    assert status == 1
    assert "have changed since that plan; last changed: " in said
    assert "research by team" in said  # beside "chat by ada" where both are of one second

    # bounds: labels, the configuration, files of the server
    monkeypatch.setenv("ALERTD_TOKEN", TOKENS["team"])
    other.write_text(FILE.replace("50 USD", "70 USD"))
    status, _, said = ask(capsys, "apply", str(other))
    assert (status, "you may change budgets with WHERE team=research only" in said) == (1, True)
    monkeypatch.setenv("ALERTD_TOKEN", TOKENS["ada"])
    for text, fault in (
        ('[budgets.fixed]\namount = "1 USD"', "is in alertd's configuration"),
        ('[budgets.x]\namount = "1 USD"\nper = "team"\ntable_file = "/etc/passwd"', "not for stored budgets"),
        ('[budgets.x]\namount = "much"', "is not an amount"),
        ('[budgets.x]\namount = "1 USD"\nnotify = "pager"', "no 'pager' in notifiers"),
    ):
        other.write_text(text)
        status, _, said = ask(capsys, "apply", str(other))
        assert (status, fault in said) == (1, True), said

    # all deleted, and gone after a restart
    other.write_text("")
    assert ask(capsys, "apply", str(other), "--delete")[1].endswith("2 budgets changed.\n")
    assert ask(capsys, "export")[1] == "# in the configuration, not stored: fixed\n"
