"""OpenAI: tokens by the hour (usage) and dollars by the day (costs), read together for the same days.

Tokens times price is the cost as it happens; the costs of the same models are kept beside it, settled a day later.
Source: OpenAI's OpenAPI file of 2026-08; buckets are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from pydantic import Field, field_validator

from alertd.clients.billing_api import (
    Billing,
    Names,
    Pages,
    attributed,
    named,
)
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import ReadWindow
from alertd.core.pricing.source_roles import CHARGE, INFERENCE
from alertd.core.usage import BilledCost, Labels, Line, Usage
from alertd.plugin_options import Secret, SourceOptions, TextList
from alertd.ports import SourceError
from alertd.sources._timed_source import SETTLING, ReportSource

PROVIDER: Final = "openai"
#: What tokens may be besides text, where a model has prices of its own for them.
_MODALITIES: Final = ("audio", "image")
_KINDS: Final = ("completions", "embeddings")
_GROUPS: Final = {
    "completions": ["project_id", "api_key_id", "model", "batch", "service_tier"],
    "embeddings": ["project_id", "api_key_id", "model"],
}
_COUNTED: Final = frozenset({"tokens", "1000_tokens"})
#: Cost lines that are not token usage, for lines without a unit.
_TOOLS: Final = re.compile(
    r"web.?search(?!-preview)|file.?search|code.?interpreter|image|sora|video|speech|tts|whisper|transcri|vector|storage"
    r"|session|container|moderation",
    re.IGNORECASE,
)
_TRAINING: Final = re.compile(r"fine.?tun|training", re.IGNORECASE)
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
OpenAI

Reads: usage by the hour (project, key, model, batch, tier) and costs by the day (project, line). Cached and written
tokens are taken out of the input that includes them. `USERS=true` splits usage by user, too: `user` is the e-mail
address of the owner of the key; a service account has no user. Lines of the costs that are no tokens (web
search, images, training, ...) count beside the tokens.
Least privilege: an admin key with `api.usage.read`; for names instead of ids `api.management.read`. Delay: minutes;
costs about a day, two days are read again. Audio and image tokens are lines of their own (`modality`), at their own
price where the model has one. Cannot see: use of other organizations.
```sh
ALERTD_SOURCES__OPENAI__KIND=openai
ALERTD_SOURCES__OPENAI__ADMIN_KEY_FILE=/run/secrets/openai-admin
ALERTD_SOURCES__OPENAI__USERS=true
ALERTD_SOURCES__OPENAI__INTERVAL=5m
ALERTD_SOURCES__OPENAI__LABELS=env=production
```
"""


class Options(SourceOptions):
    """OpenAI. An admin key with api.usage.read; names of projects and keys want api.management.read besides."""

    admin_key: Secret = Field(description="An admin key (sk-admin-...), made by an owner of the organization")
    organization: str = Field("", description="The organization, for a user key of several")
    kinds: TextList = Field(list(_KINDS), description="The usage that is counted in tokens: completions, embeddings")
    users: bool = Field(
        default=False, description="Whether usage is split by user: labels user (the e-mail address) and user_id"
    )
    costs: bool = Field(default=True, description="Whether costs are read besides the tokens")
    url: str = Field("https://api.openai.com/v1", description="Where the API is")

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, value: list[str]) -> list[str]:
        if unknown := set(value) - set(_KINDS):
            raise ValueError(f"no kind {min(unknown)!r} that counts tokens; there are: {', '.join(_KINDS)}")
        return value


def build(name: str, options: Options) -> OpenAI:
    """Build the source; it makes no request yet."""
    return OpenAI(name, options)


