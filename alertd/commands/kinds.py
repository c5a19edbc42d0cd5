"""`alertd kinds`: what there is to configure, from the code itself. It needs no configuration and reaches nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from alertd.core.faults import one_of
from alertd.registry import ROOMS, UnknownKindError, kinds, load
from alertd.settings import Key, describe, options_of

HELP: Final = "list the kinds of sources, notifiers and revokers, and every key of one of them"
EXAMPLES: Final = (
    "alertd kinds                                # everything there is",
    "alertd kinds notifiers slack                # every key of one kind",
    "alertd kinds sources prometheus --env       # the same, to paste into an env file",
    "alertd kinds settings                       # the keys that are no plug-in's",
)
ENDS: Final = "0; 2 for a wrong use, or a kind that there is not"
#: Rooms, and the section of the configuration that their options stand in.
_SECTIONS: Final = {room: section for section, room in ROOMS.items()}
_SETTINGS: Final = "settings"
_USAGE: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[ROOM [KIND]] and --json."""
    rooms = ", ".join((*_SECTIONS, _SETTINGS))
    parser.add_argument("room", nargs="?", help=f"one of {rooms} ({_SETTINGS}: the keys that are no plug-in's)")
    parser.add_argument("kind", nargs="?", help="a kind of that room: every key of it")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--markdown", action="store_true", help="every key there is as docs/settings.md")
    parser.add_argument("--env", action="store_true", help="as lines of an env file, what is optional commented out")


def run(arguments: argparse.Namespace) -> int:
    """0, or 2 where there is no such room or kind."""
    room = {"actions": "revokers"}.get(arguments.room, arguments.room)
    if room not in {None, _SETTINGS, *_SECTIONS}:
        sys.stderr.write(f"alertd kinds: no room {room!r}; {one_of(room, (*_SECTIONS, _SETTINGS))}\n")
        return _USAGE
    if room == _SETTINGS and arguments.kind:
        sys.stderr.write(f"alertd kinds: {_SETTINGS} has no kinds; alertd kinds {_SETTINGS} lists all of its keys\n")
        return _USAGE
    if arguments.markdown:
        print(_markdown())
        return 0
    try:
        text = (
            _lines_of(room, arguments.kind) if arguments.env else _answer(room, arguments.kind, as_json=arguments.json)
        )
    except UnknownKindError as error:
        sys.stderr.write(f"alertd kinds: {error}\n")
        return _USAGE
    print(text)
    return 0


def _answer(room: str | None, kind: str | None, *, as_json: bool) -> str:
    if room == _SETTINGS:
        keys = tuple(key for key in describe() if not key.kind)
        return _json(keys) if as_json else _listed(keys)
    if room and kind:
        keys = options_of(_SECTIONS[room], kind)
        return _json(keys) if as_json else f"{kind}: {_sentence(room, kind)}\n\n{_listed(keys)}"
    found = {name: {kind: _sentence(name, kind) for kind in kinds(name)} for name in ([room] if room else _SECTIONS)}
    if as_json:
        return json.dumps(found, indent=2, ensure_ascii=False)
    return "\n\n".join(_room(name, sentences) for name, sentences in found.items())


def _markdown() -> str:
    """docs/settings.md: the keys that are no plug-in's, then those of each kind that only it has."""
    keys = describe()
    general = [key for key in keys if not key.kind]
    known = {key.name for key in general}
    blocks = [_MARKDOWN_HEAD, _table(general)]
    for room, section in _SECTIONS.items():
        blocks.append(f"## {room.capitalize()}")
        for kind in kinds(room):
            own = [key for key in options_of(section, kind) if key.name not in known]
            blocks += [f"### `{kind}`", _sentence(room, kind), *([_table(own)] if own else [])]
    return "\n\n".join(blocks)


_MARKDOWN_HEAD: Final = """\
# Every setting

Made from the code by `make docs`; a test keeps it fresh. Every key may be given as `..._FILE`, naming a file that holds
the value; `<NAME>` is a name of yours. [alertd.env.example](../config/alertd.env.example) is the same as an env file,
`alertd kinds ROOM KIND` on a terminal."""


def _table(keys: Iterable[Key]) -> str:
    rows = ["| Key | Takes | Default | |", "|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, keys)])


def _row(key: Key) -> str:
    default = f"`{key.default}`" if key.default else "*required*" if key.required else ""
    example = f" (`{key.examples[0]}`)" if key.examples and not key.default else ""
    cells = (f"`{key.name}`", key.type, default, f"{key.description}{example}")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _lines_of(room: str | None, kind: str | None) -> str:
    """One kind's lines to paste; or those of every kind, none switched on, as the end of config/alertd.env.example."""
    if room in _SECTIONS and kind:
        return _env(room, kind, required="", optional="#")
    rooms = [room] if room in _SECTIONS else list(_SECTIONS)
    return "\n\n".join(_env(name, kind, required="#or ", optional="#or ") for name in rooms for kind in kinds(name))


def _env(room: str, kind: str, *, required: str, optional: str) -> str:
    general = {key.name for key in describe() if not key.kind and not key.name.endswith("__KIND")}
    lines = [f"# {kind}: {_sentence(room, kind)}"]
    for key in options_of(_SECTIONS[room], kind):
        if key.name not in general:
            lines += [f"# {key.description}{'' if key.required else ' (optional)'}"] * (not key.name.endswith("__KIND"))
            value = key.default or (key.examples[0] if key.examples else "")
            lines.append(f"{required if key.required else optional}{key.name.replace('<NAME>', kind.upper())}={value}")
    return "\n".join(lines)


def _room(room: str, sentences: dict[str, str]) -> str:
    width = max(map(len, sentences), default=0)
    lines = [f"  {kind:<{width}}  {sentence}" for kind, sentence in sentences.items()] or ["  none yet"]
    return "\n".join([f"{room} ({_SECTIONS[room]})" if _SECTIONS[room] != room else room, *lines])


def _sentence(room: str, kind: str) -> str:
    """The first sentence of a plug-in's file: what it is for."""
    return (getattr(load(room, kind), "__doc__", None) or "").strip().partition("\n")[0]


def _json(keys: Iterable[Key]) -> str:
    return json.dumps([asdict(key) for key in keys], indent=2, ensure_ascii=False)


def _listed(keys: Iterable[Key]) -> str:
    return "\n".join(line for key in keys for line in _lines(key))


def _lines(key: Key) -> list[str]:
    stands = "required" if key.required else f"default {key.default}" if key.default else "optional"
    lines = [f"{key.name}  ({key.type}; {stands})"]
    lines += [f"    {key.description}"] if key.description else []
    return lines + ([f"    for example {' or '.join(key.examples)}"] if key.examples else [])
