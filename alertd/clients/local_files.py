"""Small files: read whole up to a limit, never from a pipe or a device; written with access for their owner only."""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from alertd.core.config_errors import shortened

#: No credential is longer, a service account's JSON included.
SECRET_BYTES: Final = 64 * 1024
#: Env files, TOML, tables of teams and price files.
TEXT_BYTES: Final = 32 * 1024 * 1024
#: How long a pipe (`--env-file <(decrypt it)`) may take to give what it holds.
_PIPE_SECONDS: Final = 5.0


def read_text(file: Path, most: int = TEXT_BYTES, *, pipe: bool = False) -> str:
    """A file as UTF-8 text. ValueError with the remedy; it never holds what the file holds. `pipe`: a pipe will do."""
    name = shortened(str(file))
    try:
        data = _read(file, most, pipe=pipe)
    except OSError as error:
        raise ValueError(f"{name} cannot be read ({error.strerror}); check the path and its rights") from None
    except ValueError as error:
        raise ValueError(f"no path ({error}); write the path of a file") from None
    if data is None:
        raise ValueError(f"{name} is no file, but a pipe or a device; write the value into a file of its own")
    if len(data) > most:
        raise ValueError(f"{name} is larger than {most // 1024:,} kB; is it the right file? write the value into one")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no UTF-8 text; save it as UTF-8") from None


def _read(file: Path, most: int, *, pipe: bool) -> bytes | None:
    """The content, at most `most` + 1 bytes; None if it is neither a file nor an allowed pipe."""
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "it is a folder")
        if not stat.S_ISREG(mode) and not pipe:
            return None
        return _drained(number, most)
    finally:
        os.close(number)


def _drained(number: int, most: int) -> bytes:
    data, deadline = bytearray(), time.monotonic() + _PIPE_SECONDS
    while len(data) <= most:
        try:
            part = os.read(number, min(1 << 20, most + 1 - len(data)))
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([number], [], [], left)[0]:
                raise TimeoutError(110, f"nothing came within {_PIPE_SECONDS:g} s") from None
            continue
        if not part:
            break
        data += part
    return bytes(data)


_OWNER_ONLY: Final = 0o600
#: Characters that both a dotenv reader and `docker run --env-file` read unquoted.
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
    """A value as written in an env file: in single quotes only if it needs them."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def must_be_new(path: Path) -> None:
    """Raise EnvFileError if the file exists, before any question is asked."""
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
