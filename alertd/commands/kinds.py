"""`alertd kinds`: list everything that can be configured. It needs no configuration and contacts nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from alertd.core.config_errors import nearest
from alertd.registry import GROUPS, UnknownKindError, kinds, load
from alertd.settings import Key, describe, options_of

HELP: Final = "list the kinds of sources, notifiers and revokers, and every key of one of them"
EXAMPLES: Final = (
    "alertd kinds                                # all kinds",
    "alertd kinds notifiers slack                # every key of one kind",
    "alertd kinds sources prometheus --env       # the same, to paste into an env file",
    "alertd kinds settings                       # the keys that belong to no plug-in",
)
ENDS: Final = "0; 2 for wrong usage, or an unknown kind"
#: The section of the configuration by group of plug-ins.
_SECTIONS: Final = {group: section for section, group in GROUPS.items()}
_SETTINGS: Final = "settings"
_USAGE: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[GROUP [KIND]] and --json."""
    groups = ", ".join((*_SECTIONS, _SETTINGS))
    parser.add_argument("group", nargs="?", help=f"one of {groups} ({_SETTINGS}: the keys that belong to no plug-in)")
    parser.add_argument("kind", nargs="?", help="a kind of that group: lists its keys")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--markdown", action="store_true", help="print every key as docs/settings.md")
    parser.add_argument("--env", action="store_true", help="as lines of an env file; optional keys are commented out")


def run(arguments: argparse.Namespace) -> int:
    """0, or 2 for an unknown group or kind."""
    group = {"actions": "revokers"}.get(arguments.group, arguments.group)
    if group not in {None, _SETTINGS, *_SECTIONS}:
        having = [name for name in _SECTIONS if group in kinds(name)]
        if len(having) == 1 and not arguments.kind:
            group, arguments.kind = having[0], group
        else:
            meant = nearest(group, (*_SECTIONS, _SETTINGS, *(kind for name in _SECTIONS for kind in kinds(name))))
            listed = f"there are: {', '.join(sorted((*_SECTIONS, _SETTINGS)))}"
            said = f"no group {group!r}; {listed}{f'; did you mean {meant}?' if meant else ''}"
            if having:
                said = f"{group} is a kind of {' and '.join(having)}; name the group before it"
            sys.stderr.write(f"alertd kinds: {said}\n")
            return _USAGE
    if group == _SETTINGS and arguments.kind:
        sys.stderr.write(f"alertd kinds: {_SETTINGS} has no kinds; alertd kinds {_SETTINGS} lists all of its keys\n")
        return _USAGE
    if arguments.markdown:
        print(markdown())
        return 0
    try:
        text = (
            env_lines(group, arguments.kind)
            if arguments.env
            else _answer(group, arguments.kind, as_json=arguments.json)
        )
    except UnknownKindError as error:
        sys.stderr.write(f"alertd kinds: {error}\n")
        return _USAGE
    print(text)
    return 0


def _answer(group: str | None, kind: str | None, *, as_json: bool) -> str:
    if group == _SETTINGS:
        keys = tuple(key for key in describe() if not key.kind)
        return _json(keys) if as_json else _listed(keys)
    if group and kind:
        keys = options_of(_SECTIONS[group], kind)
        return _json(keys) if as_json else f"{kind}: {_sentence(group, kind)}\n\n{_listed(keys)}"
    found = {name: {kind: _sentence(name, kind) for kind in kinds(name)} for name in ([group] if group else _SECTIONS)}
    if as_json:
        return json.dumps(found, indent=2, ensure_ascii=False)
    return "\n\n".join(_group(name, sentences) for name, sentences in found.items())


def markdown() -> str:
    """docs/settings.md: the keys that belong to no plug-in, then those of each kind."""
    keys = describe()
    general = [key for key in keys if not key.kind]
    known = {key.name for key in general}
    blocks = [_MARKDOWN_HEAD, _table(general)]
    for group, section in _SECTIONS.items():
        blocks.append(f"## {group.capitalize()}")
        for kind in kinds(group):
            own = [key for key in options_of(section, kind) if key.name not in known]
            blocks += [f"### `{kind}`", _sentence(group, kind), *([_table(own)] if own else [])]
    return "\n\n".join(blocks)


_MARKDOWN_HEAD: Final = """\
# Every setting

Generated from the code by `make docs`. Every key may be given as `..._FILE` with the path of a file that contains the
value; `<NAME>` is a name that you choose. [alertd.env.example](../config/alertd.env.example) is the same as an env
file,
`alertd kinds GROUP KIND` on a terminal."""


def _table(keys: Iterable[Key]) -> str:
    rows = ["| Key | Takes | Default | |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, keys)])


def _row(key: Key) -> str:
    default = f"`{key.default}`" if key.default else "*required*" if key.required else ""
    example = f" (`{key.examples[0]}`)" if key.examples and not key.default else ""
    cells = (f"`{key.name}`", key.type, default, f"{key.description}{example}")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def env_lines(group: str | None, kind: str | None) -> str:
    """The lines of one kind to paste, or those of every kind, commented out, for config/alertd.env.example."""
    if group in _SECTIONS and kind:
        return _env(group, kind, required="", optional="#")
    groups = [group] if group in _SECTIONS else list(_SECTIONS)
    return "\n\n".join(_env(name, kind, required="#or ", optional="#or ") for name in groups for kind in kinds(name))


def _env(group: str, kind: str, *, required: str, optional: str) -> str:
    general = {key.name for key in describe() if not key.kind and not key.name.endswith("__KIND")}
    lines = [f"# {kind}: {_sentence(group, kind)}"]
    for key in options_of(_SECTIONS[group], kind):
        if key.name not in general:
            lines += [f"# {key.description}{'' if key.required else ' (optional)'}"] * (not key.name.endswith("__KIND"))
            value = key.default or (key.examples[0] if key.examples else "")
            lines.append(f"{required if key.required else optional}{key.name.replace('<NAME>', kind.upper())}={value}")
    return "\n".join(lines)


def _group(group: str, sentences: dict[str, str]) -> str:
    width = max(map(len, sentences), default=0)
    lines = [f"  {kind:<{width}}  {sentence}" for kind, sentence in sentences.items()] or ["  none yet"]
    return "\n".join([f"{group} ({_SECTIONS[group]})" if _SECTIONS[group] != group else group, *lines])


def _sentence(group: str, kind: str) -> str:
    """The first sentence of a plug-in's docstring."""
    return (getattr(load(group, kind), "__doc__", None) or "").strip().partition("\n")[0]


def _json(keys: Iterable[Key]) -> str:
    return json.dumps([asdict(key) for key in keys], indent=2, ensure_ascii=False)


def _listed(keys: Iterable[Key]) -> str:
    return "\n".join(line for key in keys for line in _lines(key))


def _lines(key: Key) -> list[str]:
    note = "required" if key.required else f"default {key.default}" if key.default else "optional"
    lines = [f"{key.name}  ({key.type}; {note})"]
    lines += [f"    {key.description}"] if key.description else []
    return lines + ([f"    for example {' or '.join(key.examples)}"] if key.examples else [])
