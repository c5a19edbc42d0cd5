"""Sources, notifiers and actions as configured, each with its kind's options. Nothing here is built or reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alertd.core.faults import one_of
from alertd.options import RevokerOptions, SourceOptions, canonical
from alertd.registry import Plugin, UnknownKindError, kinds, load
from alertd.settings.checking import Part
from alertd.settings.values import Configured


def read_plugin(room: str, part: Part, house: Path) -> Configured | None:
    """One plug-in's kind and options, or None with its faults recorded in `part`."""
    leaf = part.leaves.pop("kind", None)
    if leaf is None:
        known = kinds(room, house)
        part.fault("kind", "required", f"write {' or '.join(known)}" if known else f"there are no {room} yet")
        return None
    plugin = _load(room, str(leaf.value), part, leaf.place, house)
    if plugin is None:
        return None
    options = part.read(plugin.Options, also=("kind",))
    return None if options is None else Configured(canonical(str(leaf.value)).replace("-", "_"), options)


def _load(room: str, kind: str, part: Part, place: str, house: Path) -> Plugin | None:
    try:
        return load(room, kind, house)
    except UnknownKindError as error:
        part.fault_at(place, error.problem, error.remedy)
    except ModuleNotFoundError as error:
        part.fault_at(place, f"{kind} needs the package {error.name}", "install it beside alertd")
    return None


def check_hashed(
    actions: Mapping[str, Part], acting: Mapping[str, Configured], sources: Mapping[str, Configured]
) -> None:
    """No action looks for a key by a label, or spares one by a label, of which a source tells the hash only."""
    hashing = {
        label: name
        for name, (_, options) in sources.items()
        if isinstance(options, SourceOptions)
        for label in options.hash_labels
    }
    for name, (_, options) in acting.items():
        if not isinstance(options, RevokerOptions):
            continue
        if options.label in hashing and not options.targets:
            problem = f"{hashing[options.label]} tells {options.label} as a hash, by which no provider finds anything"
            remedy = f"leave {options.label} out of its HASH_LABELS, or map hashes to ids in TARGETS"
            actions[name].fault("label", problem, remedy)
        for pattern in options.protect:
            label, sign, value = pattern.partition("=")
            if sign and label.strip() in hashing and not value.strip().startswith("h-"):
                problem = f"{pattern} spares nobody: {hashing[label.strip()]} tells {label.strip()} as a hash"
                actions[name].fault("protect", problem, "write the hash, which alertd check shows")


def check_fallbacks(parts: Mapping[str, Part]) -> None:
    """Every `fallback` is another notifier's name, and following them ends."""
    next_of: dict[str, str] = {}
    for name, part in parts.items():
        leaf = part.leaves.get("fallback")
        if leaf is None:
            continue
        fallback = canonical(str(leaf.value))
        if fallback in parts:
            next_of[name] = fallback
        else:
            part.fault("fallback", f"no {fallback!r} in notifiers", one_of(fallback, parts.keys() - {name}))
    for name in next_of:
        way = [name]
        while (following := next_of.get(way[-1])) and following not in way:
            way.append(following)
        if following == name:
            parts[name].fault("fallback", f"goes in a circle: {' -> '.join([*way, name])}", "leave one of them out")
