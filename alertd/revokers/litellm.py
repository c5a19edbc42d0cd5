"""LiteLLM's gateway: a virtual key is blocked and unblocked, gets a budget and its old one back, or is deleted.

Source: LiteLLM proxy 1.106 (key/info, key/list, key/block, key/unblock, key/update, key/delete). Keys are named by
their hash; the gateway's workers may let a blocked key pass for a minute.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from alertd.core.messages.figures import plural
from alertd.options import RevokerOptions, revealed
from alertd.ports import Done, Lever, Observed, RevokerError, Target
from alertd.wire.fields import Fields
from alertd.wire.levers import Levers, json_number, number_text, one_of_name

_LEVERS: Final = {
    "block": Lever("block this key at the gateway", "unblock this key at the gateway"),
    "budget": Lever("limit this key's budget at the gateway", "give this key its budget back", grade="throttle"),
    "delete": Lever("delete this key at the gateway", "", grade="delete", reversible=False),
}
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
#: An alias is asked for by name, so only the few that look like it come back.
_ALIKE: Final = 50


class Options(RevokerOptions):
    """LiteLLM. TOKEN is an admin key of its own (not the master key, if it can be helped)."""

    lever: Literal["block", "budget", "delete"] = Field("block", description="budget is gentler; delete is for good")
    max_budget: Decimal | None = Field(None, gt=0, description="For budget: so many USD a budget_duration")
    budget_duration: str = Field("1d", description="For budget: when it starts anew, such as 1d")
    url: str = Field(description="Where the gateway is, http://litellm:4000")

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.lever == "budget" and self.max_budget is None:
            raise ValueError("say how much by `max_budget`, in USD")
        return self


def build(name: str, options: Options) -> LiteLLM:
    """The revoker; contacts nobody yet."""
    return LiteLLM(name, options)


class LiteLLM:
    """The virtual keys of one gateway."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.lever = _LEVERS[options.lever]
        self.lacks = options.lacks_token()
        self._options = options
        self._url = options.url.rstrip("/")
        key = revealed(options.token)
        self._levers = Levers(name, options, bearer=key, headers={"litellm-changed-by": "alertd"})

    async def find(self, target: str) -> Target:
        """The key of a hash, or of an alias that only one key has."""
        wanted = self._options.targets.get(target, target)
        known = [await self._target(wanted)] if _HASH.match(wanted) else []
        listed = await self._levers.ask(
            "GET", f"{self._url}/key/list", params={"key_alias": wanted, "size": "100", "page": "1"}
        )
        hashes = [one for one in listed.fields.texts("keys") if _HASH.match(one) and one != wanted]
        if len(hashes) > _ALIKE or listed.fields.whole("total_pages") > 1:
            raise self._levers.refused(f"over {_ALIKE} keys look like {wanted!r}; say which in `targets`")
        known += [await self._target(one) for one in hashes]
        found = one_of_name(self._levers, self._options, target, [one for one in known if one is not None])
        return await self._with_team(found)

    async def read(self, target: Target) -> Observed:
        """Whether it is blocked, its budget, and whose it is."""
        told = await self._levers.ask("GET", f"{self._url}/key/info", params={"key": target.id})
        if not told.found:
            return Observed(acted=True, present=False, said="there is no such key any more", request=told.request)
        info = told.fields.child("info")
        blocked, budget = info.flag("blocked") is True, number_text(info, "max_budget")
        had = {"max_budget": budget, "budget_duration": info.text("budget_duration") or None}
        impact = {"spend (USD)": info.text("spend")}
        return Observed(
            self._acted(info),
            had if self._options.lever == "budget" else {"blocked": blocked},
            f"{'blocked' if blocked else 'not blocked'}, {f'budget {budget} USD' if budget else 'no budget'}",
            impact={name: value for name, value in impact.items() if value},
            request=told.request,
            # `updated_at` moves with every spend that is written; this one with the settings alone.
            changed_at=info.text("settings_updated_at"),
            changed_by=info.text("updated_by"),
        )

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Block, limit or delete it; a key that is gone is done."""
        if self._options.lever == "delete":
            return await self._post("delete", {"keys": [target.id]})
        if self._options.lever == "budget":
            budget = json_number(str(self._options.max_budget))
            wanted = {"max_budget": budget, "budget_duration": self._options.budget_duration}
            return await self._post("update", {"key": target.id, **wanted})
        return await self._post("block", {"key": target.id})

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Unblock it where it was not blocked, or write its budget back."""
        if self._options.lever == "budget":
            had = {"max_budget": json_number(before.values["max_budget"]),
                   "budget_duration": before.values["budget_duration"]}  # fmt: skip
            return await self._post("update", {"key": target.id, **had})
        return await self._post("unblock", {"key": target.id})

    async def look(self) -> str:
        """How many keys its credential sees."""
        told = await self._levers.ask("GET", f"{self._url}/key/list", params={"size": "1", "page": "1"})
        return f"{plural(told.fields.whole('total_count'), 'key')}; nothing was changed"

    async def close(self) -> None:
        """Let the connections go."""
        await self._levers.close()

    def _acted(self, info: Fields) -> bool:
        if self._options.lever == "block":
            return info.flag("blocked") is True
        if self._options.lever == "delete" or self._options.max_budget is None:
            return False
        return "max_budget" in info and info.number("max_budget") <= self._options.max_budget

    async def _target(self, hashed: str) -> Target | None:
        told = await self._levers.ask("GET", f"{self._url}/key/info", params={"key": hashed})
        if not told.found:
            return None
        info = told.fields.child("info")
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
            told = await self._levers.ask("GET", f"{self._url}/team/info", params={"team_id": teams[0]})
        except RevokerError as error:
            if not error.permanent:
                raise
            return found  # this credential may not read teams: then only the team's id is known
        alias = told.fields.child("team_info").text("team_alias") if "team_info" in told.fields else ""
        return replace(found, groups={"team": (*teams, alias)}) if alias else found

    async def _post(self, what: str, body: dict[str, Any]) -> Done:
        return (await self._levers.ask("POST", f"{self._url}/key/{what}", data=body)).done(what)
