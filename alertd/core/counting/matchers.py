"""Matchers and selectors of PromQL as values, read leniently, written strictly; no user text reaches a query raw."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from warnings import catch_warnings

_LABEL: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_MATCHER: Final = re.compile(
    rf"\s*(?P<label>{_LABEL})\s*(?P<operator>=~|!~|!=|=)\s*"
    r"(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s,\"'{}]+))\s*(?:,|\Z)"
)
_SELECTOR: Final = re.compile(r"\s*(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)?\s*(?P<matchers>\{.*\})?\s*\Z", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t"}
_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label. `str` is PromQL, with the value quoted."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{quoted}"'

    def admits(self, value: str) -> bool:
        """Whether a label with this value meets the condition."""
        if "~" in self.operator:
            with catch_warnings(action="ignore"):
                equal = re.fullmatch(self.value, value) is not None
        else:
            equal = value == self.value
        return equal is not self.operator.startswith("!")


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """`{job="gateway",team=~"a|b"}`, with or without braces and quotes. ValueError with the place of a fault."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    found: list[Matcher] = []
    place = 0
    while inner[place:].strip():
        match = _MATCHER.match(inner, place)
        if match is None:
            raise ValueError(f'{inner[place:].strip()!r} is no matcher; write it as {{job="gateway",team=~"a|b"}}')
        found.append(Matcher(match["label"], match["operator"], _value(match)))
        _is_expression(found[-1])
        place = match.end()
    return tuple(found)


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """`name{label="value"}` as matchers, the name among them. ValueError where it is more than a selector."""
    match = _SELECTOR.match(text)
    if match is None or not (match["name"] or match["matchers"]):
        raise ValueError(
            f'{text!r} is no selector of raw counters; write name{{label="value"}} without functions and ranges:'
            " alertd adds up itself, exactly"
        )
    named = (Matcher("__name__", "=", match["name"]),) if match["name"] else ()
    matchers = (*named, *parse_matchers(match["matchers"] or ""))
    if not any(m.operator in {"=", "=~"} and m.value for m in matchers):
        raise ValueError(f"{text!r} would select every series; name a metric")
    return matchers


def any_of(label: str, values: Iterable[str]) -> Matcher:
    """A label that has one of these values, literally."""
    given = sorted(set(values))
    if len(given) == 1:
        return Matcher(label, "=", given[0])
    return Matcher(label, "=~", "|".join(_SPECIAL.sub(r"\\\1", value) for value in given))


def selector(matchers: Iterable[Matcher]) -> str:
    """The matchers as a PromQL selector."""
    return "{" + ",".join(map(str, matchers)) + "}"


def _value(match: re.Match[str]) -> str:
    if match["bare"] is not None:
        return match["bare"]
    quoted = match["double"] if match["double"] is not None else match["single"]
    return _ESCAPED.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)


def _is_expression(matcher: Matcher) -> None:
    if "~" in matcher.operator:
        try:
            with catch_warnings(action="ignore"):  # of what Python may read otherwise one day, Prometheus knows nothing
                re.compile(matcher.value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{matcher}: {matcher.value!r} is no regular expression: {error}") from None
