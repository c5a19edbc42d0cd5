"""Load the whole configuration as one frozen value: `load_settings`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from alertd.clients.local_files import read_text
from alertd.core.budgets import Budget
from alertd.core.config_errors import Fault, SettingsError, shortened
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.core.usage import Committed
from alertd.plugin_options import is_secret, without_password
from alertd.registry import GROUPS, PACKAGE
from alertd.settings.budgets import COMMITMENTS, parent_faults, read_budget, read_commitment, with_defaults
from alertd.settings.schema import PREFIX, BudgetKeys, Document, HttpOptions, PricesOptions, written
from alertd.settings.sources import Written, read_sources
from alertd.settings.tokens import read_http
from alertd.settings.validation import Model, Section, check_fallbacks, check_hashed, read_plugin
from alertd.settings.values import FILE, Configured, KeyPath, Leaf, PriceLists, Settings

#: Addresses that hold a password, or are one.
_HIDDEN: Final = frozenset({"database", "heartbeat_url"})
_MOST_SHOWN: Final = 200
#: What to write if a required section is empty.
_FIRST: Final = {
    "sources": ("GATEWAY", "KIND=prometheus, and its URL"),
    "budgets": ("TEAM", "AMOUNT=500 USD"),
}
#: Commitments may replace sources.
_INSTEAD: Final = {"sources": ("commitments",)}
_PAIR: Final = re.compile(r"([A-Z]{3})_([A-Z]{3})")


def load_settings(
    env: Mapping[str, str],
    env_files: Iterable[str | Path] = (),
    config: str | Path | None = None,
    *,
    need: Collection[str] = (),
    package: Path = PACKAGE,
    plugins: bool = True,
) -> Settings:
    """The settings, from an environment (`os.environ`), env files (a later one wins) and a TOML file.

    Environment over env files over the folder of secrets over TOML over defaults. `need` names sections that have to
    have at least one entry (`run`: sources and budgets). Without `plugins` no source, notifier or action is loaded or
    checked: their sections are empty. Raises SettingsError with every fault at once.
    """
    written_keys = read_sources(env, map(Path, env_files), Path(config) if config is not None else None)
    reading = _SettingsReader(written_keys, package, plugins=plugins)
    settings = reading.settings(need)
    if settings is None:
        raise SettingsError(dict.fromkeys(reading.faults))
    return settings


class _SettingsReader:
    """One pass over the leaves, part by part; every part adds its faults."""

    def __init__(self, found: Written, package: Path, *, plugins: bool) -> None:
        self.leaves = found.leaves
        self.faults = list(found.faults)
        self.files = (*found.files, *_named_files(found))
        self.package = package
        self.plugins = plugins

    def settings(self, need: Collection[str]) -> Settings | None:
        """The settings, or None if there is any fault."""
        document = self._section((), Document)
        http = self._section(("http",), HttpOptions)
        prices, lists = self._prices()
        fx = self._fx()
        groups = {section: self._plugins(section, group) for section, group in GROUPS.items()}
        self._hashed(groups["actions"], groups["sources"])
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
            metrics_exporter=document.metrics_exporter,
            drift_level=document.drift_level,
            correct_estimates=document.correct_estimates,
            quiet_hours=document.quiet_hours,
            retention=document.retention,
            label_retention=dict(document.label_retention),
            budgets=budgets,
            commitments=commitments,
            prices=prices,
            price_lists=lists,
            fx=fx,
            watched=tuple(dict.fromkeys((*prices, *lists.files, *tables, *self.files))),
            sources=groups["sources"],
            notifiers=groups["notifiers"],
            actions=groups["actions"],
            in_force=tuple(self._in_force(groups)),
        )

    def _in_force(self, groups: Mapping[str, Mapping[str, Configured]]) -> Iterator[tuple[str, str, str]]:
        """Every setting with its value and its place; of what is secret, or may be, only that it is set."""
        for path, leaf in sorted(self.leaves.items()):
            name = path[-1] if path[0] not in GROUPS else path[2]
            configured = groups.get(path[0], {}).get(path[1]) if len(path) > 1 else None
            known = None if configured is None else type(configured[1]).model_fields.get(name)
            hidden = path[0] in _HIDDEN or is_secret(name, known) or (path[0] in GROUPS and known is None)
            hidden = hidden and not name.endswith(FILE) and name != "kind"
            value = "set, not shown" if hidden else without_password(str(leaf.value))
            yield written(path), value[:_MOST_SHOWN], _place_of(leaf)

    def _section(self, path: KeyPath, model: type[Model]) -> Model | None:
        part = self._part(path)
        value = part.read(model)
        self.faults += part.faults
        return value

    def _part(self, path: KeyPath) -> Section:
        size = len(path)
        return Section(
            path, {p[size]: leaf for p, leaf in self.leaves.items() if len(p) == size + 1 and p[:size] == path}
        )

    def _parts(self, section: str) -> dict[str, Section]:
        grouped: dict[str, dict[str, Leaf]] = {}
        for path, leaf in self.leaves.items():
            if path[0] == section:
                grouped.setdefault(path[1], {})[path[2]] = leaf
        return {name: Section((section, name), leaves) for name, leaves in sorted(grouped.items())}

    def _plugins(self, section: str, group: str) -> dict[str, Configured]:
        if not self.plugins:
            return {}
        parts = self._parts(section)
        read = {name: read_plugin(group, part, self.package) for name, part in parts.items()}
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
        known = {section: {path[1] for path in self.leaves if path[0] == section} for section in GROUPS}
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
        leaves = self.leaves.items()
        places = {path[1]: leaf.place for path, leaf in leaves if (path[0], *path[2:]) == ("budgets", "parent")}
        self.faults += parent_faults(budgets, lambda name: places.get(name, written(("defaults", "parent"))))
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
                # Imported here, because a command that only opens the store needs no price list.
                import_module("alertd.clients.price_files").price_book((), second, file)
            except PriceFileError as error:
                self._price_fault(key, error.faults[0])
        if prices.update_url and prices.list_file is None:
            self._price_fault("update_url", "the download has no file; set ALERTD_PRICES__LIST_FILE to a path to write")
        if prices.rates_url and prices.rates_file is None:
            self._price_fault("rates_url", "the download has no file; set ALERTD_PRICES__RATES_FILE to a path to write")
        try:
            if self.plugins:
                # Imported here, because a command that only opens the store needs no rates.
                import_module("alertd.clients.reference_rates").reference_rates_of(prices.rates_file)
        except ValueError as error:
            self._price_fault("rates_file", str(error))
        return PriceLists(
            prices.list_file, prices.update_url, prices.update_interval, prices.second_opinion, prices.rates_file,
            prices.rates_url,
        )  # fmt: skip

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
                    Fault(leaf.place, "not a pair of currencies", "write EUR_USD=1.08: one EUR is 1.08 USD")
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


def _place_of(leaf: Leaf) -> str:
    """`alertd.env:4`, or that it is the environment."""
    found = re.search(r"\(([^()]+)\)$", leaf.place)
    return found[1] if found else leaf.place if not leaf.place.startswith(PREFIX) else "environment"


def _named_files(found: Written) -> list[Path]:
    """The files that hold values (`token_file`), a plug-in's certificates included."""
    return [Path(str(leaf.value)) for path, leaf in found.leaves.items() if path[-1].endswith(FILE)]


def _rate(value: object) -> Decimal:
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or rate <= 0:
        raise ValueError(f"{shortened(str(value))!r} is not a rate; write a number above 0, such as 1.08")
    return rate
