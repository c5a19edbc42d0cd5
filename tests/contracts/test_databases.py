"""What a database can do to us, and what a person is told: where, what, and the remedy. Old and new schemas."""

from __future__ import annotations

import asyncio
import importlib
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertd.core.counting.samples import Increment
from alertd.core.events import Event
from alertd.core.usage import Line
from alertd.ports import NewMessage, SourceRow, StoreError
from alertd.stores import sqlite
from alertd.stores.migrations import MIGRATIONS, Migration, migrate
from alertd.stores.sql import SqlStore
from alertd.stores.transaction import Transaction
from tests.databases import Place, schema

NOW = datetime(2026, 11, 12, 9, tzinfo=UTC)
MESSAGE = NewMessage("a", "ops", "a", (Event("a", "threshold", "warning", NOW),))
LINE = Line("openai", "gpt-5", "input")


def used(count: int, *, series: str = "") -> list[Increment]:
    return [Increment(LINE, {"n": f"{series}{n}"}, 0, 60, 1) for n in range(count)]


async def run(place: Place, *statements: str) -> None:
    """Statements on the database, as another program or another version would."""
    store = place.build()
    assert isinstance(store, SqlStore)
    await store.open()
    await store._database.write(lambda tx: [tx.run(statement) for statement in statements])
    await store.close()


async def test_replicas_that_start_together_make_the_schema_once(durable: Place) -> None:
    stores = [durable.build() for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    for number, store in enumerate(stores):
        assert await store.commit_counters(SourceRow("gateway", number), used(1), {})
        await store.close()


async def test_a_new_file_that_another_one_is_writing_is_waited_for(tmp_path: Path) -> None:
    """SQLite's own busy handler is not asked where a file is first given a write-ahead log."""
    file = tmp_path / "alertd.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.3, other.execute, "ROLLBACK")
        store = sqlite.build(f"sqlite:///{file}")
        await store.open()
    await store.writable()
    await store.close()


@pytest.mark.chaos
async def test_four_daemons_open_three_thousand_new_files_at_the_same_instant(tmp_path: Path) -> None:
    for number in range(3000):
        stores = [sqlite.build(f"sqlite:///{tmp_path}/{number}.db") for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.close() for store in stores))
        (tmp_path / f"{number}.db").unlink()


async def test_a_newer_schema_that_only_added_is_worked_on(durable: Place) -> None:
    await run(
        durable,
        "ALTER TABLE source ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",
        "CREATE TABLE novelty (name TEXT PRIMARY KEY)",
        "INSERT INTO migration (number, oldest) VALUES (99, 1)",
    )
    async with durable.open() as store:
        assert await store.commit_counters(SourceRow("gateway"), used(1), {})
        assert (await store.source("gateway")).revision == 1


async def test_a_newer_schema_that_this_version_would_misread_is_refused_with_the_remedy(durable: Place) -> None:
    await run(durable, "INSERT INTO migration (number, oldest) VALUES (99, 98)")
    with pytest.raises(StoreError, match=r"newer alertd \(schema 99, readable from 98 on; this one knows \d\).*backup"):
        await durable.build().open()


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(durable: Place) -> None:
    """A gateway whose migrations drop what they do not know would take alertd's tables away."""
    if durable.kind == "sqlite":
        connect: Any = sqlite3.connect(durable.url.removeprefix("sqlite:///"))
    else:
        connect = importlib.import_module("psycopg").connect(durable.url)
    with closing(connect) as other:
        other.execute('CREATE TABLE "LiteLLM_SpendLogs" (spend REAL)')
        other.commit()
        with pytest.raises(StoreError, match=r"tables of another program \(in all 1\).*its own .*ALERTD_DATABASE"):
            await durable.build().open()
        other.execute('DROP TABLE "LiteLLM_SpendLogs"')
        other.commit()
    async with durable.open() as store:
        assert await store.commit_counters(SourceRow("gateway"), used(1), {})


