"""The command line: finds the command's file and runs it. It imports nothing else, so a small command starts fast."""

from __future__ import annotations

import argparse
import ast
import errno
import json
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from alertd import __version__
from alertd.core.config_errors import SettingsError, nearest, one_of
from alertd.terminal import plain_output, printable, raw

FAULT: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
#: The exit status after writing to a closed pipe (128 + SIGPIPE), as shells report it.
PIPE_CLOSED: Final = 141
COMMANDS: Final = Path(__file__).parent / "commands"


class Parser(argparse.ArgumentParser):
    """The parser of one command: prints examples and exit status below the options, and suggests corrections."""

    @classmethod
    def of(cls, name: str, command: Any) -> Parser:
        """The parser of a command's file, from its HELP, EXAMPLES, ENDS and `add_arguments`."""
        examples = "\n".join(f"  {line}" for line in command.EXAMPLES)
        more = f"examples:\n{examples}\n\nexit status: {command.ENDS}"
        form = argparse.RawDescriptionHelpFormatter
        plain: dict[str, Any] = {"color": False} if sys.version_info >= (3, 14) else {}  # its colours would be escaped
        parser = cls(prog=f"alertd {name}", description=command.HELP, epilog=more, formatter_class=form, **plain)
        command.add_arguments(parser)
        return parser

    def error(self, message: str) -> NoReturn:
        """Print the usage and one line; for an unknown option, suggest the nearest known one."""
        head, _, words = message.partition("unrecognized arguments: ")
        unknown = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
        meant = nearest(unknown[0], self._option_string_actions) if unknown and not head else None
        super().error(f"{message}; did you mean {meant}?" if meant else message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"no {value!r}; {one_of(str(value), map(str, action.choices))}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 0, 1 for a fault, 2 for wrong usage; prints no control character."""
    with plain_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
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
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        sys.stderr.write("alertd: no space is left on the device that it writes to\n")
        return FAULT
    return status


def _drop_output() -> None:
    """The interpreter flushes standard output once more at its end: give it something that is open."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_names() -> list[str]:
    """The commands: the files of the folder, with `-` for `_`."""
    return sorted(file.stem.replace("_", "-") for file in COMMANDS.glob("[!_]*.py"))


def print_faults(error: SettingsError, stream: TextIO) -> None:
    """One line per fault; the place is bold on a terminal."""
    bold, plain = ("\x1b[1;31m", "\x1b[0m") if coloured(stream) else ("", "")
    for fault in error.faults:
        place, problem, remedy = map(printable, (fault.place, fault.problem, fault.remedy))
        raw(stream).write(f"{bold}{place}{plain}: {problem}{f'; {remedy}' if remedy else ''}\n")


def coloured(stream: TextIO) -> bool:
    """Whether to print colours: on a terminal that supports them, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _run(words: list[str]) -> int:
    if words[:1] == ["help"] and words[1:]:
        words = [words[1], "--help"]
    name = words[0] if words else ""
    if name not in command_names():
        return _without_command(name)
    if name != "run":
        return _command(name, words[1:])
    # A SIGHUP would end the process until the daemon listens to it: it is held back until then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        return _command(name, words[1:])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _command(name: str, words: list[str]) -> int:
    # The second lazy import: only the file of the command that runs.
    command: Any = import_module(f"alertd.commands.{name.replace('-', '_')}")
    return int(command.run(Parser.of(name, command).parse_args(words)))


def _without_command(name: str) -> int:
    if name in {"--version", "-V", "version"}:
        sys.stdout.write(f"alertd {__version__}\n")
        return 0
    if name in {"--help", "-h", "help"}:
        raw(sys.stdout).write(_help())
        return 0
    if not name:
        sys.stderr.write(_help())
        return USAGE
    if name.startswith("-"):
        sys.stderr.write(f"alertd: no option {name!r} before a command; write alertd COMMAND {name} ...\n")
        return USAGE
    meant = nearest(name, command_names())
    remedy = f"did you mean alertd {meant}?" if meant else f"there are: {', '.join(command_names())}"
    sys.stderr.write(f"alertd: no command {name!r}; {remedy}\n")
    return USAGE


#: Every command, by what people want, in this order.
GROUPS: Final = (
    ("Watch", ("status", "alerts", "explain", "usage", "report", "reconcile")),
    ("Answer", ("ack", "silence", "raise", "top-up", "actions", "proposals")),
    ("Try", ("demo", "replay", "project", "rate", "estimate", "test-notify")),
    ("Set up", ("init", "check", "budgets", "kinds", "prices", "formats", "import", "completion")),
    ("Run", ("run", "mcp", "db", "erase")),
)


def _help() -> str:
    """The commands in groups, each line wrapped to the terminal."""
    width = max(map(len, command_names()))
    columns = max(60, min(shutil.get_terminal_size().columns, 110))
    bold, plain = ("\x1b[1m", "\x1b[0m") if coloured(sys.stdout) else ("", "")
    lines = ["usage: alertd [--version] COMMAND ...", ""]
    for title, group in GROUPS:
        lines.append(f"{bold}{title}{plain}")
        for name in group:
            lead = f"  {name:<{width}}  "
            lines += textwrap.wrap(_help_of(name), columns, initial_indent=lead, subsequent_indent=" " * len(lead))
        lines.append("")
    more = [line for one in _MORE for line in textwrap.wrap(one, columns)]
    return "\n".join([*lines, *more, ""])


_MORE: Final = (
    "alertd COMMAND --help gives details and examples. To try it: alertd demo. To begin: alertd init.",
    "Every configuration key: alertd kinds settings. Every message: docs/troubleshooting.md.",
    f"Exit status: 0; {FAULT} for a fault, which is printed; {USAGE} for wrong usage; {INTERRUPTED} after Ctrl-C.",
)


def _help_of(name: str) -> str:
    """A command's HELP, read from its text, so that listing the commands does not import them."""
    tree = ast.parse((COMMANDS / f"{name.replace('-', '_')}.py").read_text("utf-8"))
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        named = any(isinstance(target, ast.Name) and target.id == "HELP" for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            return str(ast.literal_eval(node.value))
    return ""
