"""From the labels of a raw series to the ledger series that it feeds. What belongs to no rule feeds nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Literal

from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.counting.rules import ANY, OVERLAPPING, PLACES, Preset, Rule
from alertd.core.spellings import PROVIDERS, provider_id
from alertd.core.usage import CHARGE_LABEL, COST_METER, ESTIMATE_CHARGE, Labels, Line, cost_line

#: What exporters write where they have nothing to say.
_NOTHING: Final = frozenset({"", "None", "none", "null", "N/A", "unknown"})


#: Labels from which the currency of a series of money is known, and how it is written.
_CURRENCY: Final = "currency"
_CODE: Final = re.compile(r"[A-Z]{3}", re.ASCII)
#: A longer value is no name: somebody put a prompt, or worse, into a label.
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Attribution:
    """The ledger series that a raw series feeds, and the line that counts the same tokens too, if one does."""

    line: Line
    labels: Labels
    within: Line | None = None

    @property
    def is_money(self) -> bool:
        """Whether the series counts money, in nanos of a currency, and no usage."""
        return self.line.meter == COST_METER


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator adds to a preset: fixed values, further labels, labels never stored, or hashed only."""

    provider: str = ""
    model: str = ""
    account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    scope_labels: tuple[str, ...] = ()
    drop_labels: frozenset[str] = frozenset()
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
    #: The currency of counters of money, where neither their own label nor the preset has it.
    currency: str = ""
    #: What money that the exporter counted itself is: an estimate that is compared, or the cost.
    money: Literal["estimate", "cost"] = "estimate"


class Attributor:
    """Reads labels by a preset. Equal ledger series come as the same objects, which makes counting fast."""

    def __init__(self, preset: Preset, terms: Terms) -> None:
        self._preset, self._terms = preset, terms
        self._rules: dict[str, list[Rule]] = {}
        for rule in (_with_plain_labels(rule) for rule in preset.rules):
            for metric in rule.metrics:
                self._rules.setdefault(metric, []).append(rule)
        asked = {name: preset.optional.get(name, (name,)) for name in terms.scope_labels}
        kept = {**{name: (name,) for name in PLACES}, **asked, **preset.labels}
        self._labels = {
            name: tuple(map(plain, origins)) for name, origins in kept.items() if name not in terms.drop_labels
        }
        self._models, self._providers = tuple(map(plain, preset.model)), tuple(map(plain, preset.providers))
        self._charge = {CHARGE_LABEL: ESTIMATE_CHARGE} if terms.money == "estimate" else {}
        self._lines: dict[Line, Line] = {}
        self._known: dict[frozenset[tuple[str, str]], Labels] = {}

    def of(self, metric: str, raw: Mapping[str, str]) -> Attribution | None:
        """The series that `metric` with these labels feeds, or None."""
        raw = {plain(name): value for name, value in raw.items()}
        for rule in self._rules.get(metric, self._rules.get(ANY, [])):
            if all(raw.get(label) in values for label, values in rule.where.items()):
                if rule.meter == COST_METER:
                    return Attribution(self._cost(raw, rule), self._scope(raw, self._charge))
                labels = self._scope(raw)
                within = self._line(raw, rule.within) if rule.within else None
                return Attribution(self._line(raw, rule.meter), labels, within)
        return None

    def names(self) -> frozenset[str]:
        """The raw labels that usage is attributed by."""
        rules = (label for rules in self._rules.values() for rule in rules for label in rule.where)
        origins = (label for labels in self._labels.values() for label in labels)
        return frozenset((*rules, *origins, *self._models, *self._providers, _CURRENCY))

    def unknown_type(self, metric: str, raw: Mapping[str, str]) -> str | None:
        """What a series of a known metric counts, as its label says, where no rule takes it and no total holds it."""
        for rule in self._rules.get(metric, ()):
            for label in rule.where:
                value = next((value for name, value in raw.items() if plain(name) == label), "")
                if value and not any(word in value.lower() for word in OVERLAPPING):
                    shown = "".join(char if char.isprintable() else "?" for char in value[:40])
                    return f'{metric}{{{label}="{shown}"}}'
        return None

    def _cost(self, raw: Mapping[str, str], rule: Rule) -> Line:
        used = self._line(raw, COST_METER)
        own = raw.get(_CURRENCY, "").upper()
        currency = self._terms.currency or (own if _CODE.fullmatch(own) else rule.currency)
        line = cost_line(used.provider, used.model, currency, used.account)
        return self._lines.setdefault(line, line)

    def _line(self, raw: Mapping[str, str], meter: str) -> Line:
        model = self._terms.model or _first(raw, self._models)
        provider = self._terms.provider or _first(raw, self._providers)
        prefix, slash, rest = model.partition("/")
        prefixed = slash and prefix.lower() in PROVIDERS and not self._preset.provider
        if prefixed and provider_id(provider or prefix) == provider_id(prefix):
            provider, model = prefix, rest
        line = Line(provider_id(provider or self._preset.provider), model, meter, account=self._terms.account)
        return self._lines.setdefault(line, line)

    def _scope(self, raw: Mapping[str, str], more: Mapping[str, str] = MappingProxyType({})) -> Labels:
        found = {name: value for name, origins in self._labels.items() if (value := _first(raw, origins))}
        found = {**self._terms.pseudonyms.applied({**found, **self._terms.labels}), **more}
        return self._known.setdefault(frozenset(found.items()), found)


def plain(label: str) -> str:
    """A label's name as it was before names could be any text: Prometheus 3 keeps the dots of OpenTelemetry."""
    return label.replace(".", "_")


def _with_plain_labels(rule: Rule) -> Rule:
    return replace(rule, where={plain(label): values for label, values in rule.where.items()})


def fingerprint(metric: str, raw: Mapping[str, str], replicas: Collection[str] = ()) -> str:
    """What distinguishes a raw series from every other of its source; those that differ in `replicas` only are one."""
    named = {name: value for name, value in raw.items() if name not in replicas and name != "__name__"}
    text = "\x00".join([metric, *(f"{name}\x01{value}" for name, value in sorted(named.items()))])
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _first(raw: Mapping[str, str], names: tuple[str, ...]) -> str:
    found = next((value for name in names if (value := raw.get(name, "")) not in _NOTHING), "")
    return found if len(found) <= _LONGEST else _shortened(found)


def _shortened(value: str) -> str:
    """The beginning of a value that is no name, and a digest that distinguishes it from others that begin the same."""
    return f"{value[:_LONGEST]}…{blake2b(value.encode(), digest_size=4).hexdigest()}"
