"""Scaleway: a policy is detached and attached, a member locked and unlocked, or an API key deleted for good.

Source: Scaleway's IAM API v1alpha1 (api-keys, users, policies). Keys have no switch; changes of policies take minutes.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field

from alertd.clients.admin_api import AdminApi
from alertd.clients.json_fields import Fields
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "detach_policy": Operation("detach this Scaleway policy", "attach this Scaleway policy"),
    "lock_user": Operation("lock this Scaleway member", "unlock this Scaleway member"),
    "delete": Operation("delete this Scaleway API key", "", grade="delete", reversible=False),
}
_PATHS: Final = {"detach_policy": "policies", "lock_user": "users", "delete": "api-keys"}
#: Whom a policy is attached to, or a key belongs to.
_HOLDERS: Final = ("application_id", "user_id", "group_id")


class Options(RevokerOptions):
    """Scaleway. TOKEN is the secret key of an application of its own, ACCESS_KEY its access key, which is spared."""

    access_key: str = Field("", description="The access key (SCW...) of TOKEN: it and its holder are spared")
    operation: Literal["detach_policy", "lock_user", "delete"] = Field(
        "detach_policy",
        description="TARGETS maps the label's values to ids of policies or members, or access keys; delete is final",
    )
    url: str = Field("https://api.scaleway.com", description="Where the API is")


def build(name: str, options: Options) -> Scaleway:
    """Build the revoker; it makes no request yet."""
    return Scaleway(name, options)


class Scaleway:
    """One organization's IAM."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        complete = options.token and options.access_key
        self.lacks = "" if complete else "it has no credential of its own: set ACCESS_KEY and TOKEN"
        self._options = options
        self._iam = f"{options.url.rstrip('/')}/iam/v1alpha1"
        token = revealed(options.token)
        self._api = AdminApi(name, options, headers={"X-Auth-Token": token})

    async def find(self, target: str) -> Target:
        """The target that TARGETS names. RevokerError if it names none, or alertd itself."""
        wanted = self._options.targets.get(target)
        if wanted is None:
            raise self._api.refused(f"TARGETS does not say what {target!r} is at Scaleway")
        own = await self._api.ask("GET", f"{self._iam}/api-keys/{quote(self._options.access_key, safe='')}")
        if not own.found:
            raise self._api.refused("there is no API key of ACCESS_KEY, so alertd cannot recognise its own key")
        answer = await self._api.ask("GET", self._one(wanted))
        holders = {own.fields.text(name) for name in _HOLDERS} - {""}
        held = {answer.fields.text(name) for name in _HOLDERS} | {wanted}
        if wanted == self._options.access_key or holders & held:
            raise self._api.refused(f"{target} is a credential of alertd itself, or belongs to its holder")
        named = answer.fields.text("name") or answer.fields.text("email") or answer.fields.text("description")
        _, owner = _holder(answer.fields)
        return Target(wanted, named, owner=owner)

    async def read(self, target: Target) -> Observed:
        """The owner of the policy, or whether the member is locked, or whether the key exists."""
        answer = await self._api.ask("GET", self._one(target.id))
        if not answer.found:
            return Observed(acted=True, present=False, said="it is gone", request=answer.request)
        changed = answer.fields.text("updated_at")
        if self._options.operation == "lock_user":
            locked = answer.fields.flag("locked") is True
            said = "locked" if locked else "not locked"
            return Observed(locked, {"locked": locked}, said, request=answer.request, changed_at=changed)
        name, value = _holder(answer.fields)
        if self._options.operation == "delete":
            return Observed(acted=False, said=f"of {name} {value}", impact={name: value}, request=answer.request)
        detached = answer.fields.flag("no_principal") is True
        said = "attached to nobody" if detached else f"attached to {name} {value}"
        values = {name: value} if value else {}
        return Observed(detached, values, said, request=answer.request, changed_at=changed)

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Detach, lock or delete it; what is gone is done."""
        url = self._one(target.id)
        if self._options.operation == "delete":
            return (await self._api.ask("DELETE", url)).done()
        if self._options.operation == "lock_user":
            return (await self._api.ask("POST", f"{url}/lock", data={})).done()
        return (await self._api.ask("PATCH", url, data={"no_principal": True})).done()

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Attach the policy to its former principal again, or unlock the member."""
        url = self._one(target.id)
        if self._options.operation == "lock_user":
            return (await self._api.ask("POST", f"{url}/unlock", data={})).done()
        return (await self._api.ask("PATCH", url, data=dict(before.values))).done()

    async def look(self) -> str:
        """Whether its own key is seen, and how many targets are named."""
        own = await self._api.ask("GET", f"{self._iam}/api-keys/{quote(self._options.access_key, safe='')}")
        if not own.found:
            raise self._api.refused("there is no API key of ACCESS_KEY, so alertd cannot recognise its own key")
        return f"{plural(len(self._options.targets), 'target')} named; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _one(self, wanted: str) -> str:
        return f"{self._iam}/{_PATHS[self._options.operation]}/{quote(wanted, safe='')}"


def _holder(fields: Fields) -> tuple[str, str]:
    """The kind and id of the owner; two empty texts without one."""
    return next(((name, fields.text(name)) for name in _HOLDERS if fields.text(name)), ("", ""))
