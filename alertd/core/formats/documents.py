"""JSON as a table: objects are unfolded to flat rows, by a known layout's path or by where their rows are.

Values stay the text that the file has. Lists within a row are parts of it, and not read beside its own counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from alertd.core.formats.layout import Flat, Layout, known_layouts, plain
from alertd.core.formats.names import meaning
from alertd.core.formats.table import FormatError, Opened, Table

Objects = Callable[[], Iterator[object]]

#: The first objects of a file, by which its layout is recognised.
_SAMPLE: Final = 400
#: Where documents keep their rows.
_ROWS: Final = ("data", "results", "rows", "items", "records", "usage", "entries", "logs", "value", "daily", "costs")
_SEPARATOR: Final = "."


def decoded(text: str) -> object:
    """A JSON value with its numbers as text, exactly as written. Raises ValueError."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_constant)


def _no_constant(_: str) -> str:
    return ""


def unfolded(name: str, objects: Objects) -> Table:
    """The rows of JSON objects (the lines of a file, the items of a list, or one document) as a table. FormatError."""
    sample = list(islice(objects(), _SAMPLE))
    if not any(isinstance(one, dict) for one in sample):
        raise FormatError("is JSON without any object: nothing to read")
    layout = _layout(sample)
    rows = _by_layout(layout, objects) if layout else _anyhow(objects, sample)
    header: dict[str, None] = {}
    for row in rows():
        header.update(dict.fromkeys(row))
    return Table(name, tuple(header), lambda: _opened(rows, tuple(header)), layout=layout, lacks=_lacks(sample))


def _lacks(sample: Sequence[object]) -> str:
    """What is missing where the last answer in the file says that more pages follow."""
    last = next((one for one in reversed(sample) if isinstance(one, dict)), {})
    if last.get("has_more") is True and len(sample) < _SAMPLE:
        return "its last answer says that more pages follow (has_more), which are not in the file"
    return ""


def _opened(rows: Callable[[], Iterator[Flat]], header: Sequence[str]) -> Opened:
    line = 0

    def read() -> Iterator[Sequence[str]]:
        nonlocal line
        for line, row in enumerate(rows(), start=1):  # noqa: B007 - returned by the other function
            yield [row.get(name, "") for name in header]

    return read(), lambda: line


def _layout(sample: Sequence[object]) -> Layout | None:
    """The layout whose rows are found in the objects; if several fit, the one that requires the most columns."""
    fitting = []
    for layout in known_layouts():
        if not layout.path and layout.objects is None:
            continue
        names = {plain(name) for row in islice(_by_layout(layout, lambda: iter(sample))(), _SAMPLE) for name in row}
        if names and layout.fits(names):
            fitting.append(layout)
    return max(fitting, key=lambda layout: len(layout.recognised_by), default=None)


def _by_layout(layout: Layout, objects: Objects) -> Callable[[], Iterator[Flat]]:
    if layout.objects is not None:
        unfold = layout.objects
        return lambda: unfold(objects())
    return lambda: (row for one in objects() for row in at_path(one, layout.path, layout.carry) if _wanted(layout, row))


def _wanted(layout: Layout, row: Mapping[str, str]) -> bool:
    return all(row.get(name, "") in words for name, words in layout.where.items())


def at_path(value: object, path: str, carry: Sequence[str] = ()) -> Iterator[Flat]:
    """The rows at a path such as `data[].results[]`; `carry` are fields of the objects on the way, kept in each row."""
    steps = path.split(_SEPARATOR) if path else []
    yield from _walk(value, steps, {}, frozenset(carry))


def _walk(value: object, steps: Sequence[str], carried: Flat, carry: frozenset[str]) -> Iterator[Flat]:
    if not steps:
        if isinstance(value, dict):
            yield {**carried, **flat(value)}
        return
    if not isinstance(value, dict):
        return
    own = {name: text for name, text in flat(value).items() if name in carry}
    step, rest = steps[0], steps[1:]
    if step.startswith("{}"):
        for key, inner in value.items():
            for one in inner if step.endswith("[]") and isinstance(inner, list) else (inner,):
                yield from _walk(one, rest, {**carried, **own, "key": str(key)}, carry)
        return
    inner = value.get(step.removesuffix("[]"))
    for one in inner if step.endswith("[]") and isinstance(inner, list) else (inner,):
        yield from _walk(one, rest, {**carried, **own}, carry)


def flat(value: Mapping[str, object], prefix: str = "", *, lists: bool = False) -> Flat:
    """An object's values by dotted names; lists are left out, or stay JSON."""
    found: Flat = {}
    for name, inner in value.items():
        full = f"{prefix}{name}"
        if isinstance(inner, dict):
            found.update(flat(inner, f"{full}{_SEPARATOR}", lists=lists))
        elif isinstance(inner, str):
            found[full] = inner
        elif isinstance(inner, bool):
            found[full] = "true" if inner else "false"
        elif inner is None:
            found[full] = ""
        elif lists and isinstance(inner, list):
            found[full] = json.dumps(inner)
    return found


def _anyhow(objects: Objects, sample: Sequence[object]) -> Callable[[], Iterator[Flat]]:
    """Rows of an unknown document: its objects, or the list among its values that holds objects."""
    first = next(one for one in sample if isinstance(one, dict))
    if len(sample) == 1 and not _counts(flat(first)) and (place := _place_of_rows(first)):
        return lambda: (row for one in objects() for row in _rows(one.get(place)) if isinstance(one, dict))  # type: ignore[attr-defined]
    return lambda: (row for one in objects() for row in _rows([one]))


def _place_of_rows(document: Mapping[str, object]) -> str:
    lists = [
        name
        for name, value in document.items()
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    ]
    known = [name for name in _ROWS if name in lists]
    return next(iter(known or lists), "")


def _rows(values: object) -> Iterator[Flat]:
    """Objects as rows; an object without counts is replaced by the rows of the list in it that has them."""
    for one in values if isinstance(values, list) else ():
        if not isinstance(one, dict):
            continue
        own = flat(one, lists=True)
        parts = [] if _counts(own) else [part for part in _lists(one) if any(_counts(flat(each)) for each in part)]
        if not parts:
            yield own
            continue
        for each in parts[0]:
            yield {**own, **flat(each)}


def _lists(value: Mapping[str, object]) -> Iterable[list[dict[str, object]]]:
    for inner in value.values():
        if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            yield inner


def _counts(row: Mapping[str, str]) -> bool:
    return any((found := meaning(plain(name))) is not None and found.role in {"tokens", "money"} for name in row)
