"""`alertd init`: write an env file from an address, an amount and a webhook. It overwrites nothing.

It looks for token counters at the address, and asks for a token if the server wants one.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from alertd.clients.local_files import SECRET_BYTES, EnvFileError, must_be_new, read_text, text_of, write_new
from alertd.commands._discovery import (
    AGENTS,
    ENDPOINT,
    SOURCE,
    USUAL,
    DiscoveredSource,
    agent_lines,
    find,
    source_lines,
)
from alertd.commands._prompts import Asking, Keys
from alertd.core.config_errors import one_of
from alertd.core.counting.presets import PRESETS
from alertd.settings import load_settings

HELP: Final = "ask a few questions, find the token counters, and write an env file"
EXAMPLES: Final = (
    "alertd init",
    "alertd init --url http://prometheus:9090 --budget '500 USD' --per team --notify ops@example.com",
    "alertd init --url http://litellm:4000/metrics --yes",
    "alertd init --agent claude-code --endpoint https://alertd.example.com",
)
ENDS: Final = "0 if a file was written, or an agent's lines printed; 1 if not; 2 for wrong usage"
_BUDGET: Final = "ALERTD_BUDGETS__SPEND__"
_NOTIFIER: Final = "ALERTD_NOTIFIERS__OPS__"
_NO_LABEL: Final = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every answer can be given as an option; `--yes` takes the defaults for the rest."""
    parser.add_argument("--out", type=Path, default=Path("alertd.env"), metavar="F", help="the file (alertd.env)")
    parser.add_argument("--url", metavar="URL", help="a Prometheus, or the gateway's own /metrics")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), help="the preset of the counters, instead of looking for it"
    )
    parser.add_argument("--token-file", type=Path, metavar="F", help="a file with its bearer token")
    parser.add_argument("--budget", metavar="AMOUNT", help="the budget for a month, such as '500 USD'")
    parser.add_argument("--per", metavar="LABEL", help=f"one budget for every value of a label; or {_NO_LABEL}")
    parser.add_argument("--notify", metavar="TO", help="a Slack webhook, an e-mail address, or console")
    parser.add_argument("--smtp", metavar="HOST", help="the mail server, for an e-mail address")
    parser.add_argument("--sender", metavar="ADDRESS", help="the sender of mails")
    parser.add_argument("--smtp-username", metavar="NAME", help="the mail server's login; its password is asked for")
    parser.add_argument("--database", default="sqlite:///alertd.db", metavar="URL", help="the database")
    parser.add_argument(
        "--agent", choices=sorted(AGENTS), help="print what this agent needs to send its usage; writes nothing"
    )
    parser.add_argument("--endpoint", default=ENDPOINT, metavar="URL", help="where agents reach alertd, for --agent")
    parser.add_argument("--yes", action="store_true", help="ask nothing; use defaults for options that are not given")
    parser.add_argument("--json", action="store_true", help="one JSON object that says what was found and written")


def run(args: argparse.Namespace) -> int:
    """0 if a file was written, or the lines of an agent were printed."""
    if args.agent is not None:
        return _print_agent(args)
    asking = Asking(quiet=args.yes, out=sys.stderr if args.json else sys.stdout)
    try:
        must_be_new(args.out)
        found = _source(args, asking)
        sections = (
            ("The database.", {"ALERTD_DATABASE": args.database}),
            (_seen(found), dict(found.keys)),
            ("The budget for a month; see alertd kinds settings for periods, thresholds and scopes.",
             _budget(args, asking, found)),
            ("Who gets the alerts.", _notifier(args, asking)),
        )  # fmt: skip
        load_settings({name: value for _, keys in sections for name, value in keys.items()})
        write_new(args.out, text_of(sections))
    except EOFError:
        print("\nalertd init: no answer; give it as an option (alertd init --help), or --yes", file=sys.stderr)
        return 1
    except EnvFileError as error:
        print(f"alertd init: {error}", file=sys.stderr)
        return 1
    _print_next_steps(args, found, asking)
    return 0


def _print_agent(args: argparse.Namespace) -> int:
    token = "TOKEN" if args.token_file is None else _token(args.token_file)
    lines = agent_lines(args.agent, args.endpoint, token)
    if args.json:
        print(json.dumps({"agent": args.agent, "lines": lines.splitlines(), "source": source_lines(args.agent)}))
        return 0
    print(f"{lines}\n\n# alertd's own env file, once\n{source_lines(args.agent)}")
    return 0


