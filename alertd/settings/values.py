"""The configuration as values: each value as it was written, with its place; and the result of `load_settings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from alertd.core.budgets import Budget
from alertd.core.config_errors import nearest, one_of
from alertd.core.periods import QuietHours
from alertd.core.usage import Committed
from alertd.plugin_options import Options, Secret, canonical
from alertd.settings.schema import DEPTHS, NAMED, written
from alertd.web.identity import Network, Person

KeyPath = tuple[str, ...]
FILE: Final = "_file"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value, its place, and the strength of its layer. `parts`: the map was written key by key."""

    value: Any = field(repr=False)
    place: str
    layer: int
    toml: bool = False
    parts: bool = False
    #: Read from a file that another key names: no fault repeats it, for it may be the wrong file.
    is_content: bool = False


def leaves(path: KeyPath, tree: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Leaf]]:
    """Every leaf of a tree with its path."""
    for name, below in tree.items():
        if isinstance(below, Leaf):
            yield (*path, name), below
        else:
            yield from leaves((*path, name), below)


def depth_of(head: str) -> int:
    """The depth of the options of a section; 0 for an unknown section. `database_file` is as deep as `database`."""
    plain = head.removesuffix(FILE)
    return DEPTHS.get(head) or (1 if DEPTHS.get(plain) == 1 else 0)


def spelled(path: KeyPath, depth: int) -> KeyPath:
    """A path with the names of sections and options in lower case, and a user's name in its one spelling."""
    known = tuple(part.lower() for part in path[:depth]) + path[depth:]
    return (known[0], canonical(known[1]), *known[2:]) if depth == NAMED and len(known) > 1 else known


def spread(path: KeyPath, value: object) -> Iterator[tuple[KeyPath, object]]:
    """The leaves of a tree: maps are followed to the depth of the section's options."""
    if isinstance(value, Mapping) and value and (not path or len(path) < max(1, depth_of(path[0].lower()))):
        for name, below in value.items():
            yield from spread((*path, str(name)), below)
    elif path:
        yield path, value


def nested(tree: dict[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    """The tree with a value at a path."""
    below = nested(dict(tree.get(path[0]) or {}), path[1:], value) if len(path) > 1 else value
    return {**tree, path[0]: below}


def meant(path: KeyPath, *, toml: bool) -> str:
    """The nearest known key, also with single instead of double underscores."""
    for section, depth in DEPTHS.items():
        rest = path[0].removeprefix(f"{section}_")
        if depth > 1 and rest != path[0]:
            name, _, option = rest.rpartition("_")
            guess = (section, name, option) if depth == NAMED and name else (section, rest)
            return f"did you mean {written((*guess, *path[1:]), toml=toml)}? (two underscores between the parts)"
    meant = nearest(path[0], DEPTHS)
    if meant:
        return f"did you mean {written((meant, *path[1:]), toml=toml)}?"
    return one_of(path[0], (written((name,), toml=toml) for name in DEPTHS))


class Configured(NamedTuple):
    """A configured plug-in: its kind, and its options as the model of that kind."""

    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where the status page listens, and who may read it."""

    host: str = "127.0.0.1"
    port: int = 9480
    token: Secret | None = None
    open_metrics: bool = False
    people: tuple[Person, ...] = ()
    user_header: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    mcp: str = "off"
    #: Where the process of the allowance listens.
    allowance: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class PriceLists:
    """The file with genai-prices' data, its download address, and the list that prices are compared with."""

    file: Path | None = None
    update_url: str = field(default="", repr=False)
    update_interval: timedelta = timedelta(days=1)
    second_opinion: str = ""
    #: The file with a central bank's rates, and where it is downloaded from.
    rates_file: Path | None = None
    rates_url: str = field(default="", repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The lists that are read again when they change."""
        named = Path(self.second_opinion) if self.second_opinion not in ("", "litellm") else None
        return tuple(file for file in (self.file, named) if file is not None)


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration. Names are in lower case with `-` for `_`. Its repr shows no secret."""

    database: str = field(repr=False)
    poll_interval: timedelta
    timezone: ZoneInfo
    dry_run: bool
    http: HttpSettings
    public_url: str
    heartbeat_url: str = field(repr=False)
    digest: str
    metrics_exporter: str
    #: In percent of the bill.
    drift_level: Decimal
    correct_estimates: bool
    quiet_hours: QuietHours | None
    #: How long usage is kept; None: without a limit.
    retention: timedelta | None
    #: By label, how long after its last use a value is kept by name.
    label_retention: Mapping[str, timedelta]
    sources: Mapping[str, Configured]
    budgets: Mapping[str, Budget]
    #: Money that will certainly be charged and that no source reports.
    commitments: tuple[Committed, ...]
    notifiers: Mapping[str, Configured]
    actions: Mapping[str, Configured]
    #: Price files, before the built-in book.
    prices: tuple[Path, ...]
    #: The lists below the book.
    price_lists: PriceLists
    #: One unit of the first currency in units of the second.
    fx: Mapping[tuple[str, str], Decimal]
    #: Files that are read again when they change: the configuration itself, secrets, tables and prices.
    watched: tuple[Path, ...]
    #: The options with which a command finds this configuration (`--env-file /etc/a.env`); "" if it needs none.
    command_options: str = ""
    #: Every setting that was written, as (variable, value without any secret, place).
    in_force: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
