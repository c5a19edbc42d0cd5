"""The whole configuration as one frozen value: `load_settings`. To load it again is to call it again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.budgets import Budget
from alertd.core.faults import Fault, SettingsError, shortened
from alertd.core.pricing.pricefile import PriceFileError, read_price_file
from alertd.core.usage import Committed
from alertd.registry import HOUSE, ROOMS
from alertd.settings.budgets import read_budget, with_defaults
from alertd.settings.checking import Model, Part
from alertd.settings.commitments import COMMITMENTS, read_commitment
from alertd.settings.document import BudgetKeys, Document, HttpOptions, PricesOptions, written
from alertd.settings.layers import FILE, KeyPath, Layers, Leaf
from alertd.settings.plugins import check_fallbacks, check_hashed, read_plugin
from alertd.settings.tokens import read_http
from alertd.settings.values import Configured, PriceLists, Settings
from alertd.wire.bounded import read_text

_TOML, _SECRETS, _FILES = range(3)
_ENVIRONMENT: Final = 1_000_000
#: What to write where a section that is needed has nothing in it.
_FIRST: Final = {
    "sources": ("GATEWAY", "KIND=prometheus, and its URL"),
    "budgets": ("TEAM", "AMOUNT=500 USD"),
}
#: What does as well: commitments alone can be watched.
_INSTEAD: Final = {"sources": ("commitments",)}
_PAIR: Final = re.compile(r"([A-Z]{3})_([A-Z]{3})")


def load_settings(
    env: Mapping[str, str],
    env_files: Iterable[str | Path] = (),
    config: str | Path | None = None,
    *,
    need: Collection[str] = (),
    house: Path = HOUSE,
    plugins: bool = True,
) -> Settings:
    """The settings, from an environment (`os.environ`), env files (a later one wins) and a TOML file.

    Environment over env files over the folder of secrets over TOML over defaults. `need` names sections that have to
    have something in them (`run`: sources and budgets). Without `plugins` no source, notifier or action is loaded or
    checked: their sections are empty. Raises SettingsError with every fault at once.
    """
    layers = _read_layers(env, env_files, config)
    reading = _Reading(layers, house, plugins=plugins)
    settings = reading.settings(need)
    if settings is None:
        raise SettingsError(dict.fromkeys(reading.faults))
    return settings


def _read_layers(env: Mapping[str, str], env_files: Iterable[str | Path], config: str | Path | None) -> Layers:
    layers = Layers()
    for count, file in enumerate(env_files):
        layers.env_file(Path(file), _FILES + count)
    layers.environment(env, _ENVIRONMENT)
    if config is not None:
        layers.toml(Path(config), "--config", _TOML)
    elif found := layers.leaves.get(("config",)):
        layers.toml(Path(str(found.value)), found.place, _TOML)
    if secrets := layers.leaves.get(("secrets_dir",)):
        layers.secrets(Path(str(secrets.value)), secrets.place, _SECRETS)
    return layers


class _Reading:
    """One pass over the leaves, part by part; every part adds its faults."""

    def __init__(self, layers: Layers, house: Path, *, plugins: bool) -> None:
        self.leaves = layers.leaves
        self.faults = list(layers.faults)
        self.files = (*layers.files, *_named_files(layers))
        self.house = house
        self.plugins = plugins

    def settings(self, need: Collection[str]) -> Settings | None:
        """The settings, or None where anything at all is wrong."""
        document = self._section((), Document)
        http = self._section(("http",), HttpOptions)
        prices, lists = self._prices()
        fx = self._fx()
        rooms = {section: self._plugins(section, room) for section, room in ROOMS.items()}
        self._hashed(rooms["actions"], rooms["sources"])
        budgets, tables = self._budgets(document.timezone if document else ZoneInfo("UTC"))
        commitments = self._commitments(document.timezone if document else ZoneInfo("UTC"))
        self._needed(need)
        reached = read_http(http, self.leaves, self.faults) if http else None
        if self.faults or document is None or reached is None:
            return None
        return Settings(
            database=document.database,
            poll_interval=document.poll_interval,
            timezone=document.timezone,
            dry_run=document.dry_run,
            http=reached,
            public_url=document.public_url,
            heartbeat_url=document.heartbeat_url,
            digest=document.digest,
            drift_level=document.drift_level,
            correct_estimates=document.correct_estimates,
            quiet_hours=document.quiet_hours,
            retention=document.retention,
            budgets=budgets,
            commitments=commitments,
            prices=prices,
            price_lists=lists,
            fx=fx,
            watched=tuple(dict.fromkeys((*prices, *lists.files, *tables, *self.files))),
            sources=rooms["sources"],
            notifiers=rooms["notifiers"],
            actions=rooms["actions"],
        )

    def _section(self, path: KeyPath, model: type[Model]) -> Model | None:
        part = self._part(path)
        value = part.read(model)
        self.faults += part.faults
        return value

    def _part(self, path: KeyPath) -> Part:
        size = len(path)
        return Part(path, {p[size]: leaf for p, leaf in self.leaves.items() if len(p) == size + 1 and p[:size] == path})

    def _parts(self, section: str) -> dict[str, Part]:
        grouped: dict[str, dict[str, Leaf]] = {}
        for path, leaf in self.leaves.items():
            if path[0] == section:
                grouped.setdefault(path[1], {})[path[2]] = leaf
        return {name: Part((section, name), leaves) for name, leaves in sorted(grouped.items())}

    def _plugins(self, section: str, room: str) -> dict[str, Configured]:
        if not self.plugins:
            return {}
        parts = self._parts(section)
        read = {name: read_plugin(room, part, self.house) for name, part in parts.items()}
        found = {name: configured for name, configured in read.items() if configured is not None}
        if section == "notifiers":
            check_fallbacks(parts)
        self.faults += [fault for part in parts.values() for fault in part.faults]
        return found

    def _hashed(self, acting: Mapping[str, Configured], sources: Mapping[str, Configured]) -> None:
        parts = self._parts("actions")
        check_hashed(parts, acting, sources)
        self.faults += [fault for part in parts.values() for fault in part.faults]

    def _budgets(self, zone: ZoneInfo) -> tuple[dict[str, Budget], tuple[Path, ...]]:
        defaults = self._part(("defaults",))
        default_value = defaults.read(BudgetKeys) or defaults.rest(BudgetKeys) or BudgetKeys.model_validate({})
        self.faults += defaults.faults
        known = {section: {path[1] for path in self.leaves if path[0] == section} for section in ROOMS}
        budgets: dict[str, Budget] = {}
        tables: dict[Path, None] = {}
        for name, part in self._parts("budgets").items():
            part.leaves = with_defaults(part.leaves, defaults.leaves)
            budget = read_budget(name, part, default_value.currency, zone, known)
            self.faults += part.faults
            if budget:
                budgets[name] = budget
            if table := part.leaves.get("table_file"):
                tables[Path(str(table.value))] = None
        return budgets, tuple(tables)

    def _commitments(self, zone: ZoneInfo) -> tuple[Committed, ...]:
        currency = self._part(("defaults",)).leaves.get("currency")
        found: list[Committed] = []
        for name, part in self._parts("commitments").items():
            one = read_commitment(name, part, str(currency.value) if currency else None, zone)
            self.faults += part.faults
            found += [one] if one else []
        if found and (leaf := next((leaf for path, leaf in self.leaves.items() if path[:2] == COMMITMENTS), None)):
            self.faults.append(Fault(leaf.place, "the name is taken by ALERTD_COMMITMENTS", "give the source another"))
        return tuple(found)

    def _prices(self) -> tuple[tuple[Path, ...], PriceLists]:
        prices = self._section(("prices",), PricesOptions)
        files = tuple(prices.files) if prices else ()
        for file in files:
            try:
                read_price_file(str(file), read_text(file))
            except PriceFileError as error:
                self.faults += [Fault(str(file), fault) for fault in error.faults]
            except ValueError as error:
                self._price_fault("files", str(error))
        return files, self._price_lists(prices) if prices else PriceLists()

    def _price_lists(self, prices: PricesOptions) -> PriceLists:
        for key, second, file in (("second_opinion", prices.second_opinion, None), ("list_file", "", prices.list_file)):
            if not (self.plugins and (second or file)):
                continue
            try:
                # Only here: a command that opens the store alone needs no price list, nor what fetches one.
                import_module("alertd.wire.pricebook").price_book((), second, file)
            except PriceFileError as error:
                self._price_fault(key, error.faults[0])
        if prices.update_url and prices.list_file is None:
            self._price_fault(
                "update_url", "what is fetched is kept nowhere; set ALERTD_PRICES__LIST_FILE to a path to write"
            )
        return PriceLists(prices.list_file, prices.update_url, prices.update_interval, prices.second_opinion)

    def _price_fault(self, key: str, said: str) -> None:
        problem, _, remedy = said.partition("; ")
        self.faults.append(Fault(self.leaves["prices", key].place, problem, remedy or "write the path of a price list"))

    def _fx(self) -> dict[tuple[str, str], Decimal]:
        rates: dict[tuple[str, str], Decimal] = {}
        part = self._part(("fx",))
        part.open_files([key.removesuffix(FILE) for key in part.leaves])
        self.faults += part.faults
        for key, leaf in part.leaves.items():
            pair = _PAIR.fullmatch(key.upper())
            if pair is None or pair[1] == pair[2]:
                self.faults.append(
                    Fault(leaf.place, "no pair of currencies", "write EUR_USD=1.08: one EUR is 1.08 USD")
                )
                continue
            try:
                rates[pair[1], pair[2]] = _rate(leaf.value)
            except ValueError as error:
                problem, _, remedy = str(error).partition("; ")
                self.faults.append(Fault(leaf.place, problem, remedy))
        return rates

    def _needed(self, need: Collection[str]) -> None:
        for section in need:
            if not any(path[0] in (section, *_INSTEAD.get(section, ())) for path in self.leaves):
                name, keys = _FIRST[section]
                place = f"{written((section, name))}__..."
                self.faults.append(
                    Fault(place, f"no {section} are configured", f"write {written((section, name))}__{keys}")
                )


def _named_files(layers: Layers) -> list[Path]:
    """The files that hold values (`token_file`), a plug-in's certificates included."""
    return [Path(str(leaf.value)) for path, leaf in layers.leaves.items() if path[-1].endswith(FILE)]


def _rate(value: object) -> Decimal:
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or rate <= 0:
        raise ValueError(f"{shortened(str(value))!r} is no rate; write a number above 0, such as 1.08")
    return rate
