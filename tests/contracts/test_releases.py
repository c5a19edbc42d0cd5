"""What every released version has stored is opened, read as a whole and worked on by this one, on both databases."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.core.evaluation import state
from alertd.core.evaluation.state import RAISED, SILENCES, RecordTable, State, decode_record
from alertd.ports import SourceRow, Store
from alertd.stores import sqlite
from alertd.stores.backup import move
from alertd.stores.sql import SqlStore
from alertd.stores.sqlite import make
from tests.contracts.test_databases import used
from tests.databases import Place, schema

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.sql"))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TABLES = [value for value in vars(state).values() if isinstance(value, RecordTable)]


@pytest.fixture(params=RELEASES, ids=lambda file: file.stem)
def release(request: pytest.FixtureRequest) -> str:
    """What that version stored, as SQL."""
    text: str = request.param.read_text()
    return text


@pytest.fixture
def tokens(release: str) -> int:
    """How many that version counted."""
    return int(release.partition("\n")[0].removeprefix("-- usage: "))


@pytest.fixture
def old(release: str, tmp_path: Path) -> Path:
    """A database as that version left it, which is worked on, and beside it a second one, which is not."""
    for name in ("old.db", "kept.db"):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            database.executescript(release)
    return tmp_path / "old.db"


def rows(file: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(statement).fetchall()


async def is_read_whole(store: Store, old: Path, tokens: int) -> None:
    """All that the old one holds is what the ports give, in this version's own types."""
    (events,) = rows(old, "SELECT count(*) FROM alert")
    alerts = await store.alerts(LONG_AGO)
    assert (len(alerts),) == events
    assert "research" in {dict(alert.event.scope).get("team") for alert in alerts if alert.event.scope}
    records = [decode_record(text) for text, _ in (await store.evaluation()).values()]
    named = {"teams", "company", "archive", "prototype", "summaries"}
    assert {record.answer["budget"] for record in records} == named
    memory = State.of(await store.memory())
    assert [raised.amount for _, raised in RAISED.items(memory)] == [Decimal(2400)]
    assert len(list(SILENCES.items(memory))) == 1
    known = sum(len(list(table.items(memory))) for table in TABLES)
    assert (known,) == rows(old, "SELECT count(*) FROM note")[0], "each note is one that a table reads"
    assert sum(row.quantity for row in await store.usage_within(0, 2**40)) == tokens
    assert {state.at > 0 for state in (await store.counter_states("gateway")).values()} == {True}
    steps = [(step.what, step.by) for step in await store.audit()]
    assert steps[-2:] == [("proposed", "alertd"), ("approved", "Ana")]
    assert {by for _, by in steps[:-2]} <= {"Ana"}, "silences and raises"


def test_no_two_tables_of_the_state_hold_records_of_one_name() -> None:
    prefixes = [table.prefix for table in TABLES]
    assert not [(one, other) for one in prefixes for other in prefixes if one is not other and other.startswith(one)]


def test_the_first_release_is_there() -> None:
    """To make it anew before it is released: `python tools/release_database.py`."""
    assert [file.stem for file in RELEASES][:1] == ["0.1.0"]


async def test_a_release_s_database_is_read_whole_and_goes_on(old: Path, tokens: int) -> None:
    kept, store = old.with_name("kept.db"), sqlite.build(f"sqlite:///{old}")
    await store.open()
    await is_read_whole(store, kept, tokens)
    row = await store.source("gateway")
    assert await store.commit_counters(SourceRow("gateway", row.revision), used(3), {})
    await store.forget(datetime.now(UTC) - timedelta(days=1))
    await store.close()


async def test_a_release_s_database_moves_to_postgresql(old: Path, tokens: int, postgres_url: str) -> None:
    kept, source = old.with_name("kept.db"), sqlite.build(f"sqlite:///{old}")
    with schema(postgres_url) as url:
        target = Place("postgres", url).build()
        assert isinstance(source, SqlStore)
        assert isinstance(target, SqlStore)
        await source.open()
        await target.open()
        await move(source._database, target._database)
        await source.close()
        await is_read_whole(target, kept, tokens)
        await target.close()


def test_an_upgraded_schema_is_the_new_one(old: Path, tmp_path: Path) -> None:
    """Column for column, whatever the steps between: both are made by the same statements."""
    make(tmp_path / "new.db")
    words = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    sqlite._writer(old).close()

    def plain(file: Path) -> dict[object, str]:
        return {name: re.sub(r"\s+", " ", str(sql)) for name, sql in rows(file, words)}

    assert plain(old) == plain(tmp_path / "new.db")
