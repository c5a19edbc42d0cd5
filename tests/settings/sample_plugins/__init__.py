"""A small house of plug-ins, for the tests of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alertd.core.config_errors import Fault
from alertd.settings import Settings

PACKAGE = Path(__file__).parent
Load = Callable[..., Settings]
Faults = Callable[..., tuple[Fault, ...]]
