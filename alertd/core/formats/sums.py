"""The loop over a file's rows. Rows with equal keys are added up, so that memory grows only with series and minutes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from operator import add, itemgetter
from typing import Final

from alertd.core.formats.figures import NumberReader, exact_amount, is_nothing, proves_point
from alertd.core.formats.parts import INPUT, Parts, Seen, Slot, Token
from alertd.core.formats.plan import ColumnPlace, Plan
from alertd.core.formats.table import FormatError, Table
from alertd.core.formats.times import Times
from alertd.core.money import LARGEST
from alertd.core.usage import LARGEST_EXPONENT

#: What a group of rows has in common: its cut start, its cut end, and its other cells.
Key = tuple[str, str, tuple[str, ...]]
#: More than this of one kind is no list that anybody reads.
_FAULTS: Final = 20
#: What spreadsheets write in the row that adds up the others.
_TOTALS: Final = re.compile(
    r"(?:grand |sub|sub-)?totals?(?: g[ée]n[ée]ral| amount| costs?| usage| spend| usd| eur| gbp| tokens)?|sum"
    r"|(?:overall|column) totals?|totals? overall|summen?|(?:end|zwischen)summe|gesamt(?:summe|betrag|kosten)?"
    r"|insgesamt|somme|ensemble|totale?(?: complessivo| generale| general| geral)?|totales|totaux|totali|totais"
    r"|sous-total"
    r"|subtotale?|suma(?: total)?|soma|razem|łącznie|ogółem|totaal|subtotaal|totalt|summa|samlet|i alt|yhteensä|celkem"
    r"|celkom|součet|összesen|toplam|genel toplam|итого|всего|сумма|разом|усього|всього|σύνολο|jumlah|tổng(?: cộng)?"
    r"|合计|总计|小计|合計|總計|総計|小計|총계|합계|소계|المجموع|الإجمالي|סה[\"״]?כ|कुल|รวม",
    re.IGNORECASE,
)
#: As spreadsheets and pivot tables name the total of a part: Total for November, Total (3 models), gpt-4o Total.
_TOTAL_OF: Final = re.compile(
    r"(?:grand |sub-?)?totals?\b.*|(?:gesamt)?(?:summe|ergebnis)\b.*"
    r"|(?P<name>.*\S)[ :–-]+(?:sub-?totals?|totals?|ergebnis|summe)",
    re.IGNORECASE,
)
#: What may be the row of all models, and may be a name: such a row is left out where it is the others' sum.
_ALL: Final = re.compile(
    r"all(?: models?| teams?| users?| keys?)?|everything|overall|alle(?: modelle)?|tous|todos|tutti|全部"
)
#: Whether a gateway's own cache answered, in a column `cached`: no count.
_HIT: Final = frozenset({"true", "false", "yes", "no"})
_MARKS: Final = str.maketrans("", "", "():*")
_ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.01")
_LARGEST: Final = 10**LARGEST_EXPONENT
_MOST_TIMES: Final = 200_000


@dataclass(slots=True)
class RowGroup:
    """The sums of the rows with an equal key. `money` is by column and by the currencies that its sign may mean."""

    line: int
    counts: list[int]
    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    money: dict[tuple[int, tuple[str, ...]], Decimal] | None = None
    seen: Seen | None = None

    def add_money(self, at: int, currencies: tuple[str, ...], amount: Decimal) -> None:
        """Add an amount of a column, in what its sign may mean."""
        if self.money is None:
            self.money = {}
        self.money[at, currencies] = self.money.get((at, currencies), _ZERO) + amount

    def is_sum(self, others: Sequence[RowGroup]) -> bool:
        """Whether this row has the sum of some others, money to the cent; a row without any figure has it of none."""
        if not others or not (any(self.counts) or self.quantity or self.money):
            return False
        money: dict[tuple[int, tuple[str, ...]], Decimal] = {}
        for one in others:
            for key, amount in (one.money or {}).items():
                money[key] = money.get(key, _ZERO) + amount
        own = self.money or {}
        counted = [sum(column) for column in zip(*(one.counts for one in others), strict=True)]
        return (
            all(abs(own.get(key, _ZERO) - money.get(key, _ZERO)) <= _CENT for key in own)
            and all(n in {0, total} for n, total in zip(self.counts, counted, strict=True))
            and self.quantity in {_ZERO, sum((one.quantity for one in others), _ZERO)}
        )


@dataclass(slots=True)
class FileSums:
    """Everything that the rows of a file add up to."""

    groups: dict[Key, RowGroup] = field(default_factory=dict)
    rows: int = 0
    skipped: int = 0
    totals: int = 0
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0

    def fault(self, text: str) -> None:
        """Keep a fault, or count it."""
        if len(self.faults) < _FAULTS:
            self.faults.append(text)
        else:
            self.more_faults += 1

    def raise_faults(self) -> None:
        """Raise FormatError if faults were collected."""
        if self.faults:
            more = [f"and {self.more_faults} more lines with faults"] if self.more_faults else []
            raise FormatError([*self.faults, *more])


class RowReader:
    """Reads the rows of one file by its columns."""

    def __init__(self, plan: Plan, figures: NumberReader, times: Times, *, has_month: bool = False) -> None:
        self.plan, self.figures, self.times, self._has_month = plan, figures, times, has_month
        self.counted = plan.of("tokens", "requests", "token_total")
        self.dims = plan.of(
            "model", "provider", "account", "meter", "currency", "charge", "instance", "unit", "modifier", "label"
        )
        self.money = plan.of("money", "reported")
        self.quantity = plan.one("quantity")
        total = next((n for n, one in enumerate(self.counted) if one.column.role == "token_total"), None)
        tokens = [
            Token(n, _plain(one), (one.column.name, one.column.modifiers), one.column.exclusive)
            for n, one in enumerate(self.counted)
            if one.column.role == "tokens"
        ]
        self.parts = Parts(tokens, total, plan.layout.includes)
        self._twice = _repeated(tokens, self.counted)
        self._width = 1 + max((one.at for one in plan.places), default=0)
        totals = [one for one in self.money if not one.column.part and not one.column.summed]
        self._money_twice = totals if len(totals) > 1 else []

    def sums(  # noqa: PLR0912, PLR0915 - the one hot loop: a call a row costs as much as the row
        self, table: Table, keep: Callable[[Sequence[str]], bool] | None = None
    ) -> FileSums:
        """The sums of a table's rows. Faults of rows are collected, each with its line."""
        sums = FileSums()
        groups, cuts, times, cut = sums.groups, dict[str, str](), self.times, self.times.cut
        rows, line_of = table.opened()
        cells = _getter([one.at for one in self.dims])
        counted = _getter([one.at for one in self.counted])
        time, end = self.plan.one("time"), self.plan.one("end")
        time_at, end_at = (time.at if time else -1), (end.at if end else -1)
        width, twice, is_open = self._width, bool(self._twice), self.parts.open
        money, quantity, numbers = bool(self.money), self.quantity is not None, len(self.counted)
        plain_at = self.money[0].at if len(self.money) == 1 and self.figures.decimals == "point" else -1
        no_point = "point" not in self.figures.seen
        needed = 1 + max((one.at for one in (*self.counted, *self.money)), default=-1)
        short: list[int] = []
        for row in rows:
            if len(row) < width:
                if not any(row):
                    continue
                if len(row) < needed:
                    short.append(sums.rows)
                row = [*row, *[""] * (width - len(row))]  # noqa: PLW2901 - spreadsheets leave empty cells out
            if keep is not None and not keep(row):
                sums.skipped += 1
                continue
            sums.rows += 1
            try:
                start = ends = ""
                if time_at >= 0:
                    text = row[time_at]
                    if times.has_seconds and text[13:14] == ":":
                        start = cut(text)
                    else:
                        start = cuts.get(text) or cuts.setdefault(text, cut(text.strip()))
                if end_at >= 0 and (text := row[end_at]):
                    if times.has_seconds and text[13:14] == ":":
                        ends = cut(text)
                    else:
                        ends = cuts.get(text) or cuts.setdefault(text, cut(text.strip()))
                key = (start, ends, cells(row))
                group = groups.get(key)
                if group is None:
                    if is_total(start) or (not start and time_at >= 0 and any(map(is_total, row))):
                        sums.totals += 1
                        continue
                    if not start and time_at >= 0 and any(row):
                        self._needs_time(row)
                    group = groups[key] = RowGroup(line_of(), [0] * numbers)
                if numbers:
                    try:
                        values = [int(cell) if cell else 0 for cell in counted(row)]
                    except ValueError:
                        values = self._whole(counted(row), line_of())
                    if twice:
                        self._once(values, counted(row), group, line_of)
                    if is_open:
                        group.seen = group.seen or Seen()
                        self.parts.observe(values, group.seen, line_of())
                    group.counts = list(map(add, group.counts, values))
                if quantity:
                    self._add_quantity(row, group, line_of)
                if plain_at >= 0:
                    text = row[plain_at]
                    try:
                        group.cost += Decimal(text)
                    except InvalidOperation:
                        self._add_money(row, group, line_of)
                    else:
                        if no_point and "." in text:
                            no_point = not proves_point(text)
                            self.figures.seen.setdefault("either." if no_point else "point", f"line {line_of()}")
                elif money:
                    self._add_money(row, group, line_of)
            except ValueError as error:
                sums.fault(f"line {line_of()}: {error}")
            if len(cuts) > _MOST_TIMES:
                cuts.clear()
        if sums.rows > 1 and short == [sums.rows - 1]:
            sums.fault(f"line {line_of()}: the file ends inside this row: its header has more columns. Export it again")
        for group in groups.values():
            if any(abs(n) >= _LARGEST for n in group.counts):
                sums.fault(f"line {group.line}: tokens are more than any quantity")
            if not group.cost.is_finite() or abs(group.cost) >= LARGEST:
                sums.fault(f"line {group.line}: column {self.money[0].name} is more than any bill, or no number")
            elif group.cost:
                group.add_money(plain_at, (), group.cost)
        return sums

    def _needs_time(self, row: Sequence[str]) -> None:
        """A row without a time that counts something is a fault, unless the month was said."""
        if not self._has_month and any(row[one.at].strip() not in {"", "0"} for one in (*self.counted, *self.money)):
            raise ValueError("no time; say which month it was (--period 2026-11)")

    def _whole(self, cells: Sequence[str], line: int) -> list[int]:
        found = []
        for cell, place in zip(cells, self.counted, strict=True):
            text = cell.strip()
            if is_nothing(text) or (text.lower() in _HIT and _plain(place) == "cached"):
                found.append(0)
            elif text.isdecimal() and text.isascii() and len(text) <= LARGEST_EXPONENT:
                found.append(int(text))
            elif place.column.rounded:
                exact = exact_amount(text) if self.figures.decimals == "point" else None
                found.append(round(exact or self.figures.number(text, place.name, f"line {line}")))
            else:
                found.append(self.figures.whole(text, place.name, f"line {line}"))
        return found

    def _once(self, values: list[int], cells: Sequence[str], group: RowGroup, line_of: Callable[[], int]) -> None:
        """Several columns of one meter count once. ValueError if they differ."""
        for places in self._twice:
            first = -1
            for n in places:
                if not cells[n].strip():
                    continue
                if first < 0:
                    first = n
                elif values[n] == values[first]:
                    values[n] = 0
                elif self._is_input(n) and self._cached(values):
                    self._settle_input(values, (first, n), group, line_of())
                else:
                    raise self._unequal(first, n)

    def _settle_input(self, values: list[int], pair: tuple[int, int], group: RowGroup, line: int) -> None:
        """If there is an input with and one without cached tokens, keep the one without."""
        low, high = sorted(pair, key=lambda n: values[n])
        if values[high] != values[low] + self._cached(values):
            raise self._unequal(*pair)
        group.seen = group.seen or Seen()
        group.seen.beside.setdefault("cache", line)
        values[high] = 0

    def _is_input(self, n: int) -> bool:
        return (self.counted[n].column.name, self.counted[n].column.modifiers) == INPUT

    def _cached(self, values: Sequence[int]) -> int:
        return sum(values[n] for n in self.parts.kinds.get("cache", ()))

    def _unequal(self, first: int, second: int) -> ValueError:
        return ValueError(
            f"columns {self.counted[first].name} and {self.counted[second].name} count the same and differ;"
            f" say which one counts (--columns '{self.counted[second].name}=ignore')"
        )

    def _add_quantity(self, row: Sequence[str], group: RowGroup, line_of: Callable[[], int]) -> None:
        text = row[self.quantity.at].strip() if self.quantity else ""
        if self.quantity is None or is_nothing(text):
            return
        try:
            group.quantity += int(text)
        except ValueError:
            place = f"line {line_of()}"
            if self.plan.one("unit") is None:
                group.quantity += self.figures.whole(text, self.quantity.name, place)
            else:
                group.quantity += self.figures.number(text, self.quantity.name, place)

    def _add_money(self, row: Sequence[str], group: RowGroup, line_of: Callable[[], int]) -> None:
        amounts: list[tuple[ColumnPlace, Decimal]] = []
        for place in self.money:
            text = row[place.at].strip()
            if is_nothing(text):
                if place.column.required:
                    raise ValueError(f"column {place.name} is empty: what is not known is not 0")
                continue
            currencies: tuple[str, ...] = ()
            amount = exact_amount(text)
            if amount is None or (self.figures.decimals == "comma" and "." in text):
                amount, currencies = self.figures.money(text, place.name, f"line {line_of()}")
            elif "." in text and "point" not in self.figures.seen:
                proof = "point" if proves_point(text) else "either."
                self.figures.seen.setdefault(proof, f"line {line_of()}")
            group.add_money(place.at, currencies, amount)
            if place in self._money_twice:
                amounts.append((place, amount))
        if len(amounts) > 1 and any(amount != amounts[0][1] for _, amount in amounts):
            other = next(place for place, amount in amounts if amount != amounts[0][1])
            raise ValueError(
                f"columns {amounts[0][0].name} and {other.name} are both the cost and differ;"
                f" say which one counts (--columns '{other.name}=ignore')"
            )


