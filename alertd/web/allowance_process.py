"""The allowance at an address of its own, answered by a process of its own.

In the daemon's own process an answer waits for Python's lock, which an evaluation of many series holds for long. This
process has the statuses of the last evaluation in its memory, answers the allowance and nothing else, and tells the
daemon once a second what it answered. The daemon opens the socket, starts the process anew where it ends, and sends it
every change; the process ends with the daemon.

daemon -> process: Rules and Updates, pickled; process -> daemon: Answered as JSON. Each with its length in front.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import pickle
import signal
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from alertd.core.addresses import is_loopback
from alertd.core.budgets import Budget
from alertd.core.evaluation.allowance import AllowanceIndex, Key, ScopeStatus
from alertd.core.evaluation.values import BudgetStatus
from alertd.web.access import PROBES, AccessRules, Gate
from alertd.web.allowance import PATHS, Allowance
from alertd.web.identity import Identities, Network, Person
from alertd.web.layout import POLICY
from alertd.web.problems import problem
from alertd.web.server import WebServer, listen, url_of
from alertd.web.view import AllowanceCounts, Denial

log = logging.getLogger(__name__)

#: How often it is looked whether something has changed, and how often answers are reported, in seconds.
_LOOK_EVERY: Final = 0.1
_REPORT_EVERY: Final = 1.0
#: How long the daemon waits before it starts the process anew, the first and every further time, in seconds.
_RESTART_AFTER: Final = 1.0
_RESTART_AT_MOST: Final = 30.0
_STOP_SECONDS: Final = 3.0
#: Statuses in one message: the process reads it in less than a millisecond, and answers questions in between.
_AT_ONCE: Final = 100
#: What the process gets of the daemon's environment, which holds secrets: what Python needs to start.
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "PYTHONTZPATH")


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask at `host`."""

    host: str
    public_url: str
    token: str | None = field(default=None, repr=False)
    people: Sequence[Person] = ()
    user_header: str = ""
    trusted_proxies: Sequence[Network] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """A part of what has changed; it holds from the part that is the last one on."""

    budgets: Sequence[Budget] | None
    evaluated_at: datetime | None
    lasts: timedelta
    changed: Mapping[Key, ScopeStatus]
    gone: Sequence[Key] = ()
    is_last: bool = False


class Answered(msgspec.Struct, frozen=True):
    """What was answered since the last report."""

    answers: list[tuple[str, str, int]]
    denials: list[Denial]


