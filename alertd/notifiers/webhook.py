"""Events as signed JSON for machines: one post per event, the same Idempotency-Key on every try.

It contains no prose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from pydantic import Field

from alertd.clients.redaction import in_address
from alertd.clients.webhook import Poster, find_host, signed_headers
from alertd.core.events import Event
from alertd.plugin_options import NotifierOptions, SecretAddress, SigningSecret, revealed
from alertd.ports import Delivery, Receipt

_JSON: Final = "application/json; charset=utf-8"


class Options(NotifierOptions):
    """Where events are posted, and the secret that signs them."""

    url: SecretAddress = Field(description="Where events are posted; its path and query are kept out of logs")
    secret: SigningSecret | None = Field(
        None,
        description="Signs every post by Standard Webhooks 1.0: whsec_ and base64, or a text of at least 16 characters",
        examples=["whsec_..."],
    )
    format: Literal["plain", "cloudevents"] = Field(
        "plain", description="cloudevents: with the ce-* headers of CloudEvents 1.0 (binary mode); the body is the same"
    )


def build(name: str, options: Options) -> Webhook:
    """Return the notifier that posts events as the public contract has them."""
    return Webhook(name, options, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The bodies that would be posted, one a line."""
    del options, now
    return {".jsonl": b"".join(render(event) + b"\n" for event in delivery.events)}


def render(event: Event) -> bytes:
    """The body of the public contract, version 1, as UTF-8 JSON."""
    return json.dumps(event.contract(), ensure_ascii=False, separators=(",", ":")).encode()


class Webhook:
    """Posts each event of a delivery in turn. A retry repeats those before a failure, under their own same keys."""

    people = False

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._url = options.url.get_secret_value()
        self._secret = revealed(options.secret)
        self._proxied = options.proxy is not None
        self._is_cloud_event = options.format == "cloudevents"
        self._poster = Poster(name, options, (self._secret, *in_address(self._url)))

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        said = [await self._post(event, delivery) for event in delivery.events]
        return Receipt(", ".join(said))

    async def look(self) -> str:
        """Whether the host has an address; nothing is posted."""
        host = await find_host(self.name, self._url, proxied=self._proxied)
        signed = "signed" if self._secret else "not signed: set its secret"
        return f"posts to {host}, {signed}; nothing was sent"

    async def close(self) -> None:
        await self._poster.close()

    async def _post(self, event: Event, delivery: Delivery) -> str:
        body = render(event)
        headers = {"Content-Type": _JSON, "User-Agent": "alertd", "Idempotency-Key": event.id}
        headers |= signed_headers(self._secret, event.id, int(self._now().timestamp()), body)
        if self._is_cloud_event:
            headers |= _cloud_event(event)
        delivery.require_lease()
        answer = await self._poster.post(self._url, body, headers)
        return str(answer.status)


def _cloud_event(event: Event) -> dict[str, str]:
    """The attributes of CloudEvents 1.0 in binary mode; a budget's name is ASCII."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": "/alertd",
        "ce-type": f"alertd.{event.kind}",
        "ce-subject": event.budget or "alertd",
        "ce-time": event.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
