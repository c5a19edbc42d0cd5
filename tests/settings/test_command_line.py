"""The command line: one command's file, its exit status, and nothing that a person did not ask for."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alertd import __version__
from alertd.cli import INTERRUPTED, PIPE_CLOSED, coloured, command_names, main, print_faults
from alertd.core.config_errors import Fault, SettingsError
from alertd.registry import kinds
from tests.system.daemon import interruptible

ROOT = Path(__file__).parents[2]
ALERTD = [sys.executable, "-m", "alertd"]
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"alertd {__version__}\n"


def test_help_lists_every_command_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    sentences = {
        words[0]: words[1] for line in lines if re.match(r"  \S", line) and len(words := line.split(maxsplit=1)) > 1
    }
    assert sorted(sentences) == command_names()
    assert {"kinds", "project"} <= set(command_names())
    assert "_configured" not in command_names()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["projct"], "alertd: no command 'projct'; did you mean alertd project?"),
        (["zzz"], "alertd: no command 'zzz'; there are: "),
        (["../cli"], "alertd: no command '../cli'; there are: "),
        (["_configured"], "alertd: no command '_configured'; there are: "),
        ([], "usage: alertd"),
        (
            ["kinds", "sorces"],
            "alertd kinds: no group 'sorces'; there are: notifiers, revokers, settings, sources",
        ),
        (["kinds", "notifiers", "slak"], "alertd kinds: no 'slak' in notifiers; there are: "),
    ],
)
def test_a_wrong_use_is_answered_with_what_was_meant_and_status_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert printed.out == ""


def test_an_unknown_option_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["kinds", "--nonsense"])
    assert refused.value.code == 2
    assert "usage: alertd kinds" in capsys.readouterr().err


def test_faults_of_the_configuration_are_lines_on_standard_error_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("ALERTD_SOURCES__GATEWAY__URL=http://tap\nALERTD_BUDGETS__RESEARCH__OWNER=@ana\n")
    run = subprocess.run(
        [*ALERTD, "run", "--env-file", "my.env"], cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines() == [
        f"ALERTD_SOURCES__GATEWAY__KIND: required; write {' or '.join(kinds('sources'))}",
        "ALERTD_BUDGETS__RESEARCH__AMOUNT: required; write it as 500 USD",
    ]


def test_faults_are_json_for_who_asks_for_json(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("ALERTD_DATBASE=x\n")
    words = [*ALERTD, "check", "--json", "--env-file", "my.env"]
    run = subprocess.run(words, cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False)
    answer = json.loads(run.stdout)
    assert (run.returncode, answer["ok"]) == (1, False)
    assert answer["faults"][0] == {
        "place": "ALERTD_DATBASE (my.env:1)",
        "problem": "no such key",
        "remedy": "did you mean ALERTD_DATABASE?",
    }
    assert "\n".join("{place}: {problem}; {remedy}".format(**fault) for fault in answer["faults"]) == run.stderr.strip()


def test_the_place_of_a_fault_is_bold_on_a_terminal_and_plain_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    error = SettingsError([Fault("ALERTD_X", "no such key", "leave it out"), Fault("ALERTD_Y", "required")])
    paper, terminal = io.StringIO(), Terminal()
    print_faults(error, paper)
    print_faults(error, terminal)
    assert paper.getvalue() == "ALERTD_X: no such key; leave it out\nALERTD_Y: required\n" == f"{error}\n"
    assert terminal.getvalue().startswith("\x1b[1;31mALERTD_X\x1b[0m: no such key")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(terminal)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(terminal)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*ALERTD, "completion", "man"], env=BARE, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (run.returncode, run.stderr) == (PIPE_CLOSED, b"")


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                                         {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])  # fmt: skip
def test_an_output_without_a_sign_gets_a_question_mark(environment: dict[str, str]) -> None:
    run = [sys.executable, "-m", "alertd", "formats"]
    done = subprocess.run(run, env=os.environ | environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "?" in done.stdout.decode("latin-1")


def test_a_full_device_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        run = [sys.executable, "-m", "alertd", "formats"]
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"alertd: no space is left on the device that it writes to\n")


def test_ctrl_c_is_no_traceback(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    os.mkfifo(jobs)
    command = subprocess.Popen(
        [*ALERTD, "project", str(jobs)], env=BARE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=interruptible,  # noqa: PLW1509 - a signal's default, no lock
    )  # fmt: skip
    with jobs.open("w"):  # opens when the command opens it to read, so it waits in there from now on
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=120)
    assert (command.returncode, out, err) == (INTERRUPTED, b"", b"")


def test_a_small_command_imports_neither_the_configuration_nor_other_commands() -> None:
    program = (
        "import sys; from alertd.cli import main; status = main(sys.argv[1:]);"
        "print([m for m in sys.modules if m.split('.')[0] in {'pydantic', 'rich', 'httpx', 'starlette'}"
        " or m.startswith(('alertd.settings', 'alertd.commands.'))], file=sys.stderr); sys.exit(status)"
    )
    for words, loaded in (["--help"], []), (["project", os.devnull], ["alertd.commands.project"]):
        run = subprocess.run(
            [sys.executable, "-c", program, *words], env=BARE, capture_output=True, text=True, check=True
        )
        assert run.stderr.strip() == str(loaded)


# --- alertd kinds ---


def test_kinds_without_a_word_lists_every_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {group: sorted(found) for group, found in listed.items()} == {
        group: kinds(group) for group in ("sources", "notifiers", "revokers")
    }
    assert all(sentence for found in listed.values() for sentence in found.values())


def test_kinds_finds_the_group_of_a_kind_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "slack"]) == 0
    alone = capsys.readouterr().out
    assert main(["kinds", "notifiers", "slack"]) == 0
    assert alone == capsys.readouterr().out
    assert main(["kinds", "webhook"]) == 2
    assert capsys.readouterr().err == (
        "alertd kinds: webhook is a kind of notifiers and revokers; name the group before it\n"
    )
    assert main(["kinds", "slac"]) == 2
    assert capsys.readouterr().err.endswith("; did you mean slack?\n")


def test_kinds_of_one_kind_shows_every_key_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "notifiers", "slack"]) == 0
    text = capsys.readouterr().out
    assert "ALERTD_NOTIFIERS__<NAME>__WEBHOOK_URL  (secret; optional)\n    An incoming webhook" in text
    assert "ALERTD_NOTIFIERS__<NAME>__TIMEOUT  (duration; default 30s)" in text
    assert main(["kinds", "notifiers", "slack", "--json"]) == 0
    keys = {key["name"]: key for key in json.loads(capsys.readouterr().out)}
    assert keys["ALERTD_NOTIFIERS__<NAME>__BOT_TOKEN"]["secret"] is True
    assert keys["ALERTD_NOTIFIERS__<NAME>__KIND"]["required"] is True


def test_kinds_settings_shows_the_keys_that_are_no_plug_ins(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds", "settings", "--json"]) == 0
    keys = {key["name"]: key for key in json.loads(capsys.readouterr().out)}
    assert keys["ALERTD_POLL_INTERVAL"]["default"] == "1m"
    assert keys["ALERTD_DIGEST"]["type"] == "weekly, daily or off"
    assert (
        keys["ALERTD_HTTP__LISTEN"] | {"type": "host:port", "default": "127.0.0.1:9480"} == keys["ALERTD_HTTP__LISTEN"]
    )
    assert keys["ALERTD_BUDGETS__<NAME>__AMOUNT"]["required"] is True
    assert all(key["description"] for key in keys.values())
