"""`alertd db`: everything arrives, nothing is overwritten, and what was told before a restore is not told again."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import main
from alertd.core.counting.samples import CounterState, Increment
from alertd.core.events import Event
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Line, Usage
from alertd.ports import AlertRow, NewMessage, Reading, Receipt, SourceRow, Step, Store, StoreError
from alertd.stores.backup import move
from alertd.stores.sqlite import model_of_schema
from tests import databases
from tests.databases import Place

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LINE = Line("openai", "gpt-5", "input")
WAYS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Makes an empty database of a kind."""
    with ExitStack() as stack:

        def made(kind: str, name: str) -> Place:
            if kind == "sqlite":
                return Place(kind, f"sqlite:///{tmp_path / name}.db")
            return Place(kind, stack.enter_context(databases.schema(request.getfixturevalue("postgres_url"))))

        yield made


def event(name: str) -> Event:
    return Event(name, "threshold", "warning", NOON, amount=Decimal("500.00"), reason="a\x00b – 🙂")


async def fill(store: Store, series: int = 40) -> None:
    """Something in every table, with the odd values that databases differ in."""
    increments = [
        Increment(LINE, {"team": f"ä\x00{n}"}, 60 * m, 60, 2**40 + n) for n in range(series) for m in range(200)
    ]
    row = SourceRow("gateway", cursor="c\x00", until=NOON)
    assert await store.commit_counters(row, increments, {"f\x01": CounterState(1.5, 2**53, None)})
    bill = BilledCost("openai", NOON, NOON + timedelta(days=1), Money(Decimal("12.34"), "EUR"), {})
    usage = Usage(LINE, NOON, NOON + timedelta(hours=1), 7, {"project": "x"})
    window = (NOON, NOON + timedelta(days=1))
    assert await store.commit_records(SourceRow("bills"), Reading("b", NOON, records=[bill, usage], window=window))
    alerts = [AlertRow("research/a", NOON, event("a"))]
    messages = [NewMessage(key, "ops", key, (event(key),)) for key in ("told", "waiting")]
    step = Step("act", 1, NOON, "propose", "proposed", "ana", "why", "", {"x": 1})
    assert await store.commit_decisions(alerts, messages, {"budget/research": ("x", 0)}, [step])
    await store.record_evaluation(NOON, {"research": ("research", "[]")}, {"research"})
    claimed = await store.claim(NOON, timedelta(minutes=1), ["ops"], 1)
    assert await store.delivered(claimed[0], NOON, Receipt("ok", {"ts": "1"}))
    await store.end_session("a session", NOON)
    while await store.compact(NOON):
        pass
    await store.usage_within(0, 3600, keep=True)


async def content(store: Any) -> dict[str, set[Any]]:
    """Every row of every table."""

    def read(tx: Any) -> dict[str, set[Any]]:
        return {
            table.name: set(tx.rows(f"SELECT {', '.join(name for name, _ in table.columns)} FROM {table.name}"))
            for table in model_of_schema()
        }

    found: dict[str, set[Any]] = await store.database.read(read)
    return found


def test_the_tables_that_are_moved_are_those_of_a_real_database(make: Any) -> None:
    """The model is read off the migrations: what a database of either kind has is what is moved."""

    async def names(place: Place, sql: str) -> set[str]:
        async with place.open() as store:
            found = await store.database.read(lambda tx: tx.rows(sql))  # type: ignore[attr-defined]
            return {name for (name,) in found}

    own = {table.name for table in model_of_schema()}
    assert own >= {"usage", "series", "source", "counter_block", "alert", "note", "outbox", "conversation", "audit"}
    assert "usage_block" in own
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    here = asyncio.run(names(make("postgres", "x"), sql))
    assert here == own | {"migration"}
    assert all(table.key for table in model_of_schema())


@pytest.mark.parametrize(("old", "new"), WAYS)
async def test_everything_arrives_and_the_new_database_goes_on(make: Any, old: str, new: str) -> None:
    source, target = make(old, "old"), make(new, "new")
    async with source.open() as one, target.open() as other:
        await fill(one)
        held = await content(one)
        assert all(held.values()), f"the test fills every table: {[name for name, rows in held.items() if not rows]}"
        moved = await move(one.database, other.database)
        assert await content(other) == held == await content(one)
        assert {name: table.rows for name, table in moved.items()} == {name: len(rows) for name, rows in held.items()}
        assert moved["usage"].sums["quantity"] == sum(row[3] for row in held["usage"])
        # Numbers go on where they were: a new series, a new message and a new step clash with none that were moved.
        fresh = replace(await other.source("gateway"), cursor="on")
        assert await other.commit_counters(fresh, [Increment(LINE, {"team": "new"}, 0, 60, 1)], {})
        assert await other.commit_decisions([], [NewMessage("new", "ops", "new", (event("new"),))], {})
        assert len(await other.series()) == len(held["series"]) + 1
        claimed = await other.claim(NOON, timedelta(minutes=1), ["ops"], 9)
        assert [row.delivery.key for row in claimed] == ["waiting", "new"]


@pytest.mark.parametrize(("old", "new"), WAYS[:2])
async def test_a_database_that_holds_something_is_refused_and_left_as_it_was(make: Any, old: str, new: str) -> None:
    async with make(old, "old").open() as one, make(new, "new").open() as other:
        await fill(one, 2)
        await other.commit_decisions([], [], {"mine": (1, 0)})
        before = await content(other)
        with pytest.raises(StoreError, match=r"is not empty \(note\); name an empty database"):
            await move(one.database, other.database)
        assert await content(other) == before


