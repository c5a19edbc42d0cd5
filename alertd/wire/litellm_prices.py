"""LiteLLM's price table as a second opinion: a file that the user names, or the one of a package that is installed.

It is read, never imported and never downloaded. Its figures are US dollars per token, without a date; Scaleway's are
euros stored as dollars and therefore left out (seen with litellm 1.110).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from alertd.core.pricing.prices import Price, Unpriced
from alertd.core.pricing.provider_names import provider_id
from alertd.core.usage import Modifiers
from alertd.wire.bounded import read_text

#: The setting's word for the table of an installed package.
INSTALLED: Final = "litellm"
_TABLE: Final = "model_prices_and_context_window_backup.json"
_MILLION: Final = 1_000_000
_KEYS: Final[Mapping[str, str]] = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "batch_input": "input_cost_per_token_batches",
    "batch_output": "output_cost_per_token_batches",
    "requests": "input_cost_per_request",
    "minutes": "input_cost_per_second",
}
_MODAL_KEYS: Final[Mapping[str, str]] = {"input": "input_cost_per_{}_token", "output": "output_cost_per_{}_token"}
_PER: Final = {"requests": 1, "minutes": 1}
_FOREIGN: Final = frozenset({"scaleway"})
_TIERS: Final = frozenset({"flex", "priority"})


def litellm_prices(where: str) -> LitellmPrices:
    """The table at a path, or of the installed package for `litellm`. ValueError with the remedy."""
    file = _installed() if where == INSTALLED else Path(where)
    try:
        table = json.loads(read_text(file), parse_float=Decimal)
    except json.JSONDecodeError:
        raise ValueError(f"{file} is no JSON; give LiteLLM's model_prices_and_context_window.json") from None
    entries = {name: one for name, one in table.items() if _is_model(one)} if isinstance(table, dict) else {}
    if not entries:
        raise ValueError(f"{file} is no price table of LiteLLM; give its model_prices_and_context_window.json")
    return LitellmPrices(entries, _source(file, where))


class LitellmPrices:
    """The table by provider and name; `version` says which one it is."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]], source: str) -> None:
        self.version: str = source
        self._models: dict[tuple[str, str], Mapping[str, Any]] = {}
        for name, entry in table.items():
            seller, key = provider_id(entry["litellm_provider"]), name.lower()
            prefix, _, rest = key.partition("/")
            for written in (key, rest if rest and provider_id(prefix) == seller else ""):
                if written and seller not in _FOREIGN:
                    self._models.setdefault((seller, written), entry)

    def names(self) -> Iterator[str]:
        """Every name of the table, with and without its provider."""
        return (name for _, name in self._models)

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Price, ...] | Unpriced:
        """The table's one price of a meter; an empty provider finds nothing, as the table has many for a name."""
        entry = self._models.get((provider, model)) if provider else None
        key = _key(meter, dict(modifiers)) if entry is not None else None
        if entry is None or key is None or not _is_amount(entry.get(key)):
            return Unpriced(f"{self.version} has no price for {provider}/{model} {meter}")
        scale = 60 if meter == "minutes" else 1
        per = _PER.get(meter, _MILLION)
        amounts = [Decimal(value) * per * scale for name, value in entry.items() if _is_step(name, key, value)]
        base = Decimal(entry[key]) * per * scale
        dearest = max((base, *amounts))
        return (Price(provider, model, base, per, "USD", None, self.version, ceiling=dearest if amounts else None),)


def _key(meter: str, modifiers: dict[str, str]) -> str | None:
    key = _KEYS.get(meter)
    modality = modifiers.pop("modality", "text")
    if modality not in {"", "text"}:
        key = _MODAL_KEYS[meter].format(modality) if meter in _MODAL_KEYS else None
    if key is None:
        return None
    if meter == "cache_write" and modifiers.pop("cache_ttl", "") == "1h":
        key += "_above_1hr"
    if (tier := modifiers.get("tier", "").lower()) in _TIERS:
        del modifiers["tier"]
        key += f"_{tier}"
    return None if modifiers else key


def _is_step(name: str, key: str, value: object) -> bool:
    """Whether a key holds the same price for large requests (..._above_200k_tokens)."""
    return name.startswith(f"{key}_above_") and name.endswith("k_tokens") and _is_amount(value)


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal | int) and not isinstance(value, bool) and value >= 0


def _is_model(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("litellm_provider"), str) and "mode" in entry


def _installed() -> Path:
    found = find_spec(INSTALLED)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (file := Path(folder) / _TABLE).is_file():
            return file
    raise ValueError("no package litellm with a price table is installed here; give the path of its table")


def _source(file: Path, where: str) -> str:
    if where == INSTALLED:
        try:
            return f"litellm {version(INSTALLED)}"
        except PackageNotFoundError:
            return INSTALLED
    return f"{file.name} of {datetime.fromtimestamp(file.stat().st_mtime, UTC):%Y-%m-%d}"
