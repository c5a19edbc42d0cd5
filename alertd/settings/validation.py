"""Check one part of the configuration against its model: values from files, unknown keys, pydantic's errors as faults.

All faults are reported at once, and no fault repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from alertd.clients.local_files import SECRET_BYTES, read_text
from alertd.core.config_errors import Fault, nearest, one_of, shortened
from alertd.plugin_options import RevokerOptions, SourceOptions, ValuelessError, canonical, is_secret, without_password
from alertd.registry import Plugin, UnknownKindError, kinds, load
from alertd.settings.schema import written
from alertd.settings.values import FILE, Configured, KeyPath, Leaf

Model = TypeVar("Model", bound=BaseModel)

#: Problem and remedy for pydantic's error types, by the beginning of the type.
_WORDS: Final = {
    "bool": ("neither true nor false", "write true or false"),
    "int": ("not a whole number", "write a number such as 1"),
    "decimal": ("no number", "write a number such as 1.08"),
    "float": ("no number", "write a number such as 1.5"),
    "string": ("no text", "put it in quotes"),
    "time_delta": ("no duration", "write it as 60s, 5m, 1h30m or 2d"),
    "list": ("no list", 'write it as a,b or ["a","b"]'),
    "extra_forbidden": ("no such key in it", "leave it out"),
    "dict": ("no map", 'write it as a=1,b=2 or {"a":"1"}'),
}
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_INPUT: Final = re.compile(r"^(?:Input|String|Value|List|Dictionary) should ")


@dataclass(slots=True)
class Section:
    """A section, or one name in it, as it was written: `path` is its place, `leaves` are its keys."""

    path: KeyPath
    leaves: dict[str, Leaf]
    faults: list[Fault] = field(default_factory=list)
    #: Keys that were probably misspelt: a missing one of these is not a second fault.
    misspelt: set[str] = field(default_factory=set)
    #: Whether the user writes TOML, so that missing keys are named as in TOML.
    toml: bool = False

    def __post_init__(self) -> None:
        self.toml = any(leaf.toml for leaf in self.leaves.values())

    def place(self, key: str) -> str:
        """A key as the user wrote it, or would write it in the same place."""
        if key in self.leaves:
            return self.leaves[key].place
        return written((*self.path, key), toml=self.toml)

    def fault(self, key: str, problem: str, remedy: str = "") -> None:
        self.fault_at(self.place(key), problem, remedy)

    def fault_at(self, place: str, problem: str, remedy: str = "") -> None:
        self.faults.append(Fault(place, *(shortened(without_password(text)) for text in (problem, remedy))))

    def read(
        self, model: type[Model], context: Mapping[str, Any] | None = None, also: Iterable[str] = ()
    ) -> Model | None:
        """The part as a value of the model, or None with every fault recorded. `also`: keys that were read before."""
        before = len(self.faults)
        self.open_files(model.model_fields)
        fields = model.model_fields
        for key in [key for key in self.leaves if key not in fields]:
            meant = nearest(key, (*fields, *also))
            self.fault(key, "no such key", self._meant(key, meant, (*fields, *also)))
            self.misspelt |= {meant} if meant else set()
            del self.leaves[key]
        value = self._validated(model, context)
        return value if len(self.faults) == before else None

    def _validated(self, model: type[Model], context: Mapping[str, object] | None) -> Model | None:
        fields = model.model_fields
        try:
            return model.model_validate({key: leaf.value for key, leaf in self.leaves.items()}, context=context)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        for detail in details:
            self._record(detail, fields)
        for key in {str(detail["loc"][0]) for detail in details if detail["loc"]}:
            self.leaves.pop(key, None)
        return None

    def rest(self, model: type[Model], context: Mapping[str, Any] | None = None) -> Model | None:
        """The valid keys of a part with faults, so that references to it are still checked."""
        try:
            return model.model_validate({key: leaf.value for key, leaf in self.leaves.items()}, context=context)
        except ValidationError:
            return None

    def open_files(self, known: Collection[str]) -> None:
        """`token_file` sets `token` to the content of the file; the stronger layer wins, both in one are a fault."""
        for key in list(self.leaves):
            name = key.removesuffix(FILE)
            if name == key or key in known or name not in known:
                continue
            leaf, plain = self.leaves.pop(key), self.leaves.get(name)
            if plain and plain.layer == leaf.layer:
                self.fault_at(leaf.place, f"given beside {plain.place}", "keep one of them")
            elif not plain or plain.layer < leaf.layer:
                self._open(name, leaf)

    def _open(self, name: str, leaf: Leaf) -> None:
        self.leaves.pop(name, None)
        try:
            text = read_text(Path(str(leaf.value)), SECRET_BYTES).rstrip("\r\n")
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
        else:
            if text:
                self.leaves[name] = replace(leaf, value=text, is_content=True)
                return
            problem, remedy = f"{leaf.value} is empty", "write the value into it"
        self.fault_at(leaf.place, problem, remedy)
        self.leaves[name] = replace(leaf, value=_Unread())

    def _record(self, detail: ErrorDetails, fields: Mapping[str, FieldInfo]) -> None:
        key = str(detail["loc"][0]) if detail["loc"] else ""
        leaf = self.leaves.get(key)
        if (leaf and isinstance(leaf.value, _Unread)) or (detail["type"] == "missing" and key in self.misspelt):
            return  # already reported: its file could not be read, or its name is misspelt
        found = fields.get(key)
        secret = bool(key) and is_secret(key, found)
        # Redact before shortening, because a cut could leave a part of a secret.
        text = self._without_secrets(str(detail.get("ctx", {}).get("error", "")), fields)
        problem, remedy = _words(detail, found, text, secret=secret)
        if key:
            self.fault(key, problem, remedy)
        else:
            first = problem.partition(" ")[0]
            place = self.place(first) if first in fields else written(self.path, toml=self.toml)
            self.fault_at(place, problem, remedy)

    def _without_secrets(self, text: str, fields: Mapping[str, FieldInfo]) -> str:
        for key, leaf in self.leaves.items():
            if (leaf.is_content or is_secret(key, fields.get(key))) and str(leaf.value):
                plain = str(leaf.value)
                text = text.replace(plain, "***").replace(repr(plain)[1:-1], "***")
        return text

    def _meant(self, key: str, meant: str | None, fields: Collection[str]) -> str:
        if meant:
            return f"did you mean {written((*self.path, meant), toml=self.leaves[key].toml)}?"
        return f"there are: {', '.join(sorted(fields))}"


class _Unread:
    """The value of a file that could not be read; no field accepts it."""


def _words(detail: ErrorDetails, found: FieldInfo | None, text: str, *, secret: bool) -> tuple[str, str]:
    kind, means = detail["type"], (found.description or "" if found else "")
    if kind == "missing":
        return "required", f"write it as {found.examples[0]}" if found and found.examples else means
    if secret and not isinstance(detail.get("ctx", {}).get("error"), ValuelessError):
        return "not valid", means
    if kind == "value_error":
        problem, _, remedy = text.partition("; ")
        return problem, remedy or means
    if kind == "literal_error":
        return "none of its values", f"write {str(detail['ctx']['expected']).replace(chr(39), '')}"
    for bound, says in _BOUNDS.items():
        if bound in detail.get("ctx", {}):
            return f"must be {says} {detail['ctx'][bound]}", means
    general = _INPUT.sub("should ", detail["msg"]).replace("should be", "must be"), means
    return next((words for start, words in _WORDS.items() if re.match(rf"{start}(_type|_parsing|\Z)", kind)), general)


def read_plugin(group: str, part: Section, package: Path) -> Configured | None:
    """One plug-in's kind and options, or None with its faults recorded in `part`."""
    leaf = part.leaves.pop("kind", None)
    if leaf is None:
        known = kinds(group, package)
        part.fault("kind", "required", f"write {' or '.join(known)}" if known else f"there are no {group} yet")
        return None
    plugin = _load(group, str(leaf.value), part, leaf.place, package)
    if plugin is None:
        return None
    options = part.read(plugin.Options, also=("kind",))
    return None if options is None else Configured(canonical(str(leaf.value)).replace("-", "_"), options)


