"""The server on a real socket: port 0, no signal handlers, a bounded end, and hostile bytes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest

from alertd.web.server import ListenError, View, WebServer, build

Story = Callable[[str], Awaitable[object]]


def served(view: View, story: Story, **access: object) -> object:
    """What the story gives while the application is served on a free port of this machine."""
    how = {"token": None, "open_metrics": False, "loopback": True, **access}

    async def run() -> object:
        server = WebServer(build(view, **how), "127.0.0.1", 0)
        try:
            return await story(await server.start())
        finally:
            await server.stop(1)

    return asyncio.run(run())


async def raw(address: str, sent: bytes) -> bytes:
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(65536), 60)
    writer.close()
    return answer


def test_port_0_takes_a_free_port_and_tells_which(view: View):
    async def story(address: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{address}/healthz")).status_code

    assert served(view, story) == 200


def test_a_taken_port_is_one_error_that_names_the_key_and_the_remedy(view: View):
    async def story(address: str) -> str:
        second = WebServer(
            build(view, token=None, open_metrics=False, loopback=True), "127.0.0.1", urlsplit(address).port
        )
        with pytest.raises(ListenError) as caught:
            await second.start()
        return str(caught.value)

    said = served(view, story)
    assert "ALERTD_HTTP__LISTEN=127.0.0.1:" in said
    assert "port 0" in said


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nx"])
def test_clients_that_never_finish_their_request_are_let_go_and_keep_nobody_out(view: View, begun: bytes):
    async def run() -> int:
        server = WebServer(build(view, token=None, open_metrics=False, loopback=True), "127.0.0.1", 0, patience=0.5)
        address = await server.start()
        try:
            slow = [await asyncio.open_connection("127.0.0.1", urlsplit(address).port) for _ in range(220)]
            for _, writer in slow:
                writer.write(begun)
            await asyncio.gather(*(asyncio.wait_for(ended(*one), 60) for one in slow))
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{address}/healthz")).status_code
        finally:
            await server.stop(1)

    assert asyncio.run(run()) == 200


def test_probes_answer_beside_hundreds_of_connections_that_say_nothing_and_are_renewed(view: View):
    async def run() -> list[int]:
        server = WebServer(build(view, token="x", open_metrics=False, loopback=True), "127.0.0.1", 0)
        address = await server.start()
        silent: list[asyncio.StreamWriter] = []
        statuses = []
        try:
            for _ in range(30):
                opened = [await asyncio.open_connection("127.0.0.1", urlsplit(address).port) for _ in range(20)]
                silent += [writer for _, writer in opened]
                async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                    statuses.append((await client.get(f"{address}/healthz")).status_code)
            for writer in silent:
                writer.transport.abort()
        finally:
            await server.stop(1)
        return statuses

    assert asyncio.run(run()) == [200] * 30


def test_a_connection_that_says_nothing_for_a_second_is_closed(view: View):
    async def run() -> bool:
        server = WebServer(build(view, token="x", open_metrics=False, loopback=True), "127.0.0.1", 0)
        address = await server.start()
        try:
            one = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
            await asyncio.wait_for(ended(*one), 60)
        finally:
            await server.stop(1)
        return True

    begin = time.monotonic()
    assert asyncio.run(run())
    assert time.monotonic() - begin >= 0.9


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server has let this client go, however it does that."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_the_signals_stay_the_daemons(view: View):
    mine = signal.getsignal(signal.SIGTERM)

    async def story(_: str) -> bool:
        return signal.getsignal(signal.SIGTERM) is mine

    assert served(view, story) is True


def test_an_application_with_another_token_takes_over_on_the_same_socket(view: View):
    def house(token: str) -> object:
        return build(view, token=token, open_metrics=False, loopback=True)

    async def run() -> list[int]:
        server = WebServer(house("old"), "127.0.0.1", 0)
        address = await server.start()
        async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer new"}) as client:
            before = await client.get(f"{address}/sources")
            server.replace(house("new"))
            after = await client.get(f"{address}/sources")
        await server.stop(1)
        return [before.status_code, after.status_code]

    assert asyncio.run(run()) == [401, 200]


def test_the_end_is_bounded_though_a_client_never_finishes_its_request(view: View):
    async def run() -> float:
        server = WebServer(build(view, token="x", open_metrics=False, loopback=True), "127.0.0.1", 0)
        parts = urlsplit(await server.start())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = b"POST /login HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n"
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 100"), "the page waits for the body"
        writer.write(b"token=")
        await writer.drain()
        begin = time.monotonic()
        await server.stop(1)
        writer.close()
        return time.monotonic() - begin

    assert asyncio.run(run()) < 4


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000 + b"\r\n\r\n", b"400 431"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400 404"),
        (b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /no-such-page/ HTTP/1.1\r\nhost: evil.example\r\n\r\n", b"421"),
        (b"GET http://[/ HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400 404"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncookie: \xff=\xff; alertd=\xe9.\xe9\r\n\r\n", b"200"),
        (b"\x16\x03\x01 no http at all\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", b"200"),
    ],
)  # fmt: skip
def test_hostile_bytes_get_a_refusal_and_never_a_500(view: View, sent: bytes, status: bytes):
    async def story(address: str) -> bytes:
        return await raw(address, sent)

    line = served(view, story).partition(b"\r\n")[0]
    assert line.split(b" ")[1] in status.split(), line


def test_answers_on_a_connection_that_is_kept_wait_for_no_acknowledgement(view: View):
    """Without TCP_NODELAY each takes 40 ms: the body waits until the client acknowledges the headers."""
    request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"

    def ask(port: int) -> float:
        taken = []
        with socket.create_connection(("127.0.0.1", port)) as client:
            for _ in range(60):  # the kernel acknowledges the first ones at once
                begin, found = time.monotonic(), b""
                client.sendall(request)
                while b"\r\n\r\n" not in found or not found.partition(b"\r\n\r\n")[2]:
                    found += client.recv(65_536)
                taken.append(time.monotonic() - begin)
        return min(taken[30:])

    async def story(address: str) -> float:
        return await asyncio.to_thread(ask, int(address.rpartition(":")[2]))

    assert served(view, story) < 0.03
