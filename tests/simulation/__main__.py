"""`python -m tests.simulation --seconds 3600`: story after story, and what they visited; `--seed 7` tells one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from itertools import count

from tests.simulation.story import FAULTS, play

#: The statuses of a budget (docs/page-api-metrics.md).
STATUSES = ("on_track", "no_forecast", "at_risk", "over", "unknown")


def main() -> int:
    """0 where every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long stories are begun (default: 60)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--hours", type=float, default=6, help="virtual hours a story (default: 6)")
    parser.add_argument("--seed", type=int, help="this seed alone, told line by line")
    args = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of the story
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if args.seed is not None:
        outcome = play(args.seed, args.hours)
        print("\n".join([*outcome.log, *outcome.failures, f"{outcome.ticks} evaluations, {outcome.told} messages"]))
        return bool(outcome.failures)
    return _many(args.seconds, args.first, args.hours)


def _many(seconds: float, first: int, hours: float) -> int:
    began, cpu, ticks, stories, failed = time.monotonic(), time.process_time(), 0, 0, 0
    happened: Counter[str] = Counter()
    injected: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for seed in count(first):
        if time.monotonic() - began > seconds:
            break
        stories += 1
        try:
            outcome = play(seed, hours)
        except AssertionError as error:
            failed += 1
            print(f"seed {seed}: {error}", flush=True)
            continue
        ticks += outcome.ticks
        happened, injected, pairs = happened + outcome.happened, injected + outcome.injected, pairs + outcome.pairs
        for failure in outcome.failures[:3]:
            print(f"seed {seed}: {failure[:2000]}", flush=True)
        failed += bool(outcome.failures)
    cpu = time.process_time() - cpu
    wanted = {(status, kind) for status in STATUSES for kind in FAULTS}
    print(f"{stories} stories, {ticks} evaluations in {cpu:.0f} s of CPU ({ticks / cpu:.0f} a second), {failed} failed")
    print("faults: " + ", ".join(f"{kind} {number}" for kind, number in happened.most_common()))
    print("conversations disturbed: " + ", ".join(f"{kind} {number}" for kind, number in injected.most_common()))
    visited = wanted & set(pairs)
    never = "; ".join(f"{status} x {kind}" for status, kind in sorted(wanted - visited)) or "none"
    print(f"status x fault: {len(visited)} of {len(wanted)} ({len(visited) / len(wanted):.0%}); never: {never}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
