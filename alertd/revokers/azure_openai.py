"""Azure OpenAI: keys are turned off, a deployment is throttled, or a role taken from an identity; each can be undone.

Source: Cognitive Services management API 2025-09-01 (accounts, `disableLocalAuth`; deployments, `sku.capacity`) and
Authorization 2022-04-01 (role assignments). Regenerating a key cannot be undone and is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from alertd.clients.admin_api import MOST_PAGES, AdminAnswer, AdminApi, one_of_name
from alertd.clients.cloud_credentials import AzureOptions, AzureTokens
from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.json_fields import Fields, every_page
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, TextList, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "keys": Operation("turn the keys of this Azure resource off", "turn the keys of this Azure resource on"),
    "capacity": Operation(
        "reduce the capacity of this deployment", "give this deployment its capacity back", grade="throttle"
    ),
    "role": Operation("take the role on Azure OpenAI from this identity", "give the role back to this identity"),
}
_MANAGEMENT: Final = "https://management.azure.com"
_VERSION: Final = {"api-version": "2025-09-01"}
_ROLES_VERSION: Final = "2022-04-01"
_SETTING: Final = "disableLocalAuth"
_ASSIGNMENTS: Final = "providers/Microsoft.Authorization/roleAssignments"
#: "Cognitive Services OpenAI User", the same in every tenant.
_USER_ROLE: Final = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: What an assignment is made of again; all else of it is Azure's to fill in.
_WRITTEN: Final = (
    "roleDefinitionId", "principalId", "principalType", "condition", "conditionVersion", "description",
    "delegatedManagedIdentityResourceId",
)  # fmt: skip
_TIME: Final = {
    "keys": "Azure applies it within some minutes; callers with Entra identities are not touched",
    "capacity": "Azure applies it within some minutes; the deployment still answers, more slowly",
    "role": "Azure applies it within some ten minutes; tokens that the identity has already may work until then, "
    "and keys are not touched",
}
_UNDONE: Final = {
    "keys": _TIME["keys"],
    "capacity": "Azure applies it within some minutes, while it has that much left",
    "role": "Azure applies it within some ten minutes",
}
_NAME_IT: Final = "name it in `targets`: search=0b1c2d3e-0000-0000-0000-000000000000"
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "management.azure.com:443; login.microsoftonline.com:443"


class Options(RevokerOptions):
    """Azure OpenAI. An app or managed identity of its own: CLIENT_ID, and TOKEN is the app's client secret."""

    operation: Literal["keys", "capacity", "role"] = Field(
        "keys",
        description="keys turns all keys of a resource off; capacity throttles a deployment; role takes ROLE from an "
        "identity on the resources",
    )
    resources: TextList = Field(
        default_factory=list,
        description="The resources that may be stopped, by id; the label's values name them (`resource` of the source)",
    )
    capacity: int = Field(
        1, ge=1, description="For capacity: what is left of a deployment; 1 is 1,000 tokens a minute of most models"
    )
    role: str = Field(
        _USER_ROLE, description="For role: the id of the role; the default is Cognitive Services OpenAI User"
    )
    tenant_id: str = Field("", description="The tenant (directory) of the app registration")
    client_id: str = Field("", description="The app's client id; without TOKEN that of a managed identity of its own")
    url: str = Field("", description="Another endpoint than Azure's, for all services")


def build(name: str, options: Options) -> AzureOpenAI:
    """The revoker; contacts nobody yet."""
    return AzureOpenAI(name, options)


