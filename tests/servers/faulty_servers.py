"""HTTPS servers that lie on command: a page of counters, a receiver of the webhook contract, a hook that stops keys.

Each keeps the truth of what it did: what was emitted, what was told under which id, what was done to which key.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import trustme

TEXT: Final = "text/plain; version=0.0.4"
_INPUT: Final = "litellm_input_tokens_metric_total"


@dataclass(frozen=True, slots=True)
class Said:
    """What a server answers. `promised` bytes more than it sends; `wait` seconds before; status 0 hangs up."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    wait: float = 0.0
    promised: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Certificates:
    """A certificate authority of the tests' own, and two certificates of it: one that is good and one that ran out."""

    authority: trustme.CA = field(default_factory=trustme.CA)

    def context(self, *, expired: bool) -> ssl.SSLContext:
        until = datetime(2026, 1, 1, tzinfo=UTC) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1", not_after=until).configure_cert(context)
        return context


class HttpsServer:
    """One HTTPS server in a thread; `respond` answers whatever is asked. `expire` changes its certificate."""

    def __init__(self, certificates: Certificates, respond: Callable[[str, str, dict[str, str], bytes], Said]) -> None:
        self._contexts = {expired: certificates.context(expired=expired) for expired in (False, True)}
        self._context = self._contexts[False]
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                said = respond(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                time.sleep(said.wait)
                if said.status:
                    self.send_response(said.status)
                    for name, value in (("Content-Type", said.kind), *said.headers):
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(said.body) + said.promised))
                    self.end_headers()
                    self.wfile.write(said.body)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                return None

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                connection.settimeout(20)
                return server._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_: object) -> None:
                """Clients that are killed, frozen or distrust the certificate are part of the story."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_port}"

    def expire(self, *, expired: bool) -> None:
        self._context = self._contexts[expired]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Gateway:
    """A gateway's page: what each key used since the process began. `lie` is what it does instead of the truth."""

    now: Callable[[], datetime]
    keys: tuple[str, ...]
    used: Counter[str] = field(default_factory=Counter)
    began: float = 0.0
    lie: str = ""
    lied: int = 0
    pages: int = 0
    older: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self) -> None:
        with self.lock:
            self.used = Counter(dict.fromkeys(self.keys, 0))
            self.began = self.now().timestamp()
            self.older = []

    def emit(self, tokens: Counter[str]) -> None:
        with self.lock:
            self.older.append(self._page())
            del self.older[:-40]
            self.used.update(tokens)

    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Said:
        with self.lock:
            self.pages += 1
            page, lie = self._page(), self.lie
            self.lied += bool(lie)
            return LIES[lie](page, self) if lie else Said(body=page.encode(), kind=TEXT)

    def _page(self) -> str:
        lines = [f'{_INPUT}{{model="gpt-5",api_key_alias="{key}"}} {self.used[key]}' for key in self.keys]
        return "\n".join([*lines, f"process_start_time_seconds {self.began:.3f}", ""])


def _instead(value: str) -> Callable[[str, Gateway], Said]:
    """The first counter has this value instead of its own."""

    def page(text: str, _: Gateway) -> Said:
        first, rest = text.split("\n", 1)
        return Said(body=f"{first.rpartition(' ')[0]} {value}\n{rest}".encode(), kind=TEXT)

    return page


def _explosion(text: str, gateway: Gateway) -> Said:
    """A thousand keys on each page that nobody saw before, none of which used anything."""
    new = [f'{_INPUT}{{model="gpt-5",api_key_alias="x{gateway.lied}-{n}"}} 0' for n in range(1000)]
    return Said(body="\n".join([text.rstrip("\n"), *new, ""]).encode(), kind=TEXT)


def _yesterday(text: str, gateway: Gateway) -> Said:
    """A page of long ago, of the same process: what a cache in between would give."""
    return Said(body=(gateway.older[0] if gateway.older else text).encode(), kind=TEXT)


