"""The price files of the package and of the user as one book, above the price lists of genai-prices and LiteLLM.

genai-prices' data may be a file that a job, or alertd where asked, keeps new. LiteLLM's table is read, never imported
and never downloaded. Its prices are US dollars per token, without a date; Scaleway's are euros stored as dollars and
therefore left out (seen with litellm 1.110).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import _providers_from_raw

from alertd import prices
from alertd.clients.genai_prices import GenaiPrices
from alertd.clients.http import MEGABYTE, Access, Http
from alertd.clients.local_files import read_text
from alertd.clients.reference_rates import read_reference_rates
from alertd.core.config_errors import shortened
from alertd.core.pricing.price_book import Price, PriceBook, PriceList, Unpriced
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.core.pricing.price_history import Layer
from alertd.core.spellings import provider_id
from alertd.core.usage import Modifiers
from alertd.ports import SourceError

#: Fewer providers than this are no price list, whatever else they are.
_FEWEST: Final = 5
_LARGEST: Final = 32 * MEGABYTE
_ACCESS: Final = Access(timeout=timedelta(seconds=60))


class Lists:
    """Several lists; the first that has a price wins."""

    def __init__(self, *lists: PriceList) -> None:
        self._lists = lists

    @property
    def version(self) -> str:
        """The versions of all lists, the strongest first."""
        return ", then ".join(one.version for one in self._lists)

    def names(self) -> Iterator[str]:
        """Every model that any of them names."""
        return (name for one in self._lists for name in one.names())

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Price, ...] | Unpriced:
        """The first list's history of a meter, or why the last has none."""
        found: tuple[Price, ...] | Unpriced = Unpriced("there is no list")
        for one in self._lists:
            found = one.history(provider, model, meter, modifiers)
            if not isinstance(found, Unpriced):
                break
        return found


def genai_prices_of(file: Path) -> GenaiPrices:
    """The price list in a file. ValueError with the remedy if it is not a price list; OSError if it is missing."""
    if "\0" in str(file):
        raise ValueError("no path; write the path of a file")
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return GenaiPrices(snapshot_of(read_text(file), str(file)), f"genai-prices of {changed:%Y-%m-%d}")


def snapshot_of(text: str, name: str) -> DataSnapshot:
    """genai-prices' data out of its JSON. ValueError with the remedy where it is not that."""
    try:
        providers = _providers_from_raw(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name} is no data of genai-prices ({type(error).__name__}); fetch its data.json") from error
    if len(providers) < _FEWEST:
        raise ValueError(f"{name} has {len(providers)} providers; genai-prices' data.json has some fifty")
    return DataSnapshot(providers, from_auto_update=True)


class FetchedFile:
    """A list at an address, and the file that it is kept in: written whole, and only what can be read.

    `count` reads the text, and says how many entries it has. ValueError with the remedy where it is no such list.
    """

    def __init__(self, url: str, file: Path, count: Callable[[str], int], access: Access = _ACCESS) -> None:
        self._url = url
        self._file = file
        self._count = count
        self._http = Http(access)

    async def fetch(self) -> int:
        """Fetch and keep it; the number of its entries. Raises SourceError, and leaves the old file, otherwise."""
        answer = await self._http.send("GET", self._url, limit=_LARGEST)
        try:
            text = answer.body.decode()
            count = self._count(text)
            written = self._file.with_name(f".{self._file.name}.new")
            written.write_text(text, "utf-8")
            written.replace(self._file)
        except OSError as error:
            raise SourceError(f"{self._file} cannot be written ({error.strerror}); check the path") from error
        except ValueError as error:
            raise SourceError(str(error)) from error
        return count

    async def refresh(self, every: timedelta, now: datetime) -> int:
        """Fetch it where the file is older than `every`, or not there; the number of entries, 0 where it is new.

        A file that was fetched is read again like any changed file, and what reads it must not fetch it anew.
        """
        try:
            age = now.timestamp() - self._file.stat().st_mtime
        except OSError:
            return await self.fetch()
        return await self.fetch() if age >= every.total_seconds() else 0

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()


def price_list_file(url: str, file: Path, access: Access = _ACCESS) -> FetchedFile:
    """genai-prices' data, fetched; its entries are providers."""
    return FetchedFile(url, file, lambda text: len(snapshot_of(text, "what was fetched").providers), access)


def rates_file(url: str, file: Path, access: Access = _ACCESS) -> FetchedFile:
    """A central bank's rates, fetched; its entries are rates of days."""
    return FetchedFile(url, file, lambda text: len(read_reference_rates(text, "what was fetched")), access)


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
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{file} is no JSON; give LiteLLM's model_prices_and_context_window.json") from None
    entries = {name: one for name, one in table.items() if _is_model(one)} if isinstance(table, dict) else {}
    if not entries:
        raise ValueError(f"{file} is no price table of LiteLLM; give its model_prices_and_context_window.json")
    return LitellmPrices(entries, _source(file, where))


class LitellmPrices:
    """The table by provider and name; `version` says which one it is."""

    def __init__(self, table: Mapping[str, Mapping[str, object]], source: str) -> None:
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


def price_book(own_files: Sequence[Path] = (), second_opinion: str = "", list_file: Path | None = None) -> PriceBook:
    """The user's files (the first named wins), then the built-in ones, then genai-prices. Raises PriceFileError.

    `list_file` is genai-prices' data, before what ships with it, where the file is there; `second_opinion` is
    LiteLLM's table, or `litellm` for the one of an installed package.
    """
    own = [_read(path.name, path) for path in own_files]
    second = _second(second_opinion) if second_opinion else None
    return PriceBook((*own, *built_in_layers()), _listed(list_file), second, len(own))


def _second(where: str) -> LitellmPrices:
    try:
        return litellm_prices(where)
    except ValueError as error:
        raise PriceFileError(where, [str(error).removeprefix(f"{where} ")]) from error


def _listed(file: Path | None) -> PriceList:
    """The list in a file, and below it the shipped one; the shipped one alone until the file exists."""
    try:
        return Lists(genai_prices_of(file), GenaiPrices()) if file is not None else GenaiPrices()
    except FileNotFoundError:
        return GenaiPrices()
    except OSError as error:
        raise PriceFileError(
            str(file), [f"cannot be read ({error.strerror}); check the path and its rights"]
        ) from error
    except ValueError as error:
        said = str(error).removeprefix(f"{file} ")
        fault = said if "; " in said else f"no path ({shortened(said)}); write the path of a file"
        raise PriceFileError(shortened(str(file)), [fault]) from error


@cache
def built_in_layers() -> tuple[Layer, ...]:
    """The price files of the package, one a provider; read once a process, as every reload asks for them."""
    folder = files(prices)
    named = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(read_price_file(name, entry.read_text("utf-8")) for name, entry in named)


def _read(name: str, path: Path) -> Layer:
    try:
        text = read_text(path)
    except ValueError as error:
        raise PriceFileError(str(path), [str(error).removeprefix(f"{path} ")]) from error
    return read_price_file(name, text)