class AzureOpenAI:
    """Some resources: the keys of each, their deployments, and who has a role on them."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        complete = options.client_id and (options.token is None or options.tenant_id) and options.resources
        self.lacks = "" if complete else "set RESOURCES, CLIENT_ID and, for an app, TENANT_ID and TOKEN of its own"
        given = {value: one.strip("/") for value, one in options.targets.items()}  # people copy ids with a slash
        self._options = options = options.model_copy(update={"targets": given})
        self._resources = [one.strip().strip("/") for one in options.resources]
        self._url = (options.url or _MANAGEMENT).rstrip("/")
        self._api = AdminApi(name, options)
        hidden = (revealed(options.token),) if options.token else ()
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout, hidden=hidden))
        own = AzureOptions(tenant_id=options.tenant_id, client_id=options.client_id, client_secret=options.token)
        self._tokens = AzureTokens(name, self._http, own, options.url.rstrip("/"))

    async def find(self, target: str) -> Target:
        """The resource of that name or id, a deployment on one of them, or the identity of that object id."""
        if self._options.operation == "role":
            return await self._identity(target)
        if self._options.operation == "capacity":
            return await self._deployment(target)
        named = [Target(one, one.rsplit("/", 1)[-1]) for one in self._resources]
        found = one_of_name(self._api, self._options, target.strip("/"), named)
        if not (await self._ask("GET", found.id)).found:
            raise self._api.refused(f"there is no resource {found.name!r} in Azure")
        return found

    async def read(self, target: Target) -> Observed:
        """Whether its keys are off, its capacity is down, or the role is gone."""
        if self._options.operation == "role":
            return await self._read_role(target)
        answer = await self._ask("GET", target.id)
        if not answer.found:
            return Observed(
                acted=True, present=False, said="there is no such resource any more", request=answer.request
            )
        changed = answer.fields.child("systemData")
        acted, values, said = self._state(answer.fields)
        return Observed(
            acted,
            values,
            said,
            impact={"location": answer.fields.text("location")} if answer.fields.text("location") else {},
            request=answer.request,
            changed_at=changed.text("lastModifiedAt"),
            changed_by=changed.text("lastModifiedBy"),
        )

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Turn its keys off, reduce its capacity or take the role away; what is gone is done."""
        effect = _TIME[self._options.operation]
        if self._options.operation == "keys":
            return (await self._ask("PATCH", target.id, {"properties": {_SETTING: True}})).done("taken", effect)
        if self._options.operation == "capacity":
            sku = {**before.values["sku"], "capacity": self._options.capacity}
            return (await self._ask("PATCH", target.id, {"sku": sku})).done("taken", effect)
        done = Done("it is gone")
        for one in before.values["assignments"]:
            done = (await self._ask("DELETE", one["id"], version=_ROLES_VERSION)).done("taken", effect)
        return done

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Give its keys, its capacity or its role back as they were."""
        effect = _UNDONE[self._options.operation]
        if self._options.operation == "keys":
            off = before.values[_SETTING] is True
            return (await self._ask("PATCH", target.id, {"properties": {_SETTING: off}})).done("taken", effect)
        if self._options.operation == "capacity":
            return (await self._ask("PATCH", target.id, {"sku": before.values["sku"]})).done("taken", effect)
        done = Done("there was none")
        for one in before.values["assignments"]:
            body = {"properties": one["properties"]}
            done = (await self._ask("PUT", one["id"], body, version=_ROLES_VERSION)).done("taken", effect)
        return done

    async def look(self) -> str:
        """Whether it sees its resources."""
        seen = [one for one in self._resources if (await self._ask("GET", one)).found]
        return f"{plural(len(seen), 'resource')} of {len(self._resources)} seen; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._http.close()

    def _state(self, fields: Fields) -> tuple[bool, Mapping[str, Any], str]:
        """Whether it is as the action leaves it, what a restore needs, and what it is in words."""
        if self._options.operation == "keys":
            off = fields.child("properties").flag(_SETTING) is True
            return off, {_SETTING: off}, "its keys are off" if off else "its keys work"
        sku = fields.child("sku")
        capacity = int(sku.number("capacity"))
        return (
            capacity <= self._options.capacity,
            {"sku": {"name": sku.text("name"), "capacity": capacity}},
            f"its capacity is {capacity}",
        )

    async def _deployment(self, target: str) -> Target:
        """The deployment of that name on one of the resources. Provisioned units, once given up, may be gone."""
        found: list[Target] = []
        provisioned: set[str] = set()
        for resource in self._resources:
            for one in await self._pages(f"{resource}/deployments") or ():
                place = f"{resource}/deployments/{one.text('name')}"
                found.append(Target(place, one.text("name"), groups={"resource": (resource.rsplit("/", 1)[-1],)}))
                if "provisioned" in one.child("sku").text("name").lower():
                    provisioned.add(place)
        chosen = one_of_name(self._api, self._options, target.strip("/"), found)
        if chosen.id in provisioned:
            raise self._api.refused(
                f"{chosen.name!r} has provisioned units: what is given up of them may be gone; it is not touched"
            )
        return chosen

    async def _identity(self, target: str) -> Target:
        """The identity of an object id, as TARGETS names it; one that has the role from further up keeps it."""
        principal = self._options.targets.get(target, target)
        if not _OBJECT_ID.fullmatch(principal):
            raise self._api.refused(f"{principal!r} is no object id of an identity; {_NAME_IT}")
        found = await self._assignments(principal)
        if found is None:
            raise self._api.refused(f"{target!r}: one of the resources is not there in Azure")
        if above := found[1]:
            raise self._api.refused(
                f"{principal} has the role on {above[0]} too: taken from the resource alone, it would stop nothing"
            )
        return Target(principal, target)

    async def _read_role(self, target: Target) -> Observed:
        found = await self._assignments(target.id)
        if found is None:
            return Observed(acted=True, present=False, said="one of the resources is not there any more")
        own, above = found
        said = f"has the role on {plural(len(own), 'resource')}" if own else "has not the role"
        return Observed(not own, {"assignments": own}, said, impact={"also on": above[0]} if above else {})

    async def _assignments(self, principal: str) -> tuple[list[dict[str, Any]], list[str]] | None:
        """The role's assignments to an identity on the resources themselves, and the scopes above that have one.

        None where a resource is gone.
        """
        own: dict[str, dict[str, Any]] = {}
        above: list[str] = []
        for resource in self._resources:
            params = {"api-version": _ROLES_VERSION, "$filter": f"principalId eq '{principal}'"}
            listed = await self._pages(f"{resource}/{_ASSIGNMENTS}", params)
            if listed is None:
                return None
            for one in listed:
                given = one.child("properties")
                if not given.text("roleDefinitionId").lower().endswith(f"/{self._options.role.lower()}"):
                    continue
                scope, identity = given.text("scope").strip("/"), one.text("id").strip("/")
                if scope.lower() == resource.lower():
                    kept = {name: given.value(name) for name in _WRITTEN if given.value(name) is not None}
                    own[identity.lower()] = {"id": identity, "properties": kept}
                elif f"{resource.lower()}/".startswith(f"{scope.lower()}/" if scope else ""):
                    above.append(f"/{scope}")
        return list(own.values()), above

    async def _pages(self, place: str, params: Mapping[str, str] | None = None) -> Sequence[Fields] | None:
        """Every object of a list in pages; None where what it belongs to is gone."""
        first, missing = f"{self._url}/{place}", False

        async def ask(link: str) -> Fields:
            if link and not link.startswith(f"{self._url}/"):
                raise self._api.refused("Azure names a next page that is not Azure's")
            answer = await self._request("GET", link or first, {} if link else params or _VERSION)
            nonlocal missing
            missing = missing or not answer.found
            return answer.fields

        pages = every_page(ask, lambda page: page.text("nextLink"), self.name, MOST_PAGES)
        found = [one async for page in pages for one in page.items("value", required=False)]
        return None if missing else found

    async def _ask(self, method: str, place: str, data: object = None, *, version: str = "") -> AdminAnswer:
        params = {"api-version": version} if version else _VERSION
        return await self._request(method, f"{self._url}/{place}", params, data)

    async def _request(self, method: str, url: str, params: Mapping[str, str], data: object = None) -> AdminAnswer:
        try:
            headers = await self._tokens.header(_MANAGEMENT)
        except HttpProblem as problem:
            raise self._api.error(problem, changing=False) from problem
        return await self._api.ask(method, url, params=params or None, data=data, headers=headers, plain=True)
