"""Environment, env files, secrets and TOML become one value, or one error with every fault. Reaches no network."""

from alertd.core.config_errors import Fault, SettingsError
from alertd.plugin_options import canonical
from alertd.settings.load import load_settings
from alertd.settings.reference import Key, describe, options_of
from alertd.settings.values import Configured, HttpSettings, Settings

__all__ = [
    "Configured",
    "Fault",
    "HttpSettings",
    "Key",
    "Settings",
    "SettingsError",
    "canonical",
    "describe",
    "load_settings",
    "options_of",
]
