"""What all tests share: a property test's budget, and that a skipped integration test is a failure where it must run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
settings.load_profile("house")

DATA = Path(os.environ.get("ALERTD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where ALERTD_REQUIRE_INTEGRATION is set (CI), an integration test that skips itself has failed."""
    report = yield
    required = os.environ.get("ALERTD_REQUIRE_INTEGRATION") and item.get_closest_marker("integration")
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
