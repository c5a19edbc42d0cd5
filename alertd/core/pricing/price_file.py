"""The text of a price file (TOML) as a Layer: every fault at once, each with its place. Nothing is guessed.

The same form serves the built-in files (one a provider) and a user's own; see config/prices.example.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alertd.core.pricing.exchange_rates import Rate
from alertd.core.pricing.price_history import Alias, Discount, Entry, Layer, Ratio
from alertd.core.spellings import provider_id
from alertd.core.usage import METERS, Modifiers

_MILLION: Final = 1_000_000
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z")
_TOP: Final = frozenset({"provider", "currency", "per", "source", "zone", "indifferent"})
_SHARED: Final = frozenset({"provider", "model", "modifiers", "from", "source", "note"})
_TABLES: Final[Mapping[str, frozenset[str]]] = {
    "price": _SHARED | METERS | {"currency", "per", "meters"},
    "ratio": _SHARED | {"meter", "of", "ratio"},
    "discount": frozenset({"provider", "model", "percent", "from", "note"}),
    "rule": frozenset({"provider", "name", "meters", "sentence", "source", "from", "unit", "line_rounding", "free"}),
    "alias": frozenset({"provider", "model", "of"}),
    "fx": frozenset({"base", "quote", "rate", "from", "source"}),
}
_FREE: Final[Mapping[str, frozenset[Any] | None]] = {
    "quantity": None,
    "used_elsewhere": None,
    "order": frozenset({"dearest_first", "cheapest_first", "first_line"}),
    "moment": frozenset({"before_rounding", "after_rounding"}),
    "period": frozenset({"month", "once", "none"}),
    "per": frozenset({"account", "model"}),
}
_ROUNDINGS: Final = frozenset({"none", "half_even_cent", "up_to_cent"})


class PriceFileError(ValueError):
    """A price file that cannot be used; the message lists every fault with its place."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__("\n".join(f"{name}: {fault}" for fault in faults))
        self.faults = tuple(faults)


