"""Rows that differ only in their times, as usage and money: their line, labels, meters and currencies.

Alibaba's Instance ID is read here, too. Source: Alibaba Cloud, billing for model services, 2025-04-03 (bills after
2024-09-07).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from alertd.core.formats.figures import currency_of
from alertd.core.formats.layout import Column, plain
from alertd.core.formats.names import meaning
from alertd.core.formats.parts import Kind, Slot
from alertd.core.formats.plan import refines_training
from alertd.core.formats.sums import Key, RowGroup
from alertd.core.formats.times import Window
from alertd.core.money import Money
from alertd.core.spellings import bills_calls
from alertd.core.usage import CHARGE_LABEL, LARGEST_EXPONENT, BilledCost, Labels, Line, Usage

if TYPE_CHECKING:
    from alertd.core.formats.records import Records

_METERS: Final = {
    "input_token": "input",
    "output_token": "output",
    "cached_token": "cached_input",
    "batch_input_token": "batch_input",
    "batch_output_token": "batch_output",
}
_LEAST_PARTS: Final = 4
_UNIT: Final = re.compile(r"(?:(1|1000|1000000)?(k|thousand|m|million)?tokens?)?\Z")
_SCALES: Final = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}


def instance_line(instance: str, account: str = "") -> tuple[Line, Labels] | None:
    """An Alibaba Instance ID (text_token;llm-xxx;qwen-max;output_token;app) as a line and what it can be attributed by.

    None where it has another shape: bills before 2024-09-07, other products. Unknown types stay visible as meters.
    """
    parts = [part.strip() for part in instance.split(";")]
    if len(parts) < _LEAST_PARTS or not all(parts[:_LEAST_PARTS]):
        return None
    kind, workspace, model, token, *channel = parts
    token = token.removesuffix("s")
    meter = _METERS.get(token, token) if kind == "text_token" else f"{kind}:{token}"
    labels = {"workspace": workspace, "billing_type": kind}
    if channel and channel[0]:
        labels["channel"] = channel[0]
    return Line("alibaba", model, meter, (), account), labels


def tokens_per(unit: str) -> int:
    """How many tokens one of a bill's UsageUnit is (1K tokens: 1000). Raises ValueError for what it does not know."""
    found = _UNIT.match(re.sub(r"[\s,_]", "", unit.lower()))
    if found is None:
        raise ValueError(f"usage unit {unit!r} is not known: tokens, 1K tokens or million tokens")
    return int(found[1] or 1) * _SCALES.get(found[2], 1)


#: A label's value that is longer is a text.
LONGEST_LABEL: Final = 200
#: Words for an empty cell.
NOTHING: Final = frozenset({"", "NULL", "null", "None", "\\N"})
_MODIFIERS: Final[Mapping[str, str]] = {"service_tier": "tier", "context_window": "context", "inference_geo": "region"}


class GroupRecords:
    """The groups of rows that differ only in their times, as records: `group` and `window` are set for each."""

    group: RowGroup
    window: Window

    def __init__(self, of: Records, key: Key) -> None:
        self.of, self.key = of, key
        self.is_of_models = not of.plan.layout.products or of.is_of_models(key)
        self.maker = of.maker(key)
        self._lines: dict[Slot, tuple[Line, dict[str, str]]] = {}
        self._money_labels: dict[str, str] | None = None
        self.provider = of.provider(key)
        self.model = of.cell(key, "model")
        self.account = of.cell(key, "account") or of.said.account
        self.found = None
        instance = of.cell(key, "instance")
        for text in (instance, self.model if ";" in self.model else ""):
            self.found = self.found or (instance_line(text, self.account) if text else None)
        for name, text in (("provider", self.provider), ("model", self.model), ("account", self.account)):
            if len(text) > LONGEST_LABEL:
                raise ValueError(f"the {name} is longer than {LONGEST_LABEL} characters, which no name is")
        self.is_unattributed = bool(instance) and self.found is None
        if self.found is not None:
            self.provider, self.model = self.found[0].provider, self.found[0].model

    def usage(self, beside: Mapping[str, frozenset[Kind]]) -> Iterator[Usage]:
        """The usage of each meter."""
        self.of.left_out["unattributed"] += self.is_unattributed
        if self.of.reader.quantity is not None and not (self.of.plan.one("instance") and self.found is None):
            yield from self._long()
        group, parts = self.group, self.of.reader.parts
        if not any(group.counts):
            return
        if not self.model and group.money:
            self.of.left_out["no model"] += 1
            return
        counted = self.of.reader.counted
        slots = parts.slots(group.counts, beside[self.maker]) if parts.columns else {}
        requests = next(
            (group.counts[n] for n, one in enumerate(counted) if one.column.role == "requests" and group.counts[n]), 0
        )
        if requests and bills_calls(self.provider, self.model):
            yield self._usage("requests", (), requests)
        else:
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
            raise ValueError("the quantity is not a whole number in the meter's own unit")
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
        known = self._lines.get((meter, modifiers))
        if known is None:
            if not self.model:
                raise ValueError("model: required; group the export by model")
            line = Line(self.provider, self.model, meter, self._modifiers(meter, modifiers), self.account)
            known = self._lines[meter, modifiers] = (self.of.lines.setdefault(line, line), self.labels(meter))
        return Usage(known[0], *self.window, quantity, known[1], self.of.said.source)

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
        """The labels of the group."""
        found: dict[str, str] = {}
        for place, text in zip(self.of.reader.dims, self.key[2], strict=True):
            if place.column.role != "label" or text in NOTHING or not (value := text.strip()):
                continue
            if value[0] in "[{":
                continue
            if meter == "training" and refines_training(place.column.name):
                continue
            if len(value) > LONGEST_LABEL:
                self.of.left_out["long"] += 1
            else:
                found[place.column.name] = self.of.written(value)
        return {**found, **(self.found[1] if self.found else {})}

    def costs(self) -> Iterator[tuple[Column, BilledCost]]:
        """The billed costs; parts of a cost only if the file has no total."""
        money = self.group.money
        if not money:
            return
        places = self.of.reader.money
        totals = [one for one in places if not one.column.part]
        said = self.of.cell(self.key, "currency").upper()
        counted: set[str] = set()
        for place in totals or places:
            for (at, meant), amount in money.items():
                if at != place.at or not amount or (totals and not place.column.summed and "total" in counted):
                    continue
                if self.of.plan.layout.name == "free" and said and place.column.currency not in {"", said}:
                    other = self.of.plan.one("currency")
                    raise ValueError(
                        f"column {place.name} is in {place.column.currency} by its name, and its currency is {said}; if"
                        f" that is of another column, leave it out (--columns '{other.name if other else ''}=ignore')"
                    )
                default = place.column.currency or self.of.said.currency or self.of.plan.layout.currency
                currency = currency_of(meant, place.column.currency or said, default, place.name)
                source = self.of.said.source
                cost = Money(amount, currency)
                labels = self._labels_of_money()
                yield (
                    place.column,
                    BilledCost(self.provider, *self.window, cost, labels, self.model, source),
                )
            if totals and any(at == place.at and amount for (at, _), amount in money.items()):
                counted.add("total")

    def _labels_of_money(self) -> dict[str, str]:
        if self._money_labels is None:
            self._money_labels = self.labels()
            if charge := self.of.cell(self.key, "charge"):
                self._money_labels[CHARGE_LABEL] = self._charge(charge)
        return self._money_labels

    def _charge(self, written: str) -> str:
        place = self.of.plan.one("charge")
        own = self.of.plan.layout.values.get(plain(place.name), {}) if place else {}
        return own.get(plain(written), written.lower())
