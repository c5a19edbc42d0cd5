"""Environment, env files, secrets and TOML become one value, or one error with every fault. Reaches no network."""

from alertd.core.faults import Fault, SettingsError
from alertd.options import canonical
from alertd.settings.listing import Key, describe, options_of
from alertd.settings.load import load_settings
from alertd.settings.values import Configured, Http, Settings

__all__ = [
    "Configured",
    "Fault",
    "Http",
    "Key",
    "Settings",
    "SettingsError",
    "canonical",
    "describe",
    "load_settings",
    "options_of",
]
