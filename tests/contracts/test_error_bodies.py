"""An error body may quote a prompt or another's token: no source, notifier or revoker writes it into an error or a log.

Fields of unknown providers, plain text, bytes that are not HTTP, and values of a wrong type all hold the same sentence.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from alertd.ports import RevokerError, SourceError, Target
from alertd.registry import load
from tests.contracts import test_notifiers, test_sources
from tests.plugins import SECRET, addressed, options_at
from tests.servers.billing import Reply, serving
from tests.servers.deliveries import refusal
from tests.servers.source_ledger import SourceLedger

PROMPT: Final = "Write a poem about Ana Lopez"
TOKEN: Final = "sk-live-4815162342"
QUOTE: Final = f"no credit for {TOKEN}: {PROMPT}"
SINCE: Final = datetime(2026, 11, 18, tzinfo=UTC)
NOW: Final = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
BODIES: Final[tuple[Any, ...]] = (
    QUOTE,
    {"error": {"message": QUOTE, "code": TOKEN, "type": PROMPT}},
    {"error": QUOTE, "code": PROMPT, "Code": TOKEN, "Message": QUOTE, "message": QUOTE, "detail": [QUOTE]},
)
REPLIES: Final = (
    *(Reply(body, status) for body in BODIES for status in (400, 401, 403, 429, 500)),
    Reply({"data": [{"id": PROMPT, "results": QUOTE}], "results": QUOTE, "success": False, "Code": TOKEN}),
    Reply({"data": QUOTE, "code": PROMPT, "Success": "false", "Message": QUOTE}),
    Reply(QUOTE),
)


@contextmanager
def serving_raw(line: bytes) -> Iterator[str]:
    """A server that answers every connection with the same bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(line)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@contextmanager
def each_reply() -> Iterator[Iterator[str]]:
    """The URLs of servers, one after the other; each gives one of the answers above, whatever it is asked."""

    def urls() -> Iterator[str]:
        for reply in REPLIES:
            with serving(lambda _, reply=reply: reply) as server:
                yield server.url
        with serving_raw(f"HTTP/1.1 200 OK\r\n{QUOTE} without a colon\r\n\r\n".encode()) as url:
            yield url
        with serving_raw(QUOTE.encode()) as url:
            yield url

    yield urls()


def assert_quotes_nothing(errors: list[str], log: pytest.LogCaptureFixture) -> None:
    said = "\n".join([*errors, *(record.getMessage() for record in log.records)])
    assert TOKEN not in said
    assert PROMPT not in said
    assert "Ana Lopez" not in said
    assert any("is not shown" in error for error in errors)


@pytest.mark.parametrize("kind", sorted(test_sources.STAGES))
def test_no_source_quotes_a_servers_error(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = []
    with each_reply() as urls:
        for url in urls:
            ledger = SourceLedger(test_sources.built(kind, url)).round(SINCE, NOW)
            found += [str(ledger.error or ""), *ledger.warnings]
    assert_quotes_nothing(found, caplog)


@pytest.mark.parametrize("stage", sorted(test_notifiers.STAGES.keys() - {"slack", "slack by webhook"}))
def test_no_notifier_quotes_a_servers_error(stage: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = []
    with each_reply() as urls:
        for url in urls:
            try:
                found.append(str(refusal(test_notifiers.staged(stage, url))))
            except AssertionError:
                continue  # a receiver of webhooks may answer 200 with any body
    assert_quotes_nothing(found, caplog)


@pytest.mark.parametrize("stage", ["slack", "slack by webhook"])
def test_slack_says_its_own_words_only(stage: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with each_reply() as urls:
        found = [str(refusal(test_notifiers.staged(stage, url))) for url in urls]
    assert_quotes_nothing([*found, "is not shown"], caplog)


@pytest.mark.parametrize("kind", addressed("revokers"))
def test_no_revoker_quotes_a_servers_error(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    if kind in test_sources.ABSENT:
        pytest.skip(f"the extra of {kind} is not installed")
    caplog.set_level(logging.INFO)
    plugin = load("revokers", kind)
    fields = plugin.Options.model_fields
    reads = {"reads": True} if "reads" in fields else {}
    known = {"access_key_id": "AKIA", "token": SECRET} if "access_key_id" in fields else {}
    if "resources" in fields:
        known |= {"resources": ["/subscriptions/s/resourceGroups/g/providers/p/accounts/rag-indexer"]}

    async def find(url: str) -> list[str]:
        revoker = plugin.build(
            "stop", plugin.Options.model_validate({**options_at("revokers", kind, url), **reads, **known})
        )
        errors = []
        calls: list[Callable[[], Awaitable[object]]] = [lambda: revoker.find("rag-indexer"), revoker.look]
        if reads:
            calls.append(lambda: revoker.read(Target("rag-indexer")))
        for call in calls:
            try:
                await call()
            except (RevokerError, SourceError) as error:
                errors.append(str(error))
        await revoker.close()
        return errors

    with each_reply() as urls:
        found = [error for url in urls for error in asyncio.run(find(url))]
    assert_quotes_nothing(found, caplog)
