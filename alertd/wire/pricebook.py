"""The price files of the package and of the user as one book, above the price list of genai-prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from alertd import prices
from alertd.core.faults import shortened
from alertd.core.pricing.fx import Rate, Rates
from alertd.core.pricing.pricefile import PriceFileError, read_price_file
from alertd.core.pricing.pricelayer import Layer
from alertd.core.pricing.prices import PriceBook, PriceList
from alertd.wire.bounded import read_text
from alertd.wire.litellm_prices import LitellmPrices, litellm_prices
from alertd.wire.pricelist import GenaiPrices
from alertd.wire.pricelist_file import Lists, genai_prices_of


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
    """The list in a file, below it what ships; the latter alone where there is no file yet."""
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


def built_in_layers() -> tuple[Layer, ...]:
    """The price files of the package, one a provider."""
    folder = files(prices)
    named = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(read_price_file(name, entry.read_text("utf-8")) for name, entry in named)


def rates_of(book: PriceBook, configured: Iterable[Rate] = ()) -> Rates:
    """The rates of exchange that the user's price files give; a pair that is configured besides is taken from there."""
    given = tuple(configured)
    pairs = {(rate.base, rate.quote) for rate in given}
    filed = (rate for layer in reversed(book.layers) for rate in layer.rates)
    return Rates((*(rate for rate in filed if (rate.base, rate.quote) not in pairs), *given))


def _read(name: str, path: Path) -> Layer:
    try:
        text = read_text(path)
    except ValueError as error:
        raise PriceFileError(str(path), [str(error).removeprefix(f"{path} ")]) from error
    return read_price_file(name, text)
