"""What a preset is made of: metrics, the meters that they feed, the labels that say who used them. No exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from alertd.core.usage import COST_METER

#: Labels of a scrape target that say where a server is, not which of its replicas it is.
PLACES: Final = ("job", "namespace", "cluster", "environment")
#: Means every metric, in a rule for a selector that the operator wrote.
ANY: Final = "*"

#: Values of a type label that count tokens which others count too, or no tokens that are billed apart.
OVERLAPPING: Final = ("total", "reasoning", "thought")
#: What looks like a counter of tokens, for `alertd check` where a preset finds nothing.
TOKEN_WORDS: Final = ("token", "generated_length", "input_length")


@dataclass(frozen=True, slots=True)
class Rule:
    """Metrics that feed one meter. `where`: for each label, the values that a series must have one of."""

    metrics: tuple[str, ...]
    meter: str
    within: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: For the meter `cost`: the currency of metrics that do not say it in a label `currency`.
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Preset:
    """How one exporter's counters are read. Of several labels the first that a series has is taken.

    `provider` is the one of every series where no label and no prefix of the model (`anyscale/...`) names it.
    `labels`: a label of the ledger, and the labels of the exporter that it may come from.
    """

    rules: tuple[Rule, ...]
    model: tuple[str, ...]
    provider: str = ""
    providers: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: How late its samples become visible, in seconds, where that is the exporter's own doing.
    delay: float = 0.0
    #: As `labels`, of many values each: kept only where the operator asks for them.
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def metrics(self) -> tuple[str, ...]:
        """Every spelling of every metric."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.metrics))

    def money(self) -> tuple[str, ...]:
        """The metrics of money that the exporter counts itself."""
        return tuple(dict.fromkeys(name for rule in self.rules if rule.meter == COST_METER for name in rule.metrics))


def counter(*names: str) -> tuple[str, ...]:
    """The spellings of counters: with and without `_total`, the former the better."""
    return tuple(spelling for name in names for spelling in (f"{name}_total", name))


def sums(*names: str) -> tuple[str, ...]:
    """The sums of histograms."""
    return tuple(f"{name}_sum" for name in names)


def typed(metrics: tuple[str, ...], label: str, types: Mapping[str, str]) -> tuple[Rule, ...]:
    """One metric whose label distinguishes the meters: `types` from the label's value to `meter` or `meter<within`."""
    rules = []
    for value, meaning in types.items():
        meter, _, within = meaning.partition("<")
        rules.append(Rule(metrics, meter, within, {label: (value,)}))
    return tuple(rules)
