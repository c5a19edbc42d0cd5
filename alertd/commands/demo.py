"""`alertd demo`: the daemon on a small built-in gateway, so that the first alert comes within a minute of a clone."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

from alertd import gateway, logs
from alertd.commands._state import build_app, refusal, unanswered
from alertd.ports import StoreError
from alertd.settings import Settings, load_settings
from alertd.web.server import WebServer

HELP: Final = "run the daemon on a small built-in gateway: no credentials, first alert within a minute"
EXAMPLES: Final = (
    "alertd demo",
    "alertd demo --env-file config/demo.env",
)
ENDS: Final = "0 when it was stopped by Ctrl-C; 1 where it cannot begin; 2 for a wrong use"
#: What `make run` runs, in a clone; the image has it not.
DEFAULT: Final = Path(__file__).parents[2] / "config" / "demo.env"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the demonstration's configuration is."""
    parser.add_argument(
        "--env-file",
        action="append",
        default=[],
        type=Path,
        metavar="F",
        help="a file of KEY=value lines; may be repeated (default: config/demo.env)",
    )


def run(args: argparse.Namespace) -> int:
    """0 when it was stopped by a signal."""
    logs.set_up()
    logging.getLogger("alertd").setLevel(logging.WARNING)  # the messages themselves are on the console
    try:
        folder = tempfile.TemporaryDirectory(prefix="alertd-demo-")
    except OSError as error:
        raise refusal("alertd demo", f"no folder for its database: {error.strerror}", "name one in TMPDIR") from error
    with folder as name:
        try:
            asyncio.run(_run(_files(args.env_file), f"sqlite:///{name}/alertd.db"))
        except StoreError as error:
            raise unanswered(error) from error
    return 0


def _files(given: list[Path]) -> list[Path]:
    """The env files; the demonstration's own where none is named and the environment configures no budget."""
    configured = any(name.startswith("ALERTD_BUDGETS__") for name in os.environ)
    if given or configured:
        return given
    if not DEFAULT.is_file():
        raise refusal("alertd demo", "it has no configuration here", "name one: --env-file config/demo.env")
    return [DEFAULT]


async def _run(env_files: list[Path], database: str) -> None:
    server = WebServer(gateway.build(), "127.0.0.1", 0)
    given = {"ALERTD_DATABASE": database, "ALERTD_SOURCES__GATEWAY__URL": f"{await server.start()}/metrics"}

    def load() -> Settings:
        return load_settings({**os.environ, **given}, env_files, need=("sources", "budgets"))

    try:
        settings = load()
        _say()
        await build_app(settings, load, served=_page).run()
    finally:
        await server.stop()


def _say() -> None:
    print("alertd on a small built-in gateway whose traffic runs in haste; no model is called, nothing is spent.")
    print("A first summary comes at once, a level is crossed within a minute, a key runs away after two.", flush=True)


def _page(address: str) -> None:
    print(f"Page: {address}/   Stop: Ctrl-C\n", flush=True)