def read_price_file(name: str, text: str) -> Layer:
    """The layer that a price file describes. Raises PriceFileError with all its faults."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise PriceFileError(name, [f"not TOML: {error}"]) from error
    except InvalidOperation:
        raise PriceFileError(name, ["a number in it is beyond all numbers"]) from None
    except RecursionError:
        raise PriceFileError(name, ["not TOML: it is nested too deeply"]) from None
    reader = _PriceFileReader(data)
    layer = reader.layer(name, sha256(text.encode()).hexdigest())
    if reader.faults:
        raise PriceFileError(name, reader.faults)
    return layer


@dataclass(slots=True)
class _PriceFileReader:
    """One pass over a decoded file: values out, faults collected on the way."""

    data: Mapping[str, Any]
    faults: list[str] = field(default_factory=list)

    def layer(self, name: str, digest: str) -> Layer:
        self._unknown("", self.data, _TOP | _TABLES.keys())
        provider = self._provider("", self.data, required=False)
        zone = self._zone()
        indifferent = frozenset(self.data.get("indifferent", ()))
        return Layer(
            name=name,
            digest=digest,
            entries=tuple(entry for each in self._each("price", self._prices) for entry in each),
            ratios=tuple(self._each("ratio", self._ratio)),
            discounts=tuple(self._each("discount", self._discount)),
            rules=tuple(self._each("rule", self._rule)),
            zones={provider: zone} if provider and zone else {},
            indifferent={provider: indifferent} if provider else {},
            rates=tuple(self._each("fx", self._fx)),
            aliases=tuple(self._each("alias", self._alias)),
        )

    def _each(self, table: str, read: Callable[[str, Mapping[str, Any]], Any]) -> Iterator[Any]:
        for number, row in enumerate(self.data.get(table, ()), start=1):
            place = f"{table} {number}"
            self._unknown(f"{place}: ", row, _TABLES[table])
            before = len(self.faults)
            value = read(f"{place}: ", row)
            if len(self.faults) == before:
                yield value

    def _prices(self, place: str, row: Mapping[str, Any]) -> tuple[Entry, ...]:
        meters = {meter: row[meter] for meter in sorted(METERS & row.keys())} | dict(row.get("meters", {}))
        if not meters:
            self.faults.append(f"{place}no meter has a price (input, output, ...)")
        per = row.get("per", self.data.get("per", _MILLION))
        if not isinstance(per, int) or per < 1:
            self.faults.append(f"{place}per is a whole number of units, not {per!r}")
        currency = row.get("currency", self.data.get("currency", ""))
        if not _CURRENCY.match(str(currency)):
            self.faults.append(f"{place}currency is three capital letters (EUR), not {currency!r}")
        shared = self._shared(place, row)
        return tuple(
            Entry(meter=meter, amount=self._amount(f"{place}{meter}", price), per=per, currency=currency, **shared)
            for meter, price in meters.items()
        )

    def _ratio(self, place: str, row: Mapping[str, Any]) -> Ratio:
        amount = self._amount(f"{place}ratio", row.get("ratio"))
        if "meter" not in row:
            self.faults.append(f"{place}meter: required")
        return Ratio(meter=row.get("meter", ""), of=row.get("of", ""), ratio=amount, **self._shared(place, row))

    def _discount(self, place: str, row: Mapping[str, Any]) -> Discount:
        percent = self._amount(f"{place}percent", row.get("percent"))
        if percent > 100:  # noqa: PLR2004 - a hundred percent
            self.faults.append(f"{place}percent is at most 100, not {percent}")
        note = row.get("note") or f"less {percent:f}% by contract"
        return Discount(
            provider=self._provider(place, row),
            models=self._models(place, row),
            ratio=1 - percent / 100,
            since=self._day(place, row),
            note=note,
        )

    def _alias(self, place: str, row: Mapping[str, Any]) -> Alias:
        if not isinstance(row.get("of"), str) or not row["of"].strip():
            self.faults.append(f"{place}of: required (the model that the name means)")
        provider = self._provider(place, row, required=False)
        return Alias(provider, self._models(place, row), str(row.get("of", "")).strip().lower())

    def _rule(self, place: str, row: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        if not row.get("name"):
            self.faults.append(f"{place}name: required")
        if row.get("line_rounding", "none") not in _ROUNDINGS:
            self.faults.append(f"{place}line_rounding is one of {', '.join(sorted(_ROUNDINGS))}")
        if not isinstance(row.get("unit", 1), int) or row.get("unit", 1) < 1:
            self.faults.append(f"{place}unit is a whole number of units, at least 1")
        for key, value in row.get("free", {}).items():
            self._check_free(place, key, value)
        patch: dict[str, Any] = {"sentence": "", **row} if "sentence" in row else dict(row)
        patch.pop("provider", None)
        if "from" in patch:
            patch["since"] = self._day(place, row)
            del patch["from"]
        return self._provider(place, row), patch

    def _check_free(self, place: str, key: str, value: object) -> None:
        if key not in _FREE:
            self.faults.append(f"{place}free.{key}: no such option; there are: {', '.join(sorted(_FREE))}")
        elif (allowed := _FREE[key]) is not None and value not in allowed:
            self.faults.append(f"{place}free.{key} is one of {', '.join(sorted(allowed))}, not {value!r}")
        elif allowed is None and (not isinstance(value, int) or value < 0):
            self.faults.append(f"{place}free.{key} is a whole number of units, not {value!r}")

    def _fx(self, place: str, row: Mapping[str, Any]) -> Rate:
        rate = self._amount(f"{place}rate", row.get("rate"))
        if rate == 0:
            self.faults.append(f"{place}rate is above 0")
        for side in ("base", "quote"):
            if not _CURRENCY.match(str(row.get(side, ""))):
                self.faults.append(f"{place}{side} is three capital letters (EUR), not {row.get(side)!r}")
        return Rate(row.get("base", ""), row.get("quote", ""), rate, self._day(place, row), row.get("source", ""))

    def _shared(self, place: str, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "provider": self._provider(place, row),
            "models": self._models(place, row),
            "modifiers": _modifiers(row.get("modifiers", {})),
            "since": self._day(place, row),
            "source": row.get("source", self.data.get("source", "")),
            "note": row.get("note", ""),
        }

    def _models(self, place: str, row: Mapping[str, Any]) -> tuple[str, ...]:
        named = row.get("model", "")
        names = [named] if isinstance(named, str) else list(named)
        if not names or not all(isinstance(name, str) and name for name in names):
            self.faults.append(f"{place}model: required (a name, a glob, or a list of them)")
            return ()
        return tuple(name.lower() for name in names)

    def _provider(self, place: str, row: Mapping[str, object], *, required: bool = True) -> str:
        named = row.get("provider", self.data.get("provider", ""))
        if required and not named:
            self.faults.append(f"{place}provider: required")
        return provider_id(str(named))

    def _amount(self, place: str, value: object) -> Decimal:
        try:
            amount = Decimal(value) if isinstance(value, (str, int, Decimal)) else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            self.faults.append(f"{place} is a number of at least 0, not {value!r}")
            return Decimal(0)
        return amount

    def _day(self, place: str, row: Mapping[str, object]) -> date | None:
        day = row.get("from")
        if day is None or (isinstance(day, date) and not isinstance(day, datetime)):
            return day
        try:
            return date.fromisoformat(str(day))
        except ValueError:
            self.faults.append(f"{place}from is a day (2026-07-17), not {day!r}")
            return None

    def _zone(self) -> str:
        zone = str(self.data.get("zone", ""))
        try:
            return ZoneInfo(zone).key if zone else ""
        except (ZoneInfoNotFoundError, ValueError):
            self.faults.append(f"zone is an IANA name (Asia/Shanghai), not {zone!r}")
            return ""

    def _unknown(self, place: str, row: Mapping[str, object], known: frozenset[str]) -> None:
        self.faults.extend(f"{place}{key}: no such option" for key in row if key not in known)


def _modifiers(table: Mapping[str, object]) -> Modifiers:
    return tuple(sorted((name, str(value)) for name, value in table.items()))
