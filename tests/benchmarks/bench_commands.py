"""How long the commands take that people type, each beside a bare `python -c pass`: the shortest run and the median.

    PYTHONPATH=. python tests/benchmarks/bench_commands.py [--runs 10]

A database with one recorded evaluation of a budget per team; each command is a process of its own, as a shell starts
it. The quotient is to the median of `python -c pass` on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from alertd import registry

ENV = """
ALERTD_DATABASE=sqlite:///alertd.db
ALERTD_POLL_INTERVAL=1h
ALERTD_HTTP__LISTEN=127.0.0.1:0
ALERTD_SOURCES__BILL__KIND=csv
ALERTD_SOURCES__BILL__PATH=usage.csv
ALERTD_SOURCES__BILL__STALE_AFTER=90d
ALERTD_BUDGETS__TEAMS__AMOUNT=50 USD
ALERTD_BUDGETS__TEAMS__PER=team
ALERTD_NOTIFIERS__OPS__KIND=slack
ALERTD_NOTIFIERS__OPS__WEBHOOK_URL=http://127.0.0.1:9/hook
"""
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("explain", "teams"),
    ("ack",),
    ("silence",),
    ("raise", "teams", "60", "--scope", "team=team-1"),
    ("check", "--now"),
    ("--help",),
    ("status", "--help"),
    ("run", "--help"),
)


def recorded(folder: Path) -> None:
    """A folder with an env file, a month of usage in 20 teams, and the database of a daemon that evaluated it once."""
    (folder / "alertd.env").write_text(ENV)
    month = f"{datetime.now(UTC):%Y-%m}"
    days = [f"{month}-{day:02}" for day in range(1, datetime.now(UTC).day + 1)]
    rows = [f"{day}T00:00:00Z,openai,gpt-4o,input,200000,team-{n}" for day in days for n in range(20)]
    (folder / "usage.csv").write_text("\n".join(["timestamp,provider,model,meter,quantity,team", *rows, ""]))

    daemon = subprocess.Popen([sys.executable, "-m", "alertd", "run"], stderr=subprocess.DEVNULL)
    try:
        while not asyncio.run(_has_record()):
            time.sleep(0.2)
    finally:
        daemon.terminate()
        daemon.wait()


async def _has_record() -> bool:
    store = registry.store("sqlite:///alertd.db")
    await store.open()
    try:
        return bool(await store.evaluation())
    finally:
        await store.close()


def seconds(command: list[str], runs: int) -> list[float]:
    """Wall-clock seconds of each run of a command."""
    found = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="How long the commands take that people type.")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        recorded(Path(folder))
        bare = statistics.median(seconds([sys.executable, "-c", "pass"], runs))
        print(f"{'python -c pass':44} {bare * 1000:6.0f} ms")
        for words in COMMANDS:
            found = seconds([sys.executable, "-m", "alertd", *words], runs)
            middle = statistics.median(found)
            told = f"{min(found) * 1000:6.0f} ms at best, {middle * 1000:6.0f} ms median, {middle / bare:5.1f} x python"
            print(f"alertd {' '.join(words):37} {told}")


if __name__ == "__main__":
    main()
