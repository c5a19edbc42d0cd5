"""`python -m tests.simulation.put_back`: mended faults put back one by one, and after how many seeds each is found.

Each fault is one line of a copy of the package in a temporary folder. A fault whose line is gone is said.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
#: What a child process does: stories from a seed on, until one breaks a promise.
_CHILD: Final = """
import json, sys
from tests.simulation.plan import Plan
from tests.simulation.story import play
seed, seconds, hours, theme = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
spent, stories = 0.0, 0
while spent < seconds:
    while Plan(seed, 0).theme != theme:
        seed += 1
    found = play(seed, hours)
    spent, stories = spent + found.cpu, stories + 1
    if found.failures:
        print(json.dumps([stories, seed, spent, found.failures[0]]), flush=True)
        if sys.stdin.readline() == "enough\\n":
            break
    seed += 1
else:
    print(json.dumps([stories, None, spent, ""]))
"""
#: Ends with 1 where the story of a seed breaks a promise.
_HEALTHY: Final = """
import sys
from tests.simulation.story import play
sys.exit(bool(play(int(sys.argv[1]), float(sys.argv[2])).failures))
"""


@dataclass(frozen=True)
class Fault:
    """A fault that was mended: what it did, in which file, and the text that mends it with what stood there before.

    Its stories are those of one theme.
    """

    theme: str
    what: str
    file: str
    mended: str
    broken: str
    #: The first seed, where the option gives an earlier one: stories from 2,000 on come to more of what actions do.
    first: int = 0


FAULTS: Final = (
    Fault("counting", "counting: two replicas that read one counter both count it", "stores/ledger.py",
          "return moved == 1", "return True"),
    Fault("counting", "counting: a page that is lower once is taken for a restart", "core/counting/tally.py",
          "elif other or (number < last and is_known(created, old and old.created, instant - at)):",
          "elif number < last:\n                quantity = number\n            elif other:"),
    Fault("counting", "counting: what was used since a restart is lost", "core/counting/tally.py",
          "quantity, begun = number, False", "quantity, begun = 0, False"),
    Fault("counting", "counting: a key's first value is lost", "core/counting/tally.py",
          "self._book(sight.series, quantity, begin, min(sight.at, self._now))",
          "self._book(sight.series, 0, begin, min(sight.at, self._now))"),
    Fault("amounts", "evaluation: a raised budget's thresholds are not armed anew", "core/evaluation/thresholds.py",
          "key = alert_key(status.name, threshold.basis, level, status.amount.value)",
          "key = alert_key(status.name, threshold.basis, level, status.budget.amount.value)"),
    Fault("amounts", "evaluation: a silence never ends", "core/evaluation/state.py",
          "return now < self.until and Where.of", "return Where.of"),
    Fault("clocks", "counting: a start ahead of the clock is taken up late: counted twice", "sources/scrape.py",
          "0 < value <= now + _BEHIND", "0 < value <= now + _AHEAD"),
    Fault("counting", "evaluation: what was written while the ledger was read is never read", "loops/evaluate.py",
          "        await self._learn()\n        self.ledger.apply(rows)\n        self._revision = revision  #",
          "        self.ledger.apply(rows)\n        self._revision = revision  #"),
    Fault("actions", "actions: a key is turned off though the reason is gone", "core/actions/triggers.py",
          'return configured or ("" if position is None', 'return "" if context else ("" if position is None'),
    Fault("names", "actions: a name that is another key's id turns that key off", "clients/admin_api.py",
          "    if by_id and others:\n", "    if by_id:\n        return by_id[0]\n    if by_id and others:\n"),
    Fault("actions", "actions: what a person had turned off is turned on again", "loops/executor.py",
          "ours = act.sent is not None", "ours = True", first=2000),
    Fault("provider", "actions: a try that sent nothing is made again whatever became of its reason",
          "loops/execute.py",
          "if seen is not None and waits and not await", "if seen is not None and act.state == APPROVED and not await",
          first=2000),
    Fault("everything", "configuration: a SIGHUP while it is read is lost", "daemon.py",
          "            while self._is_reload_due:\n", "            if self._is_reload_due:\n",
          first=2000),
    Fault("amounts", "counting: a bill's day that is taken back to nothing stays", "clients/file_import.py",
          "if month_of(span[0], zone) == month]", "if month_of(span[0], zone) != month]", first=2000),
    Fault("provider", "actions: an action whose daemon died is never gone on with", "loops/execute.py",
          "return act.state == APPROVED or (act.state in AT_WORK and not waits)", "return act.state == APPROVED"),
    Fault("messages", "delivery: a message whose daemon died is never sent", "stores/outbox.py",
          "AND (lease_until IS NULL OR lease_until <= ? OR lease_until > ?)",
          "AND (lease_until IS NULL OR lease_until <= 0 * ? OR lease_until > ?)"),
)  # fmt: skip


def main() -> int:
    """0 where every fault was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.put_back", description=__doc__)
    parser.add_argument("--first", type=int, default=1000, help="the first seed (default: 1000)")
    parser.add_argument("--seconds", type=float, default=600, help="processor time for each fault (default: 600)")
    parser.add_argument("--hours", type=float, default=0.8, help="virtual hours a story (default: 0.8)")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time (default: 1)")
    parser.add_argument("--only", default="", help="only the faults that have this in what they did")
    args = parser.parse_args()
    faults = [fault for fault in FAULTS if args.only in fault.what]
    missed = 0
    with ThreadPoolExecutor(args.jobs) as threads:
        look = partial(_look_for, first=args.first, seconds=args.seconds, hours=args.hours)
        for fault, (said, found) in zip(faults, threads.map(look, faults), strict=True):
            missed += not found
            print(f"{fault.what}: {said}", flush=True)
    return bool(missed)


def _look_for(fault: Fault, first: int, seconds: float, hours: float) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("alertd", "tests"):
            shutil.copytree(_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "shared"))
        place = copy / "alertd" / fault.file
        text = place.read_text()
        if text.count(fault.mended) != 1:
            return f"its line is not in {fault.file} (or more than once): describe it anew", False
        place.write_text(text.replace(fault.mended, fault.broken))
        began = time.monotonic()
        found, error = _first(copy, [str(max(first, fault.first)), str(seconds), str(hours), fault.theme])
    if found is None:
        # No promise of a story found it: the copy did not start, or its own code broke.
        return f"NOT FOUND, the copy ends by itself: {(error.strip().splitlines() or ['no error'])[-1][:300]}", False
    stories, seed, spent, failure = found
    took = f"{spent:.0f} s of processor time, {time.monotonic() - began:.0f} s"
    if seed is None:
        return f"NOT FOUND in {stories} stories, {took}", False
    return f"found in story {stories} (seed {seed}; {took}): {failure[:240]}", True


def _first(copy: Path, arguments: Sequence[str]) -> tuple[tuple[int, int | None, float, str] | None, str]:
    """The first story that fails with the fault and not without it; None and the error where it ends by itself."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(copy)}
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments], cwd=copy, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            stories, seed, spent, failure = json.loads(line)
            if seed is None or _is_kept_without(seed, arguments[2]):
                child.stdin.write("enough\n")
                child.stdin.flush()
                return (stories, seed, spent, failure), ""
            child.stdin.write("go on\n")
            child.stdin.flush()
        return None, child.stderr.read()


def _is_kept_without(seed: int, hours: str) -> bool:
    """Whether the story of a seed breaks no promise of this version."""
    command = [sys.executable, "-c", _HEALTHY, str(seed), hours]
    return subprocess.run(command, cwd=_ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
