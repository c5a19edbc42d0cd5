"""Half a month seen once by every test of the pages: worked out once, changed by none."""

from __future__ import annotations

import pytest

from alertd.web.server import View
from tests.web.dashboard_client import Browser, browser, november, view_of, with_acts


@pytest.fixture(scope="session")
def view() -> View:
    world, kept = november()
    with_acts(world, kept)
    return view_of(world, kept)


@pytest.fixture(scope="session")
def blind() -> View:
    """The same house whose only source went silent 42 minutes ago."""
    return view_of(*november(blind=True))


@pytest.fixture(scope="session")
def open_house(view: View) -> Browser:
    """On loopback, without a token."""
    return browser(view)
