"""genai-prices' data as a file: read and checked. A job, or alertd where asked, keeps it new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import _providers_from_raw

from alertd.core.pricing.prices import Price, PriceList, Unpriced
from alertd.core.usage import Modifiers
from alertd.ports import SourceError
from alertd.wire.bounded import read_text
from alertd.wire.http import MEGABYTE, Access, Http
from alertd.wire.pricelist import GenaiPrices

#: Fewer providers than this are no price list, whatever else they are.
_FEWEST: Final = 5
_LARGEST: Final = 32 * MEGABYTE
_ACCESS: Final = Access(timeout=timedelta(seconds=60))


class Lists:
    """Several lists, the first one that has a price wins: a file that lacks a provider takes nothing away."""

    def __init__(self, *lists: PriceList) -> None:
        self._lists = lists

    @property
    def version(self) -> str:
        """Which lists they are, the strongest first."""
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
    """The price list in a file. ValueError with the remedy where it is not one; OSError where there is no file."""
    if "\0" in str(file):
        raise ValueError("no path; write the path of a file")
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return GenaiPrices(snapshot_of(read_text(file), str(file)), f"genai-prices of {changed:%Y-%m-%d}")


def snapshot_of(text: str, name: str) -> DataSnapshot:
    """genai-prices' data out of its JSON. ValueError with the remedy where it is not that."""
    try:
        providers = _providers_from_raw(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{name} is no data of genai-prices ({type(error).__name__}); fetch its data.json") from error
    if len(providers) < _FEWEST:
        raise ValueError(f"{name} has {len(providers)} providers; genai-prices' data.json has some fifty")
    return DataSnapshot(providers, from_auto_update=True)


class PriceListFile:
    """genai-prices' data at an address, and the file that it is kept in: written whole, and only what can be read."""

    def __init__(self, url: str, file: Path, access: Access = _ACCESS) -> None:
        self._url = url
        self._file = file
        self._http = Http(access)

    async def fetch(self) -> int:
        """Fetch and keep it; the number of providers in it. Raises SourceError, and leaves the old file, otherwise."""
        answer = await self._http.send("GET", self._url, limit=_LARGEST)
        try:
            text = answer.body.decode()
            count = len(snapshot_of(text, "what was fetched").providers)
            written = self._file.with_name(f".{self._file.name}.new")
            written.write_text(text, "utf-8")
            written.replace(self._file)
        except OSError as error:
            raise SourceError(f"{self._file} cannot be written ({error.strerror}); check the path") from error
        except ValueError as error:
            raise SourceError(str(error)) from error
        return count

    async def refresh(self, every: timedelta, now: datetime) -> int:
        """Fetch it where the file is older than `every`, or not there; the number of providers, 0 where it is new.

        A file that was fetched is read again like any changed file, and what reads it must not fetch it anew.
        """
        try:
            age = now.timestamp() - self._file.stat().st_mtime
        except OSError:
            return await self.fetch()
        return await self.fetch() if age >= every.total_seconds() else 0

    async def close(self) -> None:
        """Let the connection go."""
        await self._http.close()
