"""Who may see what: one gate before every page, probe and figure. It shows no secret.

method, size -> probes and open metrics pass -> Host (where no token is asked for) -> token or cookie -> headers
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alertd.core.addresses import is_loopback
from alertd.ports import StoreError
from alertd.web.identity import SESSION, Identities, Person, role_needed

_log = logging.getLogger(__name__)

PROBES: Final = frozenset({"/healthz", "/readyz"})
METRICS: Final = "/metrics"
LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
#: A form with a token is small, and nothing else has a body.
_MOST_BYTES: Final = 4096
_MOST_HEADER_BYTES: Final = 16 * 1024
_COOKIE: Final = "alertd"
_MINUTE: Final = timedelta(minutes=1)
_MOST_FAILURES_OF_ADDRESS: Final = 10
_MOST_FAILURES: Final = 100
#: What a browser may be led to after signing in: a path of this server, never another one.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\\]*\Z")


def security_headers(policy: str) -> dict[str, str]:
    """The headers of every answer; `policy` is the Content-Security-Policy."""
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cache-control": "no-store",
    }


@dataclass(frozen=True, slots=True)
class Access:
    """The rule: who asks has to say who they are where a token, TOKENS_FILE or USER_HEADER is set, and off loopback.

    Without these, on loopback, the Host header must be a loopback name or the public one: a page of another site that
    rebinds its name to 127.0.0.1 reads nothing.
    """

    identities: Identities
    open_metrics: bool
    loopback: bool
    public_url: str = ""

    @property
    def guarded(self) -> bool:
        return self.identities.any or not self.loopback

    def is_open(self, path: str) -> bool:
        return path in PROBES or (path == METRICS and self.open_metrics)

    def host_is_known(self, host: str) -> bool:
        name = host_name(host)
        return name is not None and (is_loopback(name) or name == urlsplit(self.public_url).hostname)

    async def person(self, request: Request) -> Person | None:
        """Whose request it is: by the proxy's header, else a bearer token, else a session."""
        identities, headers = self.identities, request.headers
        user = identities.by_proxy(
            _address(request), headers.getlist(identities.user_header) if identities.user_header else ()
        )
        if user is not None:
            return user
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return identities.by_token(given.strip())
        return await identities.by_session(request.cookies.get(_COOKIE, ""))


