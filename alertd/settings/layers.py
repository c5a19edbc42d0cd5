"""Where values come from: environment, env files, a folder of secrets, TOML. A value keeps the place it was written at.

Every layer is flat, a path of names to a leaf; of two leaves at one path the stronger layer's stays.
Nothing here knows what a value means.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream

from alertd.core.faults import Fault, nearest, one_of, shortened
from alertd.options import canonical, read_json
from alertd.settings.document import DEPTHS, NAMED, NESTING, PREFIX, written
from alertd.wire.bounded import SECRET_BYTES, TEXT_BYTES, read_text

KeyPath = tuple[str, ...]
FILE: Final = "_file"
#: Says where the env file is: for the command line, no key of the configuration.
_ENV_FILE: Final = "ALERTD_ENV_FILE"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
#: What Kubernetes sets in every container beside a Service named alertd, or alertd-postgresql: no keys of ours.
_KUBERNETES: Final = re.compile(
    r"ALERTD_(?:PORT(?:_.*)?|SERVICE_.*|(?:[A-Z0-9]+_)+?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?))"
)
_KUBERNETES_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value, the place it was written at, and how strong its layer is. `parts`: its map was written key by key."""

    value: Any = field(repr=False)
    place: str
    layer: int
    toml: bool = False
    parts: bool = False


@dataclass(slots=True)
class Layers:
    """All layers as one, in whatever order they are read, and the faults met on the way. A higher `layer` wins."""

    leaves: dict[KeyPath, Leaf] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: The files that were read.
    files: list[Path] = field(default_factory=list)

    def environment(self, variables: Mapping[str, str], layer: int) -> None:
        """The process environment: every ALERTD_ variable is ours, but those of Kubernetes."""
        for name, value in variables.items():
            if name.upper().startswith(PREFIX) and name != _ENV_FILE and not _injected(name, value):
                self._variable(name, _unquoted(value), name, layer)

    def env_file(self, file: Path, layer: int) -> None:
        """An env file as `docker run --env-file` takes it, with quotes allowed; the last of two lines wins."""
        last: dict[str, tuple[str, str]] = {}
        for binding in parse_stream(io.StringIO(self._text(file, f"--env-file {file}", pipe=True))):
            if binding.error:
                remedy = "write one KEY=value a line; where a value begins with a quote, it ends with it"
                self.faults.append(Fault(f"{file.name}:{binding.original.line}", "no KEY=value", remedy))
            elif binding.key is not None:
                last[binding.key] = (binding.value or "", f"{binding.key} ({file.name}:{binding.original.line})")
        for name, (value, place) in last.items():
            if name.upper().startswith(PREFIX):
                self._variable(name, value, place, layer)
            elif nearest(name.partition("_")[0].upper(), [PREFIX.strip("_")]):
                self.faults.append(Fault(place, "no such key", f"keys begin with {PREFIX}"))

    def secrets(self, folder: Path, place: str, layer: int) -> None:
        """A folder of secrets: files named like variables; other files and sub-folders are left alone."""
        try:
            files = sorted(folder.iterdir())
        except (OSError, ValueError):
            remedy = "mount the secrets there, or leave the key out"
            self.faults.append(Fault(place, f"{shortened(str(folder))} is no folder that can be read", remedy))
            return
        for file in files:
            if file.name.upper().startswith(PREFIX) and not file.is_dir():
                text = self._text(file, str(file), SECRET_BYTES)
                self._variable(file.name, text.rstrip("\r\n"), str(file), layer)

    def toml(self, file: Path, place: str, layer: int) -> None:
        """A TOML file: the same keys, as tables."""
        try:
            tables = tomllib.loads(self._text(file, place), parse_float=Decimal)
        except (tomllib.TOMLDecodeError, InvalidOperation) as error:
            problem = "a number that nobody means" if isinstance(error, InvalidOperation) else str(error)
            self.faults.append(Fault(str(file), f"no TOML: {problem}", "text stands in quotes, tables in [brackets]"))
            return
        for path, value in _spread((), tables):
            self._leaf(path, Leaf(value, f"{'.'.join(path)} ({file.name})", layer, toml=True))

    def _variable(self, name: str, value: str, place: str, layer: int) -> None:
        path = tuple(name[len(PREFIX) :].lower().split(NESTING))
        if not value.strip() or len(path) >= DEPTHS.get(path[0], 0):
            self._leaf(path, Leaf(value, place, layer))
            return
        try:
            below = read_json(value)
        except ValueError:
            below = None
        if not isinstance(below, Mapping):
            remedy = f"write its keys one by one ({name.upper()}{NESTING}...), or a JSON map"
            self.faults.append(Fault(place, "has keys of its own, and no value", remedy))
            return
        for rest, found in _spread(path, below):
            inside = ".".join(rest[len(path) :])
            self._leaf(rest, Leaf(found, f"{place} ({inside})", layer))

    def _leaf(self, raw: KeyPath, leaf: Leaf) -> None:
        depth = depth_of(raw[0].lower())
        path = _spelled(raw, depth)
        fault: tuple[str, str] | None = None
        if depth == 0:
            fault = ("no such key", _meant(path, toml=leaf.toml))
        elif leaf.value is None or not str(leaf.value).strip() or (leaf.value == {} and len(path) < depth):
            return  # written and empty: absent
        elif len(path) < depth:
            fault = ("has keys of its own, and no value", f"write it as {written((*path, '...'), toml=leaf.toml)}")
        elif len(path) > depth == 1:
            fault = ("has no keys of its own", f"write it as {written(path[:1], toml=leaf.toml)}")
        elif depth == NAMED and not _NAME.fullmatch(path[1]):
            fault = (f"{path[1]!r} is no name", "a name is letters, digits, - and _")
        if fault:
            self.faults.append(Fault(leaf.place, *fault))
        else:
            self._put(path[:depth], path[depth:], leaf)

    def _put(self, path: KeyPath, rest: KeyPath, leaf: Leaf) -> None:
        held = self.leaves.get(path)
        if held and held.layer > leaf.layer:
            return
        same = held if held and held.layer == leaf.layer else None
        if same and not (rest and same.parts):
            self.faults.append(Fault(leaf.place, f"given twice, also as {same.place}", "keep one of them"))
        elif rest:
            value = _nested(dict(same.value) if same else {}, rest, leaf.value)
            place = same.place if same else leaf.place
            self.leaves[path] = Leaf(value, place, leaf.layer, toml=leaf.toml, parts=True)
        else:
            self.leaves[path] = leaf

    def _text(self, file: Path, place: str, most: int = TEXT_BYTES, *, pipe: bool = False) -> str:
        """The text of a file; empty, with a fault, where it cannot be read."""
        self.files.append(file)
        try:
            return read_text(file, most, pipe=pipe)
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
            self.faults.append(Fault(place, problem, remedy))
            return ""


