"""Google Vertex AI: a service account is disabled, or a member loses a role of a project; both can be undone.

Source: IAM API v1 (serviceAccounts get, disable, enable), Resource Manager API v1 (getIamPolicy, setIamPolicy with its
etag; policies of version 3 have conditions). Deleting a key and unlinking the billing account are not offered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import Field

from alertd.clients.admin_api import AdminAnswer, AdminApi
from alertd.clients.cloud_credentials import GoogleOptions, GoogleTokens
from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.local_files import SECRET_BYTES, read_text
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "service_account": Operation("disable this service account", "enable this service account"),
    "role": Operation("take the role of Vertex AI from this member", "give the role of Vertex AI back to this member"),
}
_IAM: Final = "https://iam.googleapis.com"
_PROJECTS: Final = "https://cloudresourcemanager.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
#: Conditions of bindings are in answers of this version only.
_VERSION: Final = 3
_TIME: Final = {
    "service_account": "tokens that it has already may work for up to an hour",
    "role": "Google applies it within 2 to 7 minutes, for groups within hours",
}
_KINDS: Final = ("serviceAccount:", "user:", "group:", "principal:", "principalSet:")
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = (
    "iam.googleapis.com:443; cloudresourcemanager.googleapis.com:443; iamcredentials.googleapis.com:443; "
    "the machine's metadata server"
)


class Options(GoogleOptions, RevokerOptions):
    """Vertex AI. A service account of its own: IMPERSONATE, or CREDENTIALS_FILE with its key. TOKEN is not used."""

    operation: Literal["service_account", "role"] = Field(
        "service_account", description="service_account disables one, for all of its uses; role takes ROLE away"
    )
    project: str = Field("", description="For role: the project's id", examples=["my-llm-project"])
    role: str = Field("roles/aiplatform.user", description="For role: the role that is taken away")
    url: str = Field("", description="Another endpoint than Google's, for all services")


def build(name: str, options: Options) -> Vertex:
    """Build the revoker; it makes no request yet."""
    return Vertex(name, options)


class Vertex:
    """The service accounts that one identity may disable, or the members of one role of one project."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = _lacks(options)
        self._options = options
        self._api = AdminApi(name, options)
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout))
        self._tokens = GoogleTokens(name, self._http, options, options.url.rstrip("/"))

    async def find(self, target: str) -> Target:
        """The service account of that address, or the member; never alertd's own."""
        wanted = self._options.targets.get(target, target)
        address = wanted.removeprefix("serviceAccount:")
        if self._options.operation == "role":
            if await self._policy() is None:
                raise self._api.refused(f"{target!r}: there is no project {self._options.project!r}")
            member = wanted if wanted.startswith(_KINDS) else f"serviceAccount:{wanted}"
            found = Target(member, address, groups={"project": (self._options.project,)})
        else:
            answer = await self._account("GET", address)
            if not answer.found:
                raise self._api.refused(
                    f"{target!r}: there is no service account {address!r}; name its address in `targets`: "
                    "search=search@my-project.iam.gserviceaccount.com"
                )
            project = answer.fields.text("projectId")
            found = Target(address, answer.fields.text("displayName") or address, answer.fields.text("uniqueId"),
                           {"project": (project,)} if project else {})  # fmt: skip
        if address == await self._own():
            raise self._api.refused(f"{address} is alertd's own identity")
        return found

    async def read(self, target: Target) -> Observed:
        """Whether the service account is disabled, or the member has the role."""
        if self._options.operation == "role":
            policy = await self._policy()
            if policy is None:
                return Observed(acted=True, present=False, said="there is no such project any more")
            conditions = [one.get("condition") for one in _of_role(policy, self._options.role, target.id)]
            said = f"has {self._options.role}" if conditions else f"has not {self._options.role}"
            return Observed(not conditions, {"conditions": conditions}, said, impact={"project": self._options.project})
        answer = await self._account("GET", target.id)
        if not answer.found:
            return Observed(acted=True, present=False, said="there is no such account any more", request=answer.request)
        off = answer.fields.flag("disabled") is True
        project = answer.fields.text("projectId")
        return Observed(
            off, {"disabled": off}, "disabled" if off else "enabled", impact={"project": project} if project else {},
            request=answer.request,
        )  # fmt: skip

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Disable the account, or take the role away; an account that is gone is done."""
        if self._options.operation == "role":
            return await self._write(lambda policy: _take(policy, self._options.role, target.id))
        return (await self._account("POST", target.id, ":disable")).done("taken", _TIME["service_account"])

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Enable the account, or give the role back with the conditions that it had."""
        if self._options.operation == "role":
            conditions = list(before.values["conditions"])
            return await self._write(lambda policy: _give(policy, self._options.role, target.id, conditions))
        verb = ":disable" if before.values["disabled"] is True else ":enable"
        return (await self._account("POST", target.id, verb)).done()

    async def look(self) -> str:
        """The account it acts as, and how many members have the role."""
        whose = await self._own() or "the machine's service account"
        if self._options.operation == "service_account":
            await self._header()
            return f"a token as {whose}; nothing was changed"
        policy = await self._policy()
        if policy is None:
            raise self._api.refused(f"there is no project {self._options.project!r}")
        members = {member for binding in _of_role(policy, self._options.role) for member in binding["members"]}
        return f"{plural(len(members), 'member')} with {self._options.role}, read as {whose}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._http.close()

    async def _own(self) -> str:
        """The address of the service account that alertd acts as; "" where only Google knows it."""
        file = self._options.credentials_file
        if self._options.impersonate or file is None:
            return self._options.impersonate
        try:
            return str(json.loads(await asyncio.to_thread(read_text, file, SECRET_BYTES)).get("client_email", ""))
        except (ValueError, AttributeError, RecursionError):
            raise self._api.refused("CREDENTIALS_FILE cannot be read as JSON") from None

    async def _account(self, method: str, address: str, verb: str = "") -> AdminAnswer:
        url = f"{self._options.url.rstrip('/') or _IAM}/v1/projects/-/serviceAccounts/{quote(address, safe='@')}{verb}"
        return await self._api.ask(method, url, headers=await self._header())

    async def _policy(self) -> dict[str, object] | None:
        """The project's policy as it came, to be written back with its etag; None where there is no such project."""
        options = {"options": {"requestedPolicyVersion": _VERSION}}
        answer = await self._of_project("getIamPolicy", options, changing=False)
        if not answer.found:
            return None
        policy: dict[str, Any] = json.loads(answer.body or b"{}")
        bindings = policy.setdefault("bindings", [])
        if not isinstance(bindings, list) or not all(
            isinstance(one, dict) and isinstance(one.get("members"), list) for one in bindings
        ):
            raise self._api.refused("the project's policy has another shape than IAM's version 3; nothing was changed")
        return policy

    async def _write(self, change: Callable[[dict[str, object]], None]) -> Done:
        """Change the policy that is there now; another change in between makes Google refuse it (409)."""
        policy = await self._policy()
        if policy is None:
            return Done("it is gone")
        change(policy)
        policy["version"] = _VERSION
        return (await self._of_project("setIamPolicy", {"policy": policy})).done("taken", _TIME["role"])

    async def _of_project(self, verb: str, data: object, *, changing: bool = True) -> AdminAnswer:
        base = self._options.url.rstrip("/") or _PROJECTS
        url = f"{base}/v1/projects/{quote(self._options.project, safe='')}:{verb}"
        return await self._api.ask("POST", url, data=data, headers=await self._header(), changing=changing)

    async def _header(self) -> dict[str, str]:
        try:
            return await self._tokens.header(_SCOPE)
        except HttpProblem as problem:
            raise self._api.error(problem, changing=False) from problem


