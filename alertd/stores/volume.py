"""Whether a database's file outlives the container that it lies in, by the kernel's table of mounts. Mounts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from alertd.stores.urls import read_url

_MOUNTS: Final = Path("/proc/self/mountinfo")
#: What Docker and Podman leave in a container. Others leave nothing: theirs is known by a root that is an overlay.
_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
#: File systems that are gone when the last process has ended.
_FLEETING: Final = frozenset({"tmpfs", "ramfs"})


class Mount(NamedTuple):
    """Where a file system is mounted, and of which type it is."""

    point: Path
    kind: str


def unmounted(url: str) -> Path | None:
    """The folder of a SQLite database that is gone with this container; None where it stays, or nothing is known."""
    if (file := read_url(url).file) is None:
        return None
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    folder = file.resolve().parent
    marked = any(mark.exists() for mark in _MARKS)
    return folder if is_lost(folder, mounts, marked=marked) else None


def is_lost(folder: Path, mounts: str, *, marked: bool) -> bool:
    """Whether the folder goes with its container. `mounts`: as in /proc/self/mountinfo; `marked`: it is a container.

    A volume may lie on the same device as the root (Docker on btrfs, a bound folder), so that devices tell nothing.
    """
    found = [_mount(line) for line in mounts.splitlines()]
    root = next((mount for mount in reversed(found) if mount.point == Path("/")), None)
    if root is None or not (marked or root.kind == "overlay"):
        return False
    above = [mount for mount in reversed(found) if folder.is_relative_to(mount.point)]
    own = max(above, key=lambda mount: len(mount.point.parts))  # of equals the last, which hides those before it
    return own.point == Path("/") or own.kind in _FLEETING


def _mount(line: str) -> Mount:
    """Its fields are separated by a space; " - " ends a list of any length before the type."""
    before, _, after = line.partition(" - ")
    point = before.split(" ")[4].replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")
    return Mount(Path(point), after.split(" ")[0])
