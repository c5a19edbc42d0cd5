"""A database of usage: real SQLite, real PostgreSQL with LiteLLM's table, real ClickHouse (chdb) with Langfuse's."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from pydantic import ValidationError

from alertd.sources.sql import Options, build
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECRET = "s3cret-of-the-database"
QUERY = """
SELECT strftime('%Y-%m-%dT%H:00:00Z', at) AS timestamp, strftime('%Y-%m-%dT%H:00:00Z', at, '+1 hour') AS "end",
       model, team, sum(tokens) AS input_tokens
FROM calls WHERE at >= :start AND at < :end GROUP BY 1, 2, 3, 4;
"""


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(build("spend", Options.model_validate({"url": url, "provider": "openai", **options})))


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("CREATE TABLE calls (at TEXT, model TEXT, team TEXT, tokens INTEGER)")
        yield database
    database.close()


def add(database: sqlite3.Connection, at: str, tokens: int, team: str = "search") -> None:
    database.execute("INSERT INTO calls VALUES (?, 'gpt-4o', ?, ?)", (at, team, tokens))
    database.commit()


def test_rows_are_added_up_by_the_database_and_late_ones_are_counted_once(
    calls: sqlite3.Connection, tmp_path: Path
) -> None:
    add(calls, "2026-11-03 09:10:00", 100)
    add(calls, "2026-11-03 09:50:00", 20)
    add(calls, "2026-11-20 08:00:00", 7, team="ads")
    found = held(f"sqlite:///{tmp_path}/calls.db", query=QUERY).round(SINCE, NOW)
    assert (found.error, found.tokens("input"), found.labels("team")) == (None, 127, {"search", "ads"})
    assert found.until == NOW - timedelta(minutes=2)
    add(calls, "2026-11-19 23:59:59", 1000)  # written late: a day back is read again
    found.round(SINCE, NOW + timedelta(hours=1))
    found.round(SINCE, NOW + timedelta(hours=2))
    assert found.tokens("input") == 1127
    calls.execute("DELETE FROM calls WHERE tokens = 1000")
    calls.commit()
    assert found.round(SINCE, NOW + timedelta(hours=3)).tokens("input") == 127


@pytest.mark.usefixtures("calls")
def test_only_the_days_that_may_still_change_are_asked_for_again(tmp_path: Path) -> None:
    found = held(f"sqlite:///{tmp_path}/calls.db", query=QUERY, late="2d").round(SINCE, NOW)
    assert len(found.readings) == 20
    found.round(SINCE, NOW + timedelta(hours=1))
    assert [reading.window[0].day for reading in found.readings if reading.window] == [18, 19, 20]


def test_a_watermark_says_up_to_when_figures_are_complete(calls: sqlite3.Connection, tmp_path: Path) -> None:
    add(calls, "2026-11-20 07:15:00", 5)
    query = QUERY.replace("sum(tokens)", "max(at) AS watermark, sum(tokens)")
    found = held(f"sqlite:///{tmp_path}/calls.db", query=query).round(SINCE, NOW)
    assert found.until == datetime(2026, 11, 20, 7, 15, tzinfo=UTC)
    assert found.tokens("input") == 5


def test_money_is_read_to_the_last_digit(calls: sqlite3.Connection, tmp_path: Path) -> None:
    add(calls, "2026-11-03 09:10:00", 3)
    query = (
        "SELECT :start AS timestamp, :end AS \"end\", '0.123456789' AS cost, 'EUR' AS currency FROM calls"
        " WHERE at >= :start AND at < :end"
    )
    found = held(f"sqlite:///{tmp_path}/calls.db", query=query).round(SINCE, NOW)
    assert found.days("EUR") == {date(2026, 11, 3): Decimal("0.123456789")}


def test_rows_beyond_the_day_and_rows_that_are_no_sums_are_refused(calls: sqlite3.Connection, tmp_path: Path) -> None:
    add(calls, "2026-11-03 09:10:00", 100)
    url = f"sqlite:///{tmp_path}/calls.db"
    beyond = held(url, query=QUERY.replace("at < :end", "(at < :end OR 1)")).round(SINCE, NOW)
    assert "not within :start and :end" in str(beyond.error)
    assert beyond.tokens("input") == 0
    each = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200001)
              SELECT :start AS timestamp, :end AS "end", 'm' AS model, i AS input_tokens FROM n"""
    assert "let the database add them up" in str(held(url, query=each).round(NOW, NOW).error)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "exactly one of PRESET and QUERY"),
        ({"query": QUERY, "preset": "litellm"}, "exactly one of PRESET and QUERY"),
        ({"query": "SELECT 1 WHERE a > :start AND x::end"}, "has to contain :start and :end"),
        ({"query": QUERY, "proxy": "http://proxy:3128"}, "leave PROXY out"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(options: dict[str, str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Options.model_validate({"url": "sqlite://", **options})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"no address {SECRET}", "write it as postgresql://"),
        (f"oracle9://u:{SECRET}@db/x", "install its SQLAlchemy driver"),
        (f"postgresql://u:{SECRET}@127.0.0.1:9/x", "cannot be reached"),
        (f"sqlite:////nowhere/{SECRET}.db", "cannot be reached"),
    ],
)
def test_an_error_names_the_remedy_and_no_secret(url: str, words: str) -> None:
    error = str(held(url, query=QUERY).round(NOW, NOW).error)
    assert words in error
    assert SECRET not in error
    assert SECRET not in repr(Options.model_validate({"url": url, "query": QUERY}))


