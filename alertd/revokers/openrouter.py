"""OpenRouter: a key is disabled and enabled, gets a spending limit and its old one back, or is deleted for good.

Source: OpenRouter's API reference and SDK 1.3 (keys: list, get, update, delete); needs a management key.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.admin_api import MOST_PAGES, AdminApi, json_number, number_text, one_of_name
from alertd.clients.json_fields import Fields
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "disable": Operation("disable this OpenRouter key", "enable this OpenRouter key"),
    "limit": Operation("limit this OpenRouter key", "lift the limit of this OpenRouter key", grade="throttle"),
    "delete": Operation("delete this OpenRouter key", "", grade="delete", reversible=False),
}
_PAGE: Final = 100


class Options(RevokerOptions):
    """OpenRouter. TOKEN is a management key of its own, not the one that reads usage."""

    operation: Literal["disable", "limit", "delete"] = Field(
        "disable", description="limit is gentler; delete is for good"
    )
    limit: Decimal | None = Field(None, gt=0, description="For limit: the limit in USD per interval")
    limit_reset: Literal["daily", "weekly", "monthly"] = Field("daily", description="For limit: its interval")
    workspace_id: str = Field("", description="Keys of this workspace instead of the default one's")
    url: str = Field("https://openrouter.ai/api/v1", description="Where the API is")

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.operation == "limit" and self.limit is None:
            raise ValueError("say how much by `limit`, in USD")
        return self


def build(name: str, options: Options) -> OpenRouter:
    """Build the revoker; it makes no request yet."""
    return OpenRouter(name, options)


class OpenRouter:
    """The keys of one account or workspace."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        self._keys = f"{options.url.rstrip('/')}/keys"
        self._api = AdminApi(name, options, bearer=revealed(options.token))

    async def find(self, target: str) -> Target:
        """The key of a hash or of a name that only one key has."""
        return one_of_name(self._api, self._options, target, await self._all())

    async def read(self, target: Target) -> Observed:
        """Whether it is disabled, its limit, and what it was used for lately."""
        answer = await self._api.ask("GET", self._url(target))
        if not answer.found:
            return Observed(acted=True, present=False, said="there is no such key any more", request=answer.request)
        key = answer.fields.child("data")
        disabled, limit = key.flag("disabled") is True, number_text(key, "limit")
        limits = self._options.operation == "limit"
        values = {"limit": limit, "limit_reset": key.text("limit_reset") or None} if limits else {"disabled": disabled}
        impact = {"used today (USD)": key.text("usage_daily")}
        return Observed(
            self._acted(key),
            values,
            f"{'disabled' if disabled else 'enabled'}, {f'limit {limit} USD' if limit else 'no limit'}",
            impact={name: value for name, value in impact.items() if value},
            request=answer.request,
            changed_at=key.text("updated_at"),
        )

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Disable, limit or delete it; a key that is gone is done."""
        if self._options.operation == "delete":
            return (await self._api.ask("DELETE", self._url(target))).done()
        limit = self._options.limit
        body: dict[str, Any] = {"disabled": True}
        if limit is not None and self._options.operation == "limit":
            body = {"limit": json_number(str(limit)), "limit_reset": self._options.limit_reset}
        return (await self._api.ask("PATCH", self._url(target), data=body)).done()

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write back what it had: whether it was disabled, or its limit."""
        body = dict(before.values)
        if "limit" in body:
            body["limit"] = json_number(body["limit"])
        return (await self._api.ask("PATCH", self._url(target), data=body)).done()

    async def look(self) -> str:
        """How many keys its credential sees."""
        return f"{plural(len(await self._all()), 'key')}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _acted(self, key: Fields) -> bool:
        if self._options.operation == "disable":
            return key.flag("disabled") is True
        if self._options.operation == "delete" or self._options.limit is None:
            return False
        same = "limit" in key and key.number("limit") <= self._options.limit
        return same and key.text("limit_reset") == self._options.limit_reset

    async def _all(self) -> list[Target]:
        found: dict[str, Target] = {}
        for page in range(MOST_PAGES):
            params = {"offset": str(page * _PAGE), "include_disabled": "true"}
            if self._options.workspace_id:
                params["workspace_id"] = self._options.workspace_id
            rows = (await self._api.ask("GET", self._keys, params=params)).fields.items("data")
            new = {row.text("hash"): _target(row) for row in rows}
            if len(rows) < _PAGE:
                return [*found.values(), *(one for key, one in new.items() if key not in found)]
            if not new.keys() - found.keys():
                raise self._api.refused("its pages go in a circle: the list of keys cannot be relied upon")
            found = {**new, **found}
        raise self._api.refused(f"more than {MOST_PAGES} pages of keys")

    def _url(self, target: Target) -> str:
        return f"{self._keys}/{quote(target.id, safe='')}"


def _target(row: Fields) -> Target:
    return Target(
        row.text("hash"), row.text("name"), row.text("label"), owner=row.text("creator_user_id"),
        last_used=row.instant_or_none("last_used_at"),
    )  # fmt: skip
