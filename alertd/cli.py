"""The command line: finds the command's file and runs it. Imports nothing else, so that a small command starts fast."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO

from alertd import __version__
from alertd.core.faults import SettingsError, nearest

FAULT: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
#: What a shell says of a program that wrote to a closed pipe (128 + SIGPIPE).
PIPE_CLOSED: Final = 141
COMMANDS: Final = Path(__file__).parent / "commands"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 0, 1 for a fault, 2 for a wrong use."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        sys.stdout.flush()
    except SettingsError as error:
        print_faults(error, sys.stderr)
        if "--json" in words:
            sys.stdout.write(json.dumps({"ok": False, "faults": [asdict(fault) for fault in error.faults]}) + "\n")
        return FAULT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end: give it something that is open.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


def command_names() -> list[str]:
    """The commands: the files of the folder, with `-` for `_`."""
    return sorted(file.stem.replace("_", "-") for file in COMMANDS.glob("[!_]*.py"))


def print_faults(error: SettingsError, stream: TextIO) -> None:
    """One line a fault; the place in bold where a person reads it."""
    bold, plain = ("\x1b[1;31m", "\x1b[0m") if coloured(stream) else ("", "")
    for fault in error.faults:
        remedy = f"; {fault.remedy}" if fault.remedy else ""
        stream.write(f"{bold}{fault.place}{plain}: {fault.problem}{remedy}\n")


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted: on a terminal that has them, and not where NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _run(words: list[str]) -> int:
    name = words[0] if words else ""
    if name not in command_names():
        return _without_command(name)
    # The second lazy import of the house: one command's file, not those of all.
    command: Any = import_module(f"alertd.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"alertd {name}", description=command.HELP)
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(words[1:])))


def _without_command(name: str) -> int:
    if name in {"--version", "-V", "version"}:
        sys.stdout.write(f"alertd {__version__}\n")
        return 0
    if name in {"--help", "-h", "help"}:
        sys.stdout.write(_help())
        return 0
    if not name:
        sys.stderr.write(_help())
        return USAGE
    meant = nearest(name, command_names())
    remedy = f"did you mean alertd {meant}?" if meant else f"there are: {', '.join(command_names())}"
    sys.stderr.write(f"alertd: no command {name!r}; {remedy}\n")
    return USAGE


def _help() -> str:
    width = max(map(len, command_names()), default=0)
    lines = [f"  {name:<{width}}  {_help_of(name)}" for name in command_names()]
    return "\n".join(["usage: alertd [--version] COMMAND ...", "", *lines, "", "alertd COMMAND --help says more.", ""])


def _help_of(name: str) -> str:
    """A command's HELP, read from its text: to list the commands is no reason to import them all."""
    tree = ast.parse((COMMANDS / f"{name.replace('-', '_')}.py").read_text("utf-8"))
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        named = any(isinstance(target, ast.Name) and target.id == "HELP" for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            return str(ast.literal_eval(node.value))
    return ""
