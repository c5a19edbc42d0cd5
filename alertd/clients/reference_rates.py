"""The daily reference rates of the European Central Bank, from a file that a job, or alertd where asked, keeps new.

The file is the bank's own XML (eurofxref-daily.xml, -hist-90d.xml or -hist.xml): what one euro is worth on each working
day. A day without rates has those of the last working day before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from alertd.clients.local_files import read_text
from alertd.core.pricing.exchange_rates import REFERENCE, Rate, Rates
from alertd.core.pricing.price_book import PriceBook

#: Older days than this before the newest are left out.
_KEPT: Final = timedelta(days=800)
_CUBE: Final = re.compile(
    r"""<Cube\s+(?:time\s*=\s*['"](?P<day>\d{4}-\d{2}-\d{2})['"]"""
    r"""|currency\s*=\s*['"](?P<currency>[A-Z]{3})['"]\s+rate\s*=\s*['"](?P<rate>\d{1,9}(?:\.\d{1,9})?)['"])""",
    re.ASCII,
)


def read_reference_rates(text: str, name: str) -> tuple[Rate, ...]:
    """The rates in the bank's XML, dated. ValueError with the remedy where it has none."""
    found: list[tuple[date, str, Decimal]] = []
    day: date | None = None
    for match in _CUBE.finditer(text):
        if match["day"]:
            try:
                day = date.fromisoformat(match["day"])
            except ValueError:
                raise ValueError(f"{name}: {match['day']} is no day; fetch eurofxref-hist-90d.xml again") from None
        elif day is not None and Decimal(match["rate"]) > 0:
            found.append((day, match["currency"], Decimal(match["rate"])))
    if not found or not text.rstrip().endswith("Envelope>"):  # cut short: its last day would lack currencies
        raise ValueError(f"{name} has no reference rates; give the ECB's eurofxref-hist-90d.xml")
    newest = max(day for day, _, _ in found)
    return tuple(
        Rate("EUR", currency, rate, day, f"{REFERENCE} of {day}")
        for day, currency, rate in sorted(found)
        if newest - day <= _KEPT
    )


def reference_rates_of(file: Path | None) -> tuple[Rate, ...]:
    """The rates in a file; none where there is no file (yet). ValueError with the remedy where it cannot be used."""
    try:
        if file is None or not file.exists():
            return ()
    except (OSError, ValueError):
        raise ValueError("no path of a file; write one such as /var/lib/alertd/ecb.xml") from None
    return read_reference_rates(read_text(file), str(file))


def rates_of(book: PriceBook, configured: Iterable[Rate] = (), reference: Iterable[Rate] = ()) -> Rates:
    """The rates of exchange: those configured, then those of the user's price files, then a central bank's.

    A pair is taken from one of them only.
    """
    found: list[Rate] = []
    for rates in (configured, [rate for layer in reversed(book.layers) for rate in layer.rates], reference):
        known = {frozenset((rate.base, rate.quote)) for rate in found}
        found += [rate for rate in rates if frozenset((rate.base, rate.quote)) not in known]
    return Rates(found)
