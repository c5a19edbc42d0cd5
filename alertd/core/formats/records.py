"""Sums of rows that are alike become usage and money: windows, lines, labels, currencies. It reads no row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from alertd.core.formats.contents import Contents
from alertd.core.formats.faults import FormatError
from alertd.core.formats.figures import currency_of
from alertd.core.formats.layout import Column, plain
from alertd.core.formats.names import MODELS, meaning
from alertd.core.formats.parts import Kind, Seen, Slot, decide, kinds_used
from alertd.core.formats.plan import Plan, Said, refines_training
from alertd.core.formats.sums import Group, Key, Reader, Sums
from alertd.core.formats.times import Times, Window, month_of
from alertd.core.money import Money
from alertd.core.pricing.instanceid import instance_line, tokens_per
from alertd.core.pricing.model_names import provider_id
from alertd.core.usage import CHARGE_LABEL, LARGEST_EXPONENT, BilledCost, Line, Usage

#: A label's value that is longer is a text.
_LONGEST_LABEL: Final = 200
_ZERO: Final = Decimal(0)
_NOTHING: Final = frozenset({"", "NULL", "null", "None", "\\N"})
_MODIFIERS: Final[Mapping[str, str]] = {"service_tier": "tier", "context_window": "context", "inference_geo": "region"}


@dataclass(slots=True)
class Records:
    """The sums of one file, as they become records."""

    plan: Plan
    said: Said
    reader: Reader
    sums: Sums
    times: Times
    left_out: Counter[str] = field(default_factory=Counter)
    lines: dict[Line, Line] = field(default_factory=dict)
    others: Decimal = _ZERO

    def contents(self) -> Contents:
        """All records, or FormatError."""
        windows = self._windows()
        beside, notes = self._decided()
        usage: list[Usage] = []
        costs: list[BilledCost] = []
        reported: list[BilledCost] = []
        money_kind = self.plan.layout.money
        for key, group in self.sums.groups.items():
            if self.plan.layout.products and not self._is_of_models(key):
                self._leave_out(group)
                continue
            try:
                row = _Row(self, key, group, windows[key[:2]])
                usage.extend(row.usage(beside))
                for place, cost in row.costs():
                    (reported if money_kind == "reported" or place.role == "reported" else costs).append(cost)
            except ValueError as error:
                self.sums.fault(f"line {group.line}: {error}")
        self.sums.raise_faults()
        if not usage and not costs and not reported and not self.sums.skipped:
            raise FormatError(self._nothing())
        return Contents(
            self.plan.layout.name,
            self.plan.layout.title,
            tuple(usage),
            tuple(costs),
            tuple(reported),
            (*self.plan.notes, *notes, *self._notes()),
            self.sums.rows,
        )

    def _is_of_models(self, key: Key) -> bool:
        """Whether a charge of a whole account's bill is for models."""
        names = self.plan.layout.products
        cells = zip(self.reader.dims, key[2], strict=True)
        return any(plain(place.name) in names and MODELS.search(text) for place, text in cells)

    def _leave_out(self, group: Group) -> None:
        self.others += sum(group.money.values())
        self.left_out["products"] += bool(group.money)

    def _nothing(self) -> str:
        if not self.sums.rows:
            return "the file has a header and no row"
        if self.left_out["products"]:
            left = f"{self.others.normalize():f}"
            return f"none of its {self.sums.rows} rows is of a model; {left} in all for other products"
        return f"its {self.sums.rows} rows hold no token and no money: nothing to read"

    def _windows(self) -> dict[tuple[str, str], Window]:
        pairs = [key[:2] for key in self.sums.groups]
        try:
            found = self.times.windows(pair for pair in pairs if pair[0])
        except ValueError:
            for key, group in self.sums.groups.items():
                try:
                    if key[0]:
                        self.times.windows([key[:2]])
                except ValueError as error:
                    self.sums.fault(f"line {group.line}: {error}")
            self.sums.raise_faults()
            raise
        if self.said.month:
            month = Times().windows([(self.said.month, "")])[self.said.month, ""]
            found.update({pair: month for pair in pairs if not pair[0]})
        else:
            nothing = (month_of("1970-01"), month_of("1970-02"))
            found.update({pair: nothing for pair in pairs if not pair[0]})
        return found

    def _decided(self) -> tuple[dict[str, frozenset[Kind]], list[str]]:
        """By provider, which parts are beside their totals."""
        parts = self.reader.parts
        by_provider: dict[str, list[Group]] = {}
        for key, group in self.sums.groups.items():
            by_provider.setdefault(self.maker(key), []).append(group)
        found: dict[str, frozenset[Kind]] = {}
        notes: list[str] = []
        unaccounted = 0
        for provider, groups in by_provider.items():
            seen = Seen()
            for group in groups:
                seen.add(group.seen)
            found[provider], said = decide(
                parts, provider, seen, self.said.cached, kinds_used(parts, (group.counts for group in groups))
            )
            notes.extend(said)
            unaccounted += seen.unaccounted
        if unaccounted:
            notes.append(f"the totals of the rows are {unaccounted:,} tokens more than the columns that are read")
        return found, notes

    def _notes(self) -> Iterator[str]:
        if count := self.left_out["requests"]:
            yield f"{count} requests are a count of calls, not of what is billed: left out"
        if count := self.left_out["unattributed"]:
            yield f"{count} bill lines have no Instance ID of a model call: only their money is read"
        if self.left_out["products"]:
            yield f"charges for other products than models are left out: {self.others.normalize():f} in all"
        if count := self.left_out["long"]:
            yield f"{count} cells of labels are longer than {_LONGEST_LABEL} characters: left out"

    def cell(self, key: Key, role: str) -> str:
        """The cell of a role in a group's key."""
        for place, text in zip(self.reader.dims, key[2], strict=True):
            if place.column.role == role:
                return "" if text in _NOTHING else text.strip()
        return ""

    def provider(self, key: Key) -> str:
        """Whose a group is."""
        return provider_id(self.cell(key, "provider") or self.plan.layout.provider or self.said.provider)

    def maker(self, key: Key) -> str:
        """Whose counting a group follows: its provider, else the maker of its model where the name tells."""
        if found := self.provider(key):
            return found
        name = self.cell(key, "model").lower().rsplit("/", 1)[-1]
        if "claude" in name:
            return "anthropic"
        if name.startswith(("gpt", "o1", "o3", "o4", "text-embedding", "chatgpt", "codex")):
            return "openai"
        return "google" if name.startswith("gemini") else ""


