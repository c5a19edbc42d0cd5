"""Anthropic: an API key becomes inactive, and active again, or is archived; or a workspace gets a spend limit.

Source: Anthropic's Admin API reference, 2026 (API keys: get, list, update), and its Python SDK 2.14 (spend limits:
list, set, delete). Keys cannot be deleted by it; writing the same status twice changes nothing. Limits are in cents of
the organization's currency, one for each period; setting them for a workspace is an early access preview: without it
Anthropic answers 403.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.admin_api import AdminApi, one_of_name
from alertd.clients.json_fields import Fields
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, revealed
from alertd.ports import Done, Observed, Operation, Target

_VERSION: Final = "2023-06-01"
#: The operation's status, and what undoes it.
_OPERATIONS: Final = {
    "disable": Operation("disable this Anthropic key", "enable this Anthropic key"),
    "archive": Operation("archive this Anthropic key", "", grade="delete", reversible=False),
    "spend_limit": Operation(
        "put a spend limit on this Anthropic workspace", "give this Anthropic workspace its spend limit back"
    ),
}
_LIMIT: Final = "spend_limit"
_READS_LIMITS: Final = {"anthropic-beta": "spend-limit-reads-2026-09-26"}
_STATUS: Final = {"disable": "inactive", "archive": "archived"}
#: A key of one of these statuses no longer works.
_STOPPED: Final = {"disable": {"inactive", "archived", "expired"}, "archive": {"archived"}}


class Options(RevokerOptions):
    """Anthropic. TOKEN is an admin key (sk-ant-admin...) of its own. LABEL is key, or workspace for a spend limit."""

    operation: Literal["disable", "archive", "spend_limit"] = Field(
        "disable", description="disable can be undone, archive cannot; spend_limit is a workspace's and can be undone"
    )
    spend_limit: Decimal = Field(
        Decimal("0.01"), ge=0, description="For spend_limit: in the organization's currency, for each limit_period"
    )
    limit_period: Literal["daily", "weekly", "monthly"] = Field("monthly", description="For spend_limit: its period")
    url: str = Field("https://api.anthropic.com", description="Where the API is")

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, values: object) -> object:
        if isinstance(values, dict) and "label" not in values and values.get("operation") == _LIMIT:
            return {**values, "label": "workspace"}
        return values


def build(name: str, options: Options) -> Anthropic:
    """Build the revoker; it makes no request yet."""
    return Anthropic(name, options)


class Anthropic:
    """The keys, or workspaces, of one organization."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        organization = f"{options.url.rstrip('/')}/v1/organizations"
        self._limits = f"{organization}/spend_limits"
        self._is_limit = options.operation == _LIMIT
        self._keys = f"{organization}/{'workspaces' if self._is_limit else 'api_keys'}"
        key = revealed(options.token)
        self._api = AdminApi(name, options, headers={"x-api-key": key, "anthropic-version": _VERSION})

    async def find(self, target: str) -> Target:
        """The key, or workspace, of an id or of a name that only one has."""
        return one_of_name(self._api, self._options, target, await self._all())

    async def read(self, target: Target) -> Observed:
        """Its status, or its limit; gone where the organization has no such key or workspace."""
        if self._is_limit:
            return await self._limit(target)
        answer = await self._api.ask("GET", self._url(target))
        if not answer.found:
            return Observed(acted=True, present=False, said="there is no such key any more", request=answer.request)
        status = answer.fields.text("status")
        stopped = status in _STOPPED[self._options.operation]
        return Observed(acted=stopped, values={"status": status}, said=f"status {status}", request=answer.request)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write the status that stops it, or the lower limit."""
        if self._is_limit:
            return await self._set(target, str(self._cents))
        return await self._write(target, _STATUS[self._options.operation])

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write back the status or the limit that it had; where it had no limit, take ours away."""
        if self._is_limit:
            if before.values["id"]:
                return await self._set(target, before.values["amount"])
            ours = (await self._limit(target)).values["id"]
            return (await self._api.ask("DELETE", f"{self._limits}/{quote(str(ours), safe='')}")).done()
        return await self._write(target, str(before.values["status"]))

    async def look(self) -> str:
        """How many keys or workspaces its credential sees."""
        what = "workspace" if self._is_limit else "key"
        return f"{plural(len(await self._all()), what)}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _write(self, target: Target, status: str) -> Done:
        answer = await self._api.ask("POST", self._url(target), data={"status": status})
        return answer.done(f"status {answer.fields.text('status')}")

    async def _limit(self, target: Target) -> Observed:
        """The limit of the workspace for the period; without one nothing is set for it."""
        workspace = await self._api.ask("GET", self._url(target))
        if not workspace.found:
            gone = "there is no such workspace any more"
            return Observed(acted=True, present=False, said=gone, request=workspace.request)
        params = {"workspace_id": target.id, "limit": "100"}
        answer = await self._api.ask("GET", self._limits, params=params, headers=_READS_LIMITS)
        for row in answer.fields.items("data"):
            scope = row.child("scope")
            own = scope.text("type") == "workspace" and scope.text("workspace_id") == target.id
            if own and row.text("period") == self._options.limit_period:
                amount = str(row.whole("amount")) if "amount" in row else None
                acted = amount is not None and int(amount) <= self._cents
                said = f"limit {'none' if amount is None else f'{amount} cents'} {row.text('period')}"
                return Observed(acted, {"id": row.text("id"), "amount": amount}, said, request=answer.request)
        return Observed(acted=False, values={"id": "", "amount": None}, said="limit none", request=answer.request)

    async def _set(self, target: Target, amount: object) -> Done:
        scope = {"type": "workspace", "workspace_id": target.id}
        data = {"amount": amount, "scope": scope, "period": self._options.limit_period}
        return (await self._api.ask("POST", self._limits, data=data)).done()

    @property
    def _cents(self) -> int:
        return int(self._options.spend_limit * 100)

    async def _all(self) -> list[Target]:
        target = _workspace if self._is_limit else _target
        return [target(row) for row in await self._api.rows(self._keys, 1000, "after_id")]

    def _url(self, target: Target) -> str:
        return f"{self._keys}/{quote(target.id, safe='')}"


def _workspace(row: Fields) -> Target:
    return Target(row.text("id"), row.text("name"))


def _target(row: Fields) -> Target:
    workspace = row.text("workspace_id") or "default"  # the default workspace has no id; usage in it says so
    owner = row.child("created_by").text("id")
    return Target(row.text("id"), row.text("name"), row.text("partial_key_hint"), {"workspace": (workspace,)}, owner)
