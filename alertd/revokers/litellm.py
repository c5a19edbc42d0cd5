"""LiteLLM's gateway: a virtual key is slowed down, sent to cheaper models, given a budget, blocked, or deleted.

Source: LiteLLM proxy 1.106 (key/info, key/list, key/block, key/unblock, key/update, key/delete). Keys are named by
their hash; the gateway's workers may let a blocked key pass for a minute.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from alertd.clients.admin_api import AdminApi, json_number, number_text, one_of_name
from alertd.clients.json_fields import Fields
from alertd.core.messages.format import plural
from alertd.plugin_options import RevokerOptions, TextMap, revealed
from alertd.ports import Done, Observed, Operation, RevokerError, Target

_OPERATIONS: Final = {
    "block": Operation("block this key at the gateway", "unblock this key at the gateway"),
    "budget": Operation("limit this key's budget at the gateway", "give this key its budget back", grade="throttle"),
    "throttle": Operation(
        "slow this key down at the gateway", "give this key its limits back at the gateway", grade="throttle"
    ),
    "cheaper_model": Operation(
        "send this key to cheaper models at the gateway",
        "give this key its models back at the gateway",
        grade="cheaper",
    ),
    "delete": Operation("delete this key at the gateway", "", grade="delete", reversible=False),
}
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
#: An alias is asked for by name, so only the few that look like it come back.
_MATCHES: Final = 50


class Options(RevokerOptions):
    """LiteLLM. TOKEN is an admin key of its own (not the master key, if it can be helped)."""

    operation: Literal["block", "budget", "throttle", "cheaper_model", "delete"] = Field(
        "block", description="budget, throttle and cheaper_model are gentler; delete is for good"
    )
    rpm_limit: int | None = Field(None, ge=1, description="For throttle: requests a minute")
    tpm_limit: int | None = Field(None, ge=1, description="For throttle: tokens a minute")
    models: TextMap = Field(
        default_factory=dict,
        description="For cheaper_model: the gateway's model that answers instead, by the one that is asked for",
        examples=["gpt-5=gpt-5-mini"],
    )
    max_budget: Decimal | None = Field(None, gt=0, description="For budget: the limit in USD per budget_duration")
    budget_duration: str = Field("1d", description="For budget: when it starts anew, such as 1d")
    url: str = Field(description="Where the gateway is, http://litellm:4000")

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.operation == "budget" and self.max_budget is None:
            raise ValueError("say how much by `max_budget`, in USD")
        if self.operation == "throttle" and not (self.rpm_limit or self.tpm_limit):
            raise ValueError("say how much by `rpm_limit` or `tpm_limit`, a minute")
        if self.operation == "cheaper_model" and not self.models:
            raise ValueError("say which by `models`: gpt-5=gpt-5-mini")
        return self


def build(name: str, options: Options) -> LiteLLM:
    """Build the revoker; it makes no request yet."""
    return LiteLLM(name, options)


class LiteLLM:
    """The virtual keys of one gateway."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        self.lacks = options.lacks_token()
        self._options = options
        self._url = options.url.rstrip("/")
        key = revealed(options.token)
        self._api = AdminApi(name, options, bearer=key, headers={"litellm-changed-by": "alertd"})

    async def find(self, target: str) -> Target:
        """The key of a hash, or of an alias that only one key has."""
        wanted = self._options.targets.get(target, target)
        known = [await self._target(wanted)] if _HASH.match(wanted) else []
        listed = await self._api.ask(
            "GET", f"{self._url}/key/list", params={"key_alias": wanted, "size": "100", "page": "1"}
        )
        hashes = [one for one in listed.fields.texts("keys") if _HASH.match(one) and one != wanted]
        if len(hashes) > _MATCHES or listed.fields.whole("total_pages") > 1:
            raise self._api.refused(f"over {_MATCHES} keys look like {wanted!r}; say which in `targets`")
        known += [await self._target(one) for one in hashes]
        found = one_of_name(self._api, self._options, target, [one for one in known if one is not None])
        return await self._with_team(found)

    async def read(self, target: Target) -> Observed:
        """Whether it is blocked, its budget, and whose it is."""
        answer = await self._api.ask("GET", f"{self._url}/key/info", params={"key": target.id})
        if not answer.found:
            return Observed(acted=True, present=False, said="there is no such key any more", request=answer.request)
        info = answer.fields.child("info")
        blocked, budget = info.flag("blocked") is True, number_text(info, "max_budget")
        had = {"max_budget": budget, "budget_duration": info.text("budget_duration") or None}
        impact = {"spend (USD)": info.text("spend")}
        limits = {name: _whole(info, name) for name in self._limits()}
        aliases = {name: info.child("aliases").text(name) for name in info.child("aliases")}
        values: dict[str, dict[str, Any]] = {"budget": had, "throttle": limits, "cheaper_model": {"aliases": aliases}}
        slowed = ", ".join(f"{limit:,} {name[:3]}" for name, limit in limits.items() if limit is not None)
        said = (
            "blocked" if blocked else "not blocked",
            f"budget {budget} USD" if budget else "no budget",
            slowed,
            f"{plural(len(aliases), 'model')} replaced" if aliases else "",
        )
        return Observed(
            self._acted(info),
            values.get(self._options.operation, {"blocked": blocked}),
            ", ".join(filter(None, said)),
            impact={name: value for name, value in impact.items() if value},
            request=answer.request,
            # `updated_at` moves with every spend that is written; this one with the settings alone.
            changed_at=info.text("settings_updated_at"),
            changed_by=info.text("updated_by"),
        )

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Block, limit or delete it; a key that is gone is done."""
        if self._options.operation == "delete":
            return await self._post("delete", {"keys": [target.id]})
        if self._options.operation == "throttle":
            return await self._post("update", {"key": target.id, **self._limits()})
        if self._options.operation == "cheaper_model":
            aliases = {**before.values["aliases"], **self._options.models}
            return await self._post("update", {"key": target.id, "aliases": aliases})
        if self._options.operation == "budget":
            budget = json_number(str(self._options.max_budget))
            wanted = {"max_budget": budget, "budget_duration": self._options.budget_duration}
            return await self._post("update", {"key": target.id, **wanted})
        return await self._post("block", {"key": target.id})

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Unblock it where it was not blocked, or write back what it had."""
        if self._options.operation in {"throttle", "cheaper_model"}:
            return await self._post("update", {"key": target.id, **before.values})
        if self._options.operation == "budget":
            had = {"max_budget": json_number(before.values["max_budget"]),
                   "budget_duration": before.values["budget_duration"]}  # fmt: skip
            return await self._post("update", {"key": target.id, **had})
        return await self._post("unblock", {"key": target.id})

    async def look(self) -> str:
        """How many keys its credential sees."""
        answer = await self._api.ask("GET", f"{self._url}/key/list", params={"size": "1", "page": "1"})
        return f"{plural(answer.fields.whole('total_count'), 'key')}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    def _acted(self, info: Fields) -> bool:
        if self._options.operation == "block":
            return info.flag("blocked") is True
        if self._options.operation == "throttle":
            known = {name: _whole(info, name) for name in self._limits()}
            return all((had := known[name]) is not None and had <= limit for name, limit in self._limits().items())
        if self._options.operation == "cheaper_model":
            aliases = info.child("aliases")
            return all(aliases.text(name) == model for name, model in self._options.models.items())
        if self._options.operation == "delete" or self._options.max_budget is None:
            return False
        return "max_budget" in info and info.number("max_budget") <= self._options.max_budget

    def _limits(self) -> dict[str, int]:
        """The limits a minute that it sets."""
        given = {"rpm_limit": self._options.rpm_limit, "tpm_limit": self._options.tpm_limit}
        return {name: limit for name, limit in given.items() if limit is not None}

    async def _target(self, hashed: str) -> Target | None:
        answer = await self._api.ask("GET", f"{self._url}/key/info", params={"key": hashed})
        if not answer.found:
            return None
        info = answer.fields.child("info")
        teams = tuple(one for one in (info.text("team_id"), info.text("team_alias")) if one)
        return Target(
            hashed, info.text("key_alias"), info.text("key_name"), {"team": teams} if teams else {},
            info.text("user_email") or info.text("user_id"), info.instant_or_none("last_active"),
        )  # fmt: skip

    async def _with_team(self, found: Target) -> Target:
        """The key with its team's name beside the team's id: usage may carry either."""
        teams = found.groups.get("team", ())
        if len(teams) != 1:
            return found
        try:
            answer = await self._api.ask("GET", f"{self._url}/team/info", params={"team_id": teams[0]})
        except RevokerError as error:
            if not error.permanent:
                raise
            return found  # this credential may not read teams: then only the team's id is known
        alias = answer.fields.child("team_info").text("team_alias") if "team_info" in answer.fields else ""
        return replace(found, groups={"team": (*teams, alias)}) if alias else found

    async def _post(self, what: str, body: dict[str, object]) -> Done:
        return (await self._api.ask("POST", f"{self._url}/key/{what}", data=body)).done(what)


def _whole(info: Fields, name: str) -> int | None:
    """A limit of a key; None if it has no such limit."""
    return int(info.number(name)) if name in info else None
