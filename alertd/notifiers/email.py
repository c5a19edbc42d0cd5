"""Messages by e-mail: text and HTML, one thread a budget and period, the same Message-ID on every try.

Headers are written by the standard library's policy, which refuses line breaks; addresses are checked before.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from functools import partial
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from alertd.clients.png import png
from alertd.clients.smtp import PORTS, Refused, Server, hand_over, knock
from alertd.core.addresses import fill
from alertd.core.charts.message_chart import DARK, LIGHT, story
from alertd.core.events import Event
from alertd.core.messages import Message, compose
from alertd.notifiers._mail import html, text
from alertd.plugin_options import NotifierOptions, Secret, TextList, revealed
from alertd.ports import Delivery, DeliveryError, Receipt

#: What an address may be made of, with the fields of a template; quoted local parts are refused.
_ADDRESS: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)*\Z", re.ASCII)
_REMEMBERED: Final = 1000
_REFERENCES: Final = 10
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "its `HOST`, port 587 (`starttls`), 465 (`tls`) or 25 (`none`)"


class Options(NotifierOptions):
    """The mail server, the sender and the recipients."""

    host: str = Field(description="The SMTP server's name")
    port: int | None = Field(None, ge=1, le=65535, description="Its port; 587 for starttls, 465 for tls, 25 for none")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted; never less than this"
    )
    username: str = Field("", description="The login's name, where the server wants a login")
    password: Secret | None = Field(None, description="The login's password; some providers want an app password")
    sender: str = Field(description="The address it comes from: alertd@example.com, or alertd <alertd@example.com>")
    to: TextList = Field(min_length=1, description="Whom it goes to; team-{team}@example.com is filled from the labels")

    @field_validator("sender")
    @classmethod
    def _sender(cls, value: str) -> str:
        if not _is_address(parseaddr(value)[1]) or len(value.splitlines()) > 1:
            raise ValueError("this is no e-mail address; write it as alertd@example.com")
        return value

    @field_validator("to")
    @classmethod
    def _to(cls, value: list[str]) -> list[str]:
        for address in value:
            if not _is_address(address):
                raise ValueError("one of these is no e-mail address; write it as ana@example.com")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.username) != (self.password is not None):
            raise ValueError("a login needs both username and password")
        if self.proxy is not None:
            raise ValueError("e-mail goes through no HTTP proxy; remove proxy")
        return self


def build(name: str, options: Options) -> Email:
    """Return the notifier that sends mails."""
    return Email(name, options, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The whole mail, as a file that mail programs open."""
    to = [fill(address, delivery.events[0]) or address for address in options.to]
    message_id = _message_id(delivery.key, parseaddr(options.sender)[1])
    mail = render(compose(delivery.events, now), sender=options.sender, to=to, message_id=message_id, now=now,
                  pictures=charts(delivery, now))  # fmt: skip
    return {".eml": mail.as_bytes()}


def render(message: Message, *, sender: str, to: Sequence[str], message_id: str, now: datetime,
           thread: Sequence[str] = (), pictures: Sequence[bytes] = ()) -> EmailMessage:  # fmt: skip
    """The whole mail: `thread` are the Message-IDs of its conversation so far, oldest first."""
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = _sender(sender)
    mail["To"] = ", ".join(to)
    mail["Subject"] = f"[{message.severity}] {message.subject}"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id
    if thread:
        mail["In-Reply-To"] = thread[-1]
        mail["References"] = " ".join(thread)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday reply comes back
    mail["X-Auto-Response-Suppress"] = "All"
    if message.severity == "critical":
        mail["Importance"] = "high"
    mail.set_content(text(message), cte="quoted-printable")
    ids = [f"{name}.{message_id.strip('<>')}" for name, _ in zip(("chart", "chart-dark"), pictures, strict=False)]
    mail.add_alternative(html(message, *(f"cid:{one}" for one in ids)), subtype="html", cte="quoted-printable")
    shown = mail.get_payload()[1]  # type: ignore[index] # the alternatives are a list: text, then HTML
    for one, picture in zip(ids, pictures, strict=True):
        shown.add_related(picture, "image", "png", cid=f"<{one}>", filename="chart.png", disposition="inline")  # type: ignore[union-attr] # it is an EmailMessage
    return mail


