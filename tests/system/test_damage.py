"""The database's file breaks below the real daemon, or takes nothing more: it is said, and watching goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from alertd.stores import postgres
from alertd.stores.urls import read_url
from tests import databases
from tests.servers.gateway import serving_gateway
from tests.servers.webhook import WebhookServer
from tests.system.daemon import CHECKOUT, Daemon, env_file, wait_for
from tests.system.test_reload import evaluated, logged, running, settings

pytestmark = pytest.mark.timeout(900)


def break_below(file: Path) -> None:
    """Overwrite every page but the first while the file is in use, and let its users notice that it changed."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
        other.execute("UPDATE turn SET number = number + 1 WHERE name = 'probe'")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = file.stat().st_size
        with file.open("r+b") as body:
            body.seek(4096)
            body.write(b"\xff" * (size - 4096))
        with file.open("rb+") as body:
            os.fsync(body.fileno())


def test_a_file_that_breaks_while_it_is_in_use_is_set_aside_told_and_watching_goes_on(tmp_path: Path) -> None:
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.step = 10_000
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook))) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            break_below(tmp_path / "alertd.db")
            wait_for("its word", lambda: [e for e in hook.events.values() if "was damaged" in e["reason"]])
            wait_for("the new page", lambda: logged(daemon, "page, API and probes at ") > 1)
            wait_for("figures anew", lambda: evaluated(daemon) and evaluated(daemon)[0]["spent"] not in {None, "0"})
            assert daemon.get("/readyz")
            assert not any("traceback" in line for line in daemon.lines)
    (aside,) = tmp_path.glob("alertd.db.corrupt-*[!lm]")
    assert logged(daemon, f"The old file is {aside}") == 1
    (told,) = [e for e in hook.events.values() if "was damaged" in e["reason"]]
    assert (told["event"], told["severity"]) == ("source_stale", "critical")


def test_a_file_that_is_removed_while_it_is_in_use_comes_back_with_all_it_held_and_is_announced(tmp_path: Path) -> None:
    file = tmp_path / "alertd.db"
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.step = 10_000
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook))) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            with closing(sqlite3.connect(file)) as before:
                known = before.execute("SELECT count(*) FROM alert").fetchone()[0]
            for each in tmp_path.glob("alertd.db*"):
                each.unlink()
            wait_for("its word", lambda: [e for e in hook.events.values() if "its file was removed" in e["reason"]])
            wait_for("the new page", lambda: logged(daemon, "page, API and probes at ") > 1)
            wait_for("figures anew", lambda: evaluated(daemon) and evaluated(daemon)[0]["spent"] not in {None, "0"})
            assert daemon.get("/readyz")
    with closing(sqlite3.connect(file)) as after:
        assert after.execute("SELECT count(*) FROM alert").fetchone()[0] > known
    assert len({event["id"] for event in hook.events.values()}) == len(hook.events)


def test_a_file_that_is_replaced_while_it_is_in_use_is_announced_and_the_new_one_used(tmp_path: Path) -> None:
    file, older = tmp_path / "alertd.db", tmp_path / "older.db"
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.step = 10_000
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook))) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(older)) as copy:
                source.backup(copy)
            older.rename(file)
            wait_for("its word", lambda: [e for e in hook.events.values() if "file was replaced" in e["reason"]])
            wait_for("the new page", lambda: logged(daemon, "page, API and probes at ") > 1)
            wait_for("figures anew", lambda: evaluated(daemon) and evaluated(daemon)[0]["spent"] not in {None, "0"})
            assert daemon.get("/readyz")
            assert not any("traceback" in line for line in daemon.lines)
    (event,) = [e for e in hook.events.values() if "file was replaced" in e["reason"]]
    assert (event["event"], event["severity"]) == ("source_stale", "critical")


def test_two_daemons_on_one_file_are_announced_once_logged_by_both_and_count_right(tmp_path: Path) -> None:
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.step = 10_000
        file = env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook))
        with running(file) as first:
            wait_for("figures", lambda: evaluated(first))
            with running(file) as second:
                for daemon in (first, second):
                    wait_for("its warning", lambda daemon=daemon: logged(daemon, "another alertd uses"))
                wait_for("its word", lambda: [e for e in hook.events.values() if "two alertd use" in e["reason"]])
                assert second.get("/readyz")
            assert logged(first, "another alertd uses") == 1
    (event,) = [e for e in hook.events.values() if "two alertd use" in e["reason"]]
    assert (event["event"], event["severity"]) == ("source_stale", "warning")


def fill(filler: Path) -> None:
    """Write until there is no room."""
    with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
        while full.write(bytes(4096)):
            pass


@contextmanager
def full_disk(folder: Path):
    """A file system of two megabytes."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_is_full_is_said_and_what_was_used_meanwhile_is_counted_once_there_is_room(tmp_path: Path) -> None:
    with serving_gateway() as (gateway, server), WebhookServer() as hook, full_disk(tmp_path / "disk") as disk:
        more = {"ALERTD_DATABASE": f"sqlite:///{disk}/alertd.db"}
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook, **more))) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            filler = disk / "filler"
            fill(filler)
            gateway.tokens = 11_000_000
            wait_for("the full disk in the log", lambda: logged(daemon, "the disk is full; free some space"))
            filler.unlink()
            wait_for("what was used meanwhile", lambda: evaluated(daemon)[0]["spent"] == "10000000")
            wait_for("its level", lambda: [e for e in hook.events.values() if e["levels"] == [10]])


#: Root without the power to write where its rights do not let it.
BOUND = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.skipif(bool(BOUND) and not shutil.which("setpriv"), reason="no `setpriv`, and root may write everywhere")
def test_a_database_that_may_only_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    place = tmp_path / "alertd.db"
    file = env_file(tmp_path / "alertd.env", {
        "ALERTD_DATABASE": f"sqlite:///{place}",
        "ALERTD_SOURCES__A__KIND": "csv",
        "ALERTD_SOURCES__A__PATH": f"{tmp_path}/*.csv",
        "ALERTD_BUDGETS__A__AMOUNT": "1 USD",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
    })  # fmt: skip
    daemon = Daemon(file)
    wait_for("its page", lambda: daemon.port)
    assert daemon.stop()[0] == 0
    place.chmod(0o444)
    done = subprocess.run(
        [*BOUND, sys.executable, "-m", "alertd", "run", "--env-file", str(file)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{place}: it cannot be written; give alertd's user write access" in done.stderr


async def test_a_damaged_block_in_postgresql_is_announced_and_its_source_is_read_again(
    postgres_url: str, tmp_path: Path
) -> None:
    with databases.schema(postgres_url) as url, serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.step = 10_000
        file = env_file(tmp_path / "alertd.env", {**settings(tmp_path, server, hook), "ALERTD_DATABASE": url})
        with running(file) as daemon:
            wait_for("figures", lambda: evaluated(daemon) and evaluated(daemon)[0]["spent"] not in {None, "0"})
        database = postgres.PostgresDatabase(read_url(url))
        await database.write(lambda tx: tx.run("UPDATE usage_block SET buckets = ?", b"u2 not what was written"))
        await database.close()
        with running(file) as daemon:
            wait_for("its word", lambda: [e for e in hook.events.values() if "was damaged" in e["reason"]])
            wait_for("figures anew", lambda: evaluated(daemon) and evaluated(daemon)[0]["spent"] not in {None, "0"})
            assert not any("traceback" in line for line in daemon.lines)
    (told,) = [e for e in hook.events.values() if "was damaged" in e["reason"]]
    assert "the usage of gateway" in told["reason"]
    assert (told["event"], told["severity"]) == ("source_stale", "critical")
