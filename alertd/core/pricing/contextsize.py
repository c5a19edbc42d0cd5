"""How large each request was, by the words that consoles, bills and gateways use for it: bounds in tokens."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NamedTuple

_SUFFIXES: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_NUMBER: Final = re.compile(r"(\d[\d,_]*(?:\.\d+)?)\s*([km]?)(?![a-z0-9])")
_ABOVE: Final = re.compile(r">|\u2265|\u2267|\+|\b(?:above|over|more than|greater|beyond|larger|exceed\w*)\b")
_BELOW: Final = re.compile(r"<|\u2264|\u2266|\b(?:below|under|up to|less|at most|within|smaller)\b")
_NOT: Final = re.compile(r"\b(?:no|not)\b")
_LONG: Final = re.compile(r"\blong\b|\blarge\b|\bextended\b")
_SHORT: Final = re.compile(r"\bshort\b|\bsmall\b|\bstandard\b|\bdefault\b|\bbase\b")


class Size(NamedTuple):
    """The least and the most tokens of each request; `long` and `short` where a console says only that."""

    least: int = 1
    most: int | None = None
    long: bool = False
    short: bool = False


def context_size(text: str) -> Size | None:
    """The bounds that a text states (`> 200k`, `0-200k`, `<=128K`, `128K<Token<=256K`, `long`), or None."""
    plain = text.lower().replace("_", " ").strip()
    if not plain.isascii():
        plain = "".join(one if one.isascii() or one in "\u2264\u2265\u2266\u2267\u2013" else " " for one in plain)
    numbers = [int(Decimal(digits.replace(",", "").replace("_", "")) * _SUFFIXES[suffix])
               for digits, suffix in _NUMBER.findall(plain)]  # fmt: skip
    if len(numbers) > 1:
        low, high = numbers[0], numbers[1]
        return Size(low + 1 if low else 1, high) if low < high else None
    if not numbers:
        if _LONG.search(plain):
            return Size(long=True)
        return Size(short=True) if _SHORT.search(plain) else None
    above, below = _ABOVE.search(plain), _BELOW.search(plain)
    if _NOT.search(plain):
        above, below = below, above
    if below:
        return Size(1, numbers[0])
    if above:
        return Size(numbers[0] + 1)
    return Size(numbers[0], numbers[0])