async def test_a_step_that_fails_leaves_the_schema_as_it_was(durable: Place) -> None:
    broken = Migration(
        len(MIGRATIONS) + 1, 1, ("CREATE TABLE half (name TEXT)", "ALTER TABLE nowhere ADD COLUMN x TEXT")
    )

    def step(tx: Transaction) -> int:
        words = {"integer": "BIGINT", "plain": "", "tables": "SELECT 'migration'"}
        return migrate(tx, words, (*MIGRATIONS, broken))

    store = durable.build()
    assert isinstance(store, SqlStore)
    await store.open()
    with pytest.raises(StoreError):
        await store._database.write(step)
    assert await store._database.read(lambda tx: tx.rows("SELECT max(number) FROM migration")) == [(len(MIGRATIONS),)]
    with pytest.raises(StoreError):
        await store._database.read(lambda tx: tx.rows("SELECT * FROM half"))
    await store.writable()
    await store.close()


def test_steps_are_numbered_from_one_without_a_gap_and_never_need_more_than_themselves() -> None:
    assert [step.number for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert all(step.oldest <= step.number for step in MIGRATIONS)


async def test_work_that_breaks_off_leaves_nothing_and_harms_no_neighbour(durable: Place) -> None:
    """Pieces of work that share a commit stand or fall by themselves."""

    def broken(tx: Transaction) -> None:
        tx.run("INSERT INTO source (name) VALUES ('half')")
        raise LookupError("broke off")

    store = durable.build()
    assert isinstance(store, SqlStore)
    await store.open()
    answers = await asyncio.gather(
        store.commit_counters(SourceRow("before"), used(3), {}),
        store._database.write(broken),
        store._database.write(lambda tx: tx.run("INSERT INTO nowhere VALUES (1)")),
        store.commit_counters(SourceRow("after"), used(3), {}),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [bool, LookupError, StoreError, bool]
    assert [row.name for row in await store.sources()] == ["after", "before"]
    await store.close()


async def test_series_of_a_commit_that_was_undone_are_not_remembered(durable: Place) -> None:
    """A number given to a series by a transaction that was undone must not be used: it may become another's."""
    async with durable.open() as store:
        with pytest.raises(StoreError):
            await store.commit_counters(SourceRow("a"), [*used(2), Increment(LINE, {"n": "0"}, 0, 60, 2**64)], {})
        assert await store.commit_counters(SourceRow("b"), used(1, series="other"), {})
        assert await store.commit_counters(SourceRow("a"), used(2), {})
        rows, _ = await store.usage(datetime.fromtimestamp(0, UTC))
        known = {row.id for row in await store.series()}
        assert {row.series for row in rows} == known
        assert len(known) == 3


# --- SQLite ---


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:alertd.db", "postgresql://host/db", "alertd.db"])
def test_a_url_without_a_file_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:////var/lib/alertd/alertd.db"):
        sqlite.build(url)


async def test_a_relative_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = sqlite.build("sqlite:///here.db")
    await store.open()
    await store.close()
    assert (tmp_path / "here.db").exists()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"{tmp_path}/no/a.db: there is no directory {tmp_path}/no; create it"):
        await sqlite.build(f"sqlite:///{tmp_path}/no/a.db").open()


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("buy milk\n" * 200)
    with pytest.raises(StoreError, match=r"notes.txt: it is no SQLite database; name another file"):
        await sqlite.build(f"sqlite:///{file}").open()
    assert file.read_text() == "buy milk\n" * 200


async def test_a_directory_in_the_files_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await sqlite.build(f"sqlite:///{tmp_path}").open()


async def test_a_damaged_file_is_said_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    store = sqlite.build(f"sqlite:///{file}")
    await store.open()
    assert await store.commit_counters(SourceRow("a"), used(3000), {})
    await store.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StoreError, match="it is damaged; alertd run sets it aside"):
        await sqlite.build(f"sqlite:///{file}").open()


