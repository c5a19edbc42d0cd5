"""Where values come from, as sources of pydantic-settings: environment, env files, a folder of secrets, TOML.

A source gives a tree of Leafs: a value keeps the place it was written at, so that every fault can name it. Which source
wins is pydantic-settings' order; nothing here knows what a value means.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alertd.clients.local_files import SECRET_BYTES, TEXT_BYTES, read_text
from alertd.core.config_errors import Fault, nearest, shortened
from alertd.plugin_options import is_utf8, read_json
from alertd.settings.schema import DEPTHS, NAMED, NESTING, PREFIX, written
from alertd.settings.values import KeyPath, Leaf, depth_of, leaves, meant, nested, spelled, spread

#: The environment is stronger than however many env files.
_STRONGEST: Final = 1_000_000
#: The env file's own address: an option of the command line, not a key of the configuration.
_ENV_FILE: Final = "ALERTD_ENV_FILE"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
#: Variables that Kubernetes sets for a Service named alertd or alertd-postgresql; they are not keys of alertd.
_KUBERNETES: Final = re.compile(
    r"ALERTD_(?:PORT(?:_.*)?|SERVICE_.*|(?:[A-Z0-9]+_)+?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?))"
)
_KUBERNETES_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


@dataclass(slots=True)
class Written:
    """What all sources gave: the strongest leaf of every path, the faults met on the way, the files that were read."""

    leaves: dict[KeyPath, Leaf] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def read_sources(env: Mapping[str, str], env_files: Iterable[Path] = (), config: Path | None = None) -> Written:
    """The configuration as it is written: environment over env files (a later one wins) over secrets over TOML."""
    found = Written()

    class Tree(BaseSettings):
        """The merged result of pydantic-settings: a tree of Leafs, not yet validated."""

        model_config = SettingsConfigDict(extra="allow")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' own signature
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            toml = TomlSource(settings_cls, found, 0, config)
            files = [EnvFileSource(settings_cls, found, 2 + count, file) for count, file in enumerate(env_files)]
            secrets = SecretsSource(settings_cls, found, 1, toml)
            return EnvironmentSource(settings_cls, found, _STRONGEST, env), *reversed(files), secrets, toml

    found.leaves = dict(leaves((), Tree().model_extra or {}))
    return found


class LeafSource(PydanticBaseSettingsSource):
    """One source: `read` notes its leaves, `strength` is its place among the others; a higher one wins."""

    def __init__(self, settings_cls: type[BaseSettings], written: Written, strength: int) -> None:
        super().__init__(settings_cls)
        self.leaves: dict[KeyPath, Leaf] = {}
        self.faults, self.files = written.faults, written.files
        self.strength = strength

    def read(self) -> None:
        """Note every leaf of this source."""
        raise NotImplementedError

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """None: users' own names are not fields, so a source is read as a whole."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        """The leaves as a tree."""
        self.read()
        tree: dict[str, Any] = {}
        for path, leaf in self.leaves.items():
            tree = nested(tree, path, leaf)
        return tree

    def _variable(self, name: str, value: str, place: str) -> None:
        path = tuple(name[len(PREFIX) :].lower().split(NESTING))
        if not value.strip() or len(path) >= DEPTHS.get(path[0], 0):
            self._leaf(path, Leaf(value, place, self.strength))
            return
        try:
            below = read_json(value)
        except ValueError:
            below = None
        if not isinstance(below, Mapping):
            remedy = f"write its keys one by one ({name.upper()}{NESTING}...), or a JSON map"
            self.faults.append(Fault(place, "has keys, and no value itself", remedy))
            return
        for rest, found in spread(path, below):
            inside = ".".join(rest[len(path) :])
            self._leaf(rest, Leaf(found, f"{place} ({inside})", self.strength))

    def _leaf(self, raw: KeyPath, leaf: Leaf) -> None:
        depth = depth_of(raw[0].lower())
        path = spelled(raw, depth)
        fault: tuple[str, str] | None = None
        if depth == 0:
            fault = ("no such key", meant(path, toml=leaf.toml))
        elif leaf.value is None or not str(leaf.value).strip() or (leaf.value == {} and len(path) < depth):
            return  # written and empty: absent
        elif len(path) < depth:
            fault = ("has keys, and no value itself", f"write it as {written((*path, '...'), toml=leaf.toml)}")
        elif len(path) > depth == 1:
            fault = ("has no keys", f"write it as {written(path[:1], toml=leaf.toml)}")
        elif depth == NAMED and not _NAME.fullmatch(path[1]):
            fault = (f"{path[1]!r} is not a valid name", "a name is letters, digits, - and _")
        if fault:
            self.faults.append(Fault(leaf.place, *fault))
        else:
            self._put(path[:depth], path[depth:], leaf)

    def _put(self, path: KeyPath, rest: KeyPath, leaf: Leaf) -> None:
        same = self.leaves.get(path)
        if same and not (rest and same.parts):
            self.faults.append(Fault(leaf.place, f"given twice, also as {same.place}", "keep one of them"))
        elif rest:
            value = nested(dict(same.value) if same else {}, rest, leaf.value)
            place = same.place if same else leaf.place
            self.leaves[path] = Leaf(value, place, leaf.layer, toml=leaf.toml, parts=True)
        else:
            self.leaves[path] = leaf

    def _text(self, file: Path, place: str, most: int = TEXT_BYTES, *, pipe: bool = False) -> str:
        """The text of a file; empty, with a fault, if it cannot be read."""
        self.files.append(file)
        try:
            return read_text(file, most, pipe=pipe)
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
            self.faults.append(Fault(place, problem, remedy))
            return ""


