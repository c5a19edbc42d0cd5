"""alertd as its users get it: built once, put into a bare environment or run by a tool that makes one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.system.daemon import interruptible, wait_for

ROOT: Final = Path(__file__).parents[2]
#: The demonstration's first alert, after seconds, and that of the first level, which is crossed within a minute.
ALERT: Final = "WARNING: "
LEVEL: Final = "80% of"


def built(folder: Path, kind: str, *, source: Path = ROOT, **environment: str) -> Path:
    """The one file that hatchling builds of a tree."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=source, env={**os.environ, **environment}, capture_output=True, check=True,
    )  # fmt: skip
    (file,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return file


def interpreter(version: str) -> Path | None:
    """A Python of a minor version such as 3.12: this one, one on the path, or one of pyenv's."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.executable)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)]
    for each in found:
        if each and f"{version}." in subprocess.run([each, "-V"], capture_output=True, text=True, check=False).stdout:
            return Path(each)
    return None


def bare(**more: str) -> dict[str, str]:
    """This environment without what names alertd, a virtual environment or a folder of Python's own."""
    left = ("ALERTD_", "VIRTUAL_ENV", "PYTHON", "PYTEST", "COV")
    return {name: value for name, value in os.environ.items() if not name.startswith(left)} | more


def megabytes(folder: Path) -> float:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


@dataclass
class Demonstration:
    """A running `alertd demo`: what it has said, and after how many seconds."""

    command: list[str]
    begun: float = field(default_factory=time.monotonic)
    said: list[str] = field(default_factory=list)

    def heard(self, words: str, seconds: float = 300.0) -> float:
        """Wait until it has said so; the seconds since its start."""

        def known() -> bool:
            assert self.process.poll() is None or words in self.text, self.text[-3000:]
            return words in self.text

        wait_for(f"{words!r} of {' '.join(self.command)}", known, seconds)
        return time.monotonic() - self.begun

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def page(self) -> str:
        """The address of its page, as printed."""
        found = re.search(r"^Page: (\S+)/ ", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    def status(self, path: str = "/") -> int:
        return httpx.get(self.page + path, timeout=30).status_code

    def run(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            self.command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True, preexec_fn=interruptible,  # noqa: PLW1509
        )  # fmt: skip
        self._reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout or ()), daemon=True)
        self._reader.start()

    def end(self) -> int:
        """Its exit status after Ctrl-C, which a terminal sends to all that it runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self._reader.join(10)
            if self.process.stdout is not None:
                self.process.stdout.close()


@contextmanager
def demonstration(command: list[str], folder: Path, **environment: str) -> Iterator[Demonstration]:
    """`command`, which ends in `demo`, in a folder where nothing else is, on a port that is free."""
    shown = Demonstration(command)
    shown.run(folder, bare(ALERTD_HTTP__LISTEN="127.0.0.1:0", **environment))
    try:
        yield shown
    finally:
        shown.end()
