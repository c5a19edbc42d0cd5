"""Every key of the configuration, read from the models: for the documentation and `alertd kinds`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from alertd.core.budgets import Amount, Where, duration_text
from alertd.core.periods import QuietHours
from alertd.plugin_options import NotifierOptions, RevokerOptions, SourceOptions
from alertd.registry import GROUPS, PACKAGE, kinds, load
from alertd.settings.schema import DEPTHS, NAMED, BudgetOptions, CommitmentOptions, Document, written

_NAME: Final = "<name>"
_TYPES: Final[Mapping[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    Decimal: "number",
    bool: "true or false",
    timedelta: "duration",
    Path: "path",
    SecretStr: "secret",
    ZoneInfo: "time zone",
    Amount: "amount",
    Where: "patterns by label",
    QuietHours: "hours",
    list: "list",
    tuple: "list",
    dict: "map",
    Mapping: "map",
}
#: The options that every kind of a section has.
_SHARED: Final[Mapping[str, type[BaseModel]]] = {
    "sources": SourceOptions,
    "notifiers": NotifierOptions,
    "actions": RevokerOptions,
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its variable, type, default as text, and meaning; `kind` is set if only that kind has the key."""

    name: str
    type: str
    default: str
    description: str
    required: bool = False
    secret: bool = False
    examples: tuple[str, ...] = ()
    kind: str = ""


def describe(package: Path = PACKAGE) -> tuple[Key, ...]:
    """Every key of the configuration, those of every kind of source, notifier and action included."""
    own = (key for name in Document.model_fields for key in _section(name))
    shared = (key for section, model in _SHARED.items() for key in _shared(section, model))
    plugins = (
        key
        for section, group in GROUPS.items()
        for kind in kinds(group, package)
        for key in options_of(section, kind, package)
    )
    return (*own, *shared, *plugins)


def _shared(section: str, model: type[BaseModel]) -> Iterator[Key]:
    what = f"Its kind; `alertd kinds {GROUPS[section]}` lists the kinds"
    yield Key(written((section, _NAME, "kind")), "text", "", what, required=True)
    yield from _keys(model, (section, _NAME))


def options_of(section: str, kind: str, package: Path = PACKAGE) -> tuple[Key, ...]:
    """The keys of one kind of `sources`, `notifiers` or `actions`, `kind` first."""
    path = (section, _NAME)
    first = Key(written((*path, "kind")), "text", "", f"Its kind: {kind}", required=True, examples=(kind,), kind=kind)
    return (first, *_keys(load(GROUPS[section], kind, package).Options, path, kind))


def _section(name: str) -> Iterator[Key]:
    field = Document.model_fields[name]
    if name == "budgets":
        yield from _keys(BudgetOptions, (name, _NAME))
    elif name == "commitments":
        yield from _keys(CommitmentOptions, (name, _NAME))
    elif name == "fx":
        yield _key(("fx", "<from>_<to>"), field)
    elif DEPTHS[name] == 1:
        yield _key((name,), field)
    elif DEPTHS[name] < NAMED and isinstance(field.annotation, type):
        yield from _keys(field.annotation, (name,))


def _keys(model: type[BaseModel], path: tuple[str, ...], kind: str = "") -> Iterator[Key]:
    for name, field in model.model_fields.items():
        yield _key((*path, name.rstrip("_")), field, kind)


def _key(path: tuple[str, ...], field: FieldInfo, kind: str = "") -> Key:
    extra = field.json_schema_extra
    takes = extra.get("takes") if isinstance(extra, dict) else None
    words = str(takes) if takes else type_text(field.annotation)
    return Key(
        name=written(path),
        type=words,
        default=_default(field),
        description=field.description or "",
        required=field.is_required(),
        secret=words == "secret",
        examples=tuple(map(str, field.examples or ())),
        kind=kind,
    )


def type_text(annotation: Any) -> str:
    """The type of a key in words: `duration`, `list`, `weekly, daily or off`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return type_text(get_args(annotation)[0])
    if origin is Literal:
        *some, last = map(str, get_args(annotation))
        return f"{', '.join(some)} or {last}" if some else last
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_text(part) for part in get_args(annotation) if part is not NoneType))
    if isinstance(origin or annotation, type) and issubclass(origin or annotation, BaseModel):
        return "map"
    return _TYPES.get(origin or annotation, getattr(origin or annotation, "__name__", "text"))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined and field.default_factory is None:
        return ""
    return default_text(field.get_default(call_default_factory=True, validated_data={}))


def default_text(value: object) -> str:
    """A default as the user would write it; "" without a default."""
    text = str(value)
    match value:
        case None | Where() | BaseModel() | [] | () | {}:
            text = ""
        case bool():
            text = text.lower()
        case timedelta():
            text = duration_text(value)
        case (str(host), int(port)):
            text = f"{host}:{port}"
        case list() | tuple() | dict():
            text = json.dumps(value, default=str)
    return text
