"""Declarations of a layout: how a file is recognised by its header, and what each column means.

A known layout is one file in `layouts` with a `LAYOUT`; docs/files.md says how one is added.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Final, Literal

from alertd.core.formats import layouts
from alertd.core.usage import Modifiers

#: One flat row of a JSON file: dotted names and the text of their values.
Flat = dict[str, str]
#: What a column is: see the functions below, one for each.
Role = Literal[
    "tokens",
    "requests",
    "money",
    "reported",
    "quantity",
    "unit",
    "meter",
    "token_total",
    "time",
    "end",
    "model",
    "provider",
    "account",
    "currency",
    "charge",
    "instance",
    "modifier",
    "label",
    "ignored",
]
#: What a layout's own money is: charged by a provider, or worked out by the gateway.
Money = Literal["billed", "reported"]

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: `Cost ($)` is cost_usd.
_SIGNS: Final = str.maketrans({"$": " usd ", "€": " eur ", "£": " gbp ", "%": " percent "})
#: `$ai_model` and `properties.$ai_model` are names of properties, not of dollars.
_VARIABLE: Final = re.compile(r"(?:^|(?<=\.))\$(?=[a-z_]+_)")
_MARKS: Final = re.compile(r"[\s\-./:()\[\]（）#@]+")


@dataclass(frozen=True, slots=True)
class Column:
    """What one column means. `name` is of a meter, label or modifier; `modifiers` refine a meter.

    A `part` of money counts only where the file has no total.
    `exclusive` input holds no cached token. `summed` columns of one meter add up, others repeat each other.
    """

    role: Role
    name: str = ""
    modifiers: Modifiers = ()
    exclusive: bool = False
    part: bool = False
    currency: str = ""
    summed: bool = False
    required: bool = False
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class Cells:
    """How a column of JSON adds to its row: the text of a cell as further columns.

    `names` are all that it may add; without them every row is read once before, to find its columns.
    """

    read: Callable[[str], Flat]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A file format by its header.

    `recognised_by` are columns that every file of it has (any spelling of case, blanks and marks). `includes` says
    which parts are within its totals: `cache` and `input_modality` in the input, `reasoning` and `output_modality` in
    the output; an empty set: none; None: the rows decide. `values` turns a column's words into ours. `others` is what
    an undeclared column means; one that counts tokens or money is a fault. `path` leads into a JSON document to its
    rows (`data[].results[]`), `carry` names fields of the objects on the way, `where` the values of the rows that
    count; `objects` turns objects into rows where a path is not enough.

    `a|b` in `recognised_by` is either. `cells` are columns of JSON, and what each adds to its row. Columns that begin
    with `counting` count, whatever they are called. With `one_cost` the file's other columns of money are other views
    of the same charge. `products` are columns that say what a charge is for, where a bill holds more than models.
    `spreadsheet`: cells are written for spreadsheets, an apostrophe before what would be a formula.
    """

    name: str
    title: str
    recognised_by: tuple[str, ...]
    columns: Mapping[str, Column]
    provider: str = ""
    currency: str = "USD"
    zone: str = "UTC"
    money: Money = "billed"
    includes: frozenset[str] | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    others: Literal["label", "ignored"] = "ignored"
    path: str = ""
    carry: tuple[str, ...] = ()
    objects: Callable[[Iterable[object]], Iterator[Flat]] | None = None
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cells: Mapping[str, Cells] = field(default_factory=dict)
    counting: str = ""
    one_cost: bool = False
    products: tuple[str, ...] = ()
    dates: Literal["dmy", "mdy"] | None = None
    note: str = ""
    spreadsheet: bool = False

    def fits(self, header: Iterable[str]) -> bool:
        """Whether a header (plain names) is of this layout."""
        names = set(header)
        return all(any(plain(each) in names for each in name.split("|")) for name in self.recognised_by)


def plain(name: str) -> str:
    """A column's name without case, blanks and marks: `Input Tokens` and `inputTokens` are input_tokens."""
    spelled = _VARIABLE.sub("", name.strip().strip("\ufeff")).translate(_SIGNS)
    return _MARKS.sub("_", _CAMEL.sub("_", spelled)).strip("_").lower()


def tokens(
    meter: str, *, exclusive: bool = False, summed: bool = False, rounded: bool = False, **modifiers: str
) -> Column:
    """A count of a meter; `exclusive` input has no cached tokens in it, `summed` ones add up with their like.

    `rounded`: it may have decimals, which are rounded.
    """
    refined = tuple(sorted(modifiers.items()))
    return Column("tokens", meter, refined, exclusive=exclusive, summed=summed, rounded=rounded)


def money(currency: str = "", *, part: bool = False, summed: bool = False, required: bool = False) -> Column:
    """Money that was charged; a `part` counts only where there is no total, a `required` one is never empty."""
    return Column("money", currency=currency, part=part, summed=summed, required=required)


def label(name: str) -> Column:
    """A column that becomes a label."""
    return Column("label", name)


def modifier(name: str) -> Column:
    """A column that a price depends on: tier, context, region, speed, batch, cache_ttl, modality."""
    return Column("modifier", name)


TIME: Final = Column("time")
END: Final = Column("end")
MODEL: Final = Column("model")
PROVIDER: Final = Column("provider")
ACCOUNT: Final = Column("account")
CURRENCY: Final = Column("currency")
METER: Final = Column("meter")
QUANTITY: Final = Column("quantity")
UNIT: Final = Column("unit")
CHARGE: Final = Column("charge")
INSTANCE: Final = Column("instance")
REQUESTS: Final = Column("requests", "requests")
TOKEN_TOTAL: Final = Column("token_total")
REPORTED: Final = Column("reported")
IGNORED: Final = Column("ignored")


def ignored(*names: str) -> dict[str, Column]:
    """Columns that are known and not read."""
    return dict.fromkeys(names, IGNORED)


def own_name(layout: Layout, name: str) -> str:
    """A plain name as the layout writes it: billedcost is billed_cost."""
    return name if name in layout.columns else _bare_names(layout.name).get(_bare(name), name)


@cache
def _bare_names(layout: str) -> Mapping[str, str]:
    found = next(one for one in known_layouts() if one.name == layout)
    return {_bare(name): name for name in found.columns}


def _bare(name: str) -> str:
    return name.replace("_", "")


@cache
def known_layouts() -> tuple[Layout, ...]:
    """Every layout, by name; a module may hold one LAYOUT or several LAYOUTS."""
    found: list[Layout] = []
    for module in pkgutil.iter_modules(layouts.__path__):
        loaded = import_module(f"{layouts.__name__}.{module.name}")
        found.extend(getattr(loaded, "LAYOUTS", None) or (loaded.LAYOUT,))
    return tuple(sorted(found, key=lambda layout: layout.name))


def recognised(header: Iterable[str]) -> Layout | None:
    """The layout of a header; if several fit, the one that requires the most columns."""
    names = {plain(name) for name in header}
    tables = [layout for layout in known_layouts() if not layout.path and not layout.objects]
    fitting = [layout for layout in tables if layout.fits(names)]
    if not fitting:  # a database writes BilledCost as billedcost
        bare = {_bare(name) for name in names}
        fitting = [
            layout
            for layout in tables
            if all(any(_bare(plain(one)) in bare for one in name.split("|")) for name in layout.recognised_by)
        ]
    return max(fitting, key=lambda layout: len(layout.recognised_by), default=None)
