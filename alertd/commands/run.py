"""`alertd run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from alertd import logs
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._console import Console
from alertd.commands._state import build_app, database_warning
from alertd.ports import StoreDamagedError, StoreError
from alertd.settings import Settings
from alertd.stores import salvage
from alertd.stores.urls import read_url

log = logging.getLogger(__name__)

HELP: Final = "run the daemon: poll, evaluate, alert, until it is stopped"
EXAMPLES: Final = (
    "alertd run --env-file my.env",
    "alertd run --config alertd.toml --verbose",
)
ENDS: Final = (
    "0 when it was stopped by SIGTERM or Ctrl-C; 1 where its configuration or database cannot be used; "
    "2 for a wrong use"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is."""
    add_settings_arguments(parser)
    parser.add_argument("--verbose", action="store_true", help="log what is asked and answered, without secrets")


def run(args: argparse.Namespace) -> int:
    """0 when it was stopped by a signal, 1 where its database cannot be had."""
    logs.set_up(verbose=args.verbose)
    collect_seldom()

    def load() -> Settings:
        return settings_of(args, need=("sources", "budgets"))

    settings = load()
    if warning := database_warning(settings):
        print(f"warning: {warning}", file=sys.stderr)
    try:
        _run(settings, load)
    except StoreError as error:
        log.error("%s", error)  # noqa: TRY400 - one line says all
        return 1
    return 0


def _run(settings: Settings, load: Callable[[], Settings]) -> None:
    """The daemon; again where its database was damaged, removed or replaced, and could be made anew."""
    file = read_url(settings.database).file
    if file is None:
        asyncio.run(_live(settings, load))
        return
    _mended(file)
    while True:
        try:
            asyncio.run(_live(settings, load))
        except StoreDamagedError as error:
            log.error("%s", error)  # noqa: TRY400 - as above
            was_there, now = file.exists(), datetime.now(UTC)
            if not (salvage.put_back(file, now) or _mended(file)):
                if not was_there:
                    raise
                salvage.mark_replaced(file, now)
            settings = load()
        else:
            return


def collect_seldom() -> None:
    """Let Python look for cycles of garbage less often: a poll of many series is all small objects and no cycle.

    With its own thresholds a third of a tick of 100,000 series goes into looking through them again and again.
    """
    gc.set_threshold(50_000, 20, 20)


async def _live(settings: Settings, load: Callable[[], Settings]) -> None:
    app = build_app(settings, load, progress=BackfillBar())
    await app.run()


def _mended(file: Path) -> bool:
    """Whether the database's file was damaged; it is set aside then, and a new one is in its place."""
    salvage.finish(file)
    fault = salvage.fault_of(file)
    if fault:
        log.error("%s", salvage.recover(file, fault, datetime.now(UTC)).told())
    return bool(fault)


class BackfillBar:
    """The back-fill of each source as a bar on a terminal; elsewhere it says nothing."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("reading what {task.description} still has"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, source: str, share: float) -> None:
        if not sys.stderr.isatty():
            return
        if source not in self._tasks:
            self._tasks[source] = self._bar.add_task(source, total=1.0)
            self._bar.start()
        self._bar.update(self._tasks[source], completed=share)
        if share >= 1:
            self._bar.remove_task(self._tasks.pop(source))
            if not self._tasks:
                self._bar.stop()
