"""What commands say: helps that are alike and complete, and for every wrong word one line with its remedy."""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import Parser, command_names, main

ROOT = Path(__file__).parents[2]
GOOD = """\
ALERTD_DATABASE=sqlite:///alertd.db
ALERTD_SOURCES__GATEWAY__KIND=scrape
ALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:9
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__TEAMS__AMOUNT=500 USD
ALERTD_BUDGETS__TEAMS__PER=team
ALERTD_NOTIFIERS__OPS__KIND=console
"""
USAGE = "timestamp,provider,model,meter,quantity\n2026-03-01,openai,gpt-4o,input,5\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "my.env").write_text(GOOD)
    (tmp_path / "usage.csv").write_text(USAGE)
    (tmp_path / "timeless.csv").write_text("provider,model,meter,quantity\nopenai,gpt-4o,input,5\n")


def command(name: str) -> Any:
    return import_module(f"alertd.commands.{name.replace('-', '_')}")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its parts."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from parsers(part)


@pytest.mark.parametrize("name", command_names())
def test_every_help_is_a_clause_with_examples_and_an_exit_status(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = command(name)
    assert said.HELP[0].islower()
    assert not said.HELP.endswith(".")
    assert re.match(r"0\b.*; 2 for wrong usage", said.ENDS)
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert f"\n\nexamples:\n  {said.EXAMPLES[0]}" in shown
    assert shown.endswith(f"\n\nexit status: {said.ENDS}\n")


@pytest.mark.parametrize("name", command_names())
def test_every_option_and_word_is_explained(name: str) -> None:
    unexplained = [
        (parser.prog, action.dest)
        for parser in parsers(Parser.of(name, command(name)))
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert unexplained == []


@pytest.mark.parametrize("line", [line for name in command_names() for line in command(name).EXAMPLES])
def test_every_example_is_taken(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0].replace("\\\n", " "), comments=True)
    name, *rest = words[words.index("alertd") + 1 :]
    assert Parser.of(name, command(name)).parse_args(rest) is not None


def test_help_of_a_command_may_be_asked_for_in_either_order(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ["help", "status"], ["status", "--help"]:
        with pytest.raises(SystemExit):
            main(words)
    first, second = capsys.readouterr().out.split("usage: ")[1:]
    assert first == second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--envfile", "my.env"], "unrecognized arguments: --envfile my.env; did you mean --env-file?"),
        (["test-notify", "ops", "--event", "forcast"], "did you mean forecast?"),
        (["actions", "aprove", "a7f"], "no 'aprove'; there are: approve, disown, list, "),
        (["db", "mov"], "did you mean move?"),
        (["rate", "--usage", "usage.csv", "--currency", "EURO"], "'EURO' is not a currency; write three letters"),
        (["reconcile", "--days", "x"], "'x' is not a number of days; write 60"),
        (["reconcile", "--level", "much"], "'much' is not a percentage; write 2 or 0.5"),
    ],
)
def test_a_wrong_word_is_answered_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--env-file", "my.env", "status"], 2, "write alertd COMMAND --env-file ..."),
        (["kinds", "settings", "slack"], 2, "settings has no kinds"),
        (
            ["silence", "research", "--for", "2h", "--reason", "x"],
            1,
            "research: it has no label and pattern; write it as",
        ),
        (["silence", "team=", "--for", "2h", "--reason", "x"], 1, "team=: it has no label and pattern; write it as"),
        (["silence", "team=a", "--for", "0s", "--reason", "x"], 1, "--for: it would end at once"),
        (["ack", "a7f", "--snooze", "0s"], 1, "--snooze: it would end at once; for example --snooze 1d"),
        (["rate", "--usage", "no.csv"], 2, "no.csv: cannot be read (No such file or directory); check the path"),
        (["rate", "--usage", "usage.csv", "--prices", "no.toml"], 2, "no.toml: cannot be read (No such file or dir"),
        (["project", "no.jsonl"], 2, "no.jsonl: cannot be read (No such file or directory); name a file of JSON"),
        (["replay", "--usage", "no.csv", "--budget", "5 USD"], 1, "no.csv: cannot be read (No such file or directory)"),
        (["replay", "--usage", "timeless.csv", "--budget", "5 USD"], 1, "no column of times: name one timestamp"),
        (
            ["replay", "--usage", "usage.csv", "--budget", "5 USD", "--prices", "no.toml"],
            1,
            "--prices: no.toml: cannot",
        ),
        (
            ["replay", "--usage", "usage.csv", "--budget", "5 USD", "--picture", "no/a.svg"],
            1,
            "--picture: no/a.svg can",
        ),
        (["db", "backup", "copy.db"], 1, "alertd.db: no such file; check ALERTD_DATABASE"),
        (["db", "restore", "copy.db"], 1, "copy.db: no such file; name a copy that alertd db backup wrote"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_place_and_remedy(
    words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configured = words[0] in {"silence", "db"}
    assert main([*words, *(["--env-file", "my.env"] if configured else [])]) == status
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert (said in line, printed.out) == (True, "")


@pytest.mark.parametrize(
    "words",
    ["status", "explain teams", "raise teams 600 --scope team=a", "ack a7f", "silence", "actions", "actions plan",
     "actions pause", "reconcile", "silence team=a --for 2h --reason x"],
)  # fmt: skip
def test_a_database_that_does_not_answer_is_one_line_whatever_is_asked(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my.env").write_text(GOOD.replace("sqlite:///alertd.db", "sqlite:///nowhere/alertd.db"))
    assert main([*words.split(), "--env-file", "my.env"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "nowhere/alertd.db: there is no directory nowhere; create it, writable by alertd's user"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("raise teams 600 --scope team=reserch", "No usage with team=reserch yet; check the spelling."),
        ("silence team=reserch --for 2h --reason x", "it matches no budget or scope at present"),
    ],
)
def test_what_matches_nothing_is_done_and_said(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A team may come to be tomorrow, and may be misspelt: only a person knows."""
    assert main([*words.split(), "--env-file", "my.env"]) == 0
    printed = capsys.readouterr()
    assert said in printed.err
    assert "team=reserch" in printed.out


@pytest.mark.parametrize(
    ("room", "said"),
    [(0, "alertd demo: cannot create a folder for its database"), (100, "usage.csv: cannot be written")],
)
def test_a_demonstration_without_room_for_its_database_is_one_line(room: int, said: str, tmp_path: Path) -> None:
    def confined() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1",
           "ALERTD_HTTP__LISTEN": "127.0.0.1:0"}  # fmt: skip
    demo = subprocess.run(
        [sys.executable, "-m", "alertd", "demo"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        preexec_fn=confined,
    )  # fmt: skip
    assert demo.returncode == 1
    (line,) = demo.stderr.splitlines()
    assert said in line
