"""`alertd demo`: the daemon on a small built-in gateway, so that the first alert comes within a minute of a clone."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final

from alertd import gateway, logs
from alertd.app import App
from alertd.settings import Settings, load_settings
from alertd.web.server import WebServer

HELP: Final = "run the daemon on a small built-in gateway: no credentials, first alert within a minute"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the demonstration's configuration is."""
    parser.add_argument("--env-file", action="append", default=[], type=Path, metavar="F", help="an env file")


def run(args: argparse.Namespace) -> int:
    """0 when it was stopped by a signal."""
    logs.set_up()
    with tempfile.TemporaryDirectory(prefix="alertd-demo-") as folder:
        asyncio.run(_run(args.env_file, f"sqlite:///{folder}/alertd.db"))
    return 0


async def _run(env_files: list[Path], database: str) -> None:
    server = WebServer(gateway.build(), "127.0.0.1", 0)
    given = {"ALERTD_DATABASE": database, "ALERTD_SOURCES__GATEWAY__URL": f"{await server.start()}/metrics"}

    def load() -> Settings:
        return load_settings({**os.environ, **given}, env_files, need=("sources", "budgets"))

    try:
        settings = load()
        _say()
        await App(settings, load, served=_page).run()
    finally:
        await server.stop()


def _say() -> None:
    print("alertd on a small built-in gateway whose traffic runs in haste; no model is called, nothing is spent.")
    print("A first summary comes at once, a level is crossed within a minute, a key runs away after two.", flush=True)


def _page(address: str) -> None:
    print(f"Page: {address}/   Stop: Ctrl-C\n", flush=True)
