"""The price files of the package and of the user as one book, above the price list of genai-prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from alertd import prices
from alertd.core.pricing.fx import Rate, Rates
from alertd.core.pricing.pricefile import PriceFileError, read_price_file
from alertd.core.pricing.pricelayer import Layer
from alertd.core.pricing.prices import PriceBook
from alertd.wire.bounded import read_text
from alertd.wire.pricelist import GenaiPrices


def price_book(own_files: Sequence[Path] = ()) -> PriceBook:
    """The user's files (the first named wins), then the built-in ones, then genai-prices. Raises PriceFileError."""
    own = [_read(path.name, path) for path in own_files]
    return PriceBook((*own, *built_in_layers()), GenaiPrices())


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
