"""Notifications a second: alertd's durable outbox beside Debian's Alertmanager, which delivers from memory.

    PYTHONPATH=. python tests/benchmarks/bench_alertmanager.py [NOTIFICATIONS]

Both deliver the same number of single-alert notifications to the same local receiver, in one run. Alertmanager's clock
runs from the first post of alerts to the last notification received; alertd's from the start of delivery.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from alertd import registry
from tests.benchmarks.bench_outbox import Raw, a_second, real_webhook

_CONFIG = """
route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{port}/', send_resolved: false}}]}}]
"""


def count_posts(listening: socket.socket, taken: Any) -> None:
    """A receiver that takes every post and counts it."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            with taken.get_lock():
                taken.value += 1

    async def forever() -> None:
        server = await asyncio.start_server(take, sock=listening, limit=1 << 20)
        server._loop.set_exception_handler(lambda *_: None)  # a client that leaves is no news
        await server.serve_forever()

    asyncio.run(forever())


def alertmanager(binary: str, count: int, port: int, taken: Any, folder: Path) -> float:
    """Notifications a second of Alertmanager."""
    config = folder / "alertmanager.yml"
    config.write_text(_CONFIG.format(port=port))
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    command = [binary, f"--config.file={config}", f"--storage.path={folder}/data", "--cluster.listen-address=",
               f"--web.listen-address=127.0.0.1:{own}", "--log.level=error"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{own}"
        while True:
            try:
                if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        now = datetime.now(UTC).isoformat()
        alerts = [{"labels": {"alertname": "budget", "scope": f"{n}"}, "startsAt": now} for n in range(count)]
        before, began = taken.value, time.perf_counter()
        httpx.post(f"{url}/api/v2/alerts", json=alerts, trust_env=False, timeout=60).raise_for_status()
        while taken.value - before < count:
            time.sleep(0.005)
        took = time.perf_counter() - began
        process.terminate()
    return count / took


def main(count: int) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port, taken = listening.getsockname()[1], multiprocessing.Value("i", 0)
    receiver = multiprocessing.Process(target=count_posts, args=(listening, taken), daemon=True)
    receiver.start()
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    with TemporaryDirectory() as folder:
        rates: dict[str, float] = {}
        for name, notifier in (("alertd, raw posts", Raw(port)), ("alertd, webhook notifier", real_webhook(port))):
            store = registry.store(f"sqlite:///{folder}/{notifier.name}.db")

            async def measured(store: Any = store, notifier: Any = notifier) -> float:
                await store.open()
                rate = await a_second(store, notifier, count, 0)
                await store.close()
                return rate

            rates[name] = asyncio.run(measured())
        if binary:
            rates["Alertmanager, from memory"] = alertmanager(binary, count, port, taken, Path(folder))
        else:
            print("no Alertmanager on PATH (Debian: prometheus-alertmanager)")
    receiver.terminate()
    peer = rates.get("Alertmanager, from memory")
    for name, rate in rates.items():
        ratio = f"   {rate / peer:.2f} of Alertmanager" if peer else ""
        print(f"{name:28} {rate:8,.0f}/s{ratio}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
