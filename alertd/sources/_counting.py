"""Shared by `prometheus` and `scrape`: the options for counters, and the counters that they select."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from alertd.clients.http import Access
from alertd.core.config_errors import one_of
from alertd.core.counting.attribution import Attributor, Terms
from alertd.core.counting.presets import PRESETS
from alertd.core.counting.rules import ANY, PLACES, Preset, Rule
from alertd.core.usage import COST_METER, METERS
from alertd.plugin_options import Duration, Secret, SourceOptions, TextList, revealed

_CODE: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_NANOS: Final = Decimal(10) ** 9
_ALIASES: Final = {
    "agent_gateway": "agentgateway",
    "claude": "claude_code",
    "codex_cli": "codex",
    "gemini": "gemini_cli",
    "llama_cpp": "llamacpp",
    "nvidia_dynamo": "dynamo",
    "spring_ai": "otel",
    "anyscale": "vllm_ray",
    "cockpit": "scaleway",
    "envoy_ai_gateway": "envoy",
    "gen_ai": "otel",
    "genai": "otel",
    "opentelemetry": "otel",
    "otel_genai": "otel",
    "ray": "vllm_ray",
    "ray_serve": "vllm_ray",
    "scaleway_cockpit": "scaleway",
}


class CounterOptions(SourceOptions):
    """Options of a source of counters: address, credentials, names of metrics."""

    url: str = Field(description="The address, http://host:port, with the path prefix if there is one")
    token: Secret | None = Field(None, description="A bearer token")
    username: str = Field("", description="The user of basic authentication")
    password: Secret | None = Field(None, description="Its password")
    cert_file: Path | None = Field(None, description="A client certificate in PEM, for servers that ask for one")
    key_file: Path | None = Field(None, description="Its private key in PEM, where the certificate file lacks it")
    headers: dict[str, Secret] = Field(
        default_factory=dict, description="Further headers of every request, such as X-Scope-OrgID"
    )
    preset: str = Field("", description="Whose counters these are: " + ", ".join(sorted(PRESETS)))
    metric: TextList = Field(
        default_factory=list,
        description="The names of the counters; beside a preset with a type label: further names of its metric",
    )
    kind_of_metric: Literal["counter", "histogram_sum", "gauge_per_period"] = Field(
        "counter", description="What the values are; histogram_sum adds _sum to the names"
    )
    period: Duration | None = Field(None, description="For gauge_per_period: the length of the period of each value")
    meter: str = Field(
        "",
        description="Without a type label: what the counters count, such as input or output; cost is money",
    )
    type_label: str = Field(
        "", description="The label that says what a series counts; __name__ if the metric's name does"
    )
    type_map: dict[str, str] = Field(
        default_factory=dict,
        description="From its values to meters: prompt=input, cached=cached_input<input (where input includes it);"
        " beside a preset: more such, which go before its own",
    )
    cached_apart: bool = Field(
        default=False,
        description="True where the input counter leaves out cached tokens; presets know it to include them",
    )
    model_label: TextList = Field(default_factory=list, description="The labels that name the model, the best first")
    model: str = Field("", description="The model of all these counters, where no label names it")
    provider: str = Field("", description="The provider whose prices apply, where no label names it")
    provider_label: TextList = Field(default_factory=list, description="The labels that name the provider")
    scope_labels: TextList = Field(
        default_factory=list, description="Further labels that budgets may be cut by, such as project"
    )
    max_series: int = Field(
        100_000,
        gt=0,
        description="How many counters are followed at most; the source says if it leaves any out",
    )
    currency: str = Field(
        "", description="The currency of counters of money, where no label `currency` names it; USD where absent"
    )
    scale: Decimal = Field(Decimal(1), gt=0, description="What one unit of the counter is worth: 1000 for thousands")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("write it with http:// or https://")
        return url.rstrip("/")

    @field_validator("currency")
    @classmethod
    def _is_currency(cls, currency: str) -> str:
        if currency and not _CODE.fullmatch(currency.strip().upper()):
            raise ValueError("a currency is three letters, such as USD or EUR")
        return currency.strip().upper()

    @field_validator("preset")
    @classmethod
    def _is_known(cls, preset: str) -> str:
        name = preset.strip().lower().replace("-", "_")
        name = _ALIASES.get(name, name)
        if name and name not in PRESETS:
            raise ValueError(f"no such preset; {one_of(name, sorted(PRESETS))}")
        return name

    @model_validator(mode="after")
    def _names_counters(self) -> Self:
        if not self._selected():
            raise ValueError("name the counters by `preset`, or by `metric` with `meter` or `type_map`")
        if not self.preset and not (self.meter or (self.type_label and self.type_map)):
            raise ValueError("say what they count: `meter`, or `type_label` with `type_map`")
        if fault := self._without_effect():
            raise ValueError(fault)
        if "<" in self.meter:
            raise ValueError("`meter` is one meter; write what includes it in `type_map`, as cached=cached_input<input")
        known = METERS | {COST_METER}
        for meaning in (self.meter, *self.type_map.values()):
            if meaning.count("<") > 1:
                raise ValueError(f"{meaning!r} names more than a meter and the one that includes it")
            for meter in filter(None, meaning.split("<")):
                if meter not in known:
                    raise ValueError(f"{meter!r} is no meter; {one_of(meter, sorted(known))}")
            if "<" in meaning and COST_METER in meaning.split("<"):
                raise ValueError(f"{meaning!r}: money is within no meter, and no meter within money")
        if self.kind_of_metric == "gauge_per_period" and self.period is None:
            raise ValueError("gauge_per_period needs `period`: the length of the period of each value, such as 5m")
        return self

    @model_validator(mode="after")
    def _counts_money_where_there_are_no_tokens(self) -> Self:
        """Refuse ROLE=authoritative for the money of an exporter that counts tokens, too."""
        if self.money_is_cost():
            for name, preset in PRESETS.items():
                if known := sorted(self._asks_for(preset.money())):
                    raise ValueError(
                        f"{known[0]} is the estimate of an exporter that counts tokens, too, and no cost: write"
                        f" PRESET={name} instead, which counts the tokens and compares this money; or leave out ROLE"
                    )
        return self

    @model_validator(mode="after")
    def _hashes_what_it_keeps(self) -> Self:
        """Check that every name in HASH_LABELS is a label of this source."""
        kept = {*PLACES, *self.scope_labels, *self.labels, *self.counters().labels}
        for name in self.hash_labels:
            if name not in kept:
                raise ValueError(f"hash_labels names {name!r}, which is no label of this source; {one_of(name, kept)}")
        return self

    def _without_effect(self) -> str:
        """An option without effect, with its remedy; "" if every option has one."""
        if self.type_map and not (self.type_label or (self.preset and _type_labels(PRESETS[self.preset]))):
            return "`type_map` maps the values of a label: name it in `type_label`; __name__ is the metric's own name"
        if not self.preset:
            return ""
        if self.meter:
            return f"`meter` has no effect beside `preset`: {self.preset} knows what its counters count; leave it out"
        if self.type_label and not self.type_map:
            return "`type_label` has no effect without `type_map`"
        if self.metric and not _type_labels(PRESETS[self.preset]):
            return (
                f"{self.preset} has a metric for each meter, so `metric` alone does not say which meter this is; write"
                f" TYPE_LABEL=__name__ and TYPE_MAP={self.metric[0]}=input"
            )
        return ""

    def _selected(self) -> bool:
        return bool(self.preset or self.metric or (self._by_name() and self.type_map))

    def _by_name(self) -> bool:
        """Whether the metrics' names say what they count."""
        return self.type_label == "__name__"

    def _names(self) -> tuple[str, ...]:
        return tuple(map(self._spelling, self.metric))

    def _spelling(self, name: str) -> str:
        suffix = "_sum" if self.kind_of_metric == "histogram_sum" else ""
        return name if name.endswith(suffix) else name + suffix

    def _asks_for(self, metrics: Collection[str]) -> set[str]:
        """Those of the metrics that are read."""
        return set(metrics).intersection(self.counters().metrics())

    def counts_money_only(self) -> bool:
        """Whether only counters of money are read."""
        return all(rule.meter == COST_METER for rule in self.counters().rules)

    def money_is_cost(self) -> bool:
        """Whether what the exporter counts in money is what is spent: it has nothing else, and is authoritative."""
        return self.role == "authoritative" and self.counts_money_only()

    def scales(self) -> tuple[Decimal, Decimal]:
        """The factors from a counter's unit to usage and to nanos of money."""
        return self.scale, _NANOS * (self.scale if self.counts_money_only() else 1)

    def counters(self) -> Preset:
        """The preset, with what the operator says otherwise; or the operator's own counters as one."""
        preset = PRESETS[self.preset] if self.preset else Preset((), ("model", "model_name"))
        rules = self._beside(preset) if self.preset else self._rules(self._names() or (ANY,), self.type_label)
        return Preset(
            rules=tuple(replace(rule, within="") for rule in rules) if self.cached_apart else rules,
            model=(*self.model_label, *preset.model),
            provider=preset.provider,
            providers=(*self.provider_label, *preset.providers),
            labels=preset.labels,
            delay=preset.delay,
            optional=preset.optional,
        )

    def attributor(self) -> Attributor:
        """What reads the labels of these counters."""
        terms = Terms(
            provider=self.provider,
            model=self.model,
            account=self.account,
            labels=self.labels,
            scope_labels=tuple(self.scope_labels),
            drop_labels=frozenset(self.drop_labels),
            pseudonyms=self.pseudonyms(),
            currency=self.currency,
            money="cost" if self.money_is_cost() else "estimate",
        )
        return Attributor(self.counters(), terms)

    def spellings(self) -> dict[str, int]:
        """Which spelling of its metric a name is, the best first; nothing where the operator named the metrics."""
        rules = self.counters().rules if self.preset else ()
        return {name: place for rule in rules for place, name in enumerate(rule.metrics)}

    def access(self) -> Access:
        """The access to the server: proxy, TLS, credentials."""
        return Access(
            proxy=self.proxy,
            ca_file=self.ca_file,
            timeout=self.timeout,
            bearer=revealed(self.token),
            username=self.username,
            password=revealed(self.password),
            headers={name: secret.get_secret_value() for name, secret in self.headers.items()},
            cert_file=self.cert_file,
            key_file=self.key_file,
        )

    def seconds_per_value(self) -> float:
        """The period of each value; 0 for running totals."""
        gauge = self.kind_of_metric == "gauge_per_period"
        return self.period.total_seconds() if gauge and self.period else 0.0

    def _beside(self, preset: Preset) -> tuple[Rule, ...]:
        """The preset's rules; before them what the operator maps, in them further names of its metric."""
        known = tuple(
            replace(one, metrics=(*one.metrics, *self._names())) if one.where else one for one in preset.rules
        )
        if not self.type_map:
            return known
        own: list[Rule] = []
        for label in [self.type_label] if self.type_label else _type_labels(preset):
            names = [name for one in known if label in one.where for name in one.metrics]
            usage = [name for one in known if one.meter != COST_METER for name in one.metrics]
            own += self._rules(tuple(dict.fromkeys(names or usage)), label)
        return (*own, *known)

    def _rules(self, names: tuple[str, ...], label: str) -> tuple[Rule, ...]:
        if not self.type_map:
            return (Rule(names, self.meter),)
        parts = ((value, *meaning.partition("<")[::2]) for value, meaning in self.type_map.items())
        if self._by_name():
            return tuple(Rule((self._spelling(name),), meter, within) for name, meter, within in parts)
        return tuple(Rule(names, meter, within, {label: (value,)}) for value, meter, within in parts)


def _type_labels(preset: Preset) -> list[str]:
    """The labels that distinguish a preset's meters."""
    return list(dict.fromkeys(label for rule in preset.rules for label in rule.where))
