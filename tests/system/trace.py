"""A month of real usage as a gateway would have shown it to a Prometheus: restarts, births, gaps, and the truth."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("ALERTD_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FILE = DATA / "trace" / "usage_daily.csv"
MONTH, DAYS, STEP = "2026-03", 31, 60
STEPS = DAYS * 86400 // STEP
#: Restarts (by step, and how far into the step), and gaps in which nothing was scraped. No restart lies in a gap:
#: what is used between the last scrape and a restart is seen by nobody, and a gap would make that large.
RESTARTS = (
    (1 * 1440 + 660, 0.5), (4 * 1440 + 251, 0.3), (7 * 1440 + 1160, 0.9), (11 * 1440 + 60, 0.2),
    (15 * 1440 + 930, 0.6), (18 * 1440 + 1180, 0.4), (23 * 1440 + 213, 0.7), (28 * 1440 + 610, 0.1),
)  # fmt: skip
GAPS = ((3000, 3010), (18000, 18180), (30500, 31040))
#: A key that appears in mid-month with much at once, and one that lives for an hour.
LARGE_AT, LARGE = 17321, 4_000_000
BRIEF_AT, BRIEF = 25000, 900_000


@dataclass
class Series:
    """One counter of the gateway. `used[k]` is what was used between scrapes k and k + 1, `base` before the month."""

    metric: str
    labels: dict[str, str]
    meter: str
    used: np.ndarray
    within: str = ""
    base: int = 0
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lost: int = 0

    def __post_init__(self) -> None:
        """What each scrape shows (0: the series does not exist), and what no scrape could see."""
        self.shown = np.zeros(STEPS + 1, np.int64)
        begins = [(-1, self.base), *((step, self._kept(step, share)) for step, share in RESTARTS)]
        for (step, first), (end, _) in zip(begins, [*begins[1:], (STEPS, 0)], strict=True):
            self.shown[step + 1 : end + 1] = first + np.concatenate([[0], np.cumsum(self.used[step + 1 : end])])
        self.lost = sum(int(self.used[step]) - self._kept(step, share) for step, share in RESTARTS)

    def _kept(self, step: int, share: float) -> int:
        return int(self.used[step]) - int(self.used[step] * share)

    def name(self, place: str) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.metric}{{{labels},{place}}}"


def scraped() -> np.ndarray:
    """Which of the scrapes 0 to STEPS took place."""
    took = np.ones(STEPS + 1, bool)
    for begin, end in GAPS:
        took[begin:end] = False
    return took


def exposition(series: list[Series], start: int, place: str) -> Iterator[str]:
    """OpenMetrics text with times: scrape k at start + k * STEP. The process began two days before the month."""
    took = scraped()
    families: dict[str, list[Series]] = {}
    for one in series:
        families.setdefault(one.metric, []).append(one)
    for metric, members in families.items():
        yield f"# TYPE {metric.removesuffix('_total')} {'counter' if metric.endswith('_total') else 'gauge'}"
        for one in members:
            name = one.name(place)
            yield from (f"{name} {one.base} {start + step * STEP}" for step in range(-60, 0) if one.base)
            yield from (f"{name} {one.shown[k]} {start + k * STEP}" for k in np.flatnonzero(took & (one.shown > 0)))
    yield "# TYPE up gauge"
    yield from (f"up{{{place}}} {int(k < 0 or took[k])} {start + k * STEP}" for k in range(-60, STEPS + 1))
    yield "# TYPE process_start_time_seconds gauge"
    begun = [(-60, start - 2 * 86400.0), *((step + 1, start + (step + share) * STEP) for step, share in RESTARTS)]
    for (first, at), (end, _) in zip(begun, [*begun[1:], (STEPS + 1, 0.0)], strict=True):
        alive = (k for k in range(first, end) if k < 0 or took[k])
        yield from (f"process_start_time_seconds{{{place}}} {at} {start + k * STEP}" for k in alive)
    yield "# EOF"


def truth(series: list[Series], *, visible: bool = False) -> Counter[tuple[str, str]]:
    """Tokens by model and disjoint meter; with `visible` without those that no scrape could see."""
    found: Counter[tuple[str, str]] = Counter()
    for one in series:
        model = one.labels.get("model") or one.labels["gen_ai_request_model"]
        quantity = int(one.used.sum()) - (one.lost if visible else 0)
        found[model, one.meter] += quantity
        if one.within:
            found[model, one.within] -= quantity
    return found


def litellm() -> list[Series]:
    """The trace's month as a LiteLLM proxy counts it: input includes what was cached and what was written to cache."""
    series = []
    for number, ((_, model), days) in enumerate(sorted(_month().items())):
        pace = _pace(number)
        labels = {"model": model, "team_alias": f"team-{number % 2}", "api_key_alias": f"key-{number}",
                  "hashed_api_key": f"{number:064x}", "requested_model": model}  # fmt: skip
        made = partial(Series, labels=labels)
        base = 777_777 if number == 0 else 0
        series.append(made("litellm_input_tokens_metric_total", meter="input", used=_spread(days, 0, pace), base=base))
        series.append(made("litellm_output_tokens_metric_total", meter="output", used=_spread(days, 3, pace)))
        for column, metric, meter in (
            (1, "litellm_input_cached_tokens_metric_total", "cached_input"),
            (2, "litellm_input_cache_creation_tokens_metric_total", "cache_write"),
        ):
            used = _spread(days, column, pace)
            if used.sum():
                series.append(made(metric, meter=meter, used=used, within="input"))
    for alias, at, tokens in (("newcomer", LARGE_AT, LARGE), ("brief", BRIEF_AT, BRIEF)):
        used = np.zeros(STEPS, np.int64)
        used[at], used[at + 5 : at + 60] = tokens, 1000
        labels = {"model": "gpt-5.4", "team_alias": "team-0", "api_key_alias": alias, "hashed_api_key": f"{at:064x}"}
        series.append(Series("litellm_input_tokens_metric_total", labels, "input", used))
    return series


