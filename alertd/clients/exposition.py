"""Parse metrics pages (Prometheus text format, OpenMetrics). Lines end at LF only; a malformed line is skipped.

The time is linear in the page's length. Errors never quote a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isfinite
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_:][\w:.]*+", re.ASCII)
_STRING: Final = r'"((?:[^"\\]|\\.)*+)"'
#: A label, or a metric's own name in quotes; and what follows it.
_LABEL: Final = re.compile(
    rf"[ \t]*+(?:([A-Za-z_][\w.]*+)[ \t]*+=[ \t]*+{_STRING}|{_STRING}(?:[ \t]*+=[ \t]*+{_STRING})?)[ \t]*+([,}}])",
    re.ASCII | re.DOTALL,
)
_END: Final = re.compile(r"[ \t]*+\}")
_QUOTED_NAME: Final = re.compile(rf"\{{[ \t]*+{_STRING}[ \t]*+[,}}]", re.ASCII | re.DOTALL)
_NUMBER: Final = r"[-+]?(?:[\d.]++(?:[eE][-+]?\d++)?|[iI]nf(?:inity)?|[nN]a[nN])"
_VALUE: Final = re.compile(rf"[ \t]*+({_NUMBER})(?:[ \t]++({_NUMBER}))?[ \t\r]*+(?:#.*)?\Z", re.ASCII | re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
#: A longer label value is shortened to its beginning and a digest.
_LONGEST: Final = 4096
_KEPT: Final = 200
_MILLISECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page; `at` is its own timestamp in Unix seconds, where it has one."""

    name: str
    labels: dict[str, str]
    value: float
    at: float | None = None


@dataclass(slots=True)
class Page:
    """The samples that were asked for. `bad`: the numbers of the lines that should have been such, and are not."""

    samples: list[Sample] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    is_whole: bool = True
    has_metrics: bool = False


def read_page(body: bytes, names: Collection[str], *, openmetrics: bool) -> Page:
    """The samples of these names. `is_whole` is False for an OpenMetrics page without its end mark."""
    page = Page()
    unit = 1.0 if openmetrics else _MILLISECONDS
    ended = False
    for number, line in enumerate(body.decode("utf-8-sig", errors="replace").split("\n"), 1):
        if line.startswith("#"):
            ended = ended or line.rstrip() == "# EOF"
            continue
        match = _NAME.match(line)
        if match is None and not line.startswith("{"):
            continue
        if match is not None and match[0] not in names:
            page.has_metrics = page.has_metrics or _sample(line, 1.0) is not None
            continue
        sample = _sample(line, unit)
        if sample is None:
            page.bad.append(number)
        elif sample.name in names:
            page.samples.append(sample)
    page.has_metrics = page.has_metrics or bool(page.samples)
    page.is_whole = ended or not openmetrics
    return page


def names_on(body: bytes) -> Iterator[str]:
    """The names of all samples on a page, without those of buckets, counts and beginnings."""
    for line in body.decode(errors="replace").split("\n"):
        quoted = _QUOTED_NAME.match(line)
        match = None if line.startswith("#") else _NAME.match(line)
        name = _unescaped(quoted[1]) if quoted is not None else match[0] if match is not None else ""
        if name and not name.endswith(("_bucket", "_created", "_count")):
            yield name


def _sample(line: str, unit: float) -> Sample | None:
    match = _NAME.match(line)
    name, place = (match[0], match.end()) if match is not None else ("", 0)
    labels: dict[str, str] = {}
    while place < len(line) and line[place] in " \t":
        place += 1
    if line[place : place + 1] == "{":
        named, place = _labels(line, place + 1, labels)
        if place < 0 or (name and named):
            return None
        name = name or named
    tail = _VALUE.match(line, place)
    if tail is None or not name:
        return None
    try:
        value = float(tail[1])
        at = float(tail[2]) / unit if tail[2] is not None else None
    except ValueError:
        return None
    return None if at is not None and not isfinite(at) else Sample(name, labels, value, at)


def _labels(line: str, place: int, labels: dict[str, str]) -> tuple[str, int]:
    """The metric name inside the braces, its place, and the end of the labels; -1 for invalid labels."""
    named = ""
    while (end := _END.match(line, place)) is None:
        match = _LABEL.match(line, place)
        if match is None:
            return "", -1
        bare, value, quoted, quoted_value, closing = match.groups()
        if bare is None and quoted_value is None:
            named = _unescaped(quoted)
        else:
            key = bare if bare is not None else _unescaped(quoted)
            labels[key] = _bounded(_unescaped(value if bare is not None else quoted_value))
        place = match.end()
        if closing == "}":
            return named, place
    return named, end.end()


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text


def _bounded(value: str) -> str:
    if len(value) <= _LONGEST:
        return value
    return f"{value[:_KEPT]}…{blake2b(value.encode(errors='replace'), digest_size=8).hexdigest()}"
