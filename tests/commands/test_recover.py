"""A damaged SQLite file: found, said, set aside, made anew of what can be read; a ledger is whole or gone."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import main
from alertd.ports import StoreError
from alertd.stores import salvage
from tests.commands.test_db import content, fill
from tests.databases import Place

NOW = datetime(2026, 11, 21, 22, 15, tzinfo=UTC)
#: Worked out anew from the ledger.
SUMS = "usage_sum"
LEDGER = {"usage", "series", "source", "counter_block", "usage_block"}
PAGE = 4096


def filled(folder: Path) -> Path:
    """A database with something in every table and in every page, closed, so that all of it is in one file."""

    async def make() -> None:
        async with Place("sqlite", f"sqlite:///{folder}/alertd.db").open() as store:
            await fill(store)

    asyncio.run(make())
    with closing(sqlite3.connect(folder / "alertd.db")) as db:
        db.execute("VACUUM")  # what is damaged in a page that is free damages nothing
    return folder / "alertd.db"


def held(file: Path) -> dict[str, set[Any]]:
    """Every row of every table; opening it proves that alertd can go on with it."""

    async def read() -> dict[str, set[Any]]:
        async with Place("sqlite", f"sqlite:///{file}").open() as store:
            await store.writable()
            return await content(store)

    return asyncio.run(read())


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def a_bit(body: bytes) -> bytes:
    return body[: len(body) - 100]


def zeros(body: bytes) -> bytes:
    return bytes(len(body))


def nothing(_: bytes) -> bytes:
    return b""


def first_page_but_its_head(body: bytes) -> bytes:
    return body[:100] + random.Random(1).randbytes(PAGE - 100) + body[PAGE:]


@pytest.mark.parametrize("damage", [half, a_bit, zeros, nothing, first_page_but_its_head])
def test_a_damaged_file_is_found_and_a_sound_one_takes_its_place(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = filled(tmp_path)
    broken = damage(file.read_bytes())
    file.write_bytes(broken)
    fault = salvage.fault_of(file)
    assert fault
    found = salvage.recover(file, fault, NOW)
    assert found.aside.read_bytes() == broken, "the old file is kept as it was"
    assert salvage.fault_of(file) == ""
    notes = {row[0]: json.loads(row[1]) for row in held(file)["note"]}
    assert notes["damaged"]["aside"] == str(found.aside) == f"{file}.corrupt-20261121T221500Z"
    lost = set(found.lost)
    assert ("restored" in notes) == bool(lost), "what was told is not known for certain"
    assert str(found.aside) in found.report()


def test_a_sound_file_or_none_is_left_alone(tmp_path: Path) -> None:
    file = filled(tmp_path)
    assert salvage.fault_of(file) == ""
    assert salvage.fault_of(tmp_path / "none.db") == ""
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_somebody_elses_is_refused_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "alertd.env"
    file.write_text("ALERTD_POLL_INTERVAL=60s\n" * 20)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"alertd\.env: it is no SQLite database; name another file"):
        salvage.fault_of(file)
    settings = tmp_path / "run.env"
    settings.write_text(
        f"ALERTD_DATABASE=sqlite:///{file}\nALERTD_SOURCES__A__KIND=csv\nALERTD_SOURCES__A__PATH={tmp_path}/*.csv\n"
        "ALERTD_BUDGETS__A__AMOUNT=1 USD\n"
    )
    assert main(["run", "--env-file", str(settings)]) == 1
    assert "it is no SQLite database" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_whatever_page_is_overwritten_the_new_database_holds_nothing_that_the_old_one_did_not(tmp_path: Path) -> None:
    file = filled(tmp_path)
    whole, before = file.read_bytes(), held(file)
    chance = random.Random(20261121)
    kept_all = 0
    for page in range(len(whole) // PAGE):
        place = page * PAGE + (100 if page == 0 else 0)
        file.write_bytes(whole[:place] + chance.randbytes((page + 1) * PAGE - place) + whole[(page + 1) * PAGE :])
        fault = salvage.fault_of(file)
        assert fault, f"page {page}"
        found = salvage.recover(file, fault, NOW)
        after = held(file)
        assert salvage.fault_of(file) == ""
        for table in before.keys() - {"turn", "note"}:
            assert after[table] <= before[table], f"page {page}, {table}"
        if any(after[table] for table in LEDGER):
            assert all(after[table] == before[table] for table in LEDGER), f"page {page}: a ledger with a hole"
        lost = {table for table in before if table not in {"turn", SUMS} and not before[table] <= after[table]}
        assert lost <= LEDGER | set(found.lost), f"page {page}: lost without a word"
        kept_all += not lost
        found.aside.unlink()
    assert kept_all > 0, "a page of an index costs nothing"


def test_a_block_of_usage_that_is_not_as_it_was_written_is_named_and_the_sources_are_read_again(tmp_path: Path) -> None:
    """The file is sound to SQLite: only the block's own checksum tells."""
    file = filled(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        ((block,),) = db.execute("SELECT buckets FROM usage_block WHERE slot = 0").fetchall()
        torn = block[:20] + bytes([block[20] ^ 1]) + block[21:]
        db.execute("UPDATE usage_block SET buckets = ? WHERE slot = 0", (torn,))
    fault = salvage.fault_of(file)
    assert fault == "the usage of gateway from 1970-01-01 00:00 UTC on is not as it was written"
    found = salvage.recover(file, fault, NOW)
    assert (found.lost, found.ledger) == (("usage_block",), False)
    assert "usage is read again from the sources" in found.report()
    after = held(file)
    assert not any(after[table] for table in LEDGER)
    assert after["alert"]


def test_a_damaged_block_in_a_large_file_is_found_after_an_error_and_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A large file is not read as a whole at each start, but it is where something said that it is damaged."""
    file = filled(tmp_path)
    monkeypatch.setattr(salvage, "_CHECKED", 1)
    monkeypatch.setenv("ALERTD_DATABASE", f"sqlite:///{file}")
    assert salvage.fault_of(file, whole=True) == ""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE usage_block SET buckets = x'7531' WHERE slot = 0")
    assert salvage.fault_of(file) == ""
    assert "1970-01-01 00:00 UTC" in salvage.fault_of(file, whole=True)
    assert main(["db", "recover", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["damaged"] is True


def test_where_only_an_index_is_damaged_nothing_is_lost_and_nothing_is_hushed(tmp_path: Path) -> None:
    file = filled(tmp_path)
    before = held(file)
    with closing(sqlite3.connect(file)) as db:
        ((page,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'alert_at'").fetchall()
    body = bytearray(file.read_bytes())
    body[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
    file.write_bytes(body)
    found = salvage.recover(file, salvage.fault_of(file), NOW)
    after = held(file)
    assert (found.lost, found.ledger) == ((), True)
    assert "nothing is lost" in found.report()
    assert all(after[table] == before[table] for table in before if table not in {"note", "turn", SUMS})
    assert {row[0] for row in after["note"]} == {row[0] for row in before["note"]} | {"damaged"}


def test_one_who_was_killed_before_the_new_file_was_in_its_place_is_gone_on_with(tmp_path: Path) -> None:
    file = filled(tmp_path)
    file.with_name("alertd.db-wal").write_bytes(b"a journal of the old one")
    file.rename(tmp_path / "alertd.db.recovered")
    salvage.finish(file)
    assert salvage.fault_of(file) == ""
    assert held(file)["usage"]


def test_the_command_says_what_it_saved_and_leaves_a_sound_one_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = filled(tmp_path)
    monkeypatch.setenv("ALERTD_DATABASE", f"sqlite:///{file}")
    assert main(["db", "recover"]) == 0
    assert "is not damaged, nothing was done" in capsys.readouterr().out
    file.write_bytes(b"no database at all" * 1000)
    assert main(["db", "recover", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["damaged"] is True
    assert Path(told["aside"]).read_bytes().startswith(b"no database")


#: Makes a store in a folder and ends, as if killed, at the call of the system with the number given.
_KILLED = """
import asyncio, os, sys
from pathlib import Path
from alertd.stores.sqlite import build

folder, last = Path(sys.argv[1]), int(sys.argv[2])
count = 0

def end(event, arguments):
    global count
    if str(folder) in str(arguments[:1]) and event in ("open", "os.link", "os.remove", "os.rename", "sqlite3.connect"):
        count += 1
        if count == last:
            os._exit(9)

async def opened():
    store = build(f"sqlite:///{folder}/alertd.db")
    await store.open()
    await store.close()

for last in range(1, last):
    if not (child := os.fork()):
        folder = folder / str(last)
        folder.mkdir()
        sys.addaudithook(end)
        asyncio.run(opened())
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_first_start_that_was_killed_at_any_call_leaves_no_file_that_counts_as_damaged(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), "12"], check=True)
    folders = [folder for folder in tmp_path.iterdir() if not (folder / "alertd.db").is_file()]
    assert 2 < len(folders) < 11, "killed before there is a file, and after it"
    for folder in tmp_path.iterdir():
        assert salvage.fault_of(folder / "alertd.db") == "", folder.name

        async def opened(folder: Path = folder) -> None:
            async with Place("sqlite", f"sqlite:///{folder}/alertd.db").open():
                pass

        asyncio.run(opened())
