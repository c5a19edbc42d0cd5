"""Who may see what: one gate before every page, probe and figure. It shows no secret.

method, size -> probes and open metrics pass -> Host (where no token is asked for) -> token or cookie -> headers
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alertd.core.addresses import PICTURES, is_loopback
from alertd.operations.values import LOCAL
from alertd.ports import StoreError
from alertd.web.identity import SESSION, Identities, Person, role_needed
from alertd.web.problems import problem

_log = logging.getLogger(__name__)

PROBES: Final = frozenset({"/healthz", "/readyz"})
METRICS: Final = "/metrics"
#: The style sheet and the script, which hold nothing of anybody's.
ASSETS: Final = "/assets/"
LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
MCP: Final = "/mcp"
#: A form or a JSON body is small; a call of an agent may be larger.
MOST_BODY_BYTES: Final = 4096
_MOST_MCP_BYTES: Final = 65_536
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
    }


@dataclass(frozen=True, slots=True)
class AccessRules:
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
        return path in PROBES or path.startswith((ASSETS, PICTURES)) or (path == METRICS and self.open_metrics)

    def host_is_known(self, host: str) -> bool:
        name = host_name(host)
        return name is not None and (is_loopback(name) or name == urlsplit(self.public_url).hostname)

    async def person(self, request: Request) -> Person | None:
        """Whose request it is: by the proxy's header, else a bearer token, else a session."""
        identities, headers = self.identities, request.headers
        user = identities.by_proxy(
            address_of(request), headers.getlist(identities.user_header) if identities.user_header else ()
        )
        if user is not None:
            return user
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return identities.by_token(given.strip())
        return await identities.by_session(request.cookies.get(_COOKIE, ""))

    def local_person(self, request: Request) -> Person | None:
        """Who may come in without a token, on loopback: everybody on this machine may do all.

        By the public name, which a proxy passes on, people may look; None by any other name.
        """
        host = host_name(request.headers.get("host", ""))
        if host is None or not self.host_is_known(request.headers.get("host", "")):
            return None
        return Person(LOCAL, "editor" if is_loopback(host) else "viewer")

    def is_own(self, request: Request, *, bearer: bool = True) -> bool:
        """Whether a change was asked for by this server's own page, or by a program, not by a page of another site.

        A bearer token is never sent by a browser on its own. Else the browser says from where the request comes
        (Fetch Metadata, or Origin); a program that says neither has to send JSON, which no form of a page can.
        """
        headers = request.headers
        if bearer and headers.get("authorization", "").lower().startswith("bearer "):
            return True
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site in ("same-origin", "none")
        if origin is not None:
            return urlsplit(origin).netloc in {headers.get("host", ""), urlsplit(self.public_url).netloc} - {""}
        return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


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
    """The ASGI layer that holds every request to the access rules, and every answer to the security headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: AccessRules,
        policy: str,
        form: Callable[[Request, str], Response],
        roles_to_write: Callable[[str], Mapping[str, str]],
        is_read: Callable[[str], bool],
    ) -> None:
        """`form(request, fault)` is the page on which a person signs in.

        `roles_to_write(path)` gives the methods that change something there, and the role that each takes;
        `is_read(path)` says whether there is something to look at, too.
        """
        self._roles_to_write, self._is_read = roles_to_write, is_read
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
                headers = MutableHeaders(scope=message)
                kept = headers.get("cache-control", "no-store")
                headers.update({**self._headers, "cache-control": kept})
                if scope["path"].startswith(PICTURES):  # chats show them on their own pages
                    headers["cross-origin-resource-policy"] = "cross-origin"
            await send(message)

        request = Request(scope, receive)
        refusal = await self._refusal(request)
        if refusal is None and request.scope["path"] in (LOGIN, LOGOUT):
            refusal = await self._sign(request)
        await (refusal or self._app)(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        path, access = request.scope["path"], self._access
        methods = ("POST",) if path in (LOGIN, LOGOUT) else ("GET", "HEAD")
        roles = self._roles_to_write(path)
        writes = roles.get(request.method)
        if request.method not in methods and writes is None:
            allowed = (*methods, *roles) if not roles or self._is_read(path) else roles
            return problem(405, f"{request.method} is not for {path[:100]}", {"allow": ", ".join(allowed)})
        malformed = _malformed(request)
        if malformed or access.is_open(path) or path == LOGIN:
            return malformed
        return await self._refusal_of_person(request, writes)

    async def _refusal_of_person(self, request: Request, writes: str | None) -> Response | None:
        """Why the caller may not; else the person is remembered with the request. `writes`: the role of a change."""
        path, access = request.scope["path"], self._access
        person = await access.person(request) if access.guarded else access.local_person(request)
        if person is None and access.guarded:
            return self._unauthorized(request)
        if person is None:
            return problem(421, "this Host is not served here; set ALERTD_PUBLIC_URL to the name that people use")
        needed = writes or role_needed(path)
        if not person.may(needed):
            return problem(403, f"this takes the role {needed}, not {person.role}")
        if writes is not None and not access.is_own(request):
            return problem(403, "this request was sent by another site")
        request.scope.setdefault("state", {})["person"] = person
        return None

    def _unauthorized(self, request: Request) -> Response:
        if "authorization" in request.headers:
            self._failures.note(address_of(request), self._access.identities.clock.now())
        if _wants_page(request):
            fault = "" if self._access.identities.takes_tokens else "no token is set: ALERTD_HTTP__TOKEN_FILE"
            response = self._form(request, fault)
        else:
            response = problem(401, "a token is needed: Authorization: Bearer ... (ALERTD_HTTP__TOKEN_FILE)")
        response.status_code = 401
        response.headers["www-authenticate"] = "Bearer"
        return response

    async def _sign(self, request: Request) -> Response:
        says = "sec-fetch-site" in request.headers or "origin" in request.headers
        if says and not self._access.is_own(request, bearer=False):
            return problem(403, "this form was sent by another site")
        identities = self._access.identities
        if request.scope["path"] == LOGOUT:
            response: Response = RedirectResponse("/", 303)
            try:
                await identities.end_session(request.cookies.get(_COOKIE, ""))
            except StoreError as error:
                _log.warning("a session was ended on this replica only: %s", error)
                response = problem(503, "signed out here, but the database is away: other replicas do not know yet")
            response.delete_cookie(_COOKIE, path="/", httponly=True, samesite="lax")
            return response
        address = address_of(request)
        wait = self._failures.seconds_to_wait(address, identities.clock.now())
        if wait:
            return problem(429, f"too many wrong tokens; try again in {wait} s", {"retry-after": str(wait)})
        form = await _form_of(request)
        if form is None:
            return problem(413, f"a body is at most {MOST_BODY_BYTES} bytes")
        person = identities.by_token(form.get("token", "").strip())
        if person is None or person.agent:
            if person is None:
                self._failures.add(address, identities.clock.now())
            agents = "This token is an agent's: it works over the API and MCP, not here."
            response = self._form(request, "That is not the token." if person is None else agents)
            response.status_code = 401 if person is None else 403
            return response
        response = RedirectResponse(own_path(request.query_params.get("next", "")), 303)
        response.set_cookie(
            _COOKIE,
            identities.begin_session(person),
            max_age=int(SESSION.total_seconds()),
            path="/",
            httponly=True,
            samesite="lax",
            secure=urlsplit(self._access.public_url).scheme == "https" or request.scope["scheme"] == "https",
        )
        return response


def host_name(host: str) -> str | None:
    """The name or address in a Host header; None if it is invalid."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?", host):
        return None
    return host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0].lower()


