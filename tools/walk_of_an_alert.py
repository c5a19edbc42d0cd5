"""How many files one threshold alert passes through, from a usage row to the words of its message.

PYTHONPATH=. python tools/walk_of_an_alert.py [--list]

A reader who follows the alert opens each of these files; every change of file is a jump. Counted are calls into alertd.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType

from alertd.core.evaluation.routing import Receiver, route
from alertd.core.messages import compose
from tests.world import World, budget

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run it."""
    world = World(budget(thresholds=["actual 50%", "actual 100%"]))
    world.spend(1)
    world.tick()
    world.pass_time(hours=1)
    walked: list[str] = []

    def enter(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(ROOT / "alertd")):
            walked.append(str(Path(name).relative_to(ROOT)))

    receivers = {"ops": Receiver("ops", people=True, address=lambda _: "#llm")}
    sys.setprofile(enter)
    world.spend(300)
    messages = route(world.tick(), {one.name: one for one in world.budgets}, receivers)
    words = [compose(list(message.events), world.now) for message in messages]
    sys.setprofile(None)
    assert words, "the alert is announced"  # noqa: S101 - else there was nothing to walk
    changes = sum(one != other for one, other in pairwise(walked))
    for name, calls in Counter(walked).most_common() if "--list" in sys.argv else ():
        print(f"{calls:6} {name}")
    print(f"{len(set(walked))} files, {changes} changes of file, {len(walked)} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
