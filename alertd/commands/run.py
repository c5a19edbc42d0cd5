"""`alertd run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from alertd import logs
from alertd.app import App, database_warning
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.settings import Settings

HELP: Final = "run the daemon: poll, judge, alert, until it is stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is."""
    add_settings_arguments(parser)
    parser.add_argument("--verbose", action="store_true", help="log what is asked and answered, without secrets")


def run(args: argparse.Namespace) -> int:
    """0 when it was stopped by a signal."""
    logs.set_up(verbose=args.verbose)

    def load() -> Settings:
        return settings_of(args, need=("sources", "budgets"))

    settings = load()
    if warning := database_warning(settings):
        print(f"warning: {warning}", file=sys.stderr)
    asyncio.run(_run(settings, load))
    return 0


async def _run(settings: Settings, load: Callable[[], Settings]) -> None:
    app = App(settings, load, progress=BackfillBar())
    await app.run()


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