def own_path(path: str) -> str:
    """The path where it leads to this server, else the front page."""
    return quote(path, safe="/?&=%:@,;+$!*'()~") if _OWN_PATH.match(path) else "/"


def address_of(request: Request) -> str:
    """The address that a request comes from; "" where it is not known."""
    return request.client.host if request.client else ""


def person_of(request: Request) -> Person:
    """Whose request it is, as the gate found out."""
    found: Person = request.scope["state"]["person"]
    return found


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")


def _malformed(request: Request) -> Response | None:
    """Refuse malformed requests: an invalid Host, or oversized headers or body."""
    if host_name(request.headers.get("host", "")) is None:
        return problem(400, "the Host header is no name or address")
    if sum(len(name) + len(value) for name, value in request.headers.raw) > _MOST_HEADER_BYTES:
        return problem(431, f"headers are at most {_MOST_HEADER_BYTES} bytes")
    length = request.headers.get("content-length", "0")
    most = _MOST_MCP_BYTES if request.scope["path"] == MCP else MOST_BODY_BYTES
    if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > most:
        return problem(413, f"a body is at most {most} bytes")
    return None


async def _form_of(request: Request) -> dict[str, str] | None:
    """The fields of a small form; None where it is larger than it may be, whatever its header says."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            return None
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
