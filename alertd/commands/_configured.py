"""How a command is told its configuration: `--env-file` and `--config`, beside the environment. No command itself."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Collection
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alertd.core.faults import Fault, SettingsError

if TYPE_CHECKING:
    from alertd.settings import Settings

#: Names the env file where `--env-file` does not; `alertd init` writes the one that is looked for without either.
ENV_FILE: Final = "ALERTD_ENV_FILE"
DEFAULT: Final = Path("alertd.env")


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """`--env-file F`, which may be given again (a later file wins), and `--config F`."""
    parser.add_argument(
        "--env-file",
        type=Path,
        action="append",
        default=[],
        metavar="F",
        help=f"a file of KEY=value lines; may be repeated (default: {ENV_FILE}, else ./{DEFAULT} where there is one)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="F", help="a TOML file; the environment and env files win over it"
    )


def settings_of(arguments: argparse.Namespace, need: Collection[str] = (), *, plugins: bool = True) -> Settings:
    """The settings of this process, read now; SettingsError with every fault. `need`: sections not to be empty.

    Without `plugins` no source, notifier or action is loaded or checked: for what opens the store alone.
    """
    files = arguments.env_file or _default_files(arguments.config)
    own = [name for name in os.environ if name.upper().startswith("ALERTD_") and name != ENV_FILE]
    if not (files or arguments.config or own):
        raise SettingsError([Fault("configuration", "No configuration given", "use --env-file FILE")])
    # Only here: `--help` does not wait for what checks a configuration.
    load_settings = import_module("alertd.settings").load_settings
    settings: Settings = load_settings(os.environ, files, arguments.config, need=need, plugins=plugins)
    return replace(settings, command_options=_command_options(arguments))


def _command_options(arguments: argparse.Namespace) -> str:
    """The options by which another command, typed anywhere, finds the same configuration."""
    found = [("--env-file", file) for file in arguments.env_file]
    found += [("--config", arguments.config)] if arguments.config else []
    return shlex.join(word for option, file in found for word in (option, str(file.absolute())))


def _default_files(config: Path | None) -> list[Path]:
    if named := os.environ.get(ENV_FILE):
        return [Path(named)]
    return [DEFAULT] if config is None and DEFAULT.is_file() else []
