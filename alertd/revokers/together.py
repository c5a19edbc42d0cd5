"""Together AI: a dedicated endpoint is stopped and started, or a fine-tuning job cancelled for good. It has no key API.

Source: Together's OpenAPI file of 2026-04 (endpoints v1, fine-tunes). Starting again depends on free capacity.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.admin_api import AdminApi, one_of_name
from alertd.clients.json_fields import Fields
from alertd.plugin_options import RevokerOptions, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "stop": Operation("stop this endpoint", "start this endpoint"),
    "cancel": Operation("cancel this fine-tuning job", "", grade="delete", reversible=False),
}
_STOPPED: Final = frozenset({"STOPPED", "STOPPING"})
#: A job in one of these costs nothing more.
_ENDED: Final = frozenset({"cancel_requested", "cancelled", "error", "user_error", "completed"})


class Options(RevokerOptions):
    """Together. TOKEN is an API key of its own. LABEL is endpoint, or job for a cancel, where nothing is said."""

    operation: Literal["stop", "cancel"] = Field(
        "stop", description="stop an endpoint, or cancel a job, which is for good"
    )
    url: str = Field("https://api.together.ai", description="Where the API is")

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, values: object) -> object:
        if isinstance(values, dict) and "label" not in values:
            return {**values, "label": "job" if values.get("operation") == "cancel" else "endpoint"}
        return values


def build(name: str, options: Options) -> Together:
    """Build the revoker; it makes no request yet."""
    return Together(name, options)


class Together:
    """The endpoints, or the jobs, of one account."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        self._stops = options.operation == "stop"
        base = f"{options.url.rstrip('/').removesuffix('/v1')}/v1"
        self._url = f"{base}/endpoints" if self._stops else f"{base}/fine-tunes"
        self._api = AdminApi(name, options, bearer=revealed(options.token))

    async def find(self, target: str) -> Target:
        """The endpoint or job of an id, or of a name that only one has."""
        return one_of_name(self._api, self._options, target, await self._all())

    async def read(self, target: Target) -> Observed:
        """Its state."""
        answer = await self._api.ask("GET", self._one(target))
        if not answer.found:
            return Observed(acted=True, present=False, said="it is gone", request=answer.request)
        if self._stops:
            state = answer.fields.text("state")
            return Observed(state in _STOPPED, {"state": state}, f"state {state}", request=answer.request)
        status = answer.fields.text("status")
        return Observed(status in _ENDED, {"status": status}, f"status {status}", request=answer.request)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Stop or cancel it."""
        if self._stops:
            return (await self._api.ask("PATCH", self._one(target), data={"state": "STOPPED"})).done()
        return (await self._api.ask("POST", f"{self._one(target)}/cancel")).done()

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Start the endpoint."""
        return (await self._api.ask("PATCH", self._one(target), data={"state": "STARTED"})).done()

    async def look(self) -> str:
        """How many endpoints or jobs its credential sees."""
        return f"{len(await self._all())} {'endpoints' if self._stops else 'jobs'}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _all(self) -> list[Target]:
        params = {"type": "dedicated"} if self._stops else None
        rows = (await self._api.ask("GET", self._url, params=params)).fields.items("data")
        return [Target(row.text("id"), row.text("name") or row.text("output_name"), owner=_owner(row)) for row in rows]

    def _one(self, target: Target) -> str:
        return f"{self._url}/{quote(target.id, safe='')}"


def _owner(row: Fields) -> str:
    return row.text("owner") or row.text("user_id")
