"""`alertd completion`: what a shell completes with (commands, options, live names and handles), and the manual page."""

from __future__ import annotations

import argparse
import shlex
from importlib import import_module
from typing import Any, Final

from alertd import __version__

HELP: Final = "print a completion script for bash, zsh or fish, or the manual page"
EXAMPLES: Final = (
    "alertd completion bash                           # eval its output in ~/.bashrc",
    "alertd completion zsh                            # the same in ~/.zshrc, after compinit",
    "alertd completion fish                           # into ~/.config/fish/completions/alertd.fish",
    "alertd completion man > alertd.1                 # into ~/.local/share/man/man1",
)
ENDS: Final = "0; 2 for wrong usage"
#: The commands that list what is live: handles of open alerts, names of budgets, handles of actions.
_ALERTS: Final = "alertd alerts --handles 2>/dev/null"
_BUDGETS: Final = "alertd status --names 2>/dev/null"
_ACTIONS: Final = "alertd actions --handles 2>/dev/null"
#: What completes the words of a command, beside its options.
_LIVE: Final = {"ack": _ALERTS, "status": _BUDGETS, "explain": _BUDGETS, "raise": _BUDGETS, "actions": _ACTIONS}

_BASH: Final = """\
_alertd() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words={commands}
  else
    case "$command" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _alertd alertd
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "man"), help="bash, zsh, fish, or man")


def run(args: argparse.Namespace) -> int:
    """0."""
    if args.shell == "man":
        print(manual(), end="")
        return 0
    found = _options()
    print(_fish(found) if args.shell == "fish" else _bash(found, zsh=args.shell == "zsh"), end="")
    return 0


def _options() -> dict[str, list[tuple[str, str]]]:
    """The options of every command, with what each does."""
    cli = import_module("alertd.cli")  # the parser of a command; it imports no command itself
    found: dict[str, list[tuple[str, str]]] = {}
    for name in cli.command_names():
        module: Any = import_module(f"alertd.commands.{name.replace('-', '_')}")
        actions = cli.Parser.of(name, module)._actions  # noqa: SLF001 - argparse has no other list
        found[name] = [
            (option, str(action.help or "").partition(";")[0].replace("%(default)s", str(action.default)))
            for action in actions
            for option in action.option_strings
            if option.startswith("--")
        ]
    return found


def _bash(found: dict[str, list[tuple[str, str]]], *, zsh: bool) -> str:
    cases = []
    for name, options in found.items():
        words = shlex.quote(" ".join(option for option, _ in options))
        live = f'" $({_LIVE[name]})"' if name in _LIVE else ""
        cases.append(f"      {name}) words={words}{live} ;;")
    script = _BASH.format(commands=shlex.quote(" ".join(found)), cases="\n".join(cases))
    return f"autoload -U +X bashcompinit && bashcompinit\n{script}" if zsh else script


def _fish(found: dict[str, list[tuple[str, str]]]) -> str:
    lines = ["complete -c alertd -f"]
    for name, options in found.items():
        lines.append(f"complete -c alertd -n __fish_use_subcommand -a {name}")
        inside = f"'__fish_seen_subcommand_from {name}'"
        lines += [
            f"complete -c alertd -n {inside} -l {option.removeprefix('--')} -d {shlex.quote(said)}"
            for option, said in options
        ]
        if name in _LIVE:
            lines.append(f"complete -c alertd -n {inside} -a '({_LIVE[name]})'")
    return "\n".join(lines) + "\n"


def manual() -> str:
    """The manual page alertd(1), in the language of man: every command with its options, examples and exit status."""
    cli = import_module("alertd.cli")
    parts = [
        f'.TH ALERTD 1 "" "alertd {__version__}" "User Commands"',
        ".SH NAME\nalertd \\- budgets, forecasts and alerts for the spend on language models",
        ".SH SYNOPSIS\n.B alertd\n.I COMMAND\n[\\fIoptions\\fR]",
        ".SH COMMANDS",
    ]
    for name in cli.command_names():
        module: Any = import_module(f"alertd.commands.{name.replace('-', '_')}")
        parser = cli.Parser.of(name, module)
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        parts += [f".SS {_roff(name)}", _roff(module.HELP), f".PP\n{_roff(usage)}"]
        parts += map(_option, parser._actions)  # noqa: SLF001 - argparse has no other list
        examples = "\n".join(_roff(line) for line in module.EXAMPLES)
        parts += [f".PP\nExamples:\n.PP\n.nf\n{examples}\n.fi", f".PP\nExit status: {_roff(module.ENDS)}"]
    parts.append(
        ".SH ENVIRONMENT\nALERTD_ENV_FILE names the env file where no \\-\\-env\\-file is given; else ./alertd.env is "
        "read. Every setting is a variable: docs/settings.md."
    )
    return "\n".join(parts) + "\n"


def _option(action: argparse.Action) -> str:
    """An option or a word of a command with what it does."""
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = f" {action.metavar or action.dest.upper()}" if action.option_strings and action.nargs != 0 else ""
    said = (action.help or "").replace("%(default)s", str(action.default)).replace("%(prog)s", "alertd")
    return f".TP\n.B {_roff(names + value)}\n{_roff(said.replace('%%', '%'))}"


def _roff(text: str) -> str:
    """Text in which no character or beginning of a line is an instruction to man."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in escaped.splitlines())
