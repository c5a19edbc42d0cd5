"""Find the meaning of every column of a file: by its layout, by options, by common names. Reads no row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from alertd.core.formats.figures import Decimals
from alertd.core.formats.layout import (
    IGNORED,
    METER,
    TIME,
    UNIT,
    Column,
    Layout,
    Role,
    known_layouts,
    label,
    own_name,
    plain,
    recognised,
)
from alertd.core.formats.names import IDENTITIES, TEXT, counts, meaning, meant
from alertd.core.formats.parts import Cached
from alertd.core.formats.table import FormatError, Table, named
from alertd.core.formats.times import DateOrder
from alertd.core.formats.words import TRAINING

#: Roles of which a file has one column: the first in the file's own order is read, others are labels.
_SINGLE: Final[frozenset[Role]] = frozenset(
    {"time", "end", "model", "provider", "account", "currency", "charge", "meter", "quantity", "unit", "instance"}
)
#: Which of several columns of one role is read.
_FIRST: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model", "response_model", "model_permaslug", "provided_model_name", "model_id", "slug"),
    "provider": ("custom_llm_provider", "provider", "litellm_provider"),
    "time": (
        "usage_start_time",
        "使用开始时间",
        "billing_date",
        "timestamp",
        "start_time_iso",
        "start_time",
        "start",
        "date",
    ),
    "end": ("end_time_iso", "end_time", "end"),
}  # fmt: skip
_FREE: Final = Layout(
    "free", "alertd's own layouts: a column per meter, one meter a row, or costs", (), {}, others="label"
)


@dataclass(frozen=True, slots=True)
class FileHints:
    """Hints about a file from a source's settings or a command's options.

    `month` is its first instant, for rows without a time. `columns` are own names -> known ones, `label` or `ignore`.
    """

    provider: str = ""
    account: str = ""
    currency: str = ""
    month: str = ""
    cached: Cached = "auto"
    decimals: Decimals | None = None
    dates: DateOrder | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = "file"


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """A column of the file: where it is, its name for messages, and what it means."""

    at: int
    name: str
    column: Column


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of one file by role, its layout, and remarks."""

    layout: Layout
    places: tuple[ColumnPlace, ...]
    notes: tuple[str, ...]

    def of(self, *roles: Role) -> tuple[ColumnPlace, ...]:
        """The columns of these roles."""
        return tuple(place for place in self.places if place.column.role in roles)

    def one(self, role: Role) -> ColumnPlace | None:
        """The column of a role, where there is one."""
        return next(iter(self.of(role)), None)


def plan_of(table: Table, said: FileHints) -> Plan:
    """Plan how to read a file from its columns. FormatError names every quantity column that is not understood."""
    layout = table.layout or recognised(table.header) or _FREE
    names = [plain(name) for name in table.header]
    if layout is not _FREE:
        names = [own_name(layout, name) for name in names]
    own = _own(said)
    own_names = frozenset(own)
    places: list[ColumnPlace] = []
    faults: list[str] = []
    left: dict[str, list[str]] = {"text": [], "identity": []}
    for at, (name, written) in enumerate(zip(names, table.header, strict=True)):
        column = own.pop(name, None) or layout.columns.get(name)
        if column is None and (layout is _FREE or (layout.counting and name.startswith(layout.counting))):
            column = meaning(name)
            if column is None and layout is not _FREE:
                faults.append(not_understood(written))
                continue
        if column is None:
            known = layout is not _FREE and (layout.one_cost or meaning(name) is IGNORED)
            if counts(name) and not known:
                faults.append(not_understood(written))
                continue
            if layout.others == "ignored" or not name:
                continue
            if name in TEXT or name in IDENTITIES:
                left["text" if name in TEXT else "identity"].append(written)
                continue
            column = label(written.strip().lower())
        elif column.role == "label" and not column.name:
            column = label(written.strip().lower())
        places.append(ColumnPlace(at, written.strip(), column))
    if own:
        faults.append(f"--columns names {named(own)}, which the file does not have")
    if layout is _FREE:
        faults.extend(_ambiguous(names, places, own_names))
    if faults:
        raise FormatError(faults)
    chosen = _chosen(places, layout)
    _require(chosen, table, said)
    return Plan(layout, tuple(chosen), tuple(_notes(layout, left)))


def is_header(cells: Iterable[str]) -> bool:
    """Whether a line is a header that is understood: a known layout's, or names of a time and a figure."""
    listed = list(cells)
    if recognised(listed) is not None:
        return True
    roles = {column.role for name in listed if (column := meaning(plain(name)))}
    return bool(roles & {"time", "end"}) and bool(roles & {"tokens", "money", "quantity", "requests"})


def _own(said: FileHints) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for name, word in said.columns.items():
        column = meant(word)
        if column is None:
            raise FormatError(f"--columns: {named([word])} is no known column; name one, or label, or ignore")
        found[plain(name)] = column
    return found


def _ambiguous(names: Iterable[str], places: Iterable[ColumnPlace], said: frozenset[str]) -> Iterable[str]:
    """A column `amount` beside a price or a unit and without a currency: it may be of tokens or of money."""
    roles = {place.column.role for place in places}
    if "currency" in roles or not ({"meter", "unit"} & roles or _PRICES & set(names)):
        return
    for place in places:
        name = plain(place.name)
        if place.column.role == "money" and name in {"amount", "total_amount"} and name not in said:
            yield (
                f"column {place.name} may be money, or a quantity: say which (--columns '{place.name}=cost' or"
                f" --columns '{place.name}=quantity')"
            )


