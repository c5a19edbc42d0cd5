"""How a command is told its configuration: `--env-file` and `--config`, beside the environment. No command itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path

from alertd.settings import Settings, load_settings


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """`--env-file F`, which may be given again (a later file wins), and `--config F`."""
    parser.add_argument(
        "--env-file",
        type=Path,
        action="append",
        default=[],
        metavar="F",
        help="a file of KEY=value lines; may be repeated",
    )
    parser.add_argument(
        "--config", type=Path, metavar="F", help="a TOML file; the environment and env files win over it"
    )


def settings_of(arguments: argparse.Namespace, need: Collection[str] = ()) -> Settings:
    """The settings of this process, read now; SettingsError with every fault. `need`: sections not to be empty."""
    return load_settings(os.environ, arguments.env_file, arguments.config, need=need)
