"""No control character of a label, a file or a word reaches a terminal: every command, by contract."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import logging
import re
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertd import logs, registry
from alertd.cli import command_names, main
from alertd.commands._prompts import PlainConsole
from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow
from alertd.terminal import printable, without_controls

#: Sets the window's title, clears the screen, colours, turns the line context, goes back to its start, forges a line.
HOSTILE = "k\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202eevil\u2066\u2028\x85\x7f\x00\r\nalertd: FORGED"
#: The same as a word of a command line, which can hold no NUL; whoever types a line feed may have one.
WORD = HOSTILE.replace("\x00", "").replace("\n", "")
MODEL = f"gpt{HOSTILE}"
BUDGETS = {
    "ALERTD_DATABASE": "sqlite:///alertd.db",
    "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
    "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:1/metrics",
    "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
    "ALERTD_BUDGETS__TEAMS__AMOUNT": "5 tokens",
    "ALERTD_BUDGETS__TEAMS__PER": "team",
    "ALERTD_BUDGETS__TEAMS__ACTIONS": "stop",
    "ALERTD_BUDGETS__MONEY__AMOUNT": "5 USD",
    "ALERTD_NOTIFIERS__OPS__KIND": "console",
    "ALERTD_ACTIONS__STOP__KIND": "command",
    "ALERTD_ACTIONS__STOP__COMMAND": '["/bin/true"]',
}
#: Each command with words that show what is stored or read, or that hold the hostile text themselves.
CALLS: dict[str, list[list[str]]] = {
    "ack": [["ack"], ["ack", WORD], ["ack", "--json"]],
    "actions": [["actions"], ["actions", "plan"], ["actions", "plan", "--json"], ["actions", "approve", WORD]],
    "check": [["check"], ["check", "--json"], ["check", "--env-file", WORD]],
    "db": [["db", "move", f"sqlite:///{WORD}", "sqlite:///b.db"]],
    "demo": [["demo", "--env-file", WORD]],
    "erase": [["erase", f"team={WORD}", "--show"], ["erase", f"team={HOSTILE}"], ["erase", WORD]],
    "estimate": [["estimate", "--model", WORD, "--tokens", "1", "--epochs", "1"]],
    "explain": [["explain", "teams"], ["explain", "money"], ["explain", "teams", "--json"], ["explain", WORD]],
    "formats": [["formats"], ["formats", "usage.csv"]],
    "import": [["import", "usage.csv"], ["import"], ["import", "--json"], ["import", WORD]],
    "init": [["init", "--yes", "--out", WORD]],
    "kinds": [["kinds", WORD], ["kinds", "sources", WORD]],
    "prices": [["prices"], ["prices", "--json"]],
    "project": [["project", "jobs.jsonl"], ["project", WORD]],
    "raise": [["raise", "teams", "7 tokens", "--scope", f"team={WORD}"], ["raise", WORD, "7 tokens"]],
    "rate": [["rate", "--usage", "usage.csv", "--period", "2026-11"],
             ["rate", "--usage", "usage.csv", "--period", "2026-11", "--json"], ["rate", "--usage", WORD]],
    "reconcile": [["reconcile"], ["reconcile", "--json"]],
    "replay": [["replay", "--usage", "usage.csv"], ["replay", "--usage", "usage.csv", "--json"]],
    "report": [["report", "--out", "reports", "--team", HOSTILE], ["report", "--out", WORD]],
    "run": [["run", "--env-file", WORD], ["run", "--config", "broken.toml"]],
    "silence": [["silence", f"team={WORD}", "--for", "2h", "--reason", WORD], ["silence"]],
    "status": [["status"], ["status", "--json"], ["status", "--all"]],
    "test-notify": [["test-notify", WORD], ["test-notify", "ops"]],
}  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def controls(text: str) -> set[str]:
    """What a terminal would obey; colours and a progress bar's moves, which alertd writes itself, are left out."""
    plain = re.sub("\x1b\\[[0-9;]*m|\r?\x1b\\[([?]25[hl]|1A|2K)", "", text)
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
    return {
        char
        for char in plain
        if char not in "\n\t"
        and (unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"} or unicodedata.bidirectional(char) in bidi)
    }


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database and files in which teams and models have such names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for name, value in BUDGETS.items():
        monkeypatch.setenv(name, value)

    async def write() -> None:
        store = registry.store(BUDGETS["ALERTD_DATABASE"])
        await store.open()
        now = datetime.now(UTC)
        minute = int(now.timestamp()) // 60 * 60
        labels = {"team": HOSTILE, "key": HOSTILE, "user": HOSTILE}
        increment = Increment(Line("", MODEL, "input"), labels, minute, 60, 7)
        await store.commit_counters(SourceRow("gateway", cursor="1", until=now), [increment], {})
        await store.close()

    asyncio.run(write())
    with Path("usage.csv").open("w", newline="") as file:
        csv.writer(file).writerows([
            ["provider", "model", "meter", "quantity", "timestamp", "team"],
            ["openai", MODEL, "input", "7", "2026-11-03", HOSTILE],
            [HOSTILE, "gpt-4o", HOSTILE, "7", "2026-11-04", HOSTILE],
        ])  # fmt: skip
    Path("jobs.jsonl").write_text(json.dumps({"id": HOSTILE}) + "\n" + HOSTILE)
    Path("broken.toml").write_text(f"[budgets.{json.dumps(HOSTILE)}]\namount = {json.dumps(HOSTILE)}\n")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", command_names())
@pytest.mark.parametrize("terminal", [False, True], ids=["piped", "terminal"])
def test_no_command_prints_a_control_character_or_a_forged_line(
    monkeypatch: pytest.MonkeyPatch, name: str, *, terminal: bool
) -> None:
    if name == "mcp":
        pytest.skip("what it prints is a protocol, not text for people")
    for words in CALLS.get(name, [[name], [name, WORD]]):
        out, err = (Terminal() if terminal else io.StringIO() for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with contextlib.suppress(SystemExit):
            main(words)
        said = out.getvalue() + err.getvalue()
        assert controls(said) == set(), (words, said)
        assert [line for line in said.split("\n") if line.startswith("alertd: FORGED")] == [], (words, said)
        assert "Traceback" not in said, (words, said)


@pytest.mark.usefixtures("stored")
def test_the_hostile_names_are_shown_and_json_stays_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["explain", "teams"], ["check"], ["rate", "--usage", "usage.csv", "--period", "2026-11"]):
        main(words)
        assert "evil" in capsys.readouterr().out, words
    main(["rate", "--usage", "usage.csv", "--period", "2026-11", "--json"])
    unpriced = json.loads(capsys.readouterr().out)["unpriced"]
    assert MODEL in {one["model"] for one in unpriced}


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("plain", "Zoë 🧑‍💻 naïve", "עברית", "a\u2068b\u2069c", "tab\tand\nline"):
        assert without_controls(text) == text
    assert printable("a\nb\tc\x1b") == "a\\u000ab\\u0009c\\u001b"


def test_the_console_cleans_texts_and_keeps_its_own_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    PlainConsole(force_terminal=True, color_system="standard").print(f"[bold]{HOSTILE}[/bold]")
    assert "\x1b[1m" in out.getvalue()
    assert controls(out.getvalue()) == set()


@pytest.mark.parametrize("terminal", [False, True], ids=["piped", "terminal"])
def test_no_log_line_holds_a_control_character_or_is_forged(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", err := Terminal() if terminal else io.StringIO())
    try:
        logs.set_up()
        logging.getLogger("alertd").warning("a key: %s", HOSTILE, extra={"label": HOSTILE})
        try:
            raise ValueError(HOSTILE)  # noqa: TRY301  as anything may
        except ValueError:
            logging.getLogger("alertd").exception("broke over %s", HOSTILE)
    finally:
        root.handlers[:], root.level = kept
    said = err.getvalue()
    assert "evil" in said
    assert controls(said) == set()
    forged = [line for line in said.split("\n") if line.startswith("alertd: FORGED")]
    assert forged == ([] if not terminal else forged[:1]), "only a traceback quotes an error's own lines"
