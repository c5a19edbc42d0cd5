"""The folder is the registry: a plug-in is one file, its kind is the file's name. Imports only what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

from alertd.core.faults import one_of
from alertd.options import Options
from alertd.ports import Store, StoreError

#: Sections of the configuration, and the rooms that their kinds are in.
ROOMS: Final[Mapping[str, str]] = {"sources": "sources", "notifiers": "notifiers", "actions": "revokers"}
HOUSE: Final = Path(__file__).parent
#: The scheme of a database URL and the file that opens it; PostgreSQL's driver is an extra.
STORES: Final = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


class Plugin(Protocol):
    """What every plug-in's module exposes: a pydantic model of its options, and what makes a port of them."""

    Options: type[Options]

    def build(self, name: str, options: Any) -> Any: ...

    def draft(self, options: Any, delivery: Any, now: Any) -> Mapping[str, bytes]:
        """Notifiers only: what a delivery would send, as files by the end of their names. Sends nothing."""
        ...


class UnknownKindError(LookupError):
    """A kind that no file has: `problem` says so, `remedy` names those there are and the nearest."""

    def __init__(self, room: str, kind: str, known: list[str]) -> None:
        self.problem = f"no {kind!r} in {room}"
        self.remedy = one_of(kind, known)
        super().__init__(f"{self.problem}; {self.remedy}")


def kinds(room: str, house: Path = HOUSE) -> list[str]:
    """The kinds of a room (sources, notifiers, revokers), sorted: its file names; those with a leading `_` are none."""
    files = (path.stem for path in (house / room).glob("*.py"))
    folders = (path.parent.name for path in (house / room).glob("*/__init__.py"))
    return sorted(name for name in (*files, *folders) if not name.startswith("_"))


def load(room: str, kind: str, house: Path = HOUSE) -> Plugin:
    """The module of one kind. `-` and `_` are the same. UnknownKindError names the kinds there are.

    `house` is a folder that is importable by its name: another than alertd's own only in tests.
    """
    name = kind.strip().lower().replace("-", "_")
    known = kinds(room, house)
    if name not in known:
        raise UnknownKindError(room, kind, known)
    # The one lazy import of plug-ins: memory and start-up time are paid for what is configured, nothing else.
    module = import_module(f"{house.name}.{room}.{name}")
    if not (hasattr(module, "Options") and hasattr(module, "build")):
        raise TypeError(f"{house.name}/{room}/{name}.py is no plug-in: it has to expose Options and build")
    return cast("Plugin", module)


def store(url: str) -> Store:
    """The store of a database URL: `sqlite:///...` or `postgresql://...`. Nothing is opened. ValueError for another.

    StoreError where the driver is not installed.
    """
    scheme = url.partition(":")[0]
    if scheme not in STORES:
        raise ValueError(f"no such database; there are: {', '.join(sorted(STORES))}")
    try:
        module = import_module(f"alertd.stores.{STORES[scheme]}")
    except ImportError:
        raise StoreError(
            "ALERTD_DATABASE: the driver of PostgreSQL is missing; pip install 'alertd[postgres]'"
        ) from None
    return cast("Store", module.build(url))
