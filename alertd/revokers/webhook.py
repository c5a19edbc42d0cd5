"""A hook of one's own: asked by a signed post, and its answer decides. It is sent no secret, and not followed away.

It gets {"version": 1, "do": "act" | "restore" | "read", "action", "target", "id", "reason", "before"} and answers
{"done": true, "said": "..."}; done false is a refusal, a 2xx without JSON counts as done. With READS it is also asked
for the state and answers {"acted": true | false, "state": {...}, "said": "..."}; the state is any JSON object up to
16 kB, and comes back as `before` on a restore. It may also tell "owner", "team", "last_used", "changed_at" and
"changed_by". The same Idempotency-Key comes on every try.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from alertd.options import RevokerOptions, Secret, SecretAddress, revealed
from alertd.ports import Done, Lever, Observed, Target
from alertd.wire.levers import Levers, Told, observed_of
from alertd.wire.signing import signature

_LIMIT: Final = 1 << 16


class Options(RevokerOptions):
    """Where the hook is, and the secret that signs what it is asked."""

    url: SecretAddress = Field(description="Where the hook listens; its path and query are kept out of logs")
    secret: Secret | None = Field(None, description="Signs every post: X-Alertd-Signature; without it nothing acts")
    what: str = Field("ask the hook to stop it", description="What it does, as people are told")
    grade: Literal["warn", "throttle", "disable", "delete"] = Field("disable", description="How hard it is")
    reversible: bool = Field(default=True, description="Whether it can undo what it did")
    reads: bool = Field(default=False, description="Whether it answers what the state is, by do=read")


def build(name: str, options: Options) -> Webhook:
    """The revoker; contacts nobody yet."""
    return Webhook(name, options)


class Webhook:
    """One hook."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.lever = Lever(options.what, f"undo: {options.what}", options.grade, options.reversible, exact=False)
        self.lacks = "" if options.secret else "the hook cannot tell who asks: set SECRET or SECRET_FILE"
        self._options = options
        self._url = options.url.get_secret_value()
        self._secret = revealed(options.secret)
        bearer = revealed(options.token)
        self._levers = Levers(name, options, bearer=bearer, secret_path=True)

    async def find(self, target: str) -> Target:
        """The label's value as it is, or the id that TARGETS gives it."""
        return Target(self._options.targets.get(target, target), target)

    async def read(self, target: Target) -> Observed:
        """What the hook says of the state; unknown where it is not asked."""
        if not self._options.reads:
            return Observed(acted=None, said="the hook is not asked for the state")
        told = await self._post("read", target, {}, f"read-{target.id}", "")
        return observed_of(told.fields, self.name, present=told.found)

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
        """Let the connections go."""
        await self._levers.close()

    def _decided(self, told: Told) -> Done:
        if not told.found:
            raise self._levers.refused("the hook answers 404: there is nothing at its address")
        if told.fields.flag("done") is False:
            raise self._levers.refused(f"the hook refuses: {told.fields.text('said')}")
        return Done(told.fields.text("said") or "taken", told.request)

    async def _post(self, what: str, target: Target, before: dict[str, Any], key: str, reason: str) -> Told:
        asked = {"version": 1, "do": what, "action": self.name, "target": target.id, "name": target.name, "id": key,
                 "reason": reason, "before": before}  # fmt: skip
        body = json.dumps(asked, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "alertd", "Idempotency-Key": key}
        if self._secret:
            headers["X-Alertd-Signature"] = signature(self._secret, int(datetime.now(UTC).timestamp()), body)
        return await self._levers.ask("POST", self._url, content=body, headers=headers, limit=_LIMIT, plain=True)