SPEND_LOGS = """
CREATE TABLE "LiteLLM_SpendLogs" (
  request_id TEXT PRIMARY KEY, call_type TEXT, api_key TEXT DEFAULT '', spend DOUBLE PRECISION DEFAULT 0,
  total_tokens INT DEFAULT 0, prompt_tokens INT DEFAULT 0, completion_tokens INT DEFAULT 0,
  "startTime" TIMESTAMP(3), "endTime" TIMESTAMP(3), model TEXT DEFAULT '', model_group TEXT DEFAULT '',
  custom_llm_provider TEXT DEFAULT '', "user" TEXT DEFAULT '', metadata JSONB DEFAULT '{}', team_id TEXT,
  messages JSONB DEFAULT '{}', response JSONB DEFAULT '{}'
)
"""


def test_the_spend_table_of_litellm_in_postgresql(postgres_url: str) -> None:
    anthropic = {
        "user_api_key_alias": "ci",
        "user_api_key_team_alias": "research",
        "usage_object": {"cache_read_input_tokens": 600, "cache_creation_input_tokens": 100},
    }
    openai = {"usage_object": {"prompt_tokens_details": {"cached_tokens": 40}}}
    rows = [
        ("a", "2026-11-03 09:10:00", "claude-sonnet-4-5", "anthropic", 1000, 50, anthropic, "t1"),
        ("b", "2026-11-03 09:59:59.999", "claude-sonnet-4-5", "anthropic", 10, 5, {"user_api_key_alias": "ci"}, "t1"),
        ("c", "2026-11-03 23:59:59", "gpt-4o", "openai", 100, 7, openai, None),
    ]
    with psycopg.connect(postgres_url) as database:
        database.execute(SPEND_LOGS)
        for number, at, model, provider, prompt, output, metadata, team in rows:
            database.execute(
                'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, "startTime", model,'
                " custom_llm_provider, prompt_tokens, completion_tokens, metadata, team_id, messages)"
                " VALUES (%s, 'acompletion', '88dc28d0f030c55e', %s, %s, %s, %s, %s, %s, %s, '{\"a\": \"secret\"}')",
                (number, at, model, provider, prompt, output, json.dumps(metadata), team),
            )
    found = held(postgres_url, preset="litellm").round(SINCE, NOW)
    assert found.error is None
    assert {meter: found.tokens(meter) for meter in ("input", "cached_input", "cache_write", "output")} == {
        "input": 370,
        "cached_input": 640,
        "cache_write": 100,
        "output": 62,
    }
    assert found.labels("team") == {"research", "t1", ""}
    assert found.labels("key") == {"ci", "88dc28d0"}
    with psycopg.connect(postgres_url) as database:
        database.execute('ALTER TABLE "LiteLLM_SpendLogs" RENAME COLUMN prompt_tokens TO prompts')
    error = str(found.round(SINCE, NOW).error)
    assert "prompt_tokens" in error
    assert "42703" in error


