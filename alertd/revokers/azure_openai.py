"""Azure OpenAI: the keys of a resource are turned off and on again. Callers with Entra identities go on.

Source: Cognitive Services management API 2025-09-01 (accounts, `disableLocalAuth`). Regenerating a key cannot be undone
and is not offered.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from alertd.clients.admin_api import AdminAnswer, AdminApi, one_of_name
from alertd.clients.cloud_credentials import AzureOptions, AzureTokens
from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, TextList, revealed
from alertd.ports import Done, Observed, Operation, Target

_OPERATION: Final = Operation("turn the keys of this Azure resource off", "turn the keys of this Azure resource on")
_MANAGEMENT: Final = "https://management.azure.com"
_VERSION: Final = {"api-version": "2025-09-01"}
_SETTING: Final = "disableLocalAuth"
_TIME: Final = "Azure applies it within some minutes; callers with Entra identities are not touched"
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "management.azure.com:443; login.microsoftonline.com:443"


class Options(RevokerOptions):
    """Azure OpenAI. An app or managed identity of its own: CLIENT_ID, and TOKEN is the app's client secret."""

    resources: TextList = Field(
        default_factory=list,
        description="The resources that may be stopped, by id; the label's values name them (`resource` of the source)",
    )
    tenant_id: str = Field("", description="The tenant (directory) of the app registration")
    client_id: str = Field("", description="The app's client id; without TOKEN that of a managed identity of its own")
    url: str = Field("", description="Another endpoint than Azure's, for all services")


def build(name: str, options: Options) -> AzureOpenAI:
    """The revoker; contacts nobody yet."""
    return AzureOpenAI(name, options)


class AzureOpenAI:
    """The keys of some resources: all keys of one at once."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATION
        complete = options.client_id and (options.token is None or options.tenant_id) and options.resources
        self.lacks = "" if complete else "set RESOURCES, CLIENT_ID and, for an app, TENANT_ID and TOKEN of its own"
        self._options = options
        self._url = (options.url or _MANAGEMENT).rstrip("/")
        self._api = AdminApi(name, options)
        hidden = (revealed(options.token),) if options.token else ()
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout, hidden=hidden))
        given = AzureOptions(tenant_id=options.tenant_id, client_id=options.client_id, client_secret=options.token)
        self._tokens = AzureTokens(name, self._http, given, options.url.rstrip("/"))

    async def find(self, target: str) -> Target:
        """The resource of that name or id, of those that may be stopped."""
        ids = [one.strip().strip("/") for one in self._options.resources]
        found = one_of_name(
            self._api, self._options, target.strip("/"), [Target(one, one.rsplit("/", 1)[-1]) for one in ids]
        )
        if not (await self._ask("GET", found)).found:
            raise self._api.refused(f"there is no resource {found.name!r} in Azure")
        return found

    async def read(self, target: Target) -> Observed:
        """Whether its keys are off."""
        answer = await self._ask("GET", target)
        if not answer.found:
            return Observed(
                acted=True, present=False, said="there is no such resource any more", request=answer.request
            )
        off = answer.fields.child("properties").flag(_SETTING) is True
        changed = answer.fields.child("systemData")
        return Observed(
            off,
            {_SETTING: off},
            "its keys are off" if off else "its keys work",
            impact={"location": answer.fields.text("location")} if answer.fields.text("location") else {},
            request=answer.request,
            changed_at=changed.text("lastModifiedAt"),
            changed_by=changed.text("lastModifiedBy"),
        )

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Turn its keys off; a resource that is gone is done."""
        return (await self._set(target, off=True)).done(f"taken; {_TIME}")

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Give its keys the state that they had."""
        return (await self._set(target, off=before.values[_SETTING] is True)).done(f"taken; {_TIME}")

    async def look(self) -> str:
        """Whether it sees its resources."""
        seen = [
            one for one in self._options.resources if (await self._ask("GET", Target(one.strip().strip("/")))).found
        ]
        return f"{plural(len(seen), 'resource')} of {len(self._options.resources)} seen; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._http.close()

    async def _set(self, target: Target, *, off: bool) -> AdminAnswer:
        return await self._ask("PATCH", target, {"properties": {_SETTING: off}})

    async def _ask(self, method: str, target: Target, data: object = None) -> AdminAnswer:
        try:
            headers = await self._tokens.header(_MANAGEMENT)
        except HttpProblem as problem:
            raise self._api.error(problem, changing=False) from problem
        return await self._api.ask(
            method, f"{self._url}/{target.id}", params=_VERSION, data=data, headers=headers, plain=True
        )
