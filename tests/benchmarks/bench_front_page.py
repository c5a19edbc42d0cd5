"""Weight and time of the front page at 38, 1,000 and 10,000 budgets, beside drawing one page of fifty rows alone.

    python tests/benchmarks/bench_front_page.py

The statuses are those of a real evaluation, repeated under other scopes. The floor is the same page of 38 budgets. A
refresh is a request with the ETag of the last answer. Times are those of the processor, so that a busy
machine changes none; the first visit after an evaluation puts the budgets in order.
"""

from __future__ import annotations

import gzip
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.web.dashboard_client import browser, november, view_of, with_acts

_TRIES = 7
_MOST_BYTES, _MOST_SECONDS = 100_000, 0.150


def main() -> int:
    """1 where the page of 10,000 budgets is heavier or slower than it may be."""
    world, kept = november(scopes=20)
    with_acts(world, kept)
    view = view_of(world, kept)
    real = list(view.standings().statuses)
    floor, failed = 0.0, 0
    print("budgets   first visit   next visit   refresh     page   on the wire")
    for count in (38, 1_000, 10_000):
        statuses = tuple(
            one
            if number < len(real)
            else replace(one, scope=(("team", f"team-{number:05}"),), name=f"{one.name}/{number}")
            for number, one in ((number, real[number % len(real)]) for number in range(count))
        )
        standings = replace(view.standings(), statuses=statuses)
        house = browser(replace(view, standings=lambda standings=standings: standings))
        first = _timed(lambda house=house: house.get("/", headers={"accept-encoding": "identity"}))
        times = sorted(_timed(lambda house=house: house.get("/"))[0] for _ in range(_TRIES))
        answer = first[1]
        wire = len(gzip.compress(answer.content, 5))
        tag = {"if-none-match": answer.headers["etag"]}
        refresh = sorted(_timed(lambda house=house, tag=tag: house.get("/", headers=tag))[0] for _ in range(_TRIES))
        middle, again = times[_TRIES // 2], refresh[_TRIES // 2]
        floor = floor or middle
        size = len(answer.content)
        print(
            f"{count:>7,}   {first[0] * 1000:>8.0f} ms   {middle * 1000:>7.0f} ms   {again * 1000:>4.0f} ms   "
            f"{size / 1000:>5.1f} kB   {wire / 1000:>5.1f} kB gzipped   {middle / floor:.1f} times 38 budgets"
        )
        if size > _MOST_BYTES or middle > _MOST_SECONDS:
            failed = 1
    return failed


def _timed(work):  # type: ignore[no-untyped-def]
    begin = time.process_time()
    answer = work()
    return time.process_time() - begin, answer


if __name__ == "__main__":
    sys.exit(main())