async def test_a_full_disk_is_said_undoes_the_commit_and_is_survived(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for the disk: it answers with the same error."""
    store = sqlite.build(f"sqlite:///{tmp_path / 'a.db'}")
    assert isinstance(store, SqlStore)
    await store.open()
    connection = store._database._connections[0]  # type: ignore[attr-defined]
    ((pages,),) = connection.rows("PRAGMA page_count")
    connection.rows(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(StoreError, match="the disk is full; free some space; a running alertd goes on by itself"):
        await store.commit_counters(SourceRow("a"), used(3000), {})
    assert await store.series() == []
    connection.rows("PRAGMA max_page_count = 100000")
    assert await store.commit_counters(SourceRow("a"), used(3000), {})
    assert len(await store.series()) == 3000
    await store.close()


async def test_every_commit_is_on_disk_before_it_is_reported(tmp_path: Path) -> None:
    store = sqlite.build(f"sqlite:///{tmp_path / 'a.db'}")
    assert isinstance(store, SqlStore)
    await store.open()
    pragmas = await store._database.write(
        lambda tx: [tx.rows(f"PRAGMA {p}")[0][0] for p in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]  # 2 is FULL
    await store.close()


# --- PostgreSQL ---


@pytest.fixture
def postgres() -> Any:
    pytest.importorskip("psycopg", reason="no PostgreSQL driver: install alertd[postgres]")
    return importlib.import_module("alertd.stores.postgres")


async def test_a_server_that_is_not_there_is_named_without_the_password(postgres: Any) -> None:
    with pytest.raises(StoreError, match=r"postgresql://127.0.0.1:1/spend: .*refused.*check that the server") as raised:
        await postgres.build("postgresql://alertd:hunter2@127.0.0.1:1/spend").open()
    assert "hunter2" not in f"{raised.value}{raised.value!r}{raised.value.__cause__}"


@pytest.mark.parametrize("url", ["mysql://host/db", "postgresql://host:5432:5/db?nonsense=1"])
def test_a_url_that_is_none_is_refused_without_being_shown(postgres: Any, url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://user:password@host/database") as raised:
        postgres.build(url.replace("host", "user:hunter2@host"))
    assert "hunter2" not in str(raised.value)


async def test_a_database_that_is_not_there_is_said(postgres: Any, postgres_url: str) -> None:
    with pytest.raises(StoreError, match=r"nowhere.* does not exist; check that"):
        await postgres.build(postgres_url.replace("/postgres?", "/nowhere?")).open()


async def test_connections_that_the_server_ended_are_opened_again(durable: Place) -> None:
    if durable.kind != "postgres":
        pytest.skip("SQLite has no server that restarts")
    async with durable.open() as store:
        await asyncio.gather(*(store.sources() for _ in range(12)))
        psycopg: Any = importlib.import_module("psycopg")
        with psycopg.connect(durable.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alertd'")
        assert await store.commit_counters(SourceRow("a"), used(3), {})
        assert len(await asyncio.gather(*(store.sources() for _ in range(12)))) == 12


async def test_what_a_dead_daemon_was_sending_is_free_at_once_where_nobody_else_works_on_the_file(
    tmp_path: Path,
) -> None:
    place = Place("sqlite", f"sqlite:///{tmp_path}/alertd.db")
    async with place.open() as first, place.open() as second:
        assert await first.inherit() == 0
        await first.commit_decisions([], [MESSAGE], {})
        await first.claim(NOW, timedelta(minutes=2), ["ops"], 1)
        assert await second.inherit() == 0, "the first one lives, and is sending it"
        assert (await first.is_contended(), await second.is_contended()) == (False, True)
        assert await second.claim(NOW, timedelta(minutes=2), ["ops"], 1) == []
    async with place.open() as third:
        assert await third.inherit() == 1
        (row,) = await third.claim(NOW, timedelta(minutes=2), ["ops"], 1)
    assert (row.delivery.key, row.delivery.uncertain, row.delivery.attempt) == ("a", True, 2)


async def test_on_a_server_leases_run_out_because_another_daemon_may_be_at_work(postgres_url: str) -> None:
    with schema(postgres_url) as url:
        async with Place("postgres", url).open() as store:
            await store.commit_decisions([], [MESSAGE], {})
            await store.claim(NOW, timedelta(minutes=2), ["ops"], 1)
            assert await store.inherit() == 0
            assert not await store.is_contended()
            assert await store.claim(NOW + timedelta(seconds=119), timedelta(minutes=2), ["ops"], 1) == []


async def test_a_sqlite_database_and_what_lies_beside_it_are_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = sqlite.build(f"sqlite:///{tmp_path}/alertd.db")
        await store.open()
        await store.inherit()
        with os.scandir(tmp_path) as files:
            modes = {file.name: file.stat().st_mode & 0o777 for file in files}
        await store.close()
    finally:
        os.umask(before)
    assert modes.keys() >= {"alertd.db", "alertd.db-wal", "alertd.db-shm"}
    assert set(modes.values()) == {0o600}
