"""Starts belong to samples: restarts inside whatever window is read first, told by `_created` or the process start."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=6)
T, MINUTE = NOW.timestamp(), 60.0
INPUT = "litellm_input_tokens_metric"


def exporter(lives, *, created=True, process=True, late=5):
    """A gateway scraped each minute: (minutes before now of the start, of the end, tokens a minute) for each life.

    Its counters begin `late` seconds after their process, and with their first tokens.
    """
    memory, counted, born, began = Memory(), [], [], []
    for start, end, rate in lives:
        for n, minute in enumerate(range(start - 1 - late // 60, end - 1, -1)):
            at = T - MINUTE * minute
            counted.append((at, str(rate * (n + 1))))
            born.append((at, str(T - MINUTE * start + late)))
            began.append((at, str(T - MINUTE * start)))
    labels = {"model": "gpt-5", "team_alias": "research"}
    memory.add(f"{INPUT}_total", counted, **labels)
    memory.add("up", [(at, "1") for at, _ in counted])
    if created:
        memory.add(f"{INPUT}_created", born, **labels)
    if process:
        memory.add("process_start_time_seconds", began)
    return memory


def read(memory, *polls):
    """The ledger after a fresh alertd polled at each of these minutes before now; at all of a list, where it is one."""
    ledger = Ledger()
    with prometheus(memory) as server:
        for minutes in polls:

            async def poll(given=minutes):
                source = build("gateway", Options(url=server.url, preset="litellm"))
                try:
                    for one in given if isinstance(given, list) else [given]:
                        await ledger.collect(source, SINCE, NOW - timedelta(minutes=one))
                finally:
                    await source.close()

            asyncio.run(poll())
    return ledger


TOLD = pytest.mark.parametrize(("created", "process"), [(True, True), (True, False), (False, True)])


@TOLD
def test_a_gateway_that_restarted_while_alertd_was_away_counts_each_life_once(created, process):
    memory = exporter([(300, 100, 1000), (98, 0, 10)], created=created, process=process)
    ledger = read(memory, 150, 0)
    assert ledger.totals().total() == 200 * 1000 + 98 * 10
    assert ledger.refused == []


@TOLD
def test_a_first_start_over_several_restarts_counts_every_life(created, process):
    lives = [(300, 200, 100), (198, 150, 30), (149, 60, 500), (50, 0, 2000)]
    ledger = read(exporter(lives, created=created, process=process), 0)
    assert ledger.totals().total() == 100 * 100 + 48 * 30 + 89 * 500 + 50 * 2000
    assert ledger.refused == []


@TOLD
@pytest.mark.parametrize("step", [7, 31])
def test_however_often_alertd_itself_restarts_the_lives_of_a_gateway_count_once(created, process, step):
    lives = [(300, 200, 100), (198, 150, 30), (149, 60, 500), (50, 0, 2000)]
    ledger = read(exporter(lives, created=created, process=process), *range(290, 0, -step), 0)
    assert ledger.totals().total() == 100 * 100 + 48 * 30 + 89 * 500 + 50 * 2000
    assert ledger.refused == []


@TOLD
@pytest.mark.parametrize("late", [5, 40, 300])
@pytest.mark.parametrize("away", [0.2, 1, 3, 20])
def test_an_alertd_that_restarts_soon_after_a_gateway_did_counts_no_life_again(created, process, late, away):
    """One alertd knows the new process by its start, the next one asks for `_created`: both are of one life."""
    lives = [(60, 41, 1000), (40, 0, 10)]
    before = [50, 45, 42, 40, 39, 38] if late < 300 else [50, 45, 42, 40, 39, 36, 34, 33]
    memory = exporter(lives, created=created, process=process, late=late)
    ledger = read(memory, before, before[-1] - away, 10, [5, 0])
    unused = late // 60
    assert ledger.totals().total() == (19 - unused) * 1000 + (40 - unused) * 10
    assert ledger.refused == []


def test_what_was_scraped_before_an_exporter_told_created_goes_by_its_process():
    memory = exporter([(60, 50, 100), (49, 40, 200), (30, 0, 10)], created=False)
    labels = {"model": "gpt-5", "team_alias": "research"}
    told = [(T - MINUTE * minute, str(T - MINUTE * 30 + 20)) for minute in range(15, -1, -1)]
    memory.add(f"{INPUT}_created", told, **labels)
    for polls in ([0], [45, 0], [55, 20, 10, 0], [[55, 20, 16, 14], [0]]):
        ledger = read(memory, *polls)
        assert ledger.totals().total() == 10 * 100 + 9 * 200 + 30 * 10, polls
        assert ledger.refused == []
