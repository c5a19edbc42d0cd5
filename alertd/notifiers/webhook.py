"""Events as signed JSON for machines: one post an event, the same Idempotency-Key on every try. It words nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from pydantic import Field

from alertd.core.events import Event
from alertd.options import NotifierOptions, Secret, SecretAddress, revealed
from alertd.ports import Delivery, Receipt
from alertd.wire.posting import Poster, find_host
from alertd.wire.secrecy import in_address
from alertd.wire.signing import signature

_JSON: Final = "application/json; charset=utf-8"


class Options(NotifierOptions):
    """Where events are posted, and the secret that signs them."""

    url: SecretAddress = Field(description="Where events are posted; its path and query are kept out of logs")
    secret: Secret | None = Field(
        None, description="Signs every post: X-Alertd-Signature: t=<unix>,v1=<hex HMAC-SHA256 of t.body>"
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
        if self._secret:
            headers["X-Alertd-Signature"] = signature(self._secret, int(self._now().timestamp()), body)
        delivery.require_lease()
        answer = await self._poster.post(self._url, body, headers)
        return str(answer.status)