def depth_of(head: str) -> int:
    """How deep the options of a section lie; 0 where there is none. `database_file` is as deep as `database`."""
    plain = head.removesuffix(FILE)
    return DEPTHS.get(head) or (1 if DEPTHS.get(plain) == 1 else 0)


def _spelled(path: KeyPath, depth: int) -> KeyPath:
    known = tuple(part.lower() for part in path[:depth]) + path[depth:]
    return (known[0], canonical(known[1]), *known[2:]) if depth == NAMED and len(known) > 1 else known


def _spread(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The leaves of a tree: maps are followed as deep as a section has options."""
    if isinstance(value, Mapping) and value and (not path or len(path) < max(1, depth_of(path[0].lower()))):
        for name, below in value.items():
            yield from _spread((*path, str(name)), below)
    elif path:
        yield path, value


def _nested(tree: dict[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    below = _nested(dict(tree.get(path[0]) or {}), path[1:], value) if len(path) > 1 else value
    return {**tree, path[0]: below}


def _injected(name: str, value: str) -> bool:
    if NESTING in name:
        return False
    link = name.endswith("_PORT") and _KUBERNETES_LINK.fullmatch(value) is not None
    return link or _KUBERNETES.fullmatch(name) is not None


def _unquoted(value: str) -> str:
    """A value as an env file has it: `docker run --env-file` keeps the quotes that a reader of env files strips."""
    value = value.strip()
    if value[:1] not in {'"', "'"}:
        return value
    bindings = list(parse_stream(io.StringIO(f"KEY={value}")))
    sound = len(bindings) == 1 and not bindings[0].error
    return bindings[0].value or "" if sound else value


def _meant(path: KeyPath, *, toml: bool) -> str:
    """The key that was probably meant, single underscores for double ones included."""
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
