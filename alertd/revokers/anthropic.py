"""Anthropic: an API key becomes inactive, and active again; or is archived for good.

Source: Anthropic's Admin API reference, 2026 (API keys: get, list, update). Keys cannot be deleted by it; writing the
same status twice changes nothing.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field

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
}
_STATUS: Final = {"disable": "inactive", "archive": "archived"}
#: A key of one of these statuses no longer works.
_STOPPED: Final = {"disable": {"inactive", "archived", "expired"}, "archive": {"archived"}}


class Options(RevokerOptions):
    """Anthropic. TOKEN is an admin key (sk-ant-admin...) of its own, not the one that reads usage."""

    operation: Literal["disable", "archive"] = Field("disable", description="disable can be undone, archive cannot")
    url: str = Field("https://api.anthropic.com", description="Where the API is")


def build(name: str, options: Options) -> Anthropic:
    """Build the revoker; it makes no request yet."""
    return Anthropic(name, options)


class Anthropic:
    """The keys of one organization."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        self._keys = f"{options.url.rstrip('/')}/v1/organizations/api_keys"
        key = revealed(options.token)
        self._api = AdminApi(name, options, headers={"x-api-key": key, "anthropic-version": _VERSION})

    async def find(self, target: str) -> Target:
        """The key of an id or of a name that only one key has."""
        return one_of_name(self._api, self._options, target, await self._all())

    async def read(self, target: Target) -> Observed:
        """Its status; gone where the organization has no such key."""
        answer = await self._api.ask("GET", self._url(target))
        if not answer.found:
            return Observed(acted=True, present=False, said="there is no such key any more", request=answer.request)
        status = answer.fields.text("status")
        stopped = status in _STOPPED[self._options.operation]
        return Observed(acted=stopped, values={"status": status}, said=f"status {status}", request=answer.request)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write the status that stops it."""
        return await self._write(target, _STATUS[self._options.operation])

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write back the status that it had."""
        return await self._write(target, str(before.values["status"]))

    async def look(self) -> str:
        """How many keys its credential sees."""
        return f"{plural(len(await self._all()), 'key')}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _write(self, target: Target, status: str) -> Done:
        answer = await self._api.ask("POST", self._url(target), data={"status": status})
        return answer.done(f"status {answer.fields.text('status')}")

    async def _all(self) -> list[Target]:
        return [_target(row) for row in await self._api.rows(self._keys, 1000, "after_id")]

    def _url(self, target: Target) -> str:
        return f"{self._keys}/{quote(target.id, safe='')}"


def _target(row: Fields) -> Target:
    workspace = row.text("workspace_id") or "default"  # the default workspace has no id; usage in it says so
    owner = row.child("created_by").text("id")
    return Target(row.text("id"), row.text("name"), row.text("partial_key_hint"), {"workspace": (workspace,)}, owner)
