"""Send a mail to an SMTP server: one connection per mail, encrypted as configured or not sent at all.

All that can go wrong becomes a DeliveryError here, by the SMTP codes of RFC 5321 and RFC 4954; no password is in its
text. A server that does not offer STARTTLS where it was asked for gets neither credentials nor mail.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Final

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from alertd.clients.http import trust
from alertd.clients.redaction import longest_first, without
from alertd.core.messages.rich_text import clean
from alertd.ports import DeliveryError

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
#: What a code means beyond "4xx: later, 5xx: never" (RFC 5321), and when to try again.
_MEANINGS: Final[Mapping[int, str]] = {
    421: "the server is closing",
    450: "greylisted or the mailbox is busy",
    451: "greylisted or a fault of the server",
    452: "the server's storage is full",
    454: "authentication is not possible just now",
    530: "the server wants a login: set username and password",
    534: "the server wants a stronger login than username and password",
    535: "username or password is wrong; some providers want an app password",
    538: "the server wants encryption: set security to starttls or tls",
    550: "there is no such mailbox, or the server refuses this sender",
    552: "the mailbox is full or the mail is too long",
    553: "the server refuses the sender's address",
    554: "the server refuses the mail",
}
#: Greylisting lets a mail in after some minutes, and not before.
_GREYLISTED: Final = frozenset({450, 451, 452})
_GREYLIST_WAIT: Final = timedelta(minutes=5)
_PERMANENT_FROM: Final = 500
_CLOSING: Final = 421
_QUIT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server and how to be known to it. `security`: starttls, tls or none."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient that the server did not take, and whether it never will."""

    address: str
    code: int
    said: str

    @property
    def permanent(self) -> bool:
        return self.code >= _PERMANENT_FROM

    def __str__(self) -> str:
        return f"{self.address} ({self.code} {self.said})"


async def hand_over(
    name: str, server: Server, mail: EmailMessage, sender: str, recipients: Sequence[str]
) -> tuple[str, tuple[Refused, ...]]:
    """The server's answer, and the recipients that it refused. DeliveryError if it refused all of them."""
    sending = False
    try:
        async with asyncio.timeout(server.timeout.total_seconds()), _session(server) as client:
            sending = True
            body = mail.as_bytes(policy=SMTP_POLICY)
            refused, said = await client.sendmail(sender, list(recipients), body)
    except SMTPRecipientsRefused as error:
        raise _all_refused(name, server, error.recipients) from error
    except (SMTPException, OSError, ssl.SSLError, ValueError) as error:
        raise _error(name, server, error, sending=sending) from error
    return _short(said, server), tuple(
        Refused(who, answer.code, _short(answer.message, server)) for who, answer in refused.items()
    )


async def knock(name: str, server: Server) -> str:
    """Connect, encrypt and log in without sending: what there is, in words. DeliveryError as for a mail."""
    try:
        async with asyncio.timeout(server.timeout.total_seconds()), _session(server) as client:
            encrypted = client.get_transport_info("sslcontext") is not None
    except (SMTPException, OSError, ssl.SSLError, ValueError) as error:
        raise _error(name, server, error, sending=False) from error
    how = "encrypted" if encrypted else "NOT encrypted"
    known = f"logged in as {server.username}" if server.username else "without a login"
    return f"{server.host}:{server.port} answers, {how}, {known}"


class _SmtpConnection(SMTP):
    """A connection that closes at once; TLS would wait half a minute for the peer's close message."""

    def close(self) -> None:
        line = self.transport
        super().close()
        if isinstance(line, asyncio.WriteTransport):
            line.abort()


@asynccontextmanager
async def _session(server: Server) -> AsyncIterator[SMTP]:
    client = _SmtpConnection(
        hostname=server.host,
        port=server.port,
        local_hostname=socket.gethostname() or "localhost",
        timeout=server.timeout.total_seconds(),
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=None if server.security == "none" else trust(server.ca_file),
    )
    try:
        await client.connect()
        if server.username:
            await client.login(server.username, server.password)
        yield client
        with suppress(SMTPException, OSError, TimeoutError):  # the mail is taken: a rude good-bye changes nothing
            await client.quit(timeout=_QUIT_SECONDS)
    finally:
        client.close()


def _all_refused(name: str, server: Server, recipients: Iterable[SMTPRecipientRefused]) -> DeliveryError:
    refused = [Refused(one.recipient, one.code, _short(one.message, server)) for one in recipients]
    return DeliveryError(
        f"{name}: {server.host} refused every recipient: {', '.join(map(str, refused[:3]))}",
        permanent=all(one.permanent for one in refused),
        retry_after=_GREYLIST_WAIT if any(one.code in _GREYLISTED for one in refused) else None,
    )


def _error(name: str, server: Server, error: Exception, *, sending: bool) -> DeliveryError:
    """The DeliveryError of whatever happened; cut off while the mail was on its way, it may have arrived."""
    where = f"{name}: {server.host}:{server.port}"
    match error:
        case SMTPResponseException():
            return _answered(where, server, error, sending=sending)
        case TimeoutError():
            return DeliveryError(f"{where}: did not answer in time", uncertain=sending)
        case SMTPNotSupported():
            return DeliveryError(f"{where}: {_short(str(error), server)}", permanent=True)
        case ValueError() if sending and not isinstance(error, OSError):
            return DeliveryError(f"{where}: an address is not valid: {_short(str(error), server)}", permanent=True)
        case SMTPException() if "STARTTLS extension not supported" in str(error):
            said = (
                "it does not offer STARTTLS, so nothing was sent; set security to tls, or to none where the net is safe"
            )
            return DeliveryError(f"{where}: {said}", permanent=True)
    said = next((text for one in _causes(error) if (text := _short(str(one), server))), type(error).__name__)
    return DeliveryError(f"{where}: {'cut off' if sending else 'cannot connect'}: {said}", uncertain=sending)


def _causes(error: Exception) -> list[BaseException]:
    """The causes of an error, nearest first, then itself; a certificate's error before all others."""
    found: list[BaseException] = []
    below: BaseException | None = error
    while below is not None and below not in found:
        found.append(below)
        below = below.__cause__ or below.__context__
    order = [*found[1:], error]
    return sorted(order, key=lambda one: not isinstance(one, ssl.SSLCertVerificationError))


def _answered(where: str, server: Server, error: SMTPResponseException, *, sending: bool) -> DeliveryError:
    login = "the login was refused" if isinstance(error, SMTPAuthenticationError) else ""
    said = "; ".join(filter(None, (login, _MEANINGS.get(error.code, ""), _short(str(error.message), server))))
    return DeliveryError(
        f"{where}: {error.code} {said}",
        permanent=error.code >= _PERMANENT_FROM,
        retry_after=_GREYLIST_WAIT if error.code in _GREYLISTED else None,
        uncertain=sending and error.code == _CLOSING,
    )


def _short(text: str, server: Server) -> str:
    """A server's line about our own mail, on one line, without the password in any form that a login sends."""
    forms = (server.password, f"\0{server.username}\0{server.password}")
    encoded = (base64.b64encode(form.encode()).decode() for form in forms if server.password)
    return clean(without(longest_first([server.password, *encoded]), text), 200)
