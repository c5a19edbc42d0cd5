"""A mail server in a thread, with STARTTLS, TLS and logins, that refuses, hangs or breaks off where it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

#: A line that is broken off is closed some turns of the loop later: below TLS, then TLS, then what speaks over it.
_TURNS = 5


@dataclass
class SmtpServer:
    """Listens on a free port of localhost within a `with`. `mails` are those taken, `recipients` whom each was for.

    security: none, starttls or tls · login: (name, password) that is wanted · refuse: address -> reply ·
    replies: MAIL or DATA -> reply · hang_at: MAIL, RCPT or DATA · break_at: the same
    """

    authority: trustme.CA | None = None
    security: str = "none"
    login: tuple[str, str] | None = None
    refuse: Mapping[str, str] = field(default_factory=dict)
    replies: Mapping[str, str] = field(default_factory=dict)
    hang_at: str = ""
    break_at: str = ""
    identity: str = "localhost"
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, bool]] = field(default_factory=list)
    port: int = 0
    _sessions: list[SMTP] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> None:
        trust = self._trust() if self.security != "none" else None
        self._server = await self._loop.create_server(
            lambda: self._session(trust),
            "127.0.0.1",
            0,
            ssl=trust if self.security == "tls" else None,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _session(self, trust: ssl.SSLContext | None) -> SMTP:
        session = SMTP(
            self,
            loop=self._loop,
            hostname="mail.example.com",
            tls_context=trust if self.security == "starttls" else None,
            authenticator=self._authenticate if self.login else None,
            auth_require_tls=self.security == "starttls",
        )
        self._sessions.append(session)
        return session

    async def _leave(self) -> None:
        self._server.close()
        for session in self._sessions:
            for line in (session.transport, session._original_transport):  # within STARTTLS there is only the second
                if line is not None:
                    line.abort()  # type: ignore[attr-defined] # those of sockets can be broken off
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str,  # noqa: N802
                          options: list[str]) -> str:  # fmt: skip
        reply = await self._at("MAIL", server)
        if self.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if not reply.startswith("250"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str,  # noqa: N802
                          options: list[str]) -> str:  # fmt: skip
        await self._at("RCPT", server)
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        reply = await self._at("DATA", server)
        if reply.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.recipients.append(list(envelope.rcpt_tos))
        return reply

    async def _at(self, step: str, server: SMTP) -> str:
        if self.hang_at == step:
            await asyncio.Event().wait()
        if self.break_at == step:
            server.transport.abort()  # type: ignore[union-attr] # a session has one
        return self.replies.get(step, "250 taken")

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = self.login == (data.login.decode(), data.password.decode())
        self.logins.append((data.login.decode(), right))
        return AuthResult(success=right, handled=False)

    def _trust(self) -> ssl.SSLContext:
        assert self.authority is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(self.identity).configure_cert(context)
        return context
