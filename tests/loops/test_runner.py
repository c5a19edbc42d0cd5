"""The runner: what waits for rounds waits for those under way, for all of them, and for no later one."""

from __future__ import annotations

import asyncio

from alertd.loops.runner import Runner
from tests.fakes import StoppedClock


async def test_whoever_outlasts_the_rounds_under_way_waits_for_each_of_them_and_for_no_later_one() -> None:
    runner, go_on = Runner(StoppedClock()), {name: asyncio.Event() for name in ("poll", "evaluate", "later")}
    rounds = [asyncio.create_task(runner.run(name, go_on[name].wait)) for name in ("poll", "evaluate")]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(runner.outlast())
    await asyncio.sleep(0)
    later = asyncio.create_task(runner.run("later", go_on["later"].wait))
    go_on["poll"].set()
    assert await rounds[0]
    assert not waiting.done()
    go_on["evaluate"].set()
    assert await rounds[1]
    await asyncio.wait_for(waiting, 60)
    assert not later.done()
    go_on["later"].set()
    assert await later


async def test_a_round_that_breaks_ends_like_any_other() -> None:
    runner = Runner(StoppedClock())

    async def broken() -> None:
        raise ZeroDivisionError

    assert not await runner.run("poll", broken)
    await asyncio.wait_for(runner.outlast(), 60)
    assert runner.rounds["poll"].reasons == {"ZeroDivisionError": 1}
    assert runner.rounds["poll"].durations.count == 1
