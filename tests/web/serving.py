"""Applications served on real ports beside a test, for clients that are programs of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from alertd.web.server import WebServer


@contextmanager
def serving(applications: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The address of each application while the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = {name: WebServer(application, "127.0.0.1", 0) for name, application in applications.items()}
    try:
        yield {
            name: asyncio.run_coroutine_threadsafe(server.start(), loop).result(10) for name, server in servers.items()
        }
    finally:
        for server in servers.values():
            asyncio.run_coroutine_threadsafe(server.stop(1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
