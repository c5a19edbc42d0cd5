"""An env file that is written for its user: readable by them alone, and never over another file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OWNER_ONLY: Final = 0o600
#: What both a dotenv reader and `docker run --env-file` take as it stands.
_PLAIN: Final = re.compile(r"[^\s'\"#\\$`]+(?: [^\s'\"#\\$`]+)*")

Lines = Iterable[tuple[str, dict[str, str]]]


class EnvFileError(Exception):
    """A file that was not written: why, and what to do."""


def text_of(sections: Lines) -> str:
    """The file's text: of each section its comment, then its keys."""
    blocks = []
    for comment, values in sections:
        lines = [f"# {line}" for line in comment.splitlines()]
        blocks.append("\n".join([*lines, *(f"{name}={quoted(value)}" for name, value in values.items())]))
    return "\n\n".join(blocks) + "\n"


def quoted(value: str) -> str:
    """A value as it stands in an env file: in single quotes only where it needs them."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def must_be_new(path: Path) -> None:
    """EnvFileError where something is there already: said before anybody answers a question."""
    if path.exists():
        raise _there(path)


def write_new(path: Path, text: str) -> None:
    """Write a file of mode 0600 that was not there. EnvFileError where it was, or cannot be written."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise EnvFileError(f"{path} cannot be written ({error.strerror}); name another place with --out") from None
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)


def _there(path: Path) -> EnvFileError:
    return EnvFileError(f"{path} is there already and is left as it is; name another with --out")
