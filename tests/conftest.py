"""What all tests share: coroutines are run, every store in turn, a property's budget, no skip where it counts."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import databases

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
settings.load_profile("house")

DATA = Path(os.environ.get("ALERTD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

REQUIRED = bool(os.environ.get("ALERTD_REQUIRE_INTEGRATION"))


def pytest_collection_finish():
    """Variables of the tests are none of the product's, which refuses every ALERTD_ variable it does not know."""
    for name in ("ALERTD_TEST_DATA", "ALERTD_REQUIRE_INTEGRATION"):
        os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 - pytest calls it by these names
    """Where ALERTD_REQUIRE_INTEGRATION is set (CI), an integration test that skips itself has failed."""
    report = yield
    required = REQUIRED and item.get_closest_marker("integration")
    if required and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but ALERTD_REQUIRE_INTEGRATION is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded usage; tests that need it are skipped where it is not."""
    if not DATA.is_dir():
        pytest.skip(f"no recorded usage at {DATA}; set ALERTD_TEST_DATA")
    return DATA


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with databases.postgres_server() as url:
        yield url


def _place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[databases.Place]:
    if kind == "postgres":
        with databases.schema(request.getfixturevalue("postgres_url")) as url:
            yield databases.Place(kind, url)
    else:
        yield databases.Place(kind, f"sqlite:///{folder / 'alertd.db'}")


@pytest.fixture(params=databases.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[databases.Place]:
    """Each store in turn: what is claimed of one holds for all."""
    yield from _place(request.param, request, tmp_path)


@pytest.fixture(params=databases.DURABLE)
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[databases.Place]:
    """Each store that outlives a process."""
    yield from _place(request.param, request, tmp_path)
