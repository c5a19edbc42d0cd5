"""One part of the configuration against its model: values from files, unknown keys, and pydantic's errors as faults.

What is wrong with one key does not hide what is wrong with the next; no fault repeats a secret.
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

from alertd.core.faults import Fault, nearest, shortened
from alertd.options import is_secret, without_password
from alertd.settings.document import written
from alertd.settings.layers import FILE, KeyPath, Leaf
from alertd.wire.bounded import SECRET_BYTES, read_text

Model = TypeVar("Model", bound=BaseModel)

#: pydantic's words, by the beginning of its error's type, as problem and remedy.
_WORDS: Final = {
    "bool": ("neither true nor false", "write true or false"),
    "int": ("no whole number", "write a number such as 1"),
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
class Part:
    """A section, or one name of it, as it was written: `path` is where it stands, `leaves` its keys."""

    path: KeyPath
    leaves: dict[str, Leaf]
    faults: list[Fault] = field(default_factory=list)
    #: Keys that an unknown one was probably meant for: that they are missing is no second fault.
    misspelt: set[str] = field(default_factory=set)
    #: Whether its user writes TOML: how a key that is not there yet is named.
    toml: bool = False

    def __post_init__(self) -> None:
        self.toml = any(leaf.toml for leaf in self.leaves.values())

    def place(self, key: str) -> str:
        """A key as its user wrote it, or would write it beside what is there."""
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

    def _validated(self, model: type[Model], context: Mapping[str, Any] | None) -> Model | None:
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
        """What is sound of a part that had faults, so that what refers to it is checked all the same."""
        try:
            return model.model_validate({key: leaf.value for key, leaf in self.leaves.items()}, context=context)
        except ValidationError:
            return None

    def open_files(self, known: Collection[str]) -> None:
        """`token_file` gives `token` what the file holds; the stronger layer wins, both in one are a fault."""
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
                self.leaves[name] = replace(leaf, value=text)
                return
            problem, remedy = f"{leaf.value} is empty", "write the value into it"
        self.fault_at(leaf.place, problem, remedy)
        self.leaves[name] = replace(leaf, value=_Unread())

    def _record(self, detail: ErrorDetails, fields: Mapping[str, FieldInfo]) -> None:
        key = str(detail["loc"][0]) if detail["loc"] else ""
        leaf = self.leaves.get(key)
        if (leaf and isinstance(leaf.value, _Unread)) or (detail["type"] == "missing" and key in self.misspelt):
            return  # said already: its file could not be read, or its name is misspelt
        found = fields.get(key)
        secret = bool(key) and is_secret(key, found)
        # Before anything is cut out of it: a cut could go through a secret.
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
            if is_secret(key, fields.get(key)) and str(leaf.value):
                plain = str(leaf.value)
                text = text.replace(plain, "***").replace(repr(plain)[1:-1], "***")
        return text

    def _meant(self, key: str, meant: str | None, fields: Collection[str]) -> str:
        if meant:
            return f"did you mean {written((*self.path, meant), toml=self.leaves[key].toml)}?"
        return f"there are: {', '.join(sorted(fields))}"


class _Unread:
    """Stands for the value of a file that could not be read: nothing takes it."""


def _words(detail: ErrorDetails, found: FieldInfo | None, text: str, *, secret: bool) -> tuple[str, str]:
    kind, means = detail["type"], (found.description or "" if found else "")
    if kind == "missing":
        return "required", f"write it as {found.examples[0]}" if found and found.examples else means
    if secret:
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
