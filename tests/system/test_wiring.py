"""The wiring on a stopped clock: what a reload takes away is gone from the schedule, the probes and the figures."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

from alertd.components import loops_of, settings_shown
from alertd.daemon import Daemon
from alertd.settings import Settings, load_settings
from tests.fakes import StoppedClock

SOURCE = {"KIND": "scrape", "URL": "http://127.0.0.1:1/metrics", "PRESET": "vllm"}


def settings(folder: Path, *sources: str, notifiers: tuple[str, ...] = ("ops",), **more: str) -> Settings:
    given = {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_BUDGETS__ALL__AMOUNT": "500 USD",
        **{f"ALERTD_NOTIFIERS__{name.upper()}__KIND": "console" for name in notifiers},
        **more,
    }
    for name in sources:
        given |= {f"ALERTD_SOURCES__{name.upper()}__{key}": value for key, value in SOURCE.items()}
    return load_settings(given)


async def test_a_source_an_action_and_a_notifier_that_a_reload_takes_away_are_no_stuck_loops(tmp_path: Path) -> None:
    clock = StoppedClock()
    action = {"ALERTD_ACTIONS__STOP__KIND": "command", "ALERTD_ACTIONS__STOP__COMMAND": "/bin/true"}
    before = settings(tmp_path, "gateway", "old", notifiers=("ops", "gone"), **action)
    after = settings(tmp_path, "gateway")
    app = Daemon(before, lambda: after, clock)
    await app.store.open()
    try:
        app._schedule()
        for name in ("collect gateway", "collect old", "act"):
            await app.runner.run(name, app.maintenance.tick)
        await app.deliver.tick()
        await app.reload()
        clock.at += timedelta(days=1)
        shown = loops_of(app.runner, app._scheduler, app.components.collects)
        assert [(loop.name, loop.stuck(clock.at, clock.at)) for loop in shown] == [("collect gateway", True)]
        assert [one.notifier for one in app.deliver.queues.values()] == ["ops"]
    finally:
        await app.runner.outlast()
        await app.components.close()
        await app.store.close()


async def test_a_look_at_the_files_that_takes_too_long_once_leaves_no_loop_stuck_for_ever(tmp_path: Path) -> None:
    clock = StoppedClock()
    app = Daemon(settings(tmp_path, "gateway"), lambda: settings(tmp_path, "gateway"), clock)
    app._schedule()
    for name in sorted(app._scheduler.names):
        app._skipped(name)  # as the scheduler says of each job that is still under way at its next turn
    for name in ("collect gateway", "evaluate"):
        await app.runner.run(name, lambda: asyncio.sleep(0))
        app._skipped(name)
    shown = loops_of(app.runner, app._scheduler, app.components.collects)
    assert [(loop.name, loop.skipped, loop.stuck(clock.at, clock.at)) for loop in shown] == [
        ("collect gateway", 1, False), ("evaluate", 1, False),
    ]  # fmt: skip
    clock.at += timedelta(days=1)
    assert all(loop.stuck(clock.at, clock.at) for loop in shown)
    await app.components.close()


async def test_a_sighup_while_it_starts_or_reads_its_configuration_has_it_read_once_more(tmp_path: Path) -> None:
    configured = settings(tmp_path, ALERTD_HTTP__LISTEN="127.0.0.1:0")
    read, is_read_twice = [0], asyncio.Event()

    def load() -> Settings:
        read[0] += 1
        if read[0] == 1:
            os.kill(os.getpid(), signal.SIGHUP)
        else:
            is_read_twice.set()
        return configured

    app = Daemon(configured, load)
    running = asyncio.create_task(app.run())
    await asyncio.sleep(0)  # it has begun to open the database
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(is_read_twice.wait(), 60)
    app.stop()
    await running
    assert read == [2]


def test_the_settings_page_names_the_length_of_a_window_that_rolls(tmp_path: Path) -> None:
    burst = {"ALERTD_BUDGETS__BURST__AMOUNT": "20 USD", "ALERTD_BUDGETS__BURST__PERIOD": "rolling 5h"}
    shown = dict(settings_shown(settings(tmp_path, "gateway", **burst))["Budgets"])
    assert shown["all"].startswith("500 USD a month; ")
    assert shown["burst"].startswith("20 USD a rolling 5h; ")


async def test_what_was_read_while_an_evaluation_ran_is_in_one_that_follows_it_at_once(tmp_path: Path) -> None:
    app = Daemon(settings(tmp_path, "gateway"), lambda: settings(tmp_path, "gateway"), StoppedClock())
    await app.store.open()
    try:
        go_on = asyncio.Event()
        running = asyncio.create_task(app.runner.run("evaluate", go_on.wait))
        await asyncio.sleep(0)
        asked = [asyncio.create_task(app._evaluate()) for _ in range(3)]
        await asyncio.sleep(0)
        assert app.evaluation.evaluated_at is None
        go_on.set()
        await asyncio.wait_for(asyncio.gather(running, *asked), 60)
        assert app.evaluation.evaluated_at == app.clock.now()
        assert (app.runner.rounds["evaluate"].runs, app.runner.rounds["evaluate"].skipped) == (2, 0), (
            "one for all three"
        )
    finally:
        await app.runner.outlast()
        await app.components.close()
        await app.store.close()
