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

from alertd import logs, registry
from alertd.commands._context import build_daemon, database_warning
from alertd.commands._prompts import PlainConsole
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.ports import StoreDamagedError, StoreError
from alertd.settings import Settings
from alertd.stores import salvage
from alertd.stores.urls import read_url

log = logging.getLogger(__name__)

#: For how long a thread keeps Python's lock while another waits for it, in seconds. A request waits for it several
#: times: with the default of 0.005 a few hundred requests a second pile up for seconds beside an evaluation.
_SWITCH_SECONDS: Final = 0.0001

HELP: Final = "run the daemon: poll, evaluate, alert, until it is stopped"
EXAMPLES: Final = (
    "alertd run --env-file my.env",
    "alertd run --config alertd.toml --verbose",
)
ENDS: Final = "0 after SIGTERM or Ctrl-C; 1 if its configuration or database cannot be used; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is."""
    add_settings_arguments(parser)
    parser.add_argument("--verbose", action="store_true", help="log requests and answers, without secrets")


def run(args: argparse.Namespace) -> int:
    """0 after a signal, 1 if its database cannot be used."""
    logs.set_up(verbose=args.verbose)
    collect_seldom()
    sys.setswitchinterval(_SWITCH_SECONDS)

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
    """Run the daemon; start it again if its database was damaged, removed or replaced and could be created again."""
    file = read_url(settings.database).file
    while file is None:
        try:
            asyncio.run(_live(settings, load))
        except StoreDamagedError as error:
            if not error.source:
                raise
            log.error("%s; it is read again from the source", error)  # noqa: TRY400 - one line says all
            asyncio.run(_read_again(settings, error))
            settings = load()
        else:
            return
    _mended(file)
    while True:
        try:
            asyncio.run(_live(settings, load))
        except StoreDamagedError as error:
            log.error("%s", error)  # noqa: TRY400 - as above
            was_there, now = file.exists(), datetime.now(UTC)
            if not (salvage.put_back(file, now) or _mended(file, whole=True)):
                if not was_there:
                    raise
                salvage.mark_replaced(file, now)
            settings = load()
        else:
            return


def collect_seldom() -> None:
    """Run Python's garbage collector less often: a poll of many series creates many small objects without cycles.

    With the default thresholds it takes a third of the time of a tick with 100,000 series.
    """
    gc.set_threshold(50_000, 20, 20)


async def _live(settings: Settings, load: Callable[[], Settings]) -> None:
    def say_page(address: str) -> None:
        shown = settings.public_url or address
        sign_in = " (sign in with a token)" if settings.http.token is not None or settings.http.people else ""
        print(f"The page: {shown.rstrip('/')}/{sign_in}", file=sys.stderr)

    daemon = build_daemon(settings, load, progress=BackfillBar(), served=say_page)
    await daemon.run()


def _mended(file: Path, *, whole: bool = False) -> bool:
    """Whether the database file was damaged; if so, it was renamed and a new one created.

    `whole` reads a large file as a whole, too: where an error already said that something in it is damaged.
    """
    salvage.finish(file)
    fault = salvage.fault_of(file, whole=whole)
    if fault:
        log.error("%s", salvage.recover(file, fault, datetime.now(UTC)).report())
    return bool(fault)


async def _read_again(settings: Settings, error: StoreDamagedError) -> None:
    store = registry.store(settings.database)
    await store.open()
    try:
        await store.read_again(error.source, str(error), datetime.now(UTC))
    finally:
        await store.close()


class BackfillBar:
    """Show the back-fill of each source as a bar on a terminal; otherwise nothing."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("reading what {task.description} still has"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=PlainConsole(stderr=True),
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