async def _send(writer: StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()


async def _receive(reader: StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


class AllowanceProcess:
    """The daemon's side: `start` with the address, again after a change of the configuration; `stop` ends it."""

    def __init__(self, counts: AllowanceCounts) -> None:
        self._counts = counts
        self._listening: socket.socket | None = None
        self._address: tuple[str, int] | None = None
        self._rules: Rules | None = None
        self._current: Callable[[], AllowanceIndex] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(
        self, address: tuple[str, int] | None, rules: Rules, current: Callable[[], AllowanceIndex]
    ) -> str | None:
        """Answer there by these rules from now on; None ends it. Gives the URL. Raises ListenError."""
        if address != self._address or address is None:
            await self.stop()
        self._rules, self._current = rules, current
        if address is None:
            return None
        if self._listening is None:
            self._listening = listen(*address, "ALERTD_HTTP__ALLOWANCE_LISTEN")
            self._address = address
            self._task = asyncio.create_task(self._keep(self._listening), name="allowance")
        return url_of(self._listening)

    async def stop(self) -> None:
        """End the process, and stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._listening is not None:
            self._listening.close()
        self._task = self._listening = self._address = None

    async def _keep(self, listening: socket.socket) -> None:
        """Start the process, and start it again when it ends. Connections wait meanwhile."""
        loop, pause = asyncio.get_running_loop(), _RESTART_AFTER
        while True:
            begin = loop.time()
            status = await self._run(listening)
            pause = _RESTART_AFTER if loop.time() - begin > _RESTART_AT_MOST else min(2 * pause, _RESTART_AT_MOST)
            log.warning("the process of the allowance ended with %s; it is started again in %.0f s", status, pause)
            await asyncio.sleep(pause)

    async def _run(self, listening: socket.socket) -> int | str:
        """One process from its start to its end; its exit status."""
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # Not by -m: what is pickled names this module, which must be the one that runs.
        program = f"from alertd.logs import set_up; from {__name__} import main; set_up(); main()"
        passed = (listening.fileno(), theirs.fileno())
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                program,
                *map(str, passed),
                pass_fds=passed,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            return error.strerror or str(error)
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        feeding = asyncio.create_task(self._feed(writer), name="allowance feed")
        counting = asyncio.create_task(self._count(reader), name="allowance counts")
        try:
            await asyncio.wait({feeding, counting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            feeding.cancel()
            writer.close()  # at the end of what is sent to it, it reports and ends
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(counting, _STOP_SECONDS)
            await asyncio.wait({feeding})
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
        fault = None if feeding.cancelled() else feeding.exception()
        if fault is not None and not isinstance(fault, OSError):
            log.error("what holds could not be sent to the process of the allowance", exc_info=fault)
        return process.returncode if process.returncode is not None else "no status"

    async def _count(self, reader: StreamReader) -> None:
        """Take in what was answered, until the process ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                answered = msgspec.json.decode(await _receive(reader), type=Answered)
                self._counts.merge(answered.answers, answered.denials)

    async def _feed(self, writer: StreamWriter) -> None:
        """Send what holds, and then every change."""
        rules: Rules | None = None
        index: AllowanceIndex | None = None
        sent: dict[Key, ScopeStatus] = {}
        while True:
            if self._rules != rules:
                rules = self._rules
                await _send(writer, pickle.dumps(rules))
            assert self._current is not None  # noqa: S101 - it is set before the process is started
            current = await asyncio.to_thread(self._current)
            if current is not index:
                for data in await asyncio.to_thread(_updates, index, current, sent):
                    await _send(writer, data)
                index = current
            await asyncio.sleep(_LOOK_EVERY)


def _updates(before: AllowanceIndex | None, index: AllowanceIndex, sent: dict[Key, ScopeStatus]) -> list[bytes]:
    """What has changed since `sent`, which is brought up to date, in messages that are small enough."""
    budgets = None if before is not None and before.budgets is index.budgets else index.budgets
    gone = [key for key in sent if key not in index.scopes]
    for key in gone:
        del sent[key]
    changed: dict[Key, ScopeStatus] = {}
    for key, status in index.scopes.items():
        now = ScopeStatus.of(status) if isinstance(status, BudgetStatus) else status
        if sent.get(key) != now:
            sent[key] = changed[key] = now

    def message(part: Mapping[Key, ScopeStatus], *, is_last: bool = False) -> bytes:
        last = (budgets, index.evaluated_at, index.lasts) if is_last else (None, None, index.lasts)
        return pickle.dumps(Update(*last, part, gone if is_last else (), is_last))

    return [*(message(part) for part in _parts(changed)), message({}, is_last=True)]


def _parts(changed: Mapping[Key, ScopeStatus]) -> Iterator[Mapping[Key, ScopeStatus]]:
    left = iter(changed.items())
    while part := dict(islice(left, _AT_ONCE)):
        yield part


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _NoSessions:
    """No cookie opens anything here: it was given at the page, and may have been signed out there."""

    async def has_ended(self, session: str) -> bool:
        return True

    async def end_session(self, session: str, until: datetime) -> None:
        """There is none."""


class _Answering:
    """The process's side: takes in what the daemon sends, answers, and reports."""

    def __init__(self) -> None:
        self._index: AllowanceIndex | None = None
        self._rules: Rules | None = None
        self._pending: dict[Key, ScopeStatus] = {}
        self._counts = AllowanceCounts()
        self._allowance = Allowance(_Clock(), self._current, self._counts)
        self._gate: ASGIApp | None = None
        #: Set when it knows enough to answer.
        self.ready = asyncio.Event()

    @property
    def host(self) -> str:
        assert self._rules is not None  # noqa: S101 - ready
        return self._rules.host

    def _current(self) -> AllowanceIndex:
        assert self._index is not None  # noqa: S101 - ready
        return self._index

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp | None = self._gate if scope["path"] in PATHS else None
        if app is None and scope["path"] in PROBES:
            app = JSONResponse({"status": "ok"})
        await (app or problem(404, "this address answers /api/v1/allowance alone"))(scope, receive, send)

    def take(self, message: Rules | Update) -> None:
        """Take in one message."""
        if isinstance(message, Rules):
            self._rules, self._gate = message, _gate(message, self._allowance)
            return
        self._pending.update(message.changed)
        if message.is_last:
            before = self._index
            scopes: Mapping[Key, ScopeStatus] = {**(before.scopes if before else {}), **self._pending}  # type: ignore[dict-item] # these are ScopeStatus
            if message.gone:
                gone = frozenset(message.gone)
                scopes = {key: status for key, status in scopes.items() if key not in gone}
            budgets = message.budgets if message.budgets is not None else before.budgets if before else ()
            self._index = AllowanceIndex(budgets, scopes, message.evaluated_at, message.lasts)
            self._pending = {}
            self.ready.set()

    def report(self) -> bytes | None:
        """What was answered since the last report; None where nothing was."""
        counts = self._counts
        if not counts.answers:
            return None
        answers = [(budget, answer, count) for (budget, answer), count in counts.answers.items()]
        data = msgspec.json.encode(Answered(answers, list(counts.denials.values())))
        counts.answers.clear()
        counts.denials.clear()
        return data


def _gate(rules: Rules, allowance: Allowance) -> Gate:
    identities = Identities(
        _Clock(), _NoSessions(), rules.token, rules.people, rules.user_header, rules.trusted_proxies
    )

    def sign_in(_request: Request, _fault: str) -> Response:
        return problem(401, "a token is needed: Authorization: Bearer ... (ALERTD_HTTP__TOKEN_FILE)")

    return Gate(
        allowance,
        access=AccessRules(
            identities, open_metrics=False, loopback=is_loopback(rules.host), public_url=rules.public_url
        ),
        policy=POLICY,
        form=sign_in,
        roles_to_write=lambda _path: {},
        is_read=lambda path: path in PATHS,
    )


async def _answer(listening: socket.socket, daemon: socket.socket) -> None:
    """Answer until the daemon ends, or ends this."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # which the daemon gets, too, and then ends this
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    reader, writer = await asyncio.open_unix_connection(sock=daemon)
    answering, server = _Answering(), None

    async def report() -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            if not writer.transport.get_write_buffer_size() and (data := answering.report()):
                await _send(writer, data)

    reporting = asyncio.create_task(report())
    try:
        while True:
            answering.take(pickle.loads(await _receive(reader)))  # noqa: S301 - the daemon made it
            if server is None and answering.ready.is_set():
                server = WebServer(answering, answering.host, 0, listening=listening)
                await server.start()
                gc.collect()
                gc.freeze()
            await asyncio.sleep(0)  # questions that came meanwhile go first
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        reporting.cancel()
        if server is not None:
            await server.stop(1.0)
        with contextlib.suppress(ConnectionError):
            if data := answering.report():
                await _send(writer, data)
            writer.close()


def main() -> None:
    """Run the process, with the file descriptors of the listening socket and of the daemon's as arguments."""
    gc.set_threshold(50_000, 20, 100)  # statuses and answers are in no cycles
    listening, daemon = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    asyncio.run(_answer(listening, daemon))
