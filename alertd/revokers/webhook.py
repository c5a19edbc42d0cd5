"""The user's own hook: a signed POST asks it, and its answer decides. It gets no secret; redirects are refused.

It gets {"version": 1, "do": "act" | "restore" | "read", "action", "target", "id", "reason", "before"} and answers
{"done": true, "said": "..."}; done false is a refusal, a 2xx without JSON counts as done. With READS it is also asked
for the state and answers {"acted": true | false, "state": {...}, "said": "..."}; the state is any JSON object up to
16 kB, and comes back as `before` on a restore. It may also contain "owner", "team", "last_used", "changed_at" and
"changed_by". The same Idempotency-Key comes on every try.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from alertd.clients.admin_api import AdminAnswer, AdminApi, observed_of
from alertd.clients.webhook import is_signed, signed_headers
from alertd.plugin_options import RevokerOptions, SecretAddress, SigningSecret, revealed
from alertd.ports import Done, Observed, Operation, Target

_LIMIT: Final = 1 << 16


class Options(RevokerOptions):
    """Where the hook is, and the secret that signs what it is asked."""

    url: SecretAddress = Field(description="Where the hook listens; its path and query are kept out of logs")
    secret: SigningSecret | None = Field(
        None, description="Signs every post by Standard Webhooks 1.0; without it nothing acts", examples=["whsec_..."]
    )
    verify_answers: bool = Field(
        default=False,
        description="Whether an answer counts only with the same headers: webhook-id as asked, webhook-timestamp and "
        "webhook-signature over its own body",
    )
    what: str = Field("ask the hook to stop it", description="What it does, as messages describe it")
    grade: Literal["warn", "throttle", "disable", "delete"] = Field("disable", description="How hard it is")
    reversible: bool = Field(default=True, description="Whether it can undo what it did")
    reads: bool = Field(default=False, description="Whether it answers what the state is, by do=read")


def build(name: str, options: Options) -> Webhook:
    """Build the revoker; it makes no request yet."""
    return Webhook(name, options)


class Webhook:
    """One hook."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = Operation(
            options.what, f"undo: {options.what}", options.grade, options.reversible, exact=False
        )
        self.lacks = "" if options.secret else "the hook cannot verify requests: set SECRET or SECRET_FILE"
        self._options = options
        self._url = options.url.get_secret_value()
        self._secret = revealed(options.secret)
        bearer = revealed(options.token)
        self._api = AdminApi(name, options, bearer=bearer, secret_path=True)

    async def find(self, target: str) -> Target:
        """The label's value as it is, or the id that TARGETS gives it."""
        return Target(self._options.targets.get(target, target), target)

    async def read(self, target: Target) -> Observed:
        """The state that the hook reports; unknown if READS is off."""
        if not self._options.reads:
            return Observed(acted=None, said="the hook is not asked for the state")
        answer = await self._post("read", target, {}, f"read-{target.id}", "")
        return observed_of(answer.fields, self.name, present=answer.found)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Ask it to stop the target."""
        return self._decided(await self._post("act", target, dict(before.values), key, reason))

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Ask it to undo that."""
        return self._decided(await self._post("restore", target, dict(before.values), key, reason))

    async def look(self) -> str:
        """Where it posts; nothing is sent."""
        return f"posts to {urlsplit(self._url).hostname}; nothing was sent"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _decided(self, answer: AdminAnswer) -> Done:
        if not answer.found:
            raise self._api.refused("the hook answers 404: there is nothing at its address")
        if answer.fields.flag("done") is False:
            raise self._api.refused(f"the hook refuses: {answer.fields.text('said')}")
        return Done(answer.fields.text("said") or "taken", answer.request)

    async def _post(self, what: str, target: Target, before: dict[str, object], key: str, reason: str) -> AdminAnswer:
        asked = {"version": 1, "do": what, "action": self.name, "target": target.id, "name": target.name, "id": key,
                 "reason": reason, "before": before}  # fmt: skip
        body = json.dumps(asked, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "alertd", "Idempotency-Key": key}
        headers |= signed_headers(self._secret, key, int(datetime.now(UTC).timestamp()), body)
        answer = await self._api.ask("POST", self._url, content=body, headers=headers, limit=_LIMIT, plain=True)
        now = datetime.now(UTC).timestamp()
        if self._options.verify_answers and not is_signed(self._secret, answer.headers, key, answer.body, now):
            raise self._api.refused("the hook's answer is not signed by SECRET", uncertain=what != "read")
        return answer
