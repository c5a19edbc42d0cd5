"""The options for a command's configuration: `--env-file` and `--config`, beside the environment.

Not a command itself.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
from collections.abc import Collection
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alertd.core.config_errors import Fault, SettingsError

if TYPE_CHECKING:
    from alertd.settings import Settings

#: Names the env file if `--env-file` does not; without either, the file that `alertd init` writes is used.
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
        help=f"a file of KEY=value lines; may be repeated (default: {ENV_FILE}, else ./{DEFAULT} if it exists)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="F", help="a TOML file; the environment and env files win over it"
    )


def settings_of(arguments: argparse.Namespace, need: Collection[str] = (), *, plugins: bool = True) -> Settings:
    """The settings of this process, read now; SettingsError with every fault. `need`: sections that must not be empty.

    Without `plugins` no source, notifier or action is loaded or checked: for commands that only open the store.
    """
    files = arguments.env_file or _default_files(arguments.config)
    own = [name for name in os.environ if name.upper().startswith("ALERTD_") and name != ENV_FILE]
    if not (files or arguments.config or own):
        raise SettingsError(
            [Fault("ALERTD_ENV_FILE", "no configuration is given", "use --env-file FILE, or make one: alertd init")]
        )
    # Imported here, so that `--help` starts fast.
    load_settings = import_module("alertd.settings").load_settings
    try:
        settings: Settings = load_settings(os.environ, files, arguments.config, need=need, plugins=plugins)
    except SettingsError as error:
        if arguments.env_file or ENV_FILE not in os.environ:
            raise
        raise SettingsError([_by_variable(fault) for fault in error.faults]) from None
    return replace(settings, command_options=_command_options(arguments))


def _by_variable(fault: Fault) -> Fault:
    """A fault of an env file that the variable named, not the option."""
    named = fault.place.removeprefix("--env-file ")
    return fault if named == fault.place else replace(fault, place=f"{ENV_FILE}={named}")


def _command_options(arguments: argparse.Namespace) -> str:
    """The options with which another command, run from any folder, finds the same configuration."""
    found = [("--env-file", file) for file in arguments.env_file]
    found += [("--config", arguments.config)] if arguments.config else []
    return shlex.join(word for option, file in found for word in (option, str(file.absolute())))


def _default_files(config: Path | None) -> list[Path]:
    if named := os.environ.get(ENV_FILE):
        return [Path(named)]
    return [DEFAULT] if config is None and DEFAULT.is_file() else []


def who() -> str:
    """The user's name for the audit; the user number in a container may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
