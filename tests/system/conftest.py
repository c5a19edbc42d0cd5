"""The real Prometheus is made once for all system tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.backfilled import World, backfilled


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with backfilled(tmp_path_factory.mktemp("prometheus")) as found:
        yield found
