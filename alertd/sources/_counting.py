"""What the two kinds that read counters have in common: their options, and which counters these mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from alertd.core.counting.attribution import Attributor, Terms
from alertd.core.counting.counters import CounterSamples
from alertd.core.counting.presets import ANY, PLACES, PRESETS, TOKEN_WORDS, Preset, Rule
from alertd.core.faults import one_of
from alertd.core.messages.spans import clean
from alertd.core.usage import METERS, Line
from alertd.options import Duration, Secret, SourceOptions, TextList, revealed
from alertd.wire.http import Access

_NAMED: Final = 5
_SIMILAR: Final = 10
_NAME_LENGTH: Final = 120
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
    """Where counters are read, as whom, and what they are called."""

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
    metric: TextList = Field(default_factory=list, description="Without a preset: the names of the counters")
    kind_of_metric: Literal["counter", "histogram_sum", "gauge_per_period"] = Field(
        "counter", description="What the values are; histogram_sum adds _sum to the names"
    )
    period: Duration | None = Field(None, description="For gauge_per_period: how long a period each value stands for")
    meter: str = Field("", description="Without a type label: what the counters count, such as input or output")
    type_label: str = Field(
        "", description="The label that tells what a series counts; __name__ where it is the metric's name"
    )
    type_map: dict[str, str] = Field(
        default_factory=dict,
        description="From its values to meters: prompt=input, cached=cached_input<input (where input includes it)",
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
        100_000, gt=0, description="How many counters are followed at most; further ones are left out, which is said"
    )
    scale: Decimal = Field(Decimal(1), gt=0, description="What one unit of the counter is worth: 1000 for thousands")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("write it with http:// or https://")
        return url.rstrip("/")

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
        if "<" in self.meter:
            raise ValueError("`meter` is one meter; write what includes it in `type_map`, as cached=cached_input<input")
        for meaning in (self.meter, *self.type_map.values()):
            if meaning.count("<") > 1:
                raise ValueError(f"{meaning!r} names more than a meter and the one that includes it")
            for meter in filter(None, meaning.split("<")):
                if meter not in METERS:
                    raise ValueError(f"{meter!r} is no meter; {one_of(meter, sorted(METERS))}")
        if self.kind_of_metric == "gauge_per_period" and self.period is None:
            raise ValueError("gauge_per_period wants `period`: how long each value stands for, such as 5m")
        return self

    @model_validator(mode="after")
    def _hashes_what_it_keeps(self) -> Self:
        """A label that is misspelt would be kept as it is: that is no place for silence."""
        kept = {*PLACES, *self.scope_labels, *self.labels, *self.counters().labels}
        for name in self.hash_labels:
            if name not in kept:
                raise ValueError(f"hash_labels names {name!r}, which is no label of this source; {one_of(name, kept)}")
        return self

    def _selected(self) -> bool:
        return bool(self.preset or self.metric or (self._by_name() and self.type_map))

    def _by_name(self) -> bool:
        """Whether the metrics' own names tell what they count."""
        return self.type_label == "__name__"

    def _names(self) -> tuple[str, ...]:
        return tuple(map(self._spelling, self.metric))

    def _spelling(self, name: str) -> str:
        suffix = "_sum" if self.kind_of_metric == "histogram_sum" else ""
        return name if name.endswith(suffix) else name + suffix

    def counters(self) -> Preset:
        """The preset, with what the operator says otherwise; or the operator's own counters as one."""
        preset = PRESETS[self.preset] if self.preset else Preset(self._rules(), ("model", "model_name"))
        return Preset(
            rules=tuple(replace(rule, within="") for rule in preset.rules) if self.cached_apart else preset.rules,
            model=(*self.model_label, *preset.model),
            provider=preset.provider,
            providers=(*self.provider_label, *preset.providers),
            labels=preset.labels,
            delay=preset.delay,
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
        )
        return Attributor(self.counters(), terms)

    def spellings(self) -> dict[str, int]:
        """Which spelling of its metric a name is, the best first; nothing where the operator named the metrics."""
        rules = self.counters().rules if self.preset else ()
        return {name: place for rule in rules for place, name in enumerate(rule.metrics)}

    def access(self) -> Access:
        """How the server is reached."""
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
        """The period that each value stands for; 0 for running totals."""
        gauge = self.kind_of_metric == "gauge_per_period"
        return self.period.total_seconds() if gauge and self.period else 0.0

    def _rules(self) -> tuple[Rule, ...]:
        names = self._names() or (ANY,)
        if not self.type_map:
            return (Rule(names, self.meter),)
        parts = ((value, *meaning.partition("<")[::2]) for value, meaning in self.type_map.items())
        if self._by_name():
            return tuple(Rule((self._spelling(name),), meter, within) for name, meter, within in parts)
        return tuple(Rule(names, meter, within, {self.type_label: (value,)}) for value, meter, within in parts)


def one_spelling(found: Iterable[tuple[str, CounterSamples]], spellings: Mapping[str, int]) -> list[CounterSamples]:
    """The counters by metric, without those that a target shows under a better spelling at the same time.

    A counter beside its deprecated gauge, a metric's old name beside its new one: the same tokens, counted once.
    """
    given = list(found)
    if len({spellings.get(metric, 0) for metric, _ in given}) < 2:  # noqa: PLR2004 - one spelling is the rule
        return [series for _, series in given]
    best: dict[tuple[str, Line, int], tuple[int, float, float]] = {}
    for metric, series in given:
        if not series.points:
            continue
        key, rank = (series.target, series.line, id(series.labels)), spellings.get(metric, 0)
        first, last = series.points[0][0], series.points[-1][0]
        known = best.get(key)
        if known is None or rank < known[0]:
            best[key] = rank, first, last
        elif rank == known[0]:
            best[key] = rank, min(first, known[1]), max(last, known[2])
    kept = []
    for metric, series in given:
        rank, first, last = best.get((series.target, series.line, id(series.labels)), (0, inf, -inf))
        beside = series.points and series.points[-1][0] >= first and series.points[0][0] <= last
        if spellings.get(metric, 0) == rank or not beside:
            kept.append(series)
    return kept


def unknown_types(found: Collection[str]) -> tuple[str, ...]:
    """What is said of series that no rule takes: their tokens may be billed, and are in no figure of their own."""
    if not found:
        return ()
    named = ", ".join(sorted(found)[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
    return (f"no rule takes {named}: their tokens have no meter of their own; map them by METRIC and TYPE_MAP",)


def like_tokens(names: Iterable[str]) -> str:
    """What is said of metrics whose names look like counters of tokens; nothing where none does."""
    found = sorted({name for name in names if any(word in name for word in TOKEN_WORDS)})
    named = ", ".join(clean(name, _NAME_LENGTH) for name in found[:_SIMILAR])
    return f"; these look like token counters: {named}" if found else ""


def labels_of(samples: Iterable[CounterSamples]) -> dict[str, tuple[str, ...]]:
    """The labels that budgets can be cut by, with the values seen."""
    found: dict[str, set[str]] = {}
    for series in samples:
        for name, value in {**series.labels, "model": series.line.model, "provider": series.line.provider}.items():
            found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}