class InUse:
    """A database that somebody left an alertd running on: before every look at it, there is one alert more."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._written = 0

    async def read(self, work: Any, **_: Any) -> Any:
        self._written += 1
        assert await self._store.commit_decisions([AlertRow(f"research/{self._written}", NOON, event("b"))], [], {})
        return await self._store.database.read(work)


@pytest.mark.parametrize(("old", "new"), WAYS[:2])
async def test_what_is_written_meanwhile_undoes_the_move(make: Any, old: str, new: str) -> None:
    async with make(old, "old").open() as one, make(new, "new").open() as other:
        await fill(one, 2)
        with pytest.raises(StoreError, match=r"has changed meanwhile \(.*alert.*\); stop every alertd that uses it"):
            await move(InUse(one), other.database)
        assert {name for name, rows in (await content(other)).items() if rows} == {"turn"}


async def test_a_database_of_a_newer_alertd_is_not_moved_in_part(make: Any) -> None:
    async with make("sqlite", "old").open() as one, make("sqlite", "new").open() as other:
        await fill(one, 2)
        await one.database.write(lambda tx: tx.run("INSERT INTO migration VALUES (99, 1)"))
        with pytest.raises(StoreError, match=r"written by a newer alertd \(schema 99, .*\); move with that one"):
            await move(one.database, other.database)


# --- the command ---


@pytest.fixture
def daily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database in use, which ALERTD_DATABASE names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALERTD_DATABASE", "sqlite:///daily.db")

    async def filled() -> None:
        async with Place("sqlite", "sqlite:///daily.db").open() as store:
            await fill(store, 2)

    asyncio.run(filled())
    return tmp_path


@pytest.mark.usefixtures("daily")
def test_the_command_moves_there_and_back(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with databases.schema(postgres_url) as url:
        assert main(["db", "move", "-", url, "--json"]) == 0
        there = json.loads(capsys.readouterr().out)
        assert main(["db", "move", url, "sqlite:///back.db"]) == 0
    said = capsys.readouterr().out
    assert there["tables"]["usage"]["rows"] > 0
    assert f"{there['rows']:,} rows moved, read back and compared. Set ALERTD_DATABASE to back.db" in said
    with closing(sqlite3.connect("daily.db")) as one, closing(sqlite3.connect("back.db")) as other:
        assert sorted(one.iterdump()) == sorted(other.iterdump()), "the same rows, in whatever order they were written"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["move", "sqlite:///nowhere.db", "sqlite:///new.db"], "nowhere.db: no such file"),
        (
            ["move", "-", "mysql://x"],
            "TO no database; write sqlite:////var/lib/alertd/alertd.db or postgresql://host/alertd",
        ),
        (["move", "-", "-"], "daily.db: is not empty"),
        (["move", "-", "postgresql://u:s3cret@127.0.0.1:1/x"], "check that the server runs"),
        (["backup", "daily.db"], "daily.db: is there already and is left as it is"),
        (["backup", "no/such/folder.db"], "was not written"),
        (["restore", "nowhere.db"], "nowhere.db: no such file"),
        (["restore", "daily.db"], "daily.db: is there already and is left as it is"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    daily: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = Path("daily.db").read_bytes()
    assert main(["db", *words]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert "s3cret" not in printed
    assert Path("daily.db").read_bytes() == before
    assert {path.name for path in daily.iterdir()} - {"daily.db-wal", "daily.db-shm"} == {"daily.db"}


async def test_a_backup_of_a_database_in_use_is_whole_and_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALERTD_DATABASE", "sqlite:///daily.db")
    async with Place("sqlite", "sqlite:///daily.db").open() as store:
        await fill(store, 2)
        held = await content(store)
        assert await asyncio.to_thread(main, ["db", "backup", "copy.db"]) == 0
    assert stat.S_IMODE(os.stat("copy.db").st_mode) == 0o600  # noqa: PTH116 - one look at a file
    async with Place("sqlite", "sqlite:///copy.db").open() as copied:
        assert await content(copied) == held


@pytest.mark.usefixtures("daily")
def test_a_backup_that_is_damaged_or_another_programs_is_not_restored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["db", "backup", "copy.db"]) == 0
    text = Path("copy.db").read_bytes()
    Path("damaged.db").write_bytes(text[:8192] + b"\xff" * 4096 + text[12288:])
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE x (y)")
    monkeypatch.setenv("ALERTD_DATABASE", "sqlite:///new.db")
    for file, said in (("damaged.db", "damaged"), ("other.db", "is no database of alertd")):
        assert main(["db", "restore", file]) == 1
        assert said in capsys.readouterr().err
        assert not Path("new.db").exists()


@pytest.mark.usefixtures("daily")
def test_messages_that_were_on_their_way_at_the_backup_are_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "backup", "copy.db"]) == 0
    monkeypatch.setenv("ALERTD_DATABASE", "sqlite:///new.db")
    assert main(["db", "restore", "copy.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["closed"] == 1
    assert main(["db", "restored", "--json"]) == 0, "a second time is harmless"

    async def waiting() -> dict[str, Any]:
        async with Place("sqlite", "sqlite:///new.db").open() as store:
            return await store.outbox_depth()

    assert asyncio.run(waiting()) == {}
