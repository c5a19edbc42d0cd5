"""Keeps what a version stores, for every later one to open: tests/contracts/releases/VERSION.sql. Two minutes.

    python tools/release_database.py [folder]

The demonstration runs until a level is crossed; a silence, a raise and the steps of an action are added; the database
is written out as SQL. Made anew until the version is released, never later.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from alertd import __version__
from alertd.commands.demo import DEFAULT
from alertd.core.actions.state_machine import Step
from alertd.stores import sqlite

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "tests" / "contracts" / "releases"
_LEVEL: Final = "80% of"


def main(words: Sequence[str]) -> int:
    """0; 1 where the demonstration ended by itself."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder, "ALERTD_HTTP__LISTEN": "127.0.0.1:0"}
        demo = subprocess.Popen(
            [sys.executable, "-m", "alertd", "demo"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert demo.stdout is not None  # noqa: S101 - a pipe was asked for
            _listen(demo.stdout)
            copy = _copied(next(Path(folder).glob("alertd-demo-*/alertd.db")), Path(folder) / "kept.db")
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait()
        used = _add(copy, folder)
        kept = Path(words[0] if words else FOLDER) / f"{__version__}.sql"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(_dump(copy, used), "utf-8")
    print(kept)
    return 0


def _listen(said: IO[str]) -> None:
    for line in said:
        if _LEVEL in line:
            return
    raise SystemExit("the demonstration ended before a level was crossed")


def _copied(database: Path, place: Path) -> Path:
    with sqlite3.connect(database) as source, sqlite3.connect(place) as target:
        source.backup(target)
    return place


def _add(database: Path, folder: str) -> int:
    """What the demonstration does not do by itself; the tokens that are counted there."""
    environment = {
        **os.environ,
        "ALERTD_DATABASE": f"sqlite:///{database}",
        "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:9/metrics",
    }
    for words in (
        ["silence", "team=support", "--for", "2h", "--reason", "load test", "--by", "Ana"],
        ["raise", "company", "2400 USD", "--by", "Ana"],
    ):
        command = [sys.executable, "-m", "alertd", *words, "--env-file", str(DEFAULT)]
        subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return asyncio.run(_act(database))


async def _act(database: Path) -> int:
    store, now = sqlite.build(f"sqlite:///{database}"), datetime.now(UTC)
    await store.open()
    steps = [
        Step("stop/ci", 1, now, "proposed", "waiting", "alertd", "runaway", "", {"key": "ci", "spent": "20.00"}),
        Step("stop/ci", 2, now + timedelta(minutes=1), "approved", "approved", "Ana", "not us"),
    ]
    await store.commit_decisions([], [], {}, steps)
    used = sum(row.quantity for row in await store.usage_within(0, 2**40))
    await store.close()
    return used


def _dump(database: Path, used: int) -> str:
    with sqlite3.connect(database) as kept:
        return "\n".join([f"-- usage: {used}", *kept.iterdump(), ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
