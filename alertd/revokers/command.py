"""The user's own command: a fixed list of arguments, JSON on standard input, no shell, no secret of alertd.

It gets what a hook gets (do, action, target, name, id, reason, before) as one JSON object. Status 0 is done, 75 asks to
try again later, anything else is a refusal. With READS it is also run for the state and prints {"acted": true | false,
"state": {...}}. What it prints is read up to a bound; what does not end in time is killed with all it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import Final, Literal

from pydantic import Field

from alertd.clients.admin_api import observed_of
from alertd.clients.json_fields import Fields
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import RevokerOptions, TextList
from alertd.ports import Done, Observed, Operation, RevokerError, Target

_KEPT: Final = 1 << 16
_CHUNK: Final = 1 << 14
_SAID: Final = 300
_LAST_WORDS: Final = 1.0
#: EX_TEMPFAIL of sysexits.h.
_LATER: Final = 75
#: All that a command gets of the environment.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TZ")
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "none: it starts a program"


class Options(RevokerOptions):
    """What is run."""

    command: TextList = Field(min_length=1, description='The program and its arguments, ["/usr/local/bin/stop"]')
    what: str = Field("run a command to stop it", description="What it does, as messages describe it")
    grade: Literal["warn", "throttle", "disable", "delete"] = Field("disable", description="How hard it is")
    reversible: bool = Field(default=False, description="Whether it can undo what it did, by do=restore")
    reads: bool = Field(default=False, description="Whether it reports the state, for do=read")


def build(name: str, options: Options) -> Command:
    """Build the revoker; it runs nothing yet."""
    return Command(name, options)


class Command:
    """One command."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = Operation(
            options.what, f"undo: {options.what}", options.grade, options.reversible, repeats=False, exact=False
        )
        self.lacks = ""
        self._options = options

    async def find(self, target: str) -> Target:
        """The label's value as it is, or the id that TARGETS gives it."""
        return Target(self._options.targets.get(target, target), target)

    async def read(self, target: Target) -> Observed:
        """The state that the command reports; unknown if READS is off."""
        if not self._options.reads:
            return Observed(acted=None, said="the command is not asked for the state")
        said = _object(await self._run("read", target, {}, f"read-{target.id}", ""))
        return observed_of(Fields(said, self.name), self.name)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Run it to stop the target."""
        return Done(clean(await self._run("act", target, dict(before.values), key, reason), _SAID) or "status 0")

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Run it to undo that."""
        return Done(clean(await self._run("restore", target, dict(before.values), key, reason), _SAID) or "status 0")

    async def look(self) -> str:
        """The command that would be run; nothing is run."""
        return f"runs {self._options.command[0]}; nothing was run"

    async def close(self) -> None:
        """Does nothing: there is no connection."""

    async def _run(self, what: str, target: Target, before: dict[str, object], key: str, reason: str) -> str:
        asked = {"version": 1, "do": what, "action": self.name, "target": target.id, "name": target.name, "id": key,
                 "reason": reason, "before": before}  # fmt: skip
        given = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._options.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, env=given, start_new_session=True, cwd="/",
            )  # fmt: skip
        except OSError as error:
            where = self._options.command[0]
            raise RevokerError(f"{self.name}: {where} cannot be run: {error.strerror}", permanent=True) from error
        seconds = self._options.timeout.total_seconds()
        ended = False
        try:
            async with asyncio.timeout(seconds):
                output, complaint = await _talk(process, json.dumps(asked, ensure_ascii=False).encode())
                status = await process.wait()
                ended = True
        except TimeoutError as error:
            raise RevokerError(f"{self.name}: the command did not end within {seconds:g} s", uncertain=True) from error
        finally:
            if not ended:
                await _end(process)
        if status:
            said = clean((complaint or output).decode(errors="replace"), _SAID)
            raise RevokerError(f"{self.name}: the command ended with {status}: {said}", permanent=status != _LATER)
        return output.decode(errors="replace")


async def _talk(process: asyncio.subprocess.Process, asked: bytes) -> tuple[bytes, bytes]:
    """Write the request to its input, and read its output and errors to the end."""
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - opened as pipes
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read what it is asked
        process.stdin.write(asked)
        await process.stdin.drain()
    process.stdin.close()
    output, complaint = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
    return output, complaint


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """The beginning of a stream; the rest is read and dropped, so that the command does not block."""
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk[: _KEPT - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the command and every process that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):  # what left the session, and still holds the pipe, is not waited for
        async with asyncio.timeout(_LAST_WORDS):
            await asyncio.gather(*(_bounded(pipe) for pipe in (process.stdout, process.stderr) if pipe is not None))
    await process.wait()


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
