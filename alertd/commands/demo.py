"""`alertd demo`: the daemon on a small built-in gateway, so that the first alert comes within a minute of a clone."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

import uvicorn

from alertd import gateway, logs
from alertd.app import App
from alertd.settings import Settings, load_settings

HELP: Final = "run the daemon on a small built-in gateway: no credentials, first alert within a minute"

_URL_KEY: Final = "ALERTD_SOURCES__GATEWAY__URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the demonstration's configuration is."""
    parser.add_argument("--env-file", action="append", default=[], type=Path, metavar="F", help="an env file")


def run(args: argparse.Namespace) -> int:
    """0 when it was stopped by a signal."""
    logs.set_up()
    listening = socket.create_server(("127.0.0.1", 0))
    with contextlib.closing(listening), tempfile.TemporaryDirectory(prefix="alertd-demo-") as folder:
        port = listening.getsockname()[1]
        given = {"ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db", _URL_KEY: f"http://127.0.0.1:{port}/metrics"}
        environment = {**given, **os.environ}

        def load() -> Settings:
            return load_settings(environment, args.env_file, need=("sources", "budgets"))

        settings = load()
        _say(settings)
        asyncio.run(_run(settings, load, listening))
    return 0


async def _run(settings: Settings, load: object, listening: socket.socket) -> None:
    config = uvicorn.Config(gateway.build(), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001
    try:
        await App(settings, load).run()  # type: ignore[arg-type]
    finally:
        server.should_exit = True
        await serving


def _say(settings: Settings) -> None:
    print("alertd on a small built-in gateway whose traffic runs in haste; nothing is called, nothing is spent.")
    print(f"page and API: http://{settings.http.host}:{settings.http.port}/   stop: Ctrl-C")
    print("the first message comes at once, the first level is crossed within a minute, a runaway key after two.")