OBSERVATIONS = """
CREATE TABLE observations (
  id String, trace_id String, project_id String, type LowCardinality(String),
  environment LowCardinality(String) DEFAULT 'default', start_time DateTime64(3), end_time Nullable(DateTime64(3)),
  name String, input Nullable(String), provided_model_name Nullable(String),
  usage_details Map(LowCardinality(String), UInt64), event_ts DateTime64(3), is_deleted UInt8
) ENGINE = ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(start_time)
ORDER BY (project_id, type, toDate(start_time), id)
"""


class ClickHouse(ThreadingHTTPServer):
    """ClickHouse's HTTP interface before chdb, which is its engine as a library."""

    def __init__(self, session: Any) -> None:
        self.session, self.lock = session, threading.Lock()
        super().__init__(("127.0.0.1", 0), _Statement)

    def query(self, statement: str, form: str) -> bytes:
        with self.lock:
            return bytes(self.session.query(statement, form).bytes())


class _Statement(BaseHTTPRequestHandler):
    server: ClickHouse

    def do_GET(self) -> None:
        self._answer(b"Ok.\n")

    def do_POST(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        statement = asked.get("query", [""])[0] + body
        try:
            self._answer(self.server.query(statement.replace(" FORMAT Native", "").rstrip(), "Native"))
        except Exception as error:  # noqa: BLE001 - as ClickHouse answers
            self._answer(str(error).encode(), 500)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
        """Print nothing."""

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[ClickHouse]:
    pytest.importorskip("clickhouse_connect", reason="no clickhouse-connect: pip install alertd[clickhouse]")
    chdb = pytest.importorskip("chdb.session", reason="no ClickHouse engine: pip install chdb (530 MB)")
    server = ClickHouse(chdb.Session())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_observations_of_langfuse_in_clickhouse(clickhouse: ClickHouse) -> None:
    clickhouse.query(OBSERVATIONS, "Null")
    rows = [
        (
            "('a', 't', 'p1', 'GENERATION', '2026-11-03 09:10:00', 'gpt-4o', {'input': 60, 'input_cached_tokens': 40,"
            " 'output': 7, 'output_reasoning_tokens': 3, 'total': 110}, 1, 0)"
        ),
        # The same observation, written again: the newest counts.
        (
            "('a', 't', 'p1', 'GENERATION', '2026-11-03 09:10:00', 'gpt-4o', {'input': 61, 'input_cached_tokens': 40,"
            " 'output': 7, 'output_reasoning_tokens': 3, 'total': 111}, 2, 0)"
        ),
        (
            "('b', 't', 'p1', 'GENERATION', '2026-11-03 10:10:00', 'claude-sonnet-4-5', {'input': 5,"
            " 'cache_creation_input_tokens': 8, 'cache_read_input_tokens': 9}, 1, 0)"
        ),
        "('c', 't', 'p1', 'SPAN', '2026-11-03 10:10:00', NULL, {}, 1, 0)",
        "('d', 't', 'p2', 'GENERATION', '2026-11-03 11:00:00', 'odd', {'total': 12}, 1, 0)",
        "('e', 't', 'p2', 'GENERATION', '2026-11-03 11:00:00', 'odd', {'input': 99}, 1, 1)",
    ]
    clickhouse.query(
        "INSERT INTO observations (id, trace_id, project_id, type, start_time, provided_model_name, usage_details,"
        f" event_ts, is_deleted) VALUES {', '.join(rows)}",
        "Null",
    )
    found = held(f"clickhousedb://reader@127.0.0.1:{clickhouse.server_port}/default", preset="langfuse").round(
        SINCE, NOW
    )
    assert found.error is None
    meters = ("input", "cached_input", "cache_write", "output", "total")
    assert {meter: found.tokens(meter) for meter in meters} == {
        "input": 66,
        "cached_input": 49,
        "cache_write": 8,
        "output": 10,
        "total": 12,
    }
    assert found.labels("project") == {"p1", "p2"}
