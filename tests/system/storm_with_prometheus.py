"""A storm whose daemons see the gateway through a real Prometheus, which is killed and frozen as they are.

On the machine's own clock: Prometheus cannot be given another one.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.servers.faulty_servers import HttpsServer
from tests.system.daemon import wait_for
from tests.system.storm import Storm, pause

#: What an exporter may do that Prometheus stores, or does not.
LIES: Final = ("NaN", "1e308", "negative", "infinite", "twice", "yesterday", "explosion", "half a line", "500",
               "a login page", "hangs up", "nothing", "cut short")  # fmt: skip


class PrometheusProcess:
    """A Prometheus that scrapes one HTTPS exporter every second; killed, it begins again where it was."""

    def __init__(self, folder: Path, exporter: HttpsServer) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: gateway\n  scheme: https\n"
            "  tls_config: {insecure_skip_verify: true}\n"
            f"  static_configs: [{{targets: ['{exporter.url.removeprefix('https://')}']}}]\n",
            encoding="utf-8",
        )
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data",
             f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("Prometheus", self._ready)

    def _ready(self) -> bool:
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


@dataclass
class StormWithPrometheus(Storm):
    """The same daemons, oracle and die; the source is the watcher."""

    watcher: PrometheusProcess | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.watcher is not None
        for name in ("CA_FILE", "URL", "KIND"):
            del self.settings[f"ALERTD_SOURCES__GATEWAY__{name}"]
        self.settings |= {
            "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
            "ALERTD_SOURCES__GATEWAY__URL": self.watcher.url,
            "ALERTD_SOURCES__GATEWAY__STALE_AFTER": "30m",
        }
        self.restart_with(self.settings)

    def begin_anew(self) -> None:
        """Prometheus has the past: the new ledger knows all that the old one knew."""

    def environment(self) -> dict[str, str]:
        return {}

    def misfortunes(self) -> list[str]:
        own = ["damage", "no_room", "locked"] if self.is_sqlite else ["cut_off", "read_only", "held"]
        return ["kill", "stop", "freeze", "lie", "lie", "lie", "gateway_restart", "watcher_killed", "watcher_frozen",
                "receiver", "hook", *own]  # fmt: skip

    def _lie(self) -> None:
        self.lying(self.chance.choice(LIES))

    def _watcher_killed(self) -> None:
        assert self.watcher is not None
        self.watcher.kill()
        self.emit()
        pause(self.chance.choice((0.2, 2)))
        self.watcher.start()

    def _watcher_frozen(self) -> None:
        assert self.watcher is not None
        self.watcher.process.send_signal(signal.SIGSTOP)
        self.emit()
        pause(self.chance.choice((0.5, 6)))
        self.watcher.process.send_signal(signal.SIGCONT)


@contextmanager
def watcher(folder: Path, exporter: HttpsServer) -> Iterator[PrometheusProcess]:
    found = PrometheusProcess(folder, exporter)
    try:
        yield found
    finally:
        found.kill()
