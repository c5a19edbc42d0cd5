"""The wiring on a stopped clock: what a reload takes away is gone from the timetable, the probes and the figures."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alertd.app import App
from alertd.settings import Settings, load_settings
from alertd.shown import lanes_of, loops_of
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
    app = App(before, lambda: after, clock)
    await app.store.open()
    try:
        app._schedule()
        for name in ("collect gateway", "collect old", "act"):
            await app.runner.run(name, app.maintenance.tick)
        await app.deliver.tick()
        await app.reload()
        clock.at += timedelta(days=1)
        shown = loops_of(app.runner, app._timetable, app.parts.collects)
        assert [(loop.name, loop.stuck(clock.at, clock.at)) for loop in shown] == [("collect gateway", True)]
        assert [lane.notifier for lane in lanes_of(app.deliver)] == ["ops"]
    finally:
        await app.runner.outlast()
        await app.parts.close()
        await app.store.close()
