"""OpenAI: a project gets a hard spend limit, low rate limits or fewer models, and its own back; or a key is deleted.

Source: OpenAI's OpenAPI file 2.3 of 2026-08 (administration). Keys have no switch: a project is what can be stopped and
started again; spend limits are in cents, and whether a rate limit may be 0 is not known, so 1 is the least.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.admin_api import AdminAnswer, AdminApi, one_of_name
from alertd.clients.json_fields import Fields
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, TextList, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "spend_limit": Operation(
        "put a spend limit on this OpenAI project", "give this OpenAI project its spend limit back"
    ),
    "rate_limits": Operation("slow this OpenAI project down", "give it its rate limits back", grade="throttle"),
    "model_permissions": Operation(
        "allow this OpenAI project fewer models", "give it its models back", grade="throttle"
    ),
    "delete": Operation("delete this OpenAI key", "", grade="delete", reversible=False),
}
_RATES: Final = ("max_requests_per_1_minute", "max_tokens_per_1_minute")


class Options(RevokerOptions):
    """OpenAI. TOKEN is an admin key of its own. LABEL is project, or key for a delete, where nothing is said."""

    operation: Literal["spend_limit", "rate_limits", "model_permissions", "delete"] = Field(
        "spend_limit", description="The first three are a project's and can be undone; delete is a key's and cannot"
    )
    spend_limit: Decimal = Field(Decimal("0.01"), ge=Decimal("0.01"), description="For spend_limit: USD a month")
    requests_per_minute: int = Field(1, ge=1, description="For rate_limits: of every model")
    models: TextList = Field(default_factory=list, description="For model_permissions: the models that stay allowed")
    url: str = Field("https://api.openai.com/v1", description="Where the API is")

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, values: object) -> object:
        if isinstance(values, dict) and "label" not in values:
            return {**values, "label": "key" if values.get("operation") == "delete" else "project"}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.operation == "model_permissions" and not self.models:
            raise ValueError("name the models that stay allowed by `models`")
        return self


def build(name: str, options: Options) -> OpenAI:
    """Build the revoker; it makes no request yet."""
    return OpenAI(name, options)


class OpenAI:
    """The projects and keys of one organization."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        self._projects = f"{options.url.rstrip('/')}/organization/projects"
        self._api = AdminApi(name, options, bearer=revealed(options.token))

    async def find(self, target: str) -> Target:
        """The project, or for a delete the key (as project/key), of an id or of a name that only one has."""
        projects = [Target(row.text("id"), row.text("name")) for row in await self._every(self._projects)]
        if self._options.operation != "delete":
            return one_of_name(self._api, self._options, target, projects)
        keys = [key for project in projects for key in await self._keys(project)]
        return one_of_name(self._api, self._options, target, keys)

    async def read(self, target: Target) -> Observed:
        """The present value of what the operation changes."""
        answer = await self._api.ask("GET", self._one(target))
        request = answer.request
        if self._options.operation == "delete":
            if not answer.found:
                return Observed(acted=True, present=False, said="there is no such key any more", request=request)
            return Observed(acted=False, said="the key is there", request=request)
        if self._options.operation == "rate_limits":
            return await self._rates(target)
        values: dict[str, Any] = {}
        if self._options.operation == "spend_limit":
            cents = (
                answer.fields.whole("threshold_amount")
                if answer.found and "threshold_amount" in answer.fields
                else None
            )
            values = {"cents": cents, "interval": answer.fields.text("interval") or "month"}
            acted = cents is not None and cents <= self._cents
            return Observed(acted, values, f"limit {'none' if cents is None else f'{cents} cents'}", request=request)
        values = {"mode": answer.fields.text("mode"), "models": list(answer.fields.texts("model_ids"))}
        same = values["mode"] == "allow_list" and set(values["models"]) == set(self._options.models)
        return Observed(same, values, f"{values['mode'] or 'no list'}: {len(values['models'])} models", request=request)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write the lower limit, or delete the key; a key that is gone is done."""
        url = self._one(target)
        if self._options.operation == "delete":
            return (await self._api.ask("DELETE", url)).done()
        if self._options.operation == "spend_limit":
            return self._put(await self._api.ask("POST", url, data=_limit(self._cents, "month")))
        if self._options.operation == "model_permissions":
            allowed = {"mode": "allow_list", "model_ids": list(self._options.models)}
            return self._put(await self._api.ask("POST", url, data=allowed))
        answer = None
        for one, limit in (await self._rates(target)).values.items():
            if limit.get(_RATES[0], 0) > self._options.requests_per_minute:
                body = {_RATES[0]: self._options.requests_per_minute}
                answer = await self._api.ask("POST", f"{url}/{quote(one, safe='')}", data=body)
                self._put(answer)
        return Done("slowed down", answer.request if answer else "")

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Write back what it had; where it had no limit or list, take ours away."""
        url = self._one(target)
        had = before.values
        if self._options.operation == "rate_limits":
            now = (await self._rates(target)).values
            changed = {one: limit for one, limit in had.items() if now.get(one) != limit}
            for one, limit in changed.items():
                await self._api.ask("POST", f"{url}/{quote(one, safe='')}", data=limit)
            return Done("as before")
        none = had["cents"] is None if self._options.operation == "spend_limit" else not had["mode"]
        if none:
            return (await self._api.ask("DELETE", url)).done()
        if self._options.operation == "spend_limit":
            return (await self._api.ask("POST", url, data=_limit(had["cents"], had["interval"]))).done()
        return (await self._api.ask("POST", url, data={"mode": had["mode"], "model_ids": had["models"]})).done()

    async def look(self) -> str:
        """How many projects its credential sees."""
        return f"{plural(len(await self._every(self._projects)), 'project')}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _put(self, answer: AdminAnswer) -> Done:
        if not answer.found:
            raise self._api.refused("there is no such project any more")
        return Done("taken", answer.request)

    @property
    def _cents(self) -> int:
        return int(self._options.spend_limit * 100)

    async def _rates(self, target: Target) -> Observed:
        rows = await self._every(self._one(target))
        limits: dict[str, dict[str, int]] = {
            row.text("id"): {name: row.whole(name) for name in _RATES if name in row} for row in rows
        }
        most = self._options.requests_per_minute
        asked = [limit[_RATES[0]] for limit in limits.values() if _RATES[0] in limit]
        slow = bool(asked) and all(count <= most for count in asked)
        return Observed(slow, limits, f"{len(limits)} limits, the highest {max(asked, default=0)} requests a minute")

    async def _keys(self, project: Target) -> list[Target]:
        url = f"{self._projects}/{quote(project.id, safe='')}/api_keys"
        return [_key_of(project, row) for row in await self._every(url)]

    async def _every(self, url: str) -> list[Fields]:
        return await self._api.rows(url, 100, "after")

    def _one(self, target: Target) -> str:
        if self._options.operation == "delete":
            project, _, key = target.id.partition("/")
            return f"{self._projects}/{quote(project, safe='')}/api_keys/{quote(key, safe='')}"
        return f"{self._projects}/{quote(target.id, safe='')}/{self._options.operation}"


def _key_of(project: Target, row: Fields) -> Target:
    """A key, with the person or service account that owns it."""
    owner = row.child("owner")
    who = owner.child("user") if "user" in owner else owner.child("service_account")
    groups = {"project": tuple(one for one in (project.id, project.name) if one)}
    return Target(
        f"{project.id}/{row.text('id')}", row.text("name"), row.text("redacted_value"), groups,
        who.text("email") or who.text("name") or who.text("id"), row.instant_or_none("last_used_at"),
    )  # fmt: skip


def _limit(cents: int, interval: str) -> dict[str, object]:
    return {"threshold_amount": cents, "currency": "USD", "interval": interval}