#: What a page can do instead of telling the truth.
LIES: Final[dict[str, Callable[[str, Gateway], Said]]] = {
    "NaN": _instead("NaN"),
    "1e308": _instead("1e308"),
    "negative": _instead("-5"),
    "infinite": _instead("+Inf"),
    "twice": lambda text, _: Said(body=(text + text).encode(), kind=TEXT),
    "yesterday": _yesterday,
    "explosion": _explosion,
    "a label of 10 MB": lambda text, _: Said(
        body=f'{_INPUT}{{model="gpt-5",api_key_alias="{"a" * 10_000_000}"}} 0\n{text}'.encode(), kind=TEXT
    ),
    "cut short": lambda text, _: Said(body=text.encode()[:-40], kind=TEXT, promised=40),
    "half a line": lambda text, _: Said(body=text.encode()[: len(text) // 2 + 7], kind=TEXT),
    "a login page": lambda _text, _: Said(body=b"<html><body>log in</body></html>", kind="text/html"),
    "JSON": lambda _text, _: Said(body=b'{"error": "no"}'),
    "nothing": lambda _text, _: Said(body=b"", kind=TEXT),
    "500": lambda _text, _: Said(500, b"oops"),
    "401": lambda _text, _: Said(401, b"no"),
    "429": lambda _text, _: Said(429, b"slow down", headers=(("Retry-After", "1"),)),
    "hangs up": lambda _text, _: Said(0),
}
#: Those after which nothing is read.
OUTAGES: Final = ("500", "401", "hangs up", "a login page", "JSON", "cut short", "nothing")


@dataclass
class Receiver:
    """Takes events; knows under which ids each level of each scope was told. `moods` are what it does with posts."""

    mood: str = ""
    posts: Counter[str] = field(default_factory=Counter)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: When each event came first, in seconds of the machine.
    heard: dict[str, float] = field(default_factory=dict)
    faulty: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Said:
        with self.lock:
            self.posts[self.mood or "taken"] += 1
            if self.mood in {"503", "429"}:
                return Said(int(self.mood), b"busy", headers=(("Retry-After", "1"),))
            if self.mood == "hangs up":
                return Said(0)
            event = json.loads(body)
            if headers.get("idempotency-key") != event["id"]:
                self.faulty.append(f"Idempotency-Key {headers.get('idempotency-key')} is not {event['id']}")
            self.events.setdefault(event["id"], event)
            self.heard.setdefault(event["id"], time.monotonic())
            if self.mood == "500 though taken":
                return Said(500, b"oops")
            return Said(204, wait=1.5 if self.mood == "slow" else 0.0)

    def told(self) -> dict[tuple[str, str, float], set[str]]:
        """The ids under which each budget, key and level was told."""
        found: dict[tuple[str, str, float], set[str]] = defaultdict(set)
        with self.lock:
            for event in self.events.values():
                if event["event"] in {"threshold", "summary"} and event["basis"] == "actual":
                    for level in event["levels"]:
                        found[event["budget"], (event["scope"] or {}).get("key", ""), level].add(event["id"])
        return found

    def said(self, kind: str) -> list[dict[str, Any]]:
        with self.lock:
            return [event for event in self.events.values() if event["event"] == kind]


MOODS: Final = ("503", "429", "hangs up", "500 though taken", "slow")


@dataclass
class Hook:
    """Stops keys when it is asked to, and says which are stopped. `acted` has the ids under which each was."""

    mood: str = ""
    acted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stopped: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Said:
        asked = json.loads(body)
        with self.lock:
            if self.mood == "503":
                return Said(503, b"busy")
            target = asked["target"]
            if asked["do"] == "act":
                self.acted[target].append(asked["id"])
                self.stopped.add(target)
            if self.mood == "500 though done":
                return Said(500, b"oops")
            state = {"acted": target in self.stopped, "state": {}, "said": "as it is"}
            return Said(body=json.dumps(state if asked["do"] == "read" else {"done": True, "said": "done"}).encode())


@contextmanager
def servers(now: Callable[[], datetime], keys: tuple[str, ...]) -> Iterator[FaultyServers]:
    """All three, for the length of a `with`."""
    gateway, receiver, hook, certificates = Gateway(now, keys), Receiver(), Hook(), Certificates()
    houses = [HttpsServer(certificates, one.respond) for one in (gateway, receiver, hook)]
    try:
        yield FaultyServers(gateway, receiver, hook, certificates, *houses)
    finally:
        for server in houses:
            with suppress(OSError):
                server.close()


@dataclass
class FaultyServers:
    """The servers, and where each listens."""

    gateway: Gateway
    receiver: Receiver
    hook: Hook
    certificates: Certificates
    at_gateway: HttpsServer
    at_receiver: HttpsServer
    at_hook: HttpsServer


def some_tokens(chance: random.Random, keys: tuple[str, ...], most: int) -> Counter[str]:
    """What each key uses in a step: some nothing, the last one most."""
    return Counter({key: chance.choice((0, chance.randrange(most))) * (place + 1) for place, key in enumerate(keys)})
