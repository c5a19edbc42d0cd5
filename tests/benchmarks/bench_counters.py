"""Seconds of one core that a poll of many active counters costs, without the network: labels, samples, counting.

    python tests/benchmarks/bench_counters.py [SERIES] [LEDGER_SERIES]

Every raw series has two samples in the poll and moved in both; steady state, the second poll.
"""

from __future__ import annotations

import asyncio
import sys
from time import process_time

import msgspec

from alertd.clients.prometheus import PointColumns, Raw, RawSeries
from alertd.commands.run import collect_seldom
from alertd.core.counting.ordinary import count_columns
from alertd.core.counting.state_columns import StateColumns
from alertd.sources._windows import Windows
from alertd.sources.prometheus import Options

START = 1_795_000_000.0


class Answers:
    """A Prometheus that answers what it was given."""

    answer = Raw([], (), 0, PointColumns.of([]))
    states = Raw([], (), 0, PointColumns.of([]))

    async def samples(self, selector: str, begin: float, end: float) -> Raw:
        if "process_start_time_seconds" in selector:
            return self.states
        return Raw([], (), 0, PointColumns.of([])) if "_created" in selector else self.answer

    async def query(self, selector: str, at: float) -> Raw:
        return Raw([], (), 0, PointColumns.of([]))


def targets(poll: int) -> Raw:
    """`up` and the process starts of 20 targets."""
    at, found = START + 120 * poll, []
    for n in range(20):
        for name, value in (("up", "1"), ("process_start_time_seconds", str(START - 7200))):
            labels = {"__name__": name, "instance": f"10.0.0.{n}:4000", "job": "gateway"}
            found.append({"metric": labels, "values": [[at, value], [at + 60, value]]})
    series = msgspec.json.decode(msgspec.json.encode(found), type=list[RawSeries])
    return Raw(series, (), 0, PointColumns.of(series))


def body(series: int, keys: int, poll: int) -> bytes:
    """The answer of one poll, as LiteLLM's labels make it."""
    at = START + 120 * poll
    return msgspec.json.encode(
        [
            {
                "metric": {
                    "__name__": "litellm_input_tokens_metric_total",
                    "api_key_alias": f"key-{n % keys}",
                    "end_user": f"u{n}",
                    "hashed_api_key": f"{n:064x}",
                    "instance": f"10.0.0.{n % 20}:4000",
                    "job": "gateway",
                    "model": "gpt-5",
                    "team_alias": f"team-{n % keys % 50}",
                },
                "values": [[at, str(1000 * n + 14 * poll)], [at + 60, str(1000 * n + 14 * poll + 7)]],
            }
            for n in range(series)
        ]
    )


async def measure(series: int, keys: int) -> None:
    options = Options(url="http://prometheus:9090", preset="litellm", drop_labels=["end_user"])
    answers, states = Answers(), StateColumns()
    windows = Windows(answers, options.conditions(), options.attributor())
    for poll in range(3):
        text = body(series, keys, poll)
        began = process_time()
        decoded_series = msgspec.json.decode(text, type=list[RawSeries])
        answers.answer = Raw(decoded_series, (), len(text), PointColumns.of(decoded_series))
        answers.states = targets(poll)
        decoded = process_time()
        window = await windows.raw(START, START + 120 * poll + 60)
        samples = windows.samples(window)
        read = process_time()
        counted = count_columns(states, samples, window.targets.scrapes, first_read=poll == 0, period_start=START)
        print(
            f"poll {poll + 1}: {series:,} series, {keys:,} keys: decode {decoded - began:.2f} s,"
            f" labels {read - decoded:.2f} s, count {process_time() - read:.2f} s,"
            f" {len(counted.increments):,} increments"
        )
        states.update(counted.states)
        if counted.moved is not None:
            states.move(counted.moved)


if __name__ == "__main__":
    collect_seldom()  # as the daemon does
    given = [int(text) for text in sys.argv[1:]]
    asyncio.run(measure(*(given or [100_000, 1_000])))
