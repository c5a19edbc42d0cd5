"""The real daemon in a process of its own, on an env file, until it is stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

CHECKOUT = Path(__file__).parents[2]


#: Daemons that nobody has stopped, killed or asked about their end: each must run.
_RUNNING: Final[list[Daemon]] = []


def wait_for(what: str, found: Callable[[], Any], seconds: float = 180.0) -> Any:
    """The first answer of `found` that is true; fails, naming what was awaited, when it takes too long.

    It fails at once if a daemon ends that should run: then nothing more will come.
    """
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        for daemon in [*_RUNNING]:
            daemon.must_run(what)
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)
    return answer


def interruptible() -> None:
    """For `preexec_fn`: what was started in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def env_file(path: Path, settings: Mapping[str, str]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    return path


@dataclass
class Daemon:
    """`alertd run` on an env file. `lines` are what it logged, as JSON; `port` where its page is, once it is."""

    file: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    port: int = 0
    program: tuple[str, ...] = ("-m", "alertd")
    checkout: Path = CHECKOUT
    words: tuple[str, ...] = ()
    #: Variables of its own, such as a clock that is not the machine's.
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
        self._process = subprocess.Popen(
            [sys.executable, *self.program, "run", "--env-file", str(self.file), *self.words],
            cwd=self.checkout,
            env={**clean, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        _RUNNING.append(self)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"message": line}
            self.raw.append(line)
            self.lines.append(said)
            if said["message"].startswith("page, API and probes at "):
                self.port = int(said["message"].rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """Its exit status, None while it runs. A test that asks knows that it may have ended."""
        self._may_end()
        return self._process.poll()

    def must_run(self, meanwhile: str) -> None:
        """Fail if it has ended by itself."""
        if (status := self._process.poll()) is not None:
            self._may_end()
            raise AssertionError(f"alertd ended with {status} while the test waited for {meanwhile}: {self.raw[-5:]}")

    def _may_end(self) -> None:
        _RUNNING[:] = [one for one in _RUNNING if one is not self]

    def get(self, path: str) -> Any:
        """The JSON of one of its pages, None until it serves."""
        if not self.port:
            assert self._process.poll() is None, self.lines
            return None
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=60)
        return answer.json() if answer.status_code == 200 else None

    def text(self, path: str) -> str:
        """One of its pages as text."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=60).text

    def signal(self, number: signal.Signals) -> None:
        if number in {signal.SIGTERM, signal.SIGINT, signal.SIGKILL}:
            self._may_end()
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._may_end()
        self._process.kill()
        self._end(60)

    def stop(self) -> tuple[int, float]:
        """SIGTERM; its exit status, and the seconds that it took."""
        self._may_end()
        begin = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        status = self._end(60)
        return status, time.monotonic() - begin

    def _end(self, seconds: float) -> int:
        status = self._process.wait(seconds)
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()
        return status
