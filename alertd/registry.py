"""Find plug-ins: each is one file whose name is its kind. Only the kinds that are configured are imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

from alertd.core.config_errors import one_of
from alertd.plugin_options import Options
from alertd.ports import Store, StoreError

#: Sections of the configuration, and the folder of their plug-ins.
GROUPS: Final[Mapping[str, str]] = {"sources": "sources", "notifiers": "notifiers", "actions": "revokers"}
PACKAGE: Final = Path(__file__).parent
#: The scheme of a database URL and the file that opens it; PostgreSQL's driver is an extra.
STORES: Final = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


class Plugin(Protocol):
    """What every plug-in's module exposes: a pydantic model of its options, and a function that builds it."""

    Options: type[Options]

    def build(self, name: str, options: Any) -> Any: ...

    def draft(self, options: object, delivery: object, now: object) -> Mapping[str, bytes]:
        """Notifiers only: the content of a delivery as files, by the end of their names. Sends nothing."""
        ...


class UnknownKindError(LookupError):
    """An unknown kind: `problem` names it, `remedy` lists the known kinds and the nearest one."""

    def __init__(self, group: str, kind: str, known: list[str]) -> None:
        self.problem = f"no {kind!r} in {group}"
        self.remedy = one_of(kind, known)
        super().__init__(f"{self.problem}; {self.remedy}")


def kinds(group: str, package: Path = PACKAGE) -> list[str]:
    """The kinds of a group (sources, notifiers, revokers), sorted: its file names without a leading `_`."""
    files = (path.stem for path in (package / group).glob("*.py"))
    folders = (path.parent.name for path in (package / group).glob("*/__init__.py"))
    return sorted(name for name in (*files, *folders) if not name.startswith("_"))


def load(group: str, kind: str, package: Path = PACKAGE) -> Plugin:
    """The module of one kind. `-` and `_` are the same. UnknownKindError lists the known kinds.

    `package` is a folder that is importable by its name: only tests pass another one than alertd's.
    """
    name = kind.strip().lower().replace("-", "_")
    known = kinds(group, package)
    if name not in known:
        raise UnknownKindError(group, kind, known)
    # Plug-ins are imported here, so that only the configured kinds cost memory and start-up time.
    module = import_module(f"{package.name}.{group}.{name}")
    if not (hasattr(module, "Options") and hasattr(module, "build")):
        raise TypeError(f"{package.name}/{group}/{name}.py is not a plug-in: it must define Options and build")
    return cast("Plugin", module)


def store(url: str) -> Store:
    """The store of a database URL: `sqlite:///...` or `postgresql://...`. Opens nothing. ValueError for another scheme.

    StoreError if the driver is not installed.
    """
    scheme = url.partition(":")[0]
    if scheme not in STORES:
        raise ValueError(f"not a known database; there are: {', '.join(sorted(STORES))}")
    try:
        module = import_module(f"alertd.stores.{STORES[scheme]}")
    except ImportError:
        raise StoreError(
            "ALERTD_DATABASE: the driver of PostgreSQL is missing; pip install 'alertd[postgres]'"
        ) from None
    return cast("Store", module.build(url))