def _lacks(options: Options) -> str:
    """What it needs before it can act, "" where that is nothing."""
    if options.token is not None:
        return "TOKEN is not used here: set IMPERSONATE, or CREDENTIALS_FILE with the key of a service account"
    if not options.impersonate and options.credentials_file is None:
        return "it has no credential of its own: set IMPERSONATE, or CREDENTIALS_FILE"
    if options.operation == "role" and not options.project:
        return "set PROJECT, whose policy has the role"
    return ""


def _of_role(policy: dict[str, Any], role: str, member: str = "") -> list[dict[str, Any]]:
    """The bindings of a role, of one member where it is named."""
    return [
        one for one in policy["bindings"] if one.get("role") == role and (not member or member in one["members"])
    ]  # fmt: skip


def _take(policy: dict[str, Any], role: str, member: str) -> None:
    for binding in _of_role(policy, role, member):
        binding["members"].remove(member)
    policy["bindings"] = [one for one in policy["bindings"] if one["members"] or one.get("role") != role]


def _give(policy: dict[str, Any], role: str, member: str, conditions: list[Any]) -> None:
    """Add the member again where it was: one binding for each condition, None for a binding without any."""
    for condition in conditions:
        same = [one for one in _of_role(policy, role) if one.get("condition") == condition]
        if not same:
            same = [{"role": role, "members": [], **({"condition": condition} if condition else {})}]
            policy["bindings"] += same
        if member not in same[0]["members"]:
            same[0]["members"].append(member)
