"""When the public incidents of coding agents would have been told, and what messages quiet teams would have had.

    PYTHONPATH=. python tests/benchmarks/bench_incidents.py [TEAMS]

Ten incidents (tests/stories/incidents.py), evaluated once a minute, with a budget of 30 times the median quiet day, for
the default thresholds and for those that docs/agents.md gives, at night and at eleven in the morning, when people work,
too; then TEAMS (6) quiet teams over a quarter, whose spend is drawn by five minutes with a heavy tail, without and with
evenings now and then. Printed: the share of the month's budget that was lost before the first
message, the minutes, the threshold; and the messages on quiet traces that no crossing followed. The floor is one
evaluation a minute: what a minute costs is lost before anything can be told.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median

from tests.stories.incidents import AGENTS, BEGIN, DEFAULT, INCIDENTS, Told, false_messages, told


def main(teams: int) -> None:
    for name, thresholds in (("default", DEFAULT), ("agents", AGENTS)):
        found = [told(incident, thresholds) for incident in INCIDENTS]
        print(f"== {name}: {', '.join(thresholds)}")
        for incident, one in zip(INCIDENTS, found, strict=True):
            floor = incident.spent / incident.hours / 60 / (30 * incident.usual)
            said = "never" if one is None else f"{one.share:7.2%} lost after {one.minutes:3.0f} min, {one.basis}"
            print(f"{said:42} ({floor:.2%} a minute)  {incident.name}")
        print(f"at night: {_medians(found)}")
        day = [told(incident, thresholds, BEGIN.replace(hour=11)) for incident in INCIDENTS]
        print(f"by day:   {_medians(day)}", flush=True)
        for evenings in (False, True):
            quiet = Counter(false_messages(teams, thresholds=thresholds, evenings=evenings))
            each = {basis: round(count / teams, 2) for basis, count in sorted(quiet.items())}
            told_of = "with evenings" if evenings else "without"
            print(f"messages per quiet team and quarter that no crossing followed, {told_of}: {each}", flush=True)


def _medians(found: Sequence[Told | None]) -> str:
    known = [one for one in found if one is not None]
    share, minutes = median(one.share for one in known), median(one.minutes for one in known)
    return f"{len(known)} of {len(found)}, median {share:.2%} lost, {minutes:.0f} min"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