#: What a price of one is called: an amount beside it may be a quantity.
_PRICES: Final = frozenset({"price", "unit_price", "price_per_token", "price_per_unit", "rate"})


def _chosen(places: Iterable[ColumnPlace], layout: Layout) -> list[ColumnPlace]:
    """For a role that a file has once, the best known of several columns; the others become labels or are ignored."""
    kept: list[ColumnPlace] = []
    by_role: dict[Role, list[ColumnPlace]] = {}
    for place in places:
        if place.column.role in _SINGLE:
            by_role.setdefault(place.column.role, []).append(place)
        else:
            kept.append(place)
    for role, found in by_role.items():
        order = _FIRST.get(role, ())

        def rank(place: ColumnPlace, order: tuple[str, ...] = order) -> int:
            name = plain(place.name)
            return order.index(name) if name in order else len(order)

        found.sort(key=rank)
        kept.append(found[0])
        if layout.others == "label" and role in {"provider", "account"}:
            kept.extend(ColumnPlace(one.at, one.name, label(one.name.lower())) for one in found[1:])
    roles = {place.column.role for place in kept}
    if "end" in roles and "time" not in roles:
        kept = [ColumnPlace(one.at, one.name, TIME) if one.column.role == "end" else one for one in kept]
    if layout is _FREE:
        kept = [_in_free(place, roles) for place in kept]
    return sorted(kept, key=lambda place: place.at)


def _in_free(place: ColumnPlace, roles: set[Role]) -> ColumnPlace:
    """Columns that only a quantity gives a meaning: a meter and a unit."""
    if place.column in (METER, UNIT) and "quantity" not in roles:
        return ColumnPlace(place.at, place.name, label(place.name.lower()))
    if place.column.role == "quantity" and not {"meter", "instance"} & roles:
        return ColumnPlace(place.at, place.name, IGNORED)
    return place


def _require(places: Iterable[ColumnPlace], table: Table, said: FileHints) -> None:
    """Check that the file has a quantity or money, and a time. FormatError otherwise."""
    roles = {place.column.role for place in places}
    counted = bool(roles & {"tokens", "quantity", "requests"}) and bool(roles & {"model", "instance"})
    if not counted and not roles & {"money", "reported"}:
        raise FormatError(_no_layout(table, roles))
    if "time" not in roles and not said.month:
        raise FormatError(
            "no column of times: name one timestamp or date, say which it is (--columns NAME=timestamp),"
            " or which month the rows are of (--period 2026-11)"
        )


def _no_layout(table: Table, roles: set[Role]) -> str:
    wanted = (
        "wanted are date, provider, model with a column per meter (input_tokens, output_tokens, ...)"
        " or with meter, quantity; or date and cost; `alertd formats` lists the known layouts"
    )
    if not table.header:
        return f"the file is empty; {wanted}"
    found = [name for name in table.header if meaning(plain(name))]
    near = _nearest(table)
    if not found:
        return f"none of its {len(table.header)} columns has a known name, so nothing of it is read; {wanted}{near}"
    lacks = "" if roles & {"model"} or not roles & {"tokens"} else ", but no model"
    return f"its columns {named(found)} are no usage and no cost{lacks}; {wanted}{near}"


def _nearest(table: Table) -> str:
    """The known layout that misses the fewest columns, if the file has most of them."""
    names = {plain(name) for name in table.header}
    for layout in known_layouts():
        needed = {plain(name) for name in layout.recognised_by}
        lacking = needed - names
        if needed and 0 < len(lacking) <= len(needed) // 3:
            return f"; it looks like {layout.title}, without {named(sorted(lacking))}"
    return ""


def not_understood(name: str) -> str:
    """The fault of a column that counts by its name and has no known meaning."""
    shown = named([name])
    own = name.strip()[:60] if shown == name.strip() else "NAME"
    words = set(plain(name).split("_"))
    if words & _SCALED:
        return (
            f"column {shown} counts tokens or money in a unit of its own: write whole tokens or whole amounts into a"
            f" column with a known name, and leave this one out (--columns '{own}=ignore')"
        )
    likely = "cost" if not words & _TOKENS else "output_tokens" if words & _OUTPUT else "input_tokens"
    others = ", ".join(f"...={one}" for one in ("cost", "input_tokens", "label") if one != likely)
    return (
        f"column {shown} counts tokens or money and is not understood: say what it is"
        f" (--columns '{own}={likely}', {others} or ...=ignore)"
    )


_SCALED: Final = frozenset(
    {"cents", "micros", "microdollars", "millicents", "nano", "nanos", "k", "m", "thousand", "thousands", "million"}
    | {"millions", "mtok", "ktok", "mtokens", "ktokens"}
)
_TOKENS: Final = frozenset({"token", "tokens", "cache", "cached", "input", "output", "prompt", "completion", "units"})
_OUTPUT: Final = frozenset({"output", "completion", "completions", "generated", "out", "reasoning", "response"})


def _notes(layout: Layout, left: Mapping[str, list[str]]) -> Iterable[str]:
    if layout is not _FREE:
        yield f"read as {layout.title}"
        if layout.note:
            yield layout.note
    if left["text"]:
        yield f"columns of free text are never labels: {named(left['text'])} left out"
    if left["identity"]:
        yield f"columns that name each row are no labels: {named(left['identity'])} left out"


def refines_training(name: str) -> bool:
    """Whether a label refines the tokens of a training job."""
    return name in TRAINING