def _load(group: str, kind: str, part: Section, place: str, package: Path) -> Plugin | None:
    try:
        return load(group, kind, package)
    except UnknownKindError as error:
        part.fault_at(place, error.problem, error.remedy)
    except ModuleNotFoundError as error:
        part.fault_at(place, f"{kind} needs the package {error.name}", "install it beside alertd")
    return None


def check_hashed(
    actions: Mapping[str, Section], acting: Mapping[str, Configured], sources: Mapping[str, Configured]
) -> None:
    """Refuse actions that find or protect a key by a label that a source hashes."""
    hashing = {
        label: name
        for name, (_, options) in sources.items()
        if isinstance(options, SourceOptions)
        for label in options.hash_labels
    }
    for name, (_, options) in acting.items():
        if not isinstance(options, RevokerOptions):
            continue
        if options.label in hashing and not options.targets:
            problem = f"{hashing[options.label]} hashes {options.label}, and no provider finds a key by a hash"
            remedy = f"leave {options.label} out of its HASH_LABELS, or map hashes to ids in TARGETS"
            actions[name].fault("label", problem, remedy)
        for pattern in options.protect:
            label, sign, value = pattern.partition("=")
            if sign and label.strip() in hashing and not value.strip().startswith("h-"):
                problem = f"{pattern} protects no key: {hashing[label.strip()]} hashes {label.strip()}"
                actions[name].fault("protect", problem, "write the hash, which alertd check shows")


def check_fallbacks(parts: Mapping[str, Section]) -> None:
    """Check that every `fallback` names another notifier and that fallbacks form no circle."""
    next_of: dict[str, str] = {}
    for name, part in parts.items():
        leaf = part.leaves.get("fallback")
        if leaf is None:
            continue
        fallback = canonical(str(leaf.value))
        if fallback in parts:
            next_of[name] = fallback
        else:
            part.fault("fallback", f"no {fallback!r} in notifiers", one_of(fallback, parts.keys() - {name}))
    for name in next_of:
        way = [name]
        while (following := next_of.get(way[-1])) and following not in way:
            way.append(following)
        if following == name:
            parts[name].fault("fallback", f"goes in a circle: {' -> '.join([*way, name])}", "leave one of them out")