def total_of(text: str) -> str | None:
    """Of what a cell may say that its row is the total: "" of all rows, a name of its rows; None where it does not.

    Such a row may be a real one, too (a model `all`): it is a total only where it has the sum of the others.
    """
    if is_total(text) or text.strip() == "*" or _ALL.fullmatch(text.translate(_MARKS).strip().lower()):
        return ""
    found = _TOTAL_OF.fullmatch(text.strip())
    return None if found is None else found["name"] or ""


def is_total(text: str) -> bool:
    """Whether a cell says that its row adds up others: Total, Grand Total:, Total (USD), Summe."""
    return bool(_TOTALS.fullmatch(text.translate(_MARKS).strip())) if text and not text[0].isdigit() else False


def _plain(place: ColumnPlace) -> str:
    return place.name.lower().replace(" ", "_")


def _repeated(tokens: Sequence[Token], counted: Sequence[ColumnPlace]) -> list[list[int]]:
    """Columns that count the same meter, unless they are declared to add up."""
    found: dict[Slot, list[int]] = {}
    for token in tokens:
        if not counted[token.at].column.summed and token.slot[0] != "predicted":
            found.setdefault(token.slot, []).append(token.at)
    requests = [n for n, one in enumerate(counted) if one.column.role == "requests"]
    totals = [n for n, one in enumerate(counted) if one.column.role == "token_total"]
    return [places for places in (*found.values(), requests, totals) if len(places) > 1]


def _getter(places: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """The cells at some positions, always as a tuple."""
    if not places:
        return lambda _: ()
    if len(places) == 1:
        (only,) = places
        return lambda row: (row[only],)
    return itemgetter(*places)
