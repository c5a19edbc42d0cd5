"""Amazon Bedrock: a ready-made deny policy is attached to a role, user or group, or a Bedrock API key is turned off.

alertd writes no policy: its own right can be bound to attaching that one. Source: IAM API 2010-05-08
(AttachRolePolicy and kin, service-specific credentials), Bedrock user guide on API keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from alertd.clients.admin_api import MOST_PAGES, AdminAnswer, AdminApi, one_of_name
from alertd.clients.aws import Aws, AwsOptions
from alertd.clients.http_response import HttpProblem
from alertd.clients.json_fields import Fields, every_page
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions
from alertd.ports import Done, Observed, Operation, Target

_OPERATIONS: Final = {
    "deny": Operation("deny Bedrock to this IAM principal", "allow Bedrock to this IAM principal again"),
    "api_key": Operation("disable this Bedrock API key", "enable this Bedrock API key"),
}
#: Kinds of principals, as IAM's operations and parameters name them.
_PRINCIPALS: Final = {"role": "Role", "user": "User", "group": "Group"}
_KEYS: Final = "bedrock.amazonaws.com"
#: IAM is one service for all regions of a partition; any of them will do.
_REGION: Final = "us-east-1"
_NOT_FOUND: Final = 404
#: Propagation is not promised; streams and jobs that run are not cut [unverified].
_TIME: Final = "IAM applies it within seconds to minutes; streams and batch jobs that run go on"
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "iam.amazonaws.com:443; sts.REGION.amazonaws.com:443"


class Options(AwsOptions, RevokerOptions):
    """Bedrock. A role of its own (ASSUME_ROLE), or an access key of its own: ACCESS_KEY_ID, and TOKEN is its secret."""

    operation: Literal["deny", "api_key"] = Field(
        "deny", description="deny attaches POLICY_ARN to a role, user or group; api_key turns a Bedrock API key off"
    )
    policy_arn: str = Field("", description="For deny: the ARN of the policy that denies Bedrock (docs/clouds.md)")
    principal: Literal["role", "user", "group"] = Field(
        "role", description="For deny: what the label's values name; TARGETS may say it of one: ci=user/ci-runner"
    )
    region: str = Field(_REGION, description="A region of the partition (cn-north-1, us-gov-west-1), for IAM's host")
    url: str = Field("", description="Another endpoint than AWS's, for IAM and STS")


def build(name: str, options: Options) -> Bedrock:
    """Build the revoker; it makes no request yet."""
    return Bedrock(name, options)


class Bedrock:
    """The IAM principals or the Bedrock API keys of one account."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = _lacks(options)
        self._options = options
        self._api = AdminApi(name, options)
        self._aws = Aws(name, options, options, options.token, options.url)

    async def find(self, target: str) -> Target:
        """The role, user or group of that name, or the API key of that user or id; never alertd's own identity."""
        caller = await self._ask("GetCallerIdentity", service="sts")
        if self._options.operation == "api_key":
            return one_of_name(self._api, self._options, target, await self._keys())
        wanted = self._options.targets.get(target, target)
        kind, slash, name = wanted.partition("/")
        if not slash or kind not in _PRINCIPALS:
            kind, name = self._options.principal, wanted
        known = await self._ask(f"Get{_PRINCIPALS[kind]}", {f"{_PRINCIPALS[kind]}Name": name})
        if not known.found:
            raise self._api.refused(f"there is no IAM {kind} {name!r}; name it in `targets` as {kind}/NAME")
        found = known.fields.child(_PRINCIPALS[kind])
        if _is_own(caller.fields.text("Arn"), kind, name):
            raise self._api.refused(f"{kind} {name} is alertd's own identity")
        used = found.child("RoleLastUsed").instant_or_none("LastUsedDate")
        return Target(f"{kind}/{name}", name, found.text("Arn"), last_used=used)

    async def read(self, target: Target) -> Observed:
        """Whether the policy is attached, or the key is off."""
        if self._options.operation == "api_key":
            user, _, number = target.id.rpartition("/")
            key = next(
                (one for one in await self._listed(user) if one.text("ServiceSpecificCredentialId") == number), None
            )
            if key is None:
                return Observed(acted=True, present=False, said="there is no such key any more")
            state = key.text("Status")
            return Observed(state != "Active", {"status": state}, state.lower(), impact={"user": user})
        kind, _, name = target.id.partition("/")
        attached = await self._policies(kind, name)
        if attached is None:
            return Observed(acted=True, present=False, said=f"there is no such {kind} any more")
        acted = self._options.policy_arn in attached
        others = sorted(arn.rsplit("/", 1)[-1] for arn in attached if arn != self._options.policy_arn)
        said = "Bedrock is denied by the policy" if acted else "the policy is not attached"
        return Observed(acted, {"attached": acted}, said, impact={"policies": ", ".join(others)} if others else {})

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Attach the policy, or turn the key off; what is gone is done."""
        if self._options.operation == "api_key":
            return await self._set(target, "Inactive")
        return (await self._change(target, "Attach")).done("attached", _TIME)

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Detach the policy, or give the key the state that it had; a policy that is detached is done."""
        if self._options.operation == "api_key":
            return await self._set(target, str(before.values["status"]))
        return (await self._change(target, "Detach")).done("detached", _TIME)

    async def look(self) -> str:
        """The identity that is used, and whether the policy exists or how many keys are visible."""
        caller = (await self._ask("GetCallerIdentity", service="sts")).fields.text("Arn")
        if self._options.operation == "api_key":
            return f"{plural(len(await self._keys()), 'Bedrock API key')} seen as {caller}; nothing was changed"
        policy = await self._ask("GetPolicy", {"PolicyArn": self._options.policy_arn})
        if not policy.found:
            raise self._api.refused(f"there is no policy {self._options.policy_arn}; docs/clouds.md has its text")
        count = policy.fields.child("Policy").whole("AttachmentCount")
        return f"the policy is attached to {plural(count, 'principal')}, read as {caller}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._aws.close()

    async def _change(self, target: Target, what: str) -> AdminAnswer:
        kind, _, name = target.id.partition("/")
        named = _PRINCIPALS[kind]
        given = {f"{named}Name": name, "PolicyArn": self._options.policy_arn}
        return await self._ask(f"{what}{named}Policy", given, changing=True)

    async def _set(self, target: Target, status: str) -> Done:
        user, _, number = target.id.rpartition("/")
        given = {"UserName": user, "ServiceSpecificCredentialId": number, "Status": status}
        answer = await self._ask("UpdateServiceSpecificCredential", given, changing=True)
        return answer.done(status.lower(), _TIME)

    async def _policies(self, kind: str, name: str) -> set[str] | None:
        """The ARNs of the policies that are attached to a principal; None where there is no such principal."""
        named = _PRINCIPALS[kind]
        found: set[str] = set()

        async def ask(marker: str) -> Fields:
            more = {"Marker": marker} if marker else {}
            answer = await self._ask(f"ListAttached{named}Policies", {f"{named}Name": name, **more})
            return answer.fields if answer.found else Fields({"gone": True}, self.name)

        async for page in every_page(ask, _marker, self.name, MOST_PAGES):
            if "gone" in page:
                return None
            found |= {one.text("PolicyArn") for one in page.items("AttachedPolicies")}
        return found

    async def _listed(self, user: str = "") -> list[Fields]:
        whose: dict[str, Any] = {"UserName": user} if user else {"AllUsers": True}

        async def ask(marker: str) -> Fields:
            more = {"Marker": marker} if marker else {}
            answer = await self._ask("ListServiceSpecificCredentials", {"ServiceName": _KEYS, **whose, **more})
            return answer.fields if answer.found else Fields({"ServiceSpecificCredentials": []}, self.name)

        pages = every_page(ask, _marker, self.name, MOST_PAGES)
        return [one async for page in pages for one in page.items("ServiceSpecificCredentials")]

    async def _keys(self) -> list[Target]:
        return [
            Target(f"{one.text('UserName')}/{one.text('ServiceSpecificCredentialId')}", one.text("UserName"),
                   one.text("ServiceCredentialAlias"), owner=one.text("UserName"))
            for one in await self._listed()
        ]  # fmt: skip

    async def _ask(
        self,
        operation: str,
        params: Mapping[str, object] | None = None,
        *,
        service: str = "iam",
        changing: bool = False,
    ) -> AdminAnswer:
        try:
            answer = await self._aws.call(service, operation, self._options.region, **(params or {}))
        except HttpProblem as problem:
            if problem.status == _NOT_FOUND:
                return AdminAnswer(Fields({}, self.name), found=False)
            raise self._api.error(problem, changing=changing) from problem
        return AdminAnswer(answer, answer.child("ResponseMetadata").text("RequestId"))


def _marker(page: Fields) -> str:
    return page.text("Marker") if page.flag("IsTruncated") else ""


def _lacks(options: Options) -> str:
    """The fault of options that cannot act; "" where they can."""
    if not (options.assume_role or options.profile or (options.token and options.access_key_id)):
        return "it has no credential of its own: set ASSUME_ROLE, or PROFILE, or ACCESS_KEY_ID and TOKEN"
    if options.operation == "deny" and not options.policy_arn:
        return "it has no policy to attach: set POLICY_ARN, docs/clouds.md has its text"
    return ""


def _is_own(arn: str, kind: str, name: str) -> bool:
    """Whether a principal is the one that alertd acts as: `assumed-role/NAME/...` or `user/NAME` ends its ARN."""
    parts = arn.rsplit(":", 1)[-1].split("/")
    if kind == "role":
        return parts[0] == "assumed-role" and parts[1:2] == [name]
    return kind == "user" and parts[0] == "user" and parts[-1] == name
