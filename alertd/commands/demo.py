"""`alertd demo`: run the daemon on a small built-in gateway; the first alert comes within a minute."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import shlex
import socket
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Final

from alertd import demo, logs
from alertd.commands._context import build_daemon, refusal, unanswered
from alertd.core.addresses import is_loopback
from alertd.ports import StoreError
from alertd.settings import Settings, load_settings

HELP: Final = "run the daemon on a small built-in gateway: no credentials, first alert within a minute"
EXAMPLES: Final = (
    "alertd demo",
    "alertd demo --env-file my.env",
)
ENDS: Final = "0 after Ctrl-C; 1 if it cannot start; 2 for wrong usage"
#: Budgets, thresholds and a console: the configuration where no file is named. The environment wins over it.
DEFAULT: Final = Path(__file__).with_name("demo.env")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration of the demonstration."""
    parser.add_argument(
        "--env-file",
        action="append",
        default=[],
        type=Path,
        metavar="F",
        help="a file of KEY=value lines; may be repeated (default: its own)",
    )


def run(args: argparse.Namespace) -> int:
    """0 after a signal."""
    logs.set_up()
    logging.getLogger("alertd").setLevel(logging.WARNING)  # the messages themselves are on the console
    try:
        folder = tempfile.TemporaryDirectory(prefix="alertd-demo-")
    except OSError as error:
        raise refusal(
            "alertd demo", f"cannot create a folder for its database: {error.strerror}", "name one in TMPDIR"
        ) from error
    with folder as name:
        started, database = datetime.now(UTC), f"sqlite:///{name}/alertd.db"
        try:
            _import_history(Path(name), database, started)
            asyncio.run(_run(args.env_file, Path(name), database, started))
        except StoreError as error:
            raise unanswered(error) from error
    return 0


def _import_history(folder: Path, database: str, started: datetime) -> None:
    """Put the gateway's usage before its start into the ledger, as `alertd import` does."""
    usage, configuration = folder / "usage.csv", folder / "import.env"
    try:
        usage.write_text(demo.history(started), encoding="utf-8")
        configuration.write_text(f"ALERTD_DATABASE={database}\n", encoding="utf-8")
    except OSError as error:
        raise refusal(str(usage), f"cannot be written ({error.strerror})", "free some space on the disk") from None
    os.environ["ALERTD_DATABASE"] = database  # the environment wins over a file, and an image has one there
    command = import_module("alertd.commands.import")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = ["--as", "before", "--cached", "included", "--env-file", str(configuration)]
    with redirect_stdout(StringIO()):
        failed = command.run(parser.parse_args([str(usage), *options]))
    if failed:
        raise refusal("alertd demo", "its own usage file cannot be imported", "report it with the lines above")


async def _run(named: list[Path], folder: Path, database: str, started: datetime) -> None:
    # Imported here, so that --help answers without numpy.
    from alertd.web.server import WebServer  # noqa: PLC0415

    server = WebServer(demo.build(started=started), "127.0.0.1", 0)
    gateway = await server.start()
    given = {"ALERTD_DATABASE": database, "ALERTD_SOURCES__GATEWAY__URL": f"{gateway}/metrics"}
    if not named:
        given |= {
            "ALERTD_ACTIONS__BLOCK__URL": f"{gateway}/keys",
            "ALERTD_ACTIONS__BLOCK__SECRET": secrets.token_urlsafe(24),
        }
    own = folder / "demo.env"  # what printed commands name: they work in another terminal as long as this one runs
    own.write_text(DEFAULT.read_text("utf-8") + "".join(f"{name}={value}\n" for name, value in given.items()), "utf-8")
    env_files = named or [DEFAULT]

    def load() -> Settings:
        found = load_settings({**os.environ, **given}, env_files, need=("sources", "budgets"))
        return found if named else replace(found, command_options=f"--env-file {shlex.quote(str(own))}")

    try:
        settings = load()
        if token := _token(settings):
            given["ALERTD_HTTP__TOKEN"] = token
            settings = load()
        _refuse_busy(settings.http.host, settings.http.port)
        _say(token)
        await build_daemon(settings, load, served=_page).run()
    finally:
        await server.stop()


def _refuse_busy(host: str, port: int) -> None:
    """Say in one sentence that something else has the page's port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise refusal(
                "alertd demo", f"port {port} of {host} cannot be used for the page: {error.strerror}",
                f"take another: ALERTD_HTTP__LISTEN={host}:{port + 1} alertd demo",
            ) from error  # fmt: skip


def _token(settings: Settings) -> str:
    """A token for the page if it is served to others (as in a container) and nothing says who may see it."""
    http = settings.http
    named = http.token or http.people or http.user_header
    return "" if named or is_loopback(http.host) else secrets.token_urlsafe(18)


def _say(token: str) -> None:
    print("alertd on a small built-in gateway with fast-running traffic. No model is called, nothing is spent.")
    print(
        "A summary of this month and the last comes at once, a threshold is crossed within a minute, and within two "
        "minutes a key runs away: approve its block on the page.",
        flush=True,
    )
    if token:
        print(f"The status page asks for this token, made for this run: {token}", flush=True)


def _page(address: str) -> None:
    here = address.replace("//0.0.0.0:", "//127.0.0.1:")  # all interfaces is no address to open
    print(f"Page: {here}/   Stop: Ctrl-C\n", flush=True)