def charts(delivery: Delivery, now: datetime) -> tuple[bytes, ...]:
    """The period's picture, for light and for dark, if the mail is about one budget."""
    if len(delivery.events) != 1:
        return ()
    drawn = [png(story(delivery.events[0], now, theme)) for theme in (LIGHT, DARK)]
    return tuple(one for one in drawn if one)


class Email:
    """Sends one mail a delivery. Whom a server refused for now gets it later, the others not twice."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._options = options
        self._sender = parseaddr(options.sender)[1]
        self._server = Server(
            host=options.host,
            port=options.port or PORTS[options.security],
            security=options.security,
            username=options.username,
            password=revealed(options.password),
            ca_file=options.ca_file,
            timeout=options.timeout,
        )
        self._waiting: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def address(self, event: Event) -> str:
        """The recipients: those a message is for, else all, the budget's own among them; "" for none."""
        if event.to:
            return event.to
        filled = [fill(address, event) for address in self._options.to]
        own = event.channel if _is_address(event.channel) else ""
        return ", ".join(dict.fromkeys(address for address in (*filled, own) if address and _is_address(address)))

    async def send(self, delivery: Delivery) -> Receipt:
        to = self.address(delivery.events[0]).split(", ")
        if to == [""]:
            raise DeliveryError(
                f"{self.name}: no recipient: this alert lacks the labels that `to` names", permanent=True
            )
        now, message_id = self._now(), _message_id(delivery.key, self._sender)
        thread = [known for known in delivery.memory.get("thread", "").split() if known != message_id]
        pictures = await asyncio.to_thread(charts, delivery, now)
        mail = render(compose(delivery.events, now), sender=self._options.sender, to=to,
                      message_id=message_id, now=now, thread=thread, pictures=pictures)  # fmt: skip
        recipients = self._waiting.get(delivery.key, tuple(to))
        delivery.require_lease()
        said, refused = await hand_over(self.name, self._server, mail, self._sender, recipients)
        self._log_refused(delivery.key, refused)
        whom = f"; refused for good: {', '.join(map(str, refused))}" if refused else ""
        ids = [*thread[:1], *thread[1:][-_REFERENCES:], message_id]
        return Receipt(f"{said}{whom}", {**delivery.memory, "thread": " ".join(ids)})

    async def send_report(self, about: Event, message: Message, files: Mapping[str, bytes], key: str) -> str:
        """Mail a report with its files to the recipients of an event, and give the server's answer. DeliveryError.

        The same key has the same Message-ID. Of several recipients those that the server refuses are named.
        """
        to, now = [one for one in self.address(about).split(", ") if one], self._now()
        if not to:
            raise DeliveryError(f"{self.name}: no recipient: TO names labels that the report lacks", permanent=True)
        mail = render(message, sender=self._options.sender, to=to, message_id=_message_id(key, self._sender), now=now)
        for name, content in files.items():
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            params = {"charset": "utf-8"} if kind.startswith("text/") else None
            mail.add_attachment(content, *kind.split("/"), filename=name, params=params)
        said, refused = await hand_over(self.name, self._server, mail, self._sender, to)
        whom = f"; refused: {', '.join(map(str, refused))}" if refused else ""
        return f"{', '.join(to)}: {said}{whom}"

    async def look(self) -> str:
        """Connects, encrypts and logs in; sends nothing."""
        return await knock(self.name, self._server)

    async def close(self) -> None:
        return None

    def _log_refused(self, key: str, refused: Sequence[Refused]) -> None:
        """Those refused for now are tried again alone. Kept in memory: a restart between mails some people twice."""
        later = tuple(one.address for one in refused if not one.permanent)
        self._waiting.pop(key, None)
        if later:
            self._waiting[key] = later
            while len(self._waiting) > _REMEMBERED:
                self._waiting.popitem(last=False)
            raise DeliveryError(f"{self.name}: taken for the others, not yet for {', '.join(map(str, refused))}")


def _message_id(key: str, sender: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2]}>"


def _sender(sender: str) -> Address:
    shown, address = parseaddr(sender)
    return Address(display_name=shown or "alertd", addr_spec=address)


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.match(text)) and "," not in text
