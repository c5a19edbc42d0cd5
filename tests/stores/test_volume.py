"""A database that would go with its container is noticed, by tables of mounts as real containers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alertd.stores.urls import is_lost

HOME = Path("/var/lib/alertd")
OVERLAY = "1 0 0:50 / / rw,relatime master:9 shared:2 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/X"
DISK = "1 0 254:0 /var/lib/docker/btrfs/subvolumes/9f / / ro,relatime - btrfs /dev/vda rw"
PROC = "2 1 0:52 / /proc rw,nosuid - proc proc rw"
VOLUME = "3 1 254:0 /var/lib/docker/volumes/alertd/_data /var/lib/alertd rw,relatime master:1 - ext4 /dev/vda rw"
PARENT = "3 1 254:0 /srv/state /var/lib rw,relatime - ext4 /dev/vda rw"
BESIDE = "3 1 254:0 /srv/other /var/lib/alertd-old rw,relatime - ext4 /dev/vda rw"
MEMORY = "4 1 0:60 / /var/lib/alertd rw,nosuid - tmpfs tmpfs rw,size=65536k"


@pytest.mark.parametrize(
    ("where", "mounts", "marked", "lost"),
    [
        ("in Docker without a volume", [OVERLAY, PROC], True, True),
        ("in Kubernetes without a volume, where nothing but the overlay tells of a container", [OVERLAY], False, True),
        ("in Docker with one", [OVERLAY, PROC, VOLUME], True, False),
        ("with one above the folder", [OVERLAY, PARENT], False, False),
        ("with one beside it, whose name begins alike", [OVERLAY, BESIDE], True, True),
        ("on a storage whose root and volumes are one device, with a volume", [DISK, PROC, VOLUME], True, False),
        ("on such a storage without one", [DISK, PROC], True, True),
        ("in memory, which is none", [OVERLAY, MEMORY], True, True),
        ("in memory that hides a volume", [OVERLAY, VOLUME, MEMORY], True, True),
        ("on a volume that hides memory", [OVERLAY, MEMORY, VOLUME], True, False),
        ("on a machine that is no container", [DISK, PROC], False, False),
        ("on such a machine, in memory", [DISK, MEMORY], False, False),
        ("where the kernel's table shows no root", [PROC], True, False),
        ("where it is empty", [], True, False),
    ],
)
def test_a_database_is_lost(where: str, mounts: list[str], *, marked: bool, lost: bool) -> None:
    assert is_lost(HOME, "".join(f"{line}\n" for line in mounts), marked=marked) is lost, where


def test_a_volume_s_name_may_hold_a_space() -> None:
    spaced = VOLUME.replace("/var/lib/alertd ", "/var/lib/al\\040ertd ")
    assert not is_lost(Path("/var/lib/al ertd"), f"{OVERLAY}\n{spaced}", marked=True)
    assert is_lost(Path("/var/lib/al"), f"{OVERLAY}\n{spaced}", marked=True)
