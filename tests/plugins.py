"""Options for every plug-in, made from what its own `Options` says: a new file needs no row in any test."""

from __future__ import annotations

from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from alertd.registry import kinds, load

SECRET: Final = "S3CR3T-do-not-show"


def has_address(group: str, kind: str) -> bool:
    """Whether a kind takes a `url`: such a kind can be pointed at a server of the tests."""
    return "url" in load(group, kind).Options.model_fields


def addressed(group: str) -> list[str]:
    """The kinds of a group that take a `url`."""
    return [kind for kind in kinds(group) if has_address(group, kind)]


def options_at(group: str, kind: str, url: str) -> dict[str, Any]:
    """Options that point a kind at `url`: SECRET for its own secrets, an example for all else that it requires."""
    fields = load(group, kind).Options.model_fields
    base = {name for parent in load(group, kind).Options.__mro__[1:] for name in getattr(parent, "model_fields", {})}
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name == "url":
            given[name] = f"{url}/{SECRET}" if _is_secret(field) else url
        elif _is_secret(field) and (field.is_required() or name not in base):
            given[name] = SECRET
        elif field.is_required():
            assert field.examples, f"{group}/{kind}.py: give the required option {name} an example"
            given[name] = field.examples[0]
    return given


def _is_secret(field: FieldInfo) -> bool:
    return any(kind is SecretStr for kind in (field.annotation, *get_args(field.annotation)))
