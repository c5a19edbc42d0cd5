"""Alibaba Cloud Model Studio: an API key is disabled and enabled, or deleted for good.

Source: Model Studio's management API 2026-02-10 (ListApiKeys, DisableApiKey, EnableApiKey, DeleteApiKey), signed by
ACS3-HMAC-SHA256. An answer of 200 that says success false is a failure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from secrets import token_hex
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field

from alertd.clients.admin_api import MOST_PAGES, AdminAnswer, AdminApi, one_of_name
from alertd.clients.cloud_credentials import Call, Credentials, canonical_query, signed_headers
from alertd.clients.http_response import shown_code
from alertd.clients.json_fields import Fields
from alertd.plugin_options import RevokerOptions, Secret, revealed
from alertd.ports import Done, Observed, Operation, Target

_VERSION: Final = "2026-02-10"
_PATH: Final = "/modelstudio/apikeys"
_OPERATIONS: Final = {
    "disable": Operation("disable this Model Studio key", "enable this Model Studio key"),
    "delete": Operation("delete this Model Studio key", "", grade="delete", reversible=False),
}
_SUCCESS: Final = frozenset({"", "200", "ok", "success"})
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "modelstudio.REGION.aliyuncs.com:443"


class Options(RevokerOptions):
    """Model Studio. A RAM user of its own that may modelstudio:DisableApiKey and EnableApiKey; TOKEN is its secret."""

    access_key_id: str = Field("", description="The AccessKey ID of the RAM user that acts; TOKEN is its secret")
    security_token: Secret | None = Field(None, description="The token of temporary credentials (STS)")
    operation: Literal["disable", "delete"] = Field("disable", description="disable can be undone, delete cannot")
    region: str = Field("ap-southeast-1", description="The region of Model Studio")
    url: str = Field("", description="Another endpoint than the region's")


def build(name: str, options: Options) -> Alibaba:
    """Build the revoker; it makes no request yet."""
    return Alibaba(name, options)


class Alibaba:
    """The API keys of one account's Model Studio."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATIONS[options.operation]
        complete = options.token and options.access_key_id
        self.lacks = "" if complete else "it has no credential of its own: set ACCESS_KEY_ID and TOKEN"
        self._options = options
        self._base = (options.url or f"https://modelstudio.{options.region}.aliyuncs.com").rstrip("/")
        self._api = AdminApi(name, options)

    async def find(self, target: str) -> Target:
        """The key of an id or of a description that only one key has."""
        rows = await self._rows({})
        known = [_target(row) for row in rows]
        return one_of_name(self._api, self._options, target, known)

    async def read(self, target: Target) -> Observed:
        """Whether it is disabled, and whose it is."""
        rows = await self._rows({"apiKeyId": target.id})
        row = next((one for one in rows if one.text("apiKeyId") == target.id), None)
        if row is None:
            return Observed(acted=True, present=False, said="there is no such key any more")
        disabled = row.flag("disabled") is True
        acted = disabled and self._options.operation == "disable"
        return Observed(acted, {"disabled": disabled}, "disabled" if disabled else "enabled")

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Disable or delete it; a key that is gone is done."""
        if self._options.operation == "delete":
            return (await self._ask("DELETE", "DeleteApiKey", f"/{quote(target.id, safe='')}")).done()
        return (await self._ask("PUT", "DisableApiKey", f"/{quote(target.id, safe='')}/disable")).done()

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Enable it."""
        return (await self._ask("PUT", "EnableApiKey", f"/{quote(target.id, safe='')}/enable")).done()

    async def look(self) -> str:
        """How many keys its credential sees."""
        return f"{len(await self._rows({}))} keys; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _rows(self, query: dict[str, str]) -> list[Fields]:
        found: list[Fields] = []
        following, asked = "", {""}
        for _ in range(MOST_PAGES):
            page = {**query, "maxResults": "100", **({"nextToken": following} if following else {})}
            answer = await self._ask("GET", "ListApiKeys", "", page)
            if not answer.found:
                raise self._api.refused("this account or region has no interface for keys; stop them in the console")
            found += answer.fields.items("apiKeys", required=False)
            following = answer.fields.text("nextToken")
            if not following:
                return found
            if following in asked:
                raise self._api.refused("its pages go in a circle: the list of keys cannot be relied upon")
            asked.add(following)
        raise self._api.refused(f"more than {MOST_PAGES} pages of keys")

    async def _ask(self, method: str, action: str, path: str, query: dict[str, str] | None = None) -> AdminAnswer:
        """Send a signed request. RevokerError also for status 200 with `success: false`."""
        pairs = sorted((query or {}).items())
        call = Call(method, urlsplit(self._base).netloc, f"{_PATH}{path}", action, _VERSION, datetime.now(UTC),
                    token_hex(16), pairs)  # fmt: skip
        token = revealed(self._options.security_token)
        secret = revealed(self._options.token)
        headers = signed_headers(call, Credentials(self._options.access_key_id, secret, token))
        written = canonical_query(pairs)
        url = f"{self._base}{_PATH}{path}{'?' + written if written else ''}"
        answer = await self._api.ask(method, url, headers=headers)
        code = answer.fields.text("code")
        if answer.found and (answer.fields.flag("success") is False or code.lower() not in _SUCCESS):
            throttled = code.startswith("Throttling")
            raise self._api.refused(shown_code(code), permanent=not throttled)
        return AdminAnswer(answer.fields, answer.fields.text("requestId") or answer.request, answer.found)


def _target(row: Fields) -> Target:
    workspace = tuple(one for one in (row.text("workspaceId"), row.text("workspaceName")) if one)
    return Target(
        row.text("apiKeyId"), row.text("description"), row.text("apiKeyValue"),
        {"workspace": workspace} if workspace else {}, row.text("createdBy"),
    )  # fmt: skip
