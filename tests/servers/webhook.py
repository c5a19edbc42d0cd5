"""A receiver of the public webhook contract that verifies what it gets and, where told, refuses a third of it."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.servers.recording import Received, RecordingServer, Reply


@dataclass
class WebhookServer(RecordingServer):
    """`events` holds each event once, by its id, in order of arrival; `posts` counts every post that was taken.

    A post with a wrong signature, or whose Idempotency-Key is not its id, gets a 401 or 400 and a line in `faulty`.
    `refuse_every` = 3 answers 503 to the second of every three posts, before it looks at it.
    """

    secret: str = ""
    refuse_every: int = 0
    status: int = 204
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: int = 0
    refused: int = 0
    faulty: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, received: Received) -> Reply:
        if self.refuse_every and len(self.requests) % self.refuse_every == 2 % self.refuse_every:
            self.refused += 1
            return Reply(503, "busy", {"Retry-After": "0"})
        fault = self._fault(received)
        if fault:
            self.faulty.append(fault)
            return Reply(401 if "signature" in fault else 400, fault)
        self.posts += 1
        self.events.setdefault(received.json["id"], received.json)
        return Reply(self.status)

    def _fault(self, received: Received) -> str:
        if self.secret and not self._is_signed(received):
            return "the signature is wrong"
        event = received.json
        if event["version"] != 1:
            return f"version {event['version']}"
        return "" if received.headers.get("idempotency-key") == event["id"] else "Idempotency-Key is not the id"

    def _is_signed(self, received: Received) -> bool:
        """As the official library of Standard Webhooks signs it; a text is the key by its bytes. At any age: tests
        stop the clock.
        """
        key = self.secret if self.secret.startswith("whsec_") else base64.b64encode(self.secret.encode()).decode()
        at = datetime.fromtimestamp(int(received.headers.get("webhook-timestamp", "0")), UTC)
        wanted = Webhook(key).sign(received.headers.get("webhook-id", ""), at, received.body.decode())
        return hmac.compare_digest(wanted, received.headers.get("webhook-signature", ""))
