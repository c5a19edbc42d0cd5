"""Connections of urllib that another thread can end: a call that is given up leaves no thread waiting.

No proxy is taken from the environment, no redirect is followed: nobody else is given a message or a token.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, Final
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

_CONNECT_SECONDS: Final = 10.0


class Line:
    """One call's sockets, which another thread may shut to end it."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._ended = False
        self._lock = threading.Lock()

    def hold(self, found: socket.socket) -> None:
        with self._lock:
            self._sockets.append(found)
            if self._ended:
                _shut(found)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for found in self._sockets:
                _shut(found)


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an answer like any other that is no success."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def opener(line: Line, trust: ssl.SSLContext, proxy: str | None) -> OpenerDirector:
    """What opens URLs over connections of `line`, by `proxy` where one is given."""
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    return build_opener(ProxyHandler(proxies), _NoRedirect(), _plain(line), _tls(line, trust))


def _plain(line: Line) -> HTTPHandler:
    class Watched(http.client.HTTPConnection):
        def connect(self) -> None:
            whole, self.timeout = self.timeout, min(self.timeout or _CONNECT_SECONDS, _CONNECT_SECONDS)
            super().connect()
            _hold(self.sock, whole, line)

    class Handler(HTTPHandler):
        def http_open(self, req: Request) -> http.client.HTTPResponse:
            return self.do_open(Watched, req)

    return Handler()


def _tls(line: Line, trust: ssl.SSLContext) -> HTTPSHandler:
    class Watched(http.client.HTTPSConnection):
        def connect(self) -> None:
            whole, self.timeout = self.timeout, min(self.timeout or _CONNECT_SECONDS, _CONNECT_SECONDS)
            super().connect()
            _hold(self.sock, whole, line)

    class Handler(HTTPSHandler):
        def https_open(self, req: Request) -> http.client.HTTPResponse:
            return self.do_open(Watched, req, context=trust)

    return Handler()


def _hold(found: socket.socket, timeout: float | None, line: Line) -> None:
    found.settimeout(timeout)
    line.hold(found)


def _shut(found: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already: that is what is wanted
        found.shutdown(socket.SHUT_RDWR)