class _FailedSignIns:
    """Wrong tokens on the form in the last minute; after a few from one address, or many in all, a try has to wait.

    Wrong bearer tokens are only logged: one address may be many programs, and tokens off loopback are long.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[datetime, str]] = deque()
        self._logged: datetime | None = None

    def add(self, address: str, now: datetime) -> None:
        self._recent.append((now, address))
        self.note(address, now)

    def note(self, address: str, now: datetime) -> None:
        """Log a wrong token, once a minute."""
        if self._logged is None or now - self._logged >= _MINUTE:
            self._logged = now
            _log.warning("a wrong token was given", extra={"address": address})

    def seconds_to_wait(self, address: str, now: datetime) -> int:
        while self._recent and now - self._recent[0][0] >= _MINUTE:
            self._recent.popleft()
        own = [at for at, whose in self._recent if whose == address]
        if len(own) < _MOST_FAILURES_OF_ADDRESS and len(self._recent) < _MOST_FAILURES:
            return 0
        first = own[0] if len(own) >= _MOST_FAILURES_OF_ADDRESS else self._recent[0][0]
        return max(1, ceil((first + _MINUTE - now).total_seconds()))


class Gate:
    """The ASGI layer that holds every request to Access, and every answer to the security headers."""

    def __init__(self, app: ASGIApp, access: Access, policy: str, form: Callable[[Request, str], Response]) -> None:
        """`form(request, fault)` is the page on which a person signs in."""
        self._app = app
        self._access = access
        self._headers = security_headers(policy)
        self._form = form
        self._failures = _FailedSignIns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        request = Request(scope, receive)
        refusal = await self._refusal(request)
        if refusal is None and request.scope["path"] in (LOGIN, LOGOUT):
            refusal = await self._sign(request)
        await (refusal or self._app)(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        path, access = request.scope["path"], self._access
        methods = ("POST",) if path in (LOGIN, LOGOUT) else ("GET", "HEAD")
        if request.method not in methods:
            return _fault(405, f"{request.method} is not for {path[:100]}", {"allow": ", ".join(methods)})
        malformed = _malformed(request)
        if malformed or access.is_open(path) or path == LOGIN:
            return malformed
        if access.guarded:
            person = await access.person(request)
            if person is None:
                return self._unauthorized(request)
            needed = role_needed(path)
            return None if person.may(needed) else _fault(403, f"this takes the role {needed}, not {person.role}")
        if not access.host_is_known(request.headers.get("host", "")):
            return _fault(421, "this Host is not served here; set ALERTD_PUBLIC_URL to the name that people use")
        return None

    def _unauthorized(self, request: Request) -> Response:
        if "authorization" in request.headers:
            self._failures.note(_address(request), self._access.identities.clock.now())
        if _wants_page(request):
            fault = "" if self._access.identities.takes_tokens else "no token is set: ALERTD_HTTP__TOKEN_FILE"
            response = self._form(request, fault)
        else:
            response = _fault(401, "a token is needed: Authorization: Bearer ... (ALERTD_HTTP__TOKEN_FILE)")
        response.status_code = 401
        response.headers["www-authenticate"] = "Bearer"
        return response

    async def _sign(self, request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _fault(403, "this form was sent by another site")
        identities = self._access.identities
        if request.scope["path"] == LOGOUT:
            response: Response = RedirectResponse("/", 303)
            try:
                await identities.end_session(request.cookies.get(_COOKIE, ""))
            except StoreError as error:
                _log.warning("a session was ended on this replica only: %s", error)
                response = _fault(503, "signed out here, but the database is away: other replicas do not know yet")
            response.delete_cookie(_COOKIE, path="/", httponly=True, samesite="strict")
            return response
        address = _address(request)
        wait = self._failures.seconds_to_wait(address, identities.clock.now())
        if wait:
            return _fault(429, f"too many wrong tokens; try again in {wait} s", {"retry-after": str(wait)})
        form = await _form_of(request)
        if form is None:
            return _fault(413, f"a body is at most {_MOST_BYTES} bytes")
        person = identities.by_token(form.get("token", "").strip())
        if person is None:
            self._failures.add(address, identities.clock.now())
            response = self._form(request, "That is not the token.")
            response.status_code = 401
            return response
        response = RedirectResponse(own_path(request.query_params.get("next", "")), 303)
        response.set_cookie(
            _COOKIE,
            identities.begin_session(person),
            max_age=int(SESSION.total_seconds()),
            path="/",
            httponly=True,
            samesite="strict",
            secure=urlsplit(self._access.public_url).scheme == "https" or request.scope["scheme"] == "https",
        )
        return response


def host_name(host: str) -> str | None:
    """The name or address in a Host header; None where it is none."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?", host):
        return None
    return host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0].lower()


def own_path(path: str) -> str:
    """The path where it leads to this server, else the front page."""
    return quote(path, safe="/?&=%:@,;+$!*'()~") if _OWN_PATH.match(path) else "/"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")


def _malformed(request: Request) -> Response | None:
    """A refusal of what no honest client sends: a Host that is none, or more than anybody needs."""
    if host_name(request.headers.get("host", "")) is None:
        return _fault(400, "the Host header is no name or address")
    if sum(len(name) + len(value) for name, value in request.headers.raw) > _MOST_HEADER_BYTES:
        return _fault(431, f"headers are at most {_MOST_HEADER_BYTES} bytes")
    length = request.headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > _MOST_BYTES:
        return _fault(413, f"a body is at most {_MOST_BYTES} bytes")
    return None


async def _form_of(request: Request) -> dict[str, str] | None:
    """The fields of a small form; None where it is larger than it may be, whatever its header says."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return None
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _fault(status: int, said: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": said}, status, headers)
