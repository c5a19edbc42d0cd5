"""Small files, read whole and never without a bound: what is no file (a pipe, a device) is refused, not waited for."""

from __future__ import annotations

import os
import select
import stat
import time
from pathlib import Path
from typing import Final

from alertd.core.faults import shortened

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
    """What it holds, at most one byte more than `most`; None where it is neither a file nor a pipe that will do."""
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