def otel() -> list[Series]:
    """The same month as an OpenTelemetry histogram's sums, for the two models used most."""
    series = []
    months = sorted(_month().items(), key=lambda item: -sum(day[0] for day in item[1].values()))
    for number, ((provider, model), days) in enumerate(months[:2]):
        for column, kind in ((0, "input"), (3, "output")):
            labels = {"gen_ai_provider_name": provider, "gen_ai_request_model": model, "gen_ai_token_type": kind,
                      "gen_ai_operation_name": "chat", "service_name": "assistant"}  # fmt: skip
            used = _spread(days, column, _pace(50 + number))
            series.append(Series("gen_ai_client_token_usage_sum", labels, kind, used))
    return series


def _month() -> dict[tuple[str, str], dict[int, tuple[int, int, int, int]]]:
    """By provider and model and day of the month: input with all that is cached, cached, written to cache, output."""
    found: dict[tuple[str, str], dict[int, tuple[int, int, int, int]]] = {}
    with FILE.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["date"].startswith(MONTH):
                given, read, wrote, out = (
                    int(row[f"{name}_tokens"]) for name in ("input", "cache_read", "cache_write", "output")
                )
                included = given if row["provider"] != "anthropic" else given + read + wrote
                days = found.setdefault((row["provider"], row["model"]), {})
                days[int(row["date"][8:]) - 1] = (max(included, read + wrote), read, wrote, out)
    return found


def _pace(seed: int) -> np.ndarray:
    """How a day's usage is shared among its steps: bursts, by day more than by night. Each row sums to 1."""
    chance = np.random.default_rng(seed)
    hour = np.arange(86400 // STEP) * STEP / 3600
    shares = chance.lognormal(0, 1.5, (DAYS, hour.size)) * np.where((hour > 7) & (hour < 23), 1.0, 0.02)
    shares *= chance.random(shares.shape) < 0.5
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _spread(days: dict[int, tuple[int, int, int, int]], column: int, pace: np.ndarray) -> np.ndarray:
    """A column of the trace in whole tokens by step."""
    used = np.zeros((DAYS, 86400 // STEP), np.int64)
    for day, tokens in days.items():
        used[day] = np.diff(np.floor(np.cumsum(pace[day]) * tokens[column] + 1e-6), prepend=0)
        used[day, -1] += tokens[column] - used[day].sum()
    return used.ravel()
