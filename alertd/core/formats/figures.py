"""Numbers and money as files write them: decimal point or comma is decided for the whole file.

A file that writes numbers in two ways, or whose habit is ambiguous, is a fault; nothing is guessed cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from alertd.core.formats.table import FormatError
from alertd.core.money import LARGEST
from alertd.core.usage import LARGEST_EXPONENT

Decimals = Literal["point", "comma"]

_PLAIN: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?\Z", re.ASCII)
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}([.,])\d{3}(\1\d{3})*\Z", re.ASCII)
_MIXED: Final = re.compile(r"[+-]?\d{1,3}(?:([.,])\d{3})+(?!\1)[.,]\d+\Z", re.ASCII)
_ONE_SIGN: Final = re.compile(r"[+-]?\d*([.,])\d+\Z", re.ASCII)
_BLANKS: Final = str.maketrans("", "", " \u00a0\u202f\u2009'’_")
_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "€": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
    "￥": ("CNY", "JPY"),
    "₹": ("INR",),
    "₩": ("KRW",),
    "元": ("CNY",),
    "zł": ("PLN",),
    "R$": ("BRL",),
    "US$": ("USD",),
    "CA$": ("CAD",),
    "A$": ("AUD",),
    "C$": ("CAD",),
    "S$": ("SGD",),
    "HK$": ("HKD",),
    "$": ("USD", "CAD", "AUD", "SGD", "HKD", "NZD", "MXN"),
}
_THREE: Final = re.compile(r"[A-Z]{3}\Z")
_CODE: Final = re.compile(r"(?:^([A-Za-z]{3})(?=[\d\s+\-.(]))|(?:(?<=[\d\s).])([A-Za-z]{3})$)")


@dataclass(slots=True)
class NumberReader:
    """Reads the numbers of one file. `decimals` is `point` or `comma`; the file's own numbers decide which.

    `asks_points`: a lone 1.234 is asked about, too, as in a file with semicolons, which has decimal commas mostly.
    """

    decimals: Decimals = "point"
    forced: bool = False
    asks_points: bool = False
    seen: dict[str, str] = field(default_factory=dict)

    def whole(self, text: str, column: str, place: str) -> int:
        """A quantity: a whole number. ValueError names the column, never the text."""
        found = self.number(text, column, place, is_whole=True)
        if found.adjusted() >= LARGEST_EXPONENT:
            raise ValueError(f"column {column} is larger than any quantity")
        if found != found.to_integral_value():
            raise ValueError(f"column {column} is not a whole number in the meter's own unit")
        return int(found)

    def number(self, text: str, column: str, place: str, *, is_whole: bool = False) -> Decimal:
        """A number without a currency, by the file's habit."""
        plain = text.strip().translate(_BLANKS).replace("\u2212", "-")
        if plain.startswith("(") and plain.endswith(")"):
            plain = f"-{plain[1:-1]}"
        self._notice(plain, place, is_whole=is_whole)
        if self.decimals == "comma":
            plain = plain.replace(".", "").replace(",", ".")
        elif _MIXED.match(plain) or (_GROUPED.match(plain) and "," in plain):
            plain = plain.replace(",", "")
        if not _PLAIN.match(plain) and not _ONE_SIGN.match(plain):
            raise _not_a_number(column)
        try:
            return Decimal(plain)
        except InvalidOperation:
            raise _not_a_number(column) from None

    def money(self, text: str, column: str, place: str) -> tuple[Decimal, tuple[str, ...]]:
        """An amount, and the currencies that its sign or code may mean (none where it has none)."""
        plain = text.strip()
        currencies: tuple[str, ...] = ()
        if code := _CODE.search(plain):
            currencies = ((code[1] or code[2]).upper(),)
            plain = (plain[: code.start()] + plain[code.end() :]).strip()
        for sign, meant in _SIGNS.items():
            if sign in plain:
                currencies, plain = currencies or meant, plain.replace(sign, "")
                break
        amount = self.number(plain, column, place)
        if not -LARGEST < amount < LARGEST:
            raise ValueError(f"column {column} is more than any bill")
        return amount, currencies

    def _notice(self, text: str, place: str, *, is_whole: bool) -> None:
        """Record whether a number proves `point`, `comma`, or allows both."""
        if "," not in text and "." not in text:
            return
        if _MIXED.match(text):
            proof = "comma" if text.rfind(",") > text.rfind(".") else "point"
        elif grouped := _GROUPED.match(text):
            sign = grouped[1]
            many = text.count(sign) > 1
            zero = text.lstrip("+-").startswith("0")
            if zero and not many:
                proof = "comma" if sign == "," else "point"
            elif many or (is_whole and (sign == "," or not text.endswith(".000"))):
                proof = "point" if sign == "," else "comma"
            else:
                proof = "either," if sign == "," else "whole." if is_whole else "either."
        elif one := _ONE_SIGN.match(text):
            proof = "comma" if one[1] == "," else "point"
        else:
            return
        self.seen.setdefault(proof, place)

    def habit(self) -> Decimals:
        """The decimal sign that the whole file proves. FormatError if it contradicts itself or is ambiguous."""
        if self.forced:
            return self.decimals
        point, comma = self.seen.get("point"), self.seen.get("comma")
        if point and comma:
            raise FormatError(
                f"numbers are written in two ways, with a decimal point ({point}) and with a decimal comma ({comma});"
                " say which one it is (--decimals point or --decimals comma)"
            )
        if comma:
            return "comma"
        unclear = ("either,", "comma") if "either," in self.seen else ("whole.", "point")
        if self.asks_points and "either." in self.seen and unclear[0] not in self.seen:
            unclear = ("either.", "point")
        if unclear[0] in self.seen and not point:
            raise FormatError(
                f"{self.seen[unclear[0]]}: a {unclear[1]} may be of thousands or of decimals and no other number shows"
                " which; say which one it is (--decimals point or --decimals comma)"
            )
        return "point"


def _not_a_number(column: str) -> ValueError:
    return ValueError(f"column {column} holds no number; correct it, or leave it out (--columns '{column}=ignore')")


def currency_of(meant: tuple[str, ...], said: str, default: str, column: str) -> str:
    """The currency of an amount: the row's currency, unless the amount's sign contradicts it; else the sign's."""
    if said:
        if not _THREE.match(said):
            raise ValueError("the currency is no code of three capital letters (USD)")
        if meant and said not in meant:
            raise ValueError(f"column {column} has the sign of {meant[0]}, and its currency is {said}")
        return said
    if not meant or default in meant:
        return default
    if len(meant) > 1 and meant[0] != "USD":
        raise ValueError(f"column {column} has a sign of {' or '.join(meant)}; add a column currency")
    return meant[0]


def exact_amount(text: str) -> Decimal | None:
    """A number in a program's plain form; None if its form is another."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    if not amount.is_finite():
        raise ValueError("an amount is not finite")
    if not -LARGEST < amount < LARGEST:
        raise ValueError("an amount is more than any bill")
    return amount


def proves_point(text: str) -> bool:
    """Whether the point of a number must be a decimal point: 12.50 and 0.123, but not 1.234."""
    whole, _, decimals = text.partition(".")
    return len(decimals) != 3 or whole.lstrip("+-") in {"", "0"} or len(whole.lstrip("+-")) > 3  # noqa: PLR2004 - thousands


def is_nothing(text: str) -> bool:
    """Whether a cell says that there is no number, or that nothing is charged."""
    return text in _NOTHING


_NOTHING: Final = frozenset(
    ["", "-", "NULL", "null", "None", "N/A", "n/a", "NaN", "nan", "—", "\\N", "Included", "included", "Free", "free"]
)
