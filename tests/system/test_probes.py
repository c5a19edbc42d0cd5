"""The probes of the real daemon beside a thousand connections that say nothing and are renewed as they are closed."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.system.daemon import Daemon, env_file, wait_for


class Silent(threading.Thread):
    """So many connections at a time to a port, each renewed when the server closes it; `opened` counts them all."""

    def __init__(self, port: int, count: int, source: str) -> None:
        super().__init__(daemon=True)
        self._port, self._count, self._source = port, count, source
        self.opened = 0
        self.ended = threading.Event()

    def run(self) -> None:
        with selectors.DefaultSelector() as open_ones:
            while not self.ended.is_set():
                while len(open_ones.get_map()) < self._count:
                    one = socket.create_connection(("127.0.0.1", self._port), 60, (self._source, 0))
                    open_ones.register(one, selectors.EVENT_READ)
                    self.opened += 1
                for key, _ in open_ones.select(0.05):
                    open_ones.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr] # a socket
            for key in list(open_ones.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr] # a socket


@contextmanager
def silence(port: int, count: int, source: str) -> Iterator[Silent]:
    """The connections, while the block runs."""
    silent = Silent(port, count, source)
    silent.start()
    try:
        wait_for("the connections", lambda: silent.opened >= count)
        yield silent
    finally:
        silent.ended.set()
        silent.join(60)


def probed(folder: Path, tries: int, count: int, source: str) -> tuple[list[int], list[str]]:
    """The statuses of so many probes under so many silent connections, and what the daemon logged meanwhile."""
    file = env_file(folder / "alertd.env", {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_HTTP__LISTEN": "0.0.0.0:0",
        "ALERTD_HTTP__TOKEN": "t" * 24,
        "ALERTD_SOURCES__A__KIND": "csv",
        "ALERTD_SOURCES__A__PATH": f"{folder}/*.csv",
        "ALERTD_BUDGETS__A__AMOUNT": "1 USD",
    })  # fmt: skip
    daemon = Daemon(file)
    try:
        wait_for("its port", lambda: daemon.port)
        logged = len(daemon.lines)
        with silence(daemon.port, count, source) as silent:
            before, statuses = silent.opened, []
            for number in range(tries):
                path = ("healthz", "readyz")[number % 2]
                answer = httpx.get(f"http://127.0.0.1:{daemon.port}/{path}", trust_env=False, timeout=30)
                statuses.append(answer.status_code)
            assert silent.opened > before, "connections were renewed all the while"
        return statuses, [line["message"] for line in daemon.lines[logged:]]
    finally:
        daemon.kill()


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
def test_the_probes_answer_beside_300_silent_connections(tmp_path: Path, source: str) -> None:
    statuses, logged = probed(tmp_path, 25, 300, source)
    assert statuses == [200] * 25
    assert len(logged) < 10, logged


@pytest.mark.chaos
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
def test_every_one_of_200_probes_answers_beside_1000_silent_connections(tmp_path: Path, source: str) -> None:
    statuses, logged = probed(tmp_path, 200, 1000, source)
    assert statuses == [200] * 200
    assert len(logged) < 20, logged
