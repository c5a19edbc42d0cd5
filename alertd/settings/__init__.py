"""Environment, env files, secrets and TOML become one value, or one error with every fault. Reaches no network."""

from alertd.core.faults import Fault, SettingsError
from alertd.settings.listing import Key, describe
from alertd.settings.load import load_settings
from alertd.settings.readers import canonical
from alertd.settings.values import Configured, Http, Settings

__all__ = ["Configured", "Fault", "Http", "Key", "Settings", "SettingsError", "canonical", "describe", "load_settings"]
