"""Google Vertex AI: a quota of a project is capped by a consumer override, which is removed or set back again.

Source: Service Usage API v1beta1 (consumerQuotaMetrics.limits get, consumerOverrides list, create, patch, delete). A
cap is a limit of a minute, not a stop; models with dynamic shared quota have no quota to cap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from alertd.clients.admin_api import MOST_PAGES, AdminAnswer, AdminApi
from alertd.clients.cloud_credentials import GoogleOptions, GoogleTokens
from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.json_fields import Fields, every_page
from alertd.plugin_options import RevokerOptions, TextMap
from alertd.ports import Done, Observed, Operation, Target

_OPERATION: Final = Operation(
    "cap this project's quota of Vertex AI", "give this project its quota of Vertex AI back", grade="throttle"
)
_SERVICES: Final = "https://serviceusage.googleapis.com"
_SERVICE: Final = "aiplatform.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_OVERRIDE: Final = re.compile(r"projects/[\w.%:/-]+/consumerOverrides/[\w=-]+", re.ASCII)
#: Without it Google refuses to lower a quota by more than 10%.
_FORCED: Final = {"force": "true"}
_TIME: Final = "Google applies it within some minutes; calls beyond it get 429"
_UNDONE: Final = "Google applies it within some minutes"
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "serviceusage.googleapis.com:443; iamcredentials.googleapis.com:443; the machine's metadata server"


class Options(GoogleOptions, RevokerOptions):
    """A quota of Vertex AI. A service account of its own: IMPERSONATE, or CREDENTIALS_FILE. TOKEN is not used."""

    metric: str = Field(
        "",
        description="The quota's metric, as the console's page of quotas names it",
        examples=["aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model"],
    )
    limit: str = Field("/min/project/region/base_model", description="The unit of the quota's limit, without its 1")
    dimensions: TextMap = Field(
        default_factory=dict, description="What the cap is for: region=us-east5,base_model=anthropic-claude-opus"
    )
    cap: int = Field(0, ge=0, description="What is left of the quota; 0 refuses every call")
    url: str = Field("", description="Another endpoint than Google's, for all services")


def build(name: str, options: Options) -> VertexQuota:
    """Build the revoker; it makes no request yet."""
    return VertexQuota(name, options)


class VertexQuota:
    """One quota of the projects that one identity may cap. A target is a project, by its id or number."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.operation = _OPERATION
        self.lacks = _lacks(options)
        self._options = options
        self._url = f"{options.url.rstrip('/') or _SERVICES}/v1beta1"
        self._api = AdminApi(name, options)
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout))
        self._tokens = GoogleTokens(name, self._http, options, options.url.rstrip("/"))

    async def find(self, target: str) -> Target:
        """The project of that id, which has the quota."""
        project = self._options.targets.get(target, target)
        if not (await self._ask("GET", self._limit(project))).found:
            raise self._api.refused(
                f"{target!r}: there is no project {project!r}, or it has no such METRIC and LIMIT; name its id in"
                " `targets`: search=search-prod"
            )
        return Target(project, target, groups={"project": (project,)})

    async def read(self, target: Target) -> Observed:
        """Whether an override caps the quota for DIMENSIONS."""
        found = await self._overrides(target.id)
        if found is None:
            return Observed(acted=True, present=False, said="there is no such project or quota any more")
        override = self._own(found)
        if override is None:
            return Observed(acted=False, values={"override": None}, said="its quota is not capped")
        value = int(override.number("overrideValue"))
        capped = 0 <= value <= self._options.cap
        return Observed(capped, {"override": str(value)}, f"its quota is capped at {value:,}")

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Cap the quota: by a new override, or by the value of the one that is there."""
        return await self._set(target.id, str(self._options.cap), _TIME)

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done:
        """Set the override back to its old value, or remove it where there was none."""
        return await self._set(target.id, before.values["override"], _UNDONE)

    async def look(self) -> str:
        """Whether it gets a token; a project is known only when it is to be capped."""
        await self._header()
        return f"a token to cap {self._options.metric}; nothing was changed"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._http.close()

    def _limit(self, project: str) -> str:
        metric, limit = quote(self._options.metric, safe=""), quote(self._options.limit, safe="")
        return f"projects/{quote(project, safe='')}/services/{_SERVICE}/consumerQuotaMetrics/{metric}/limits/{limit}"

    async def _overrides(self, project: str) -> list[Fields] | None:
        """The overrides of the quota; None where there is no such project or quota."""
        missing = False

        async def ask(token: str) -> Fields:
            nonlocal missing
            more = {"pageToken": token} if token else None
            answer = await self._ask("GET", f"{self._limit(project)}/consumerOverrides", params=more)
            missing = missing or not answer.found
            return answer.fields

        pages = every_page(ask, lambda page: page.text("nextPageToken"), self.name, MOST_PAGES)
        found = [one async for page in pages for one in page.items("overrides", required=False)]
        return None if missing else found

    def _own(self, overrides: Sequence[Fields]) -> Fields | None:
        """The override for just these dimensions; None without one."""
        wanted = dict(self._options.dimensions)
        return next((one for one in overrides if _texts_of(one.child("dimensions")) == wanted), None)

    async def _set(self, project: str, value: str | None, effect: str) -> Done:
        """Give the override a value; None removes it."""
        found = await self._overrides(project)
        override = self._own(found or ())
        if found is None or (override is None and value is None):
            return Done("it is gone")
        if override is None:
            body: dict[str, Any] = {"overrideValue": value, "dimensions": dict(self._options.dimensions)}
            place = f"{self._limit(project)}/consumerOverrides"
            return (await self._ask("POST", place, params=_FORCED, data=body)).done("taken", effect)
        name = override.text("name")
        if not _OVERRIDE.fullmatch(name):
            raise self._api.refused("Google's answer has no valid name of an override; nothing was changed")
        if value is None:
            return (await self._ask("DELETE", name, params=_FORCED)).done("taken", effect)
        params = {**_FORCED, "updateMask": "overrideValue"}
        return (await self._ask("PATCH", name, params=params, data={"overrideValue": value})).done("taken", effect)

    async def _ask(
        self, method: str, place: str, *, params: Mapping[str, str] | None = None, data: object = None
    ) -> AdminAnswer:
        return await self._api.ask(
            method, f"{self._url}/{place}", params=params, data=data, headers=await self._header()
        )

    async def _header(self) -> dict[str, str]:
        try:
            return await self._tokens.header(_SCOPE)
        except HttpProblem as problem:
            raise self._api.error(problem, changing=False) from problem


def _texts_of(fields: Fields) -> dict[str, str]:
    return {name: fields.text(name) for name in fields}


def _lacks(options: Options) -> str:
    """What it needs before it can act, "" where that is nothing."""
    if options.token is not None:
        return "TOKEN is not used here: set IMPERSONATE, or CREDENTIALS_FILE with the key of a service account"
    if not options.impersonate and options.credentials_file is None:
        return "it has no credential of its own: set IMPERSONATE, or CREDENTIALS_FILE"
    return "" if options.metric else "set METRIC, the quota that is capped"
