"""The image built twice is the same bytes; the one with all extras has them and alerts: minutes, in `make chaos`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.engine import Builder, Container, UnavailableError, lacking, running
from tests.deploy.installed import megabytes
from tests.system.daemon import wait_for

ROOT = Path(__file__).parents[2]
EXTRAS = "import pyarrow, apprise, psycopg, resvg_py; print('all')"

pytestmark = [pytest.mark.image, pytest.mark.chaos, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if why := lacking():
        pytest.skip(f"no image is built: {why}")
    builder = Builder(tmp_path_factory.mktemp("images"))
    try:
        yield builder
    finally:
        builder.close()


def built(builder: Builder, base: str, name: str, extras: str) -> str:
    begun = time.monotonic()
    try:
        base = builder.build(ROOT, name, base=base, extras=extras)
    except UnavailableError as lack:
        pytest.skip(f"no image is built: {lack}")
    print(f"\n{name} built in {time.monotonic() - begun:.0f} s")
    return base


def test_two_builds_upon_one_base_are_the_same_bytes(builder: Builder) -> None:
    """The layer by its hash. In the configuration alone buildah names the container in which it was put together."""
    base = built(builder, "", "localhost/one", "slim")
    built(builder, base, "localhost/two", "slim")
    one, two = (builder.inspect(f"localhost/{name}")["Docker"] for name in ("one", "two"))
    assert one["rootfs"] == two["rootfs"]
    assert len(one["rootfs"]["diff_ids"]) == 1
    for about in (one, two):
        about.pop("container", None)
        for part in ("config", "container_config"):
            about.get(part, {}).pop("Hostname", None)
    assert one == two


def test_the_image_with_all_extras_holds_them_and_alerts(builder: Builder, tmp_path: Path) -> None:
    base = "localhost/base" if builder.buildah("inspect", "--type", "image", "localhost/base").returncode == 0 else ""
    built(builder, base, "localhost/full", "full")
    root, config = builder.unpacked("localhost/full"), builder.inspect("localhost/full")["Docker"]["config"]
    print(f"\nfull: {megabytes(root):.0f} MB")
    with running(Container(f"full-{tmp_path.name}", tmp_path / "bundle", root, config, command=["demo"])) as shown:
        wait_for("an alert", lambda: shown.tells("WARNING: "))
        assert shown.execute("python", "-c", EXTRAS).stdout == "all\n"
        assert shown.stop()[0] == 0