class OpenAI(ReportSource):
    """One organization's usage and costs."""

    about = ("project", "key")

    def __init__(self, name: str, options: Options) -> None:
        headers = {"OpenAI-Organization": options.organization} if options.organization else {}
        billing = Billing(name, options, bearer=options.admin_key.get_secret_value(), headers=headers)
        self._projects = Names("projects", self._list_projects, billing)
        self._keys = Names("keys", self._list_keys, billing)
        self._users = Names("users", self._list_users, billing)
        names = {"project_id": self._projects, "api_key_id": self._keys}
        super().__init__(name, options, billing, {**names, "user_id": self._users} if options.users else names)
        self._options = options
        self._url = f"{options.url.rstrip('/')}/organization"
        self._seen_projects: set[str] = set()

    async def pages(self, window: ReadWindow, now: datetime) -> Pages:
        """The usage of every kind by the hour, then the costs by the day."""
        span = {"start_time": str(int(window.start.timestamp())), "end_time": str(int(window.end.timestamp()))}
        for kind in self._options.kinds:
            query = {**span, "bucket_width": "1h", "limit": "168", "group_by[]": self._groups(kind)}
            async for page in self.rows(f"{self._url}/usage/{kind}", query):
                yield {key: usage for row in page for key, usage in self._usage(kind, *row)}
        if self._options.costs:
            query = {**span, "bucket_width": "1d", "limit": "31", "group_by[]": ["project_id", "line_item"]}
            async for page in self.rows(f"{self._url}/costs", query):
                yield dict(self._cost(*row, now) for row in page)

    def _groups(self, kind: str) -> list[str]:
        return [*_GROUPS[kind], "user_id"] if self._options.users else _GROUPS[kind]

    async def learn(self, rows: list[Fields]) -> None:
        """The keys of a project are listed by project."""
        self._seen_projects |= {row.text("project_id") for row in rows} - {""}
        await super().learn(rows)

    def _usage(self, kind: str, bucket: Fields, row: Fields) -> Iterator[tuple[object, Usage]]:
        """Disjoint meters of one result: cached and written tokens are taken out of the input that includes them."""
        whole, cached, written = (
            row.whole(f"input_{name}") for name in ("tokens", "cached_tokens", "cache_write_tokens")
        )
        batch = row.flag("batch") is True
        if cached + written > whole:
            raise SourceError(f"{row.place}: {cached + written} cached tokens are more than the {whole} that hold them")
        incoming, outgoing = "batch_input" if batch else "input", "batch_output" if batch else "output"
        meters = {
            **_by_modality(incoming, whole - cached - written, _uncached(row)),
            **_by_modality("cached_input", cached, _of_modality(row, "input_cached")),
            ("cache_write", ""): written,
            **_by_modality(outgoing, row.whole("output_tokens"), _of_modality(row, "output")),
        }
        labels = self._labels(row)
        tier = row.text("service_tier")
        for (meter, modality), quantity in meters.items():
            changed = {"tier": tier} if tier not in {"", "default", "standard"} else {}
            if batch and not meter.startswith("batch"):
                changed["batch"] = "true"
            if modality:
                changed["modality"] = modality
            line = Line(PROVIDER, row.text("model"), meter, tuple(sorted(changed.items())), self._options.account)
            if quantity:
                start, end = bucket.instant("start_time"), bucket.instant("end_time")
                key = (
                    kind,
                    start,
                    meter,
                    modality,
                    batch,
                    row.text("api_key_id"),
                    row.text("project_id"),
                    row.text("user_id"),
                    row.text("model"),
                    tier,
                )
                yield key, Usage(line, start, end, quantity, labels, self.name)

    def _cost(self, bucket: Fields, row: Fields, now: datetime) -> tuple[object, BilledCost]:
        amount, item = row.child("amount"), row.text("line_item")
        model, comma, rest = item.partition(", ")
        charge = _charge(item, row.text("quantity_unit"))
        labels = {**self._labels(row), "line": rest or item, **({CHARGE: charge} if charge != INFERENCE else {})}
        start, end = bucket.instant("start_time"), bucket.instant("end_time")
        cost = amount.money("value", amount.text("currency") or "USD")
        record = BilledCost(
            PROVIDER, start, end, cost, attributed(self._options, labels), model if comma else "", self.name,
            final=end <= now - SETTLING,
        )  # fmt: skip
        return ("costs", start, item, row.text("project_id"), cost.currency), record

    def _labels(self, row: Fields) -> Labels:
        project, key = row.text("project_id"), row.text("api_key_id")
        found = {"project": self._projects.of(project), "project_id": project, "key": self._keys.of(key), "key_id": key}
        if self._options.users and (user := row.text("user_id")):
            found |= {"user": self._users.of(user), "user_id": user}
        return attributed(self._options, found)

    async def _list_projects(self) -> Mapping[str, str]:
        return await named(self.billing, f"{self._url}/projects", "after")

    async def _list_users(self) -> Mapping[str, str]:
        return await named(self.billing, f"{self._url}/users", "after", name="email")

    async def _list_keys(self) -> Mapping[str, str]:
        """The keys of every project seen in the usage."""
        found: dict[str, str] = {}
        for project in sorted(self._seen_projects):
            found |= await named(self.billing, f"{self._url}/projects/{project}/api_keys", "after")
        return found


def _charge(item: str, unit: str) -> str:
    """What a line of the costs is for: the use of models unless its unit or name says otherwise."""
    if _TRAINING.search(item):
        return "training"
    if unit in _COUNTED or (not unit and not _TOOLS.search(item)):
        return INFERENCE
    return "tools"


def _uncached(row: Fields) -> dict[str, int]:
    """The input of each modality besides text without its cached part; OpenAI's sums hold the cached tokens."""
    whole, cached = _of_modality(row, "input"), _of_modality(row, "input_cached")
    return {one: count - cached[one] for one, count in whole.items()}


def _of_modality(row: Fields, of: str) -> dict[str, int]:
    return {one: row.whole(f"{of}_{one}_tokens") for one in _MODALITIES}


def _by_modality(meter: str, whole: int, parts: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """A meter's tokens by modality: each part is at most what is left of the total; the rest is text ("")."""
    found: dict[tuple[str, str], int] = {}
    for modality, count in parts.items():
        found[meter, modality] = max(0, min(count, whole))
        whole -= found[meter, modality]
    return {(meter, ""): whole, **found}
