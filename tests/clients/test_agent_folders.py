"""The folders of coding agents as one table: every session once, and nothing of a prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import main
from alertd.clients.tables import open_folder
from alertd.core.formats.records import read_table
from alertd.core.formats.table import FormatError

PROMPT = "S3CR3T words of a prompt"


def answer(identity: str, request: str, second: int, output: int, *, side: bool = False) -> dict[str, Any]:
    usage = {"input_tokens": 1_200, "output_tokens": output, "cache_read_input_tokens": 39_000,
             "cache_creation_input_tokens": 5_000}  # fmt: skip
    message = {"id": identity, "model": "claude-sonnet-4-5", "content": [{"text": PROMPT}], "usage": usage}
    return {"type": "assistant", "timestamp": f"2026-11-20T10:00:{second:02}.000Z", "sessionId": "s1",
            "requestId": request, "isSidechain": side, "cwd": "/home/ana/web", "message": message}  # fmt: skip


def log(path: Path, *lines: object, tail: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + tail, encoding="utf-8")


@pytest.fixture
def claude(tmp_path: Path) -> Path:
    """A session, its copy in a resumed one, a sidechain's replay, and a line that is being written."""
    asked = {"type": "user", "timestamp": "2026-11-20T10:00:00Z", "message": {"content": PROMPT}}
    many = [asked] * 500
    log(tmp_path / "projects" / "-home-ana-web" / "s1.jsonl", *many, answer("m1", "r1", 1, 10),
        answer("m1", "r1", 2, 1_840), tail='{"type": "assistant", "message": {"usage": {"inp')  # fmt: skip
    log(tmp_path / "projects" / "-home-ana-web" / "s2.jsonl", answer("m1", "r1", 2, 1_840), answer("m2", "r2", 9, 100))
    log(tmp_path / "projects" / "-home-ana-web" / "agent-1.jsonl", answer("m1", "r7", 3, 1_840, side=True))
    log(tmp_path / "history.jsonl", {"usage": PROMPT})
    return tmp_path


def test_a_folder_of_claude_code_counts_each_answer_once(claude: Path) -> None:
    contents = read_table(open_folder(claude))
    found: dict[str, int] = {}
    for used in contents.usage:
        found[used.line.meter] = found.get(used.line.meter, 0) + used.quantity
    assert contents.layout == "claude-code"
    assert found == {"input": 2_400, "cached_input": 78_000, "cache_write": 10_000, "output": 1_940}
    assert {used.labels["project"] for used in contents.usage} == {"web"}
    assert PROMPT not in repr(contents)


@pytest.mark.parametrize("command", ["rate", "replay"])
def test_commands_take_the_folder_and_show_nothing_of_a_prompt(
    claude: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, "--usage", str(claude), *(["--budget", "0.05 USD"] if command == "replay" else [])]
    assert main(words) == 0
    assert "S3CR3T" not in capsys.readouterr().out


def test_a_folder_without_session_logs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="without session logs"):
        open_folder(tmp_path)
