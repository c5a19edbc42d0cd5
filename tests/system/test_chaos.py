"""A long random run over real processes: exact to the token, every due level told once, nothing acted twice.

ALERTD_CHAOS_SEEDS=7,8 and ALERTD_CHAOS_STEPS=100 say which runs `make chaos` makes; a failure prints its seed and the
misfortunes up to it.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.databases import Place
from tests.servers.faulty_servers import servers
from tests.system.fast_clock import MARKS, FastClock
from tests.system.storm import KEYS, Storm
from tests.system.storm_with_prometheus import StormWithPrometheus, watcher

pytestmark = MARKS

SEEDS = [int(seed) for seed in os.environ.pop("ALERTD_CHAOS_SEEDS", "1,2,3").split(",")]
STEPS = int(os.environ.pop("ALERTD_CHAOS_STEPS", "100"))
START = datetime(2026, 11, 10, 12, tzinfo=UTC)
SPEED = 20


@contextmanager
def storm(place: Place, folder: Path, seed: int, replicas: int = 1, *, watched: bool = False) -> Iterator[Storm]:
    """A storm whose daemons are gone afterwards; where it fails, its log is printed."""
    fast_clock = (
        FastClock(folder / "clock", START, SPEED) if not watched else FastClock(folder / "clock", datetime.now(UTC), 1)
    )
    with ExitStack() as stack:
        there = stack.enter_context(servers(fast_clock.now, KEYS))
        given = (there, fast_clock, folder, place.url, random.Random(seed), replicas)
        if watched:
            found: Storm = StormWithPrometheus(*given, watcher=stack.enter_context(watcher(folder, there.at_gateway)))
        else:
            found = Storm(*given)
        begun = time.monotonic()
        try:
            yield found
        except BaseException as error:
            print(f"\nseed {seed}, {place.kind}, {replicas} replicas: {str(error)[:3000]}")
            print("\n".join(found.log))
            for line in found.everything[-40:]:
                print(line.get("time", ""), line.get("level", ""), line["message"][:300])
                print(line.get("traceback", "")[-1500:], end="")
            raise
        finally:
            for daemon in found.daemons:
                daemon.kill()
        through = "a Prometheus" if watched else "its page"
        taken = f"{time.monotonic() - begun:.0f} s"
        print(f"\nseed {seed}, {place.kind}, {replicas} replicas, through {through}, {taken}: {found.rows}")
        print(", ".join(f"{count} {name}" for name, count in sorted(found.counted.items())))


@pytest.mark.timeout(900)
def test_a_few_misfortunes(durable: Place, tmp_path: Path) -> None:
    with storm(durable, tmp_path, 20261121) as there:
        there.run(4)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_long_storm(durable: Place, tmp_path: Path, seed: int, replicas: int) -> None:
    if durable.kind == "sqlite" and replicas > 1:
        pytest.skip("one SQLite file serves one alertd")
    with storm(durable, tmp_path, seed, replicas) as there:
        there.run(STEPS)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not shutil.which("prometheus"), reason="no `prometheus` on PATH: install Debian's prometheus")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_storm_through_a_real_prometheus(durable: Place, tmp_path: Path, seed: int) -> None:
    with storm(durable, tmp_path, seed, watched=True) as there:
        there.run(STEPS)
