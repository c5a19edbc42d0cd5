"""`alertd status --watch` as it is used: on a terminal, on one without colours, and into a pipe."""

from __future__ import annotations

import codecs
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import CHECKOUT, env_file, interruptible, wait_for

#: A colour of the eight, or of the many.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")


@contextmanager
def watching(
    folder: Path, *words: str, terminal: bool, **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """The command, and what it has written so far; it is interrupted at the end of the block."""
    settings = {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
        "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:1/metrics",
        "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
        "ALERTD_BUDGETS__RESEARCH__AMOUNT": "500 USD",
    }
    file = env_file(folder / "alertd.env", settings)
    inside, outside = pty.openpty() if terminal else os.pipe()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ALERTD_", "NO_COLOR"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "alertd", "status", "--env-file", file, "--watch", "--every", "1s", *words],
        cwd=CHECKOUT, env={**clean, "TERM": "xterm-256color", "COLUMNS": "120", **more}, stdout=outside,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=interruptible,  # noqa: PLW1509 - a signal's default, no lock
    )  # fmt: skip
    os.close(outside)
    said: list[str] = []
    text = codecs.getincrementaldecoder("utf-8")()  # a part may end within a letter

    def read() -> None:
        try:
            while part := os.read(inside, 65536):
                said.append(text.decode(part))
        except OSError:  # a terminal whose program has ended
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join(60)
        os.close(inside)


def times(said: list[str], words: str) -> int:
    return "".join(said).count(words)


@pytest.mark.parametrize("no_color", ["", "1"], ids=["in colours", "NO_COLOR"])
def test_on_a_terminal_the_table_is_drawn_anew_in_its_place_until_ctrl_c(tmp_path: Path, no_color: str) -> None:
    with watching(tmp_path, terminal=True, NO_COLOR=no_color) as (process, said):
        wait_for("two drawings", lambda: times(said, "Ctrl-C leaves") >= 2)
    text = "".join(said)
    assert process.returncode == 0
    assert "research" in text
    assert "\x1b[1A" in text, "the second is drawn over the first"
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is shown again"
    assert bool(COLOUR.search(text)) == (not no_color)


def test_in_a_pipe_one_table_follows_the_other_without_a_control_character(tmp_path: Path) -> None:
    with watching(tmp_path, terminal=False) as (process, said):
        wait_for("two tables", lambda: times(said, "Ctrl-C leaves") >= 2)
    assert process.returncode == 0
    assert "\x1b" not in "".join(said)


def test_machines_get_a_line_of_json_each_time(tmp_path: Path) -> None:
    with watching(tmp_path, "--json", terminal=False) as (process, said):
        wait_for("two lines", lambda: times(said, "\n") >= 2)
    assert process.returncode == 0
    assert all(line.startswith('{"version": 1,') for line in "".join(said).splitlines())