def _source(args: argparse.Namespace, asking: Asking) -> DiscoveredSource:
    def keys(url: str) -> Keys:
        return {f"{SOURCE}KIND": "scrape", f"{SOURCE}URL": _whole(url), f"{SOURCE}PRESET": args.preset or USUAL}

    question = "Where is your Prometheus, or your gateway's /metrics?"
    url = _whole(asking.ask(args.url, question, "http://localhost:9090", keys))
    asking.say(f"Looking for token counters at {_shown(url)} ...")
    token = {} if args.token_file is None else {"token": _token(args.token_file)}
    found = asyncio.run(find(url, args.preset, token))
    given = {} if args.token_file is None else {f"{SOURCE}TOKEN_FILE": str(args.token_file)}
    if found.wants_token and not token and not asking.quiet:
        asking.say("The server wants a token (401).")
        if answer := getpass.getpass("The token (empty for none): ", asking.out).strip():
            found, given = asyncio.run(find(url, args.preset, {"token": answer})), {f"{SOURCE}TOKEN": answer}
    found = replace(found, keys={**found.keys, **given})
    for line in found.tried:
        asking.say(f"  {line}")
    asking.say(_seen(found))
    return found


def _token(file: Path) -> str:
    try:
        return read_text(file, SECRET_BYTES).strip()
    except ValueError as error:
        raise EnvFileError(f"--token-file: {error}") from error


def _seen(found: DiscoveredSource) -> str:
    if found.look is None:
        return "No token counters were found when this file was written; alertd check looks again."
    return f"Found {found.look.summary} ({found.keys[f'{SOURCE}PRESET']})."


def _budget(args: argparse.Namespace, asking: Asking, found: DiscoveredSource) -> Keys:
    def amount(text: str) -> Keys:
        return {f"{_BUDGET}AMOUNT": text}

    keys = amount(asking.ask(args.budget, "How much may be spent per month?", "500 USD", amount))
    labels = found.labels()
    if not labels and args.per is None:
        return keys
    question = f"One budget for every value of a label ({', '.join(labels)}), or {_NO_LABEL} for a single budget?"
    per = asking.ask(args.per, question, _NO_LABEL, lambda label: {**keys, f"{_BUDGET}PER": label})
    there = found.look.labels if found.look is not None else {}
    if per != _NO_LABEL and there and per not in there:
        asking.say(f"No counter has the label {per}; {one_of(per, there)}")
    return keys if per == _NO_LABEL else {**keys, f"{_BUDGET}PER": per}


def _notifier(args: argparse.Namespace, asking: Asking) -> Keys:
    question = "Who gets the alerts? A Slack webhook, an e-mail address, or console for the daemon's own output"

    def _notifier_keys(to: str) -> Keys:
        return _mail(args, asking, to, ask=False) if "@" in to and "://" not in to else _chat(to)

    to = asking.ask(args.notify, question, "console", _notifier_keys)
    return (
        _mail(args, asking, to, ask=True) if _notifier_keys(to)[f"{_NOTIFIER}KIND"] == "email" else _notifier_keys(to)
    )


def _chat(to: str) -> Keys:
    if to.startswith(("http://", "https://")):
        return {f"{_NOTIFIER}KIND": "slack", f"{_NOTIFIER}WEBHOOK_URL": to}
    return {f"{_NOTIFIER}KIND": to}


def _mail(args: argparse.Namespace, asking: Asking, to: str, *, ask: bool) -> Keys:
    keys = {"KIND": "email", "HOST": args.smtp or "localhost", "SENDER": args.sender or to, "TO": to}
    asked = (("HOST", args.smtp, "The name of the mail server?"), ("SENDER", args.sender, "The sender of mails?"))
    for name, given, question in asked if ask else ():

        def with_answer(answer: str, name: str = name) -> Keys:
            return _named({**keys, name: answer})

        keys[name] = asking.ask(given, question, keys[name], with_answer)
    login = args.smtp_username or ("" if asking.quiet or not ask else asking.read("Its login, empty for none:"))
    if login and ask:
        keys |= {"USERNAME": login, "PASSWORD": getpass.getpass("Its password: ")}
    return _named(keys)


def _named(keys: Mapping[str, str]) -> Keys:
    return {f"{_NOTIFIER}{name}": value for name, value in keys.items()}


def _whole(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _shown(url: str) -> str:
    """An address without its password."""
    return f"{url.partition('://')[0]}://***@{url.rpartition('@')[2]}" if "@" in url else url


def _print_next_steps(args: argparse.Namespace, found: DiscoveredSource, asking: Asking) -> None:
    if args.json:
        source = {name.removeprefix(SOURCE).lower(): value for name, value in found.keys.items()}
        source.pop("token", None)
        shown = {**source, "url": _shown(source["url"])}
        print(json.dumps({"file": str(args.out), "found": found.look is not None, "source": shown}))
        return
    asking.say(f"\nWrote {args.out}, readable by you alone. Next:")
    for command, what in (
        ("check", "reaches everything"),
        ("test-notify ops", "sends a sample message"),
        ("run", "watches"),
    ):
        asking.say(f"  alertd {command} --env-file {args.out}".ljust(52) + what)
