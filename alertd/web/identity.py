"""Who somebody is: by a token, by a session of the page, or by the name that an authenticating proxy gives.

It keeps no secret that it does not need: of the tokens in TOKENS_FILE only the SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Protocol

from alertd.ports import Clock, StoreError

Network = IPv4Network | IPv6Network

#: What somebody may, from least to most; each may what those before it may.
ROLES: Final = ("allowance", "viewer", "responder", "editor")
ALLOWANCE_PATH: Final = "/api/v1/allowance"
ALLOWANCE_CHECK_PATH: Final = f"{ALLOWANCE_PATH}/check"
#: No shorter token is taken from TOKENS_FILE, and no shorter ALERTD_HTTP__TOKEN off loopback.
LEAST_TOKEN_LENGTH: Final = 24
SESSION: Final = timedelta(hours=12)
_COOKIE: Final = re.compile(r"([0-9]{1,12}-[\w-]{12})\.([\w-]{0,400})\.([\w-]{43})")
#: Who has ALERTD_HTTP__TOKEN.
_OWNER: Final = "token"


@dataclass(frozen=True, slots=True)
class Person:
    """One entry of TOKENS_FILE: `sha256` is of the token, in hex; "" for a user of the proxy, who has none."""

    name: str
    role: str
    sha256: str = field(default="", repr=False)
    #: An editor with labels changes only budgets whose WHERE has them, and is a responder in all else.
    labels: tuple[tuple[str, str], ...] = ()
    #: The token of a program: it opens no session of the page, and answers nothing that waits for a person.
    agent: bool = False

    def may(self, role: str) -> bool:
        """Whether this one may do what `role` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def role_needed(path: str) -> str:
    """What a request to read a path takes."""
    return "allowance" if path in (ALLOWANCE_PATH, ALLOWANCE_CHECK_PATH) else "viewer"


class EndedSessions(Protocol):
    """Sessions that were signed out, for all replicas; raises StoreError."""

    async def end_session(self, session: str, until: datetime) -> None: ...

    async def has_ended(self, session: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Identities:
    """Everybody who may come in. Without any token, person or proxy nobody is known.

    `user_header` counts only from `trusted_proxies`; a user that TOKENS_FILE does not name may view.
    """

    clock: Clock
    sessions: EndedSessions
    token: str | None = field(default=None, repr=False)
    people: Sequence[Person] = ()
    user_header: str = ""
    trusted_proxies: Sequence[Network] = ()
    #: Sessions that were signed out here, until they would have ended by themselves: also while the database is away.
    _ended: dict[str, datetime] = field(default_factory=dict, init=False)

    @property
    def any(self) -> bool:
        """Whether somebody can come in at all."""
        return bool(self.token or self.people or self.user_header)

    @property
    def takes_tokens(self) -> bool:
        return bool(self.token) or any(person.sha256 for person in self.people)

    def by_token(self, given: str) -> Person | None:
        """Whose token it is; every one is compared, in constant time."""
        found = None
        if self.token and hmac.compare_digest(given.encode(), self.token.encode()):
            found = Person(_OWNER, "editor")
        digest = hashlib.sha256(given.encode()).hexdigest()
        for person in self.people:
            if person.sha256 and hmac.compare_digest(digest, person.sha256) and len(given) >= LEAST_TOKEN_LENGTH:
                found = found or person
        return found

    def by_proxy(self, address: str, given: Sequence[str]) -> Person | None:
        """The user that a trusted proxy names; nobody where the header comes twice: one of them is not the proxy's."""
        if not self.user_header or len(given) != 1 or not given[0].strip() or not self._is_trusted(address):
            return None
        name = given[0].strip()
        return next((person for person in self.people if person.name == name and not person.sha256), None) or Person(
            name, "viewer"
        )

    def begin_session(self, person: Person) -> str:
        """A cookie that names its end and its person. It ends with the person's token, on every replica."""
        session = f"{int((self.clock.now() + SESSION).timestamp())}-{secrets.token_urlsafe(9)}"
        name = _text(person.name.encode())
        return f"{session}.{name}.{self._signature(person, session)}"

    async def by_session(self, cookie: str) -> Person | None:
        """Whose session it is; None where it is over, was signed out on whichever replica, or is forged."""
        opened = self._opened(cookie)
        if opened is None:
            return None
        session, person = opened
        if session in self._ended:
            return None
        try:
            return None if await self.sessions.has_ended(session) else person
        except StoreError:  # while the database is away the page is wanted most; what ended here is still known
            return person

    async def end_session(self, cookie: str) -> None:
        """From now on the cookie admits nobody, on no replica. Raises StoreError where the others do not know."""
        opened = self._opened(cookie)
        if opened is not None:
            now = self.clock.now()
            until = datetime.fromtimestamp(int(opened[0].partition("-")[0]), UTC)
            for session in [one for one, end in self._ended.items() if end <= now]:
                del self._ended[session]
            self._ended[opened[0]] = until
            await self.sessions.end_session(opened[0], until)

    def _opened(self, cookie: str) -> tuple[str, Person] | None:
        match = _COOKIE.fullmatch(cookie)
        if match is None or int(match[1].partition("-")[0]) <= self.clock.now().timestamp():
            return None
        for person in (*([Person(_OWNER, "editor")] if self.token else []), *self.people):
            if (
                not person.agent
                and _text(person.name.encode()) == match[2]
                and hmac.compare_digest(match[3], self._signature(person, match[1]))
            ):
                return match[1], person
        return None

    def _signature(self, person: Person, session: str) -> str:
        key = hashlib.sha256(b"alertd session\0" + (person.sha256 or self.token or "").encode()).digest()
        return _text(hmac.digest(key, f"{person.name}\0{session}".encode(), "sha256"))

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found
        return any(plain in network for network in self.trusted_proxies)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
