"""`alertd test-notify`: sample messages through one configured notifier, or into files without sending anything."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.core.faults import one_of
from alertd.core.messages.samples import SAMPLES
from alertd.ports import Delivery, DeliveryError
from alertd.registry import Plugin, load
from alertd.settings import Configured

HELP: Final = "send a sample message through a notifier, or write it to files"
EXAMPLES: Final = (
    "alertd test-notify ops --env-file my.env",
    "alertd test-notify ops --event forecast --env-file my.env",
    "alertd test-notify mail --event all --out samples --env-file my.env",
)
ENDS: Final = "0 where every message was taken or written; 1 otherwise; 2 for a wrong use"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sample."""

    event: str
    ok: bool
    said: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The notifier's name, the kind of event, and where files go."""
    parser.add_argument("name", help="the notifier's name in the configuration")
    parser.add_argument(
        "--event", choices=[*SAMPLES, ALL], default="test", metavar="KIND", help=f"one of {', '.join(SAMPLES)}, or all"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write what would be sent into DIR; send nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_settings_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 where everything was taken (or written), 1 otherwise."""
    notifiers = settings_of(args).notifiers
    name = args.name.lower().replace("-", "_")
    known = {other.replace("-", "_"): other for other in notifiers}
    if name not in known:
        there = one_of(args.name, list(notifiers)) if notifiers else "there are none; set ALERTD_NOTIFIERS__OPS__KIND"
        print(f"no notifier {args.name!r}; {there}", file=sys.stderr)
        return 1
    configured = notifiers[known[name]]
    plugin = load("notifiers", configured.kind)
    deliveries = _deliveries(known[name], list(SAMPLES) if args.event == ALL else [args.event])
    if args.out is not None:
        outcomes = _write(plugin, configured, deliveries, args.out)
    else:
        outcomes = asyncio.run(_send(plugin, known[name], configured, deliveries))
    for outcome in outcomes:
        _show(outcome, as_json=args.json)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _deliveries(notifier: str, kinds: Sequence[str]) -> dict[str, Delivery]:
    """Deliveries of samples as of now, under keys of their own: a second test is not taken for a repetition."""
    now = datetime.now(UTC)
    found: dict[str, Delivery] = {}
    for kind in kinds:
        key = f"test-notify/{kind}/{now:%Y%m%dT%H%M%S%f}"
        samples = [replace(event, id=f"{key}/{count}") for count, event in enumerate(SAMPLES[kind](now))]
        events = tuple(_named(event, notifier) for event in samples)
        found[kind] = Delivery(key=key, notifier=notifier, conversation=key, events=events)
    return found


def _named(event: Any, notifier: str) -> Any:
    return replace(event, details={**event.details, "notifier": notifier}) if event.kind == "test" else event


async def _send(plugin: Plugin, name: str, configured: Configured, deliveries: dict[str, Delivery]) -> list[Outcome]:
    notifier = plugin.build(name, configured.options)
    outcomes: list[Outcome] = []
    try:
        for kind, delivery in deliveries.items():
            try:
                receipt = await notifier.send(delivery)
                outcomes.append(Outcome(kind, ok=True, said=f"{name}: {receipt.said}"))
            except DeliveryError as error:
                again = "it would not be tried again" if error.permanent else "it would be tried again"
                outcomes.append(Outcome(kind, ok=False, said=f"{error} ({again})"))
    finally:
        await notifier.close()
    return outcomes


def _write(plugin: Plugin, configured: Configured, deliveries: dict[str, Delivery], folder: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, delivery in deliveries.items():
            drafts = plugin.draft(configured.options, delivery, datetime.now(UTC))
            for suffix, content in drafts.items():
                path = folder / f"{kind}{suffix}"
                path.write_bytes(content)
                outcomes.append(Outcome(kind, ok=True, said=str(path)))
    except OSError as error:
        outcomes.append(Outcome("", ok=False, said=f"cannot write to {folder}: {error.strerror}"))
    return outcomes


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": outcome.event, "ok": outcome.ok, "said": outcome.said}, ensure_ascii=False))
    else:
        print(f"{'ok  ' if outcome.ok else 'FAIL'} {outcome.said}", file=sys.stdout if outcome.ok else sys.stderr)
