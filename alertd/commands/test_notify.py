"""`alertd test-notify`: send sample messages through one notifier, or write them to files without sending."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.config_errors import one_of
from alertd.core.messages.samples import SAMPLES
from alertd.operations.values import sample_deliveries
from alertd.ports import Delivery, DeliveryError
from alertd.registry import Plugin, load
from alertd.settings import Configured

HELP: Final = "send a sample message through a notifier, or write it to files"
EXAMPLES: Final = (
    "alertd test-notify ops --env-file my.env",
    "alertd test-notify ops --event forecast --env-file my.env",
    "alertd test-notify mail --event all --out samples --env-file my.env",
)
ENDS: Final = "0 if every message was accepted or written; 1 otherwise; 2 for wrong usage"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result for one sample."""

    event: str
    ok: bool
    said: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the notifier's name, the kind of event, and the folder for files."""
    parser.add_argument("name", help="the notifier's name in the configuration")
    parser.add_argument(
        "--event", choices=[*SAMPLES, ALL], default="test", metavar="KIND", help=f"one of {', '.join(SAMPLES)}, or all"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write what would be sent into DIR; send nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_settings_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 if everything was accepted (or written), 1 otherwise."""
    notifiers = settings_of(args).notifiers
    name = args.name.lower().replace("-", "_")
    known = {other.replace("-", "_"): other for other in notifiers}
    if name not in known:
        there = (
            one_of(args.name, list(notifiers))
            if notifiers
            else "no notifier is configured; set ALERTD_NOTIFIERS__OPS__KIND"
        )
        print(f"no notifier {args.name!r}; {there}", file=sys.stderr)
        return 1
    configured = notifiers[known[name]]
    plugin = load("notifiers", configured.kind)
    deliveries = sample_deliveries(known[name], list(SAMPLES) if args.event == ALL else [args.event], datetime.now(UTC))
    if args.out is not None:
        outcomes = _write(plugin, configured, deliveries, args.out)
    else:
        outcomes = asyncio.run(_send(plugin, known[name], configured, deliveries))
    for outcome in outcomes:
        _show(outcome, as_json=args.json)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


async def _send(plugin: Plugin, name: str, configured: Configured, deliveries: dict[str, Delivery]) -> list[TestResult]:
    notifier = plugin.build(name, configured.options)
    outcomes: list[TestResult] = []
    try:
        for kind, delivery in deliveries.items():
            try:
                receipt = await notifier.send(delivery)
                outcomes.append(TestResult(kind, ok=True, said=f"{name}: {receipt.said}"))
            except DeliveryError as error:
                again = "alertd would not try again" if error.permanent else "alertd would try again"
                outcomes.append(TestResult(kind, ok=False, said=f"{error} ({again})"))
    finally:
        await notifier.close()
    return outcomes


def _write(plugin: Plugin, configured: Configured, deliveries: dict[str, Delivery], folder: Path) -> list[TestResult]:
    outcomes: list[TestResult] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, delivery in deliveries.items():
            drafts = plugin.draft(configured.options, delivery, datetime.now(UTC))
            for suffix, content in drafts.items():
                path = folder / f"{kind}{suffix}"
                path.write_bytes(content)
                outcomes.append(TestResult(kind, ok=True, said=str(path)))
    except OSError as error:
        outcomes.append(TestResult("", ok=False, said=f"cannot write to {folder}: {error.strerror}"))
    return outcomes


def _show(outcome: TestResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": outcome.event, "ok": outcome.ok, "said": outcome.said}, ensure_ascii=False))
    else:
        print(f"{'ok  ' if outcome.ok else 'FAIL'} {outcome.said}", file=sys.stdout if outcome.ok else sys.stderr)