class EnvironmentSource(LeafSource):
    """The process environment: every ALERTD_ variable is alertd's, except those of Kubernetes."""

    def __init__(
        self, settings_cls: type[BaseSettings], written: Written, strength: int, variables: Mapping[str, str]
    ) -> None:
        super().__init__(settings_cls, written, strength)
        self._variables = variables

    def read(self) -> None:
        for name, value in self._variables.items():
            if not name.upper().startswith(PREFIX) or name == _ENV_FILE or _injected(name, value):
                continue
            if is_utf8(name + value):
                self._variable(name, _unquoted(value), name)
            else:
                place = name.encode("ascii", "backslashreplace").decode()
                self.faults.append(Fault(place, "is no UTF-8 text", "set it again, as UTF-8"))


class EnvFileSource(LeafSource):
    """An env file as `docker run --env-file` takes it, with quotes allowed; the last of two lines wins."""

    def __init__(self, settings_cls: type[BaseSettings], written: Written, strength: int, file: Path) -> None:
        super().__init__(settings_cls, written, strength)
        self._file = file

    def read(self) -> None:
        file = self._file
        last: dict[str, tuple[str, str]] = {}
        for binding in parse_stream(io.StringIO(self._text(file, f"--env-file {file}", pipe=True))):
            if binding.error:
                remedy = "write one KEY=value per line; a value that begins with a quote must end with it"
                self.faults.append(Fault(f"{file.name}:{binding.original.line}", "no KEY=value", remedy))
            elif binding.key is not None:
                last[binding.key] = (binding.value or "", f"{binding.key} ({file.name}:{binding.original.line})")
        for name, (value, place) in last.items():
            if name.upper().startswith(PREFIX):
                self._variable(name, value, place)
            elif nearest(name.partition("_")[0].upper(), [PREFIX.strip("_")]):
                self.faults.append(Fault(place, "no such key", f"keys begin with {PREFIX}"))


class TomlSource(LeafSource):
    """A TOML file with the same keys, as tables: the one given, else the one that ALERTD_CONFIG names."""

    def __init__(self, settings_cls: type[BaseSettings], written: Written, strength: int, file: Path | None) -> None:
        super().__init__(settings_cls, written, strength)
        self._file, self._place = file, "--config"
        self._is_read = False

    def read(self) -> None:
        self.read_below(self.current_state)

    def read_below(self, stronger: Mapping[str, object]) -> None:
        """Read it once, below what stronger sources gave."""
        if self._file is None and isinstance(named := stronger.get("config"), Leaf):
            self._file, self._place = Path(str(named.value)), named.place
        if self._file is None or self._is_read:
            return
        self._is_read = True
        try:
            tables = tomllib.loads(self._text(self._file, self._place), parse_float=Decimal)
        except (tomllib.TOMLDecodeError, InvalidOperation, RecursionError) as error:
            known = {InvalidOperation: "a number that is too large", RecursionError: "it is nested too deeply"}
            problem = known.get(type(error), str(error))
            self.faults.append(
                Fault(str(self._file), f"not valid TOML: {problem}", "put text in quotes and tables in [brackets]")
            )
            return
        for path, value in spread((), tables):
            self._leaf(path, Leaf(value, f"{'.'.join(path)} ({self._file.name})", self.strength, toml=True))


class SecretsSource(LeafSource):
    """A folder of secrets that SECRETS_DIR names: files named like variables; all else in it is left alone."""

    def __init__(self, settings_cls: type[BaseSettings], written: Written, strength: int, toml: TomlSource) -> None:
        super().__init__(settings_cls, written, strength)
        self._toml = toml

    def read(self) -> None:
        self._toml.read_below(self.current_state)
        named = self.current_state.get("secrets_dir", self._toml.leaves.get(("secrets_dir",)))
        if not isinstance(named, Leaf):
            return
        folder = Path(str(named.value))
        try:
            files = sorted(folder.iterdir())
        except (OSError, ValueError):
            remedy = "mount the secrets there, or leave the key out"
            self.faults.append(Fault(named.place, f"{shortened(str(folder))} is not a readable folder", remedy))
            return
        for file in files:
            if file.name.upper().startswith(PREFIX) and not file.is_dir():
                text = self._text(file, str(file), SECRET_BYTES)
                self._variable(file.name, text.rstrip("\r\n"), str(file))


def _injected(name: str, value: str) -> bool:
    if NESTING in name:
        return False
    link = name.endswith("_PORT") and _KUBERNETES_LINK.fullmatch(value) is not None
    return link or _KUBERNETES.fullmatch(name) is not None


def _unquoted(value: str) -> str:
    """A value of an env file without its quotes: `docker run --env-file` keeps them."""
    value = value.strip()
    if value[:1] not in {'"', "'"}:
        return value
    bindings = list(parse_stream(io.StringIO(f"KEY={value}")))
    sound = len(bindings) == 1 and not bindings[0].error
    return bindings[0].value or "" if sound else value
