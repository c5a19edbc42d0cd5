"""`python -m tests.simulation --seconds 3600 --jobs 2`: stories, and what they visited; `--seed 7` tells one."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count

from tests.simulation.coverage import wanted
from tests.simulation.plan import KINDS
from tests.simulation.shrink import shorten, tell
from tests.simulation.story import Outcome, play

#: How often it says how far it is, in seconds.
_SAY_EVERY = 300
#: More kinds than this are counted, not named.
_LISTED = 15


def main() -> int:
    """0 where every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long stories are begun (default: 60)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--hours", type=float, default=6, help="virtual hours a story (default: 6)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, a story each at a time (default: 1)")
    parser.add_argument("--seed", type=int, help="this seed alone, told line by line")
    parser.add_argument("--shorten", action="store_true", help="of a seed that fails, its shortest story")
    args = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of the story
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if args.seed is None:
        return _many(args)
    outcome = play(args.seed, args.hours)
    if outcome.failures and args.shorten:
        outcome = shorten(outcome, told=print)
    print(tell(outcome), f"{outcome.ticks} evaluations, {outcome.told} messages, {outcome.cpu:.0f} s", sep="\n")
    return bool(outcome.failures)


def _many(args: argparse.Namespace) -> int:
    total, said = Totals(), time.monotonic()
    for outcome in _outcomes(args):
        total.add(outcome)
        if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            print(f"so far: {total}", flush=True)
        for failure in outcome.failures[:2]:
            print(f"seed {outcome.seed}: {failure[:1500]}", flush=True)
    print(total)
    return bool(total.failed)


def _outcomes(args: argparse.Namespace) -> Iterator[Outcome]:
    """One story after the other, in as many processes as wanted, until the time is over."""
    until, seeds = time.monotonic() + args.seconds, count(args.first)
    with ProcessPoolExecutor(args.jobs) as processes:
        under_way: set[Future[Outcome]] = set()
        while True:
            while len(under_way) < args.jobs and time.monotonic() < until:
                under_way.add(processes.submit(play, next(seeds), args.hours))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)


class Totals:
    """What many stories came to."""

    def __init__(self) -> None:
        self.stories = self.ticks = self.rounds = self.failed = self.told = self.acts = 0
        self.cpu = 0.0
        self.happened: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.stories += 1
        self.ticks += outcome.ticks
        self.rounds += outcome.rounds
        self.told += outcome.told
        self.acts += outcome.acts
        self.cpu += outcome.cpu
        self.failed += bool(outcome.failures)
        self.happened.update(outcome.happened)
        self.injected.update(outcome.injected)
        self.checks.update(outcome.checks)
        self.pairs.update(outcome.pairs)

    def __str__(self) -> str:
        all_pairs = wanted()
        visited = all_pairs & set(self.pairs)
        never: dict[str, list[str]] = {}
        for what, kind in sorted(all_pairs - visited):
            never.setdefault(what, []).append(kind)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        lines = [
            f"{self.stories} stories, {self.failed} failed",
            f"{self.rounds} rounds of loops ({self.rounds / max(self.cpu, 1):.0f} a second of processor time)",
            f"{self.ticks} evaluations among them ({self.ticks / max(self.cpu, 1):.0f}), in {self.cpu:.0f} s",
            f"{self.told} messages, {self.acts} acts, {memory:.0f} MB at most",
            "happened: " + ", ".join(f"{kind} {number}" for kind, number in self.happened.most_common()),
            "conversations disturbed: " + ", ".join(f"{kind} {number}" for kind, number in self.injected.most_common()),
            "looked at: " + ", ".join(f"{promise} {number}" for promise, number in self.checks.most_common()),
            f"change x accident: {len(visited)} of {len(all_pairs)} ({len(visited) / len(all_pairs):.1%})",
            *(f"  never: {what} with {_some(kinds)}" for what, kinds in never.items()),
        ]
        return "\n".join(lines)


def _some(kinds: list[str]) -> str:
    return f"{len(kinds)} of {len(KINDS)} kinds" if len(kinds) > _LISTED else ", ".join(kinds)


if __name__ == "__main__":
    sys.exit(main())