class _Row:
    """One group of rows that are alike, as records."""

    def __init__(self, of: Records, key: Key, group: Group, window: Window) -> None:
        self.of, self.key, self.group, self.window = of, key, group, window
        self.provider = of.provider(key)
        self.model = of.cell(key, "model")
        self.account = of.cell(key, "account") or of.said.account
        self.found = None
        instance = of.cell(key, "instance")
        for text in (instance, self.model if ";" in self.model else ""):
            self.found = self.found or (instance_line(text, self.account) if text else None)
        for name, text in (("provider", self.provider), ("model", self.model), ("account", self.account)):
            if len(text) > _LONGEST_LABEL:
                raise ValueError(f"the {name} is longer than {_LONGEST_LABEL} characters, which no name is")
        if instance and self.found is None:
            of.left_out["unattributed"] += 1
        if self.found is not None:
            self.provider, self.model = self.found[0].provider, self.found[0].model

    def usage(self, beside: Mapping[str, frozenset[Kind]]) -> Iterator[Usage]:
        """The tokens, meter by meter."""
        if self.of.reader.quantity is not None and not (self.of.plan.one("instance") and self.found is None):
            yield from self._long()
        group, parts = self.group, self.of.reader.parts
        if not any(group.counts):
            return
        counted = self.of.reader.counted
        slots = parts.slots(group.counts, beside[self.of.maker(self.key)]) if parts.columns else {}
        requests = next(
            (group.counts[n] for n, one in enumerate(counted) if one.column.role == "requests" and group.counts[n]), 0
        )
        self.of.left_out["requests"] += requests
        for (meter, modifiers), quantity in slots.items():
            if quantity:
                yield self._usage(meter, modifiers, quantity)

    def _long(self) -> Iterator[Usage]:
        quantity = self.group.quantity
        if not quantity:
            return
        meter, modifiers = self._meter()
        if meter == "ignored":
            return
        quantity *= tokens_per(self.of.cell(self.key, "unit")) if self.of.plan.one("unit") else 1
        if quantity != quantity.to_integral_value():
            raise ValueError("the quantity is no whole number in the meter's own unit")
        if quantity.adjusted() >= LARGEST_EXPONENT:
            raise ValueError("the quantity is larger than any")
        yield self._usage(meter, modifiers, int(quantity))

    def _meter(self) -> Slot:
        if self.found is not None:
            return self.found[0].meter, self.found[0].modifiers
        place = self.of.plan.one("meter")
        written = self.of.cell(self.key, "meter")
        own = self.of.plan.layout.values.get(plain(place.name), {}) if place else {}
        word = plain(written)
        if word in own:
            return own[word], ()
        if not word:
            raise ValueError("meter: required")
        column = meaning(word)
        if isinstance(column, Column) and column.role == "tokens":
            return column.name, column.modifiers
        return written.lower() if column is None else column.name or written.lower(), ()

    def _usage(self, meter: str, modifiers: tuple[tuple[str, str], ...], quantity: int) -> Usage:
        if not self.model:
            raise ValueError("model: required; group the export by model")
        line = Line(self.provider, self.model, meter, self._modifiers(meter, modifiers), self.account)
        line = self.of.lines.setdefault(line, line)
        return Usage(line, *self.window, quantity, self.labels(meter), self.of.said.source)

    def _modifiers(self, meter: str, own: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for place, text in zip(self.of.reader.dims, self.key[2], strict=True):
            name = ""
            if place.column.role == "modifier":
                name = _MODIFIERS.get(place.column.name, place.column.name)
            elif meter == "training" and place.column.role == "label" and refines_training(place.column.name):
                name = place.column.name
            if name and (value := text.strip()):
                found[name] = self.of.plan.layout.values.get(plain(place.name), {}).get(plain(value), value)
        return tuple(sorted((name, value) for name, value in {**found, **dict(own)}.items() if value))

    def labels(self, meter: str = "") -> dict[str, str]:
        """What the group can be attributed by."""
        found: dict[str, str] = {}
        for place, text in zip(self.of.reader.dims, self.key[2], strict=True):
            if place.column.role != "label" or text in _NOTHING or not (value := text.strip()):
                continue
            if value[0] in "[{":
                continue
            if meter == "training" and refines_training(place.column.name):
                continue
            if len(value) > _LONGEST_LABEL:
                self.of.left_out["long"] += 1
            else:
                found[place.column.name] = value
        return {**found, **(self.found[1] if self.found else {})}

    def costs(self) -> Iterator[tuple[Column, BilledCost]]:
        """The money; parts of a cost only where the file has no total."""
        places = self.of.reader.money
        totals = [one for one in places if not one.column.part]
        said = self.of.cell(self.key, "currency").upper()
        counted: set[str] = set()
        for place in totals or places:
            for (at, meant), amount in self.group.money.items():
                if at != place.at or not amount or (totals and not place.column.summed and "total" in counted):
                    continue
                default = place.column.currency or self.of.said.currency or self.of.plan.layout.currency
                currency = currency_of(meant, place.column.currency or said, default, place.name)
                source = self.of.said.source
                cost = Money(amount, currency)
                labels = self.labels()
                if charge := self.of.cell(self.key, "charge"):
                    labels[CHARGE_LABEL] = self._charge(charge)
                yield (
                    place.column,
                    BilledCost(self.provider, *self.window, cost, labels, self.model, source),
                )
            if totals and any(at == place.at and amount for (at, _), amount in self.group.money.items()):
                counted.add("total")

    def _charge(self, written: str) -> str:
        place = self.of.plan.one("charge")
        own = self.of.plan.layout.values.get(plain(place.name), {}) if place else {}
        return own.get(plain(written), written.lower())
