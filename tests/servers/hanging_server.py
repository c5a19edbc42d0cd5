"""A faulty receiver on raw sockets: it hangs, drips, breaks off, answers rubbish or has an untrusted certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

Deed = Callable[[socket.socket, threading.Event], None]


class HangingServer:
    """Does one deed to everyone who connects, within a `with`; `visits` counts them. `trust` wraps it in TLS."""

    def __init__(self, deed: Deed, trust: ssl.SSLContext | None = None) -> None:
        self._deed = deed
        self._trust = trust
        self._over = threading.Event()
        self.visits = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._trust else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                connection, _ = self._listener.accept()
                self.visits += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._trust is None:
                self._deed(connection, self._over)
            else:
                with self._trust.wrap_socket(connection, server_side=True) as encrypted:  # it takes the socket over
                    self._deed(encrypted, self._over)


def _read(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(65536)


def hang(connection: socket.socket, over: threading.Event) -> None:
    _read(connection)
    over.wait(20)


def drip(connection: socket.socket, over: threading.Event) -> None:
    """One byte of a header every 50 ms, for ever."""
    _read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not over.wait(0.05):
        connection.sendall(b"x")


def half_a_body(connection: socket.socket, _over: threading.Event) -> None:
    _read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of i")


def hang_up(connection: socket.socket, _over: threading.Event) -> None:
    _read(connection)


def rubbish(connection: socket.socket, _over: threading.Event) -> None:
    _read(connection)
    connection.sendall(b"\x00\xff\xfe this is no HTTP at all\r\n\r\n")


def no_tls(connection: socket.socket, _over: threading.Event) -> None:
    """Plain text where a TLS handshake was due."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def greet_and_fall_silent(connection: socket.socket, over: threading.Event) -> None:
    """A mail server that says hello and then reads nothing more."""
    connection.sendall(b"220 hanging ready\r\n")
    over.wait(60)


#: What a receiver may do to a post; each ends as a DeliveryError that is retried, and never lasts.
DEEDS: Final[dict[str, Deed]] = {
    "hangs": hang,
    "drips headers": drip,
    "sends half a body": half_a_body,
    "hangs up": hang_up,
    "answers rubbish": rubbish,
}
