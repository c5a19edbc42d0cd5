"""The configuration is read through the real registry, over a small package of plug-ins of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alertd.core.config_errors import Fault, SettingsError
from alertd.settings import Settings, load_settings

sys.path.insert(0, str(Path(__file__).parent))

from sample_plugins import PACKAGE, Faults, Load


@pytest.fixture
def load() -> Load:
    """`load_settings` over the toy house."""

    def _load(env: Mapping[str, str] | None = None, **rest: Any) -> Settings:
        return load_settings(env or {}, package=PACKAGE, **rest)

    return _load


@pytest.fixture
def faults(load: Load) -> Faults:
    """The faults of a configuration; a sound one has none."""

    def _faults(env: Mapping[str, str] | None = None, **rest: Any) -> tuple[Fault, ...]:
        try:
            load(env, **rest)
        except SettingsError as error:
            return error.faults
        return ()

    return _faults
