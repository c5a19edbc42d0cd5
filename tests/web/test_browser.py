"""The pages in a real browser: no serious accessibility finding, no error in its console, whole without JavaScript."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alertd.web.application import View, build
from tests.web.serving import serving

pytestmark = pytest.mark.integration

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: make browser")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs Debian's chromium: apt-get install chromium", allow_module_level=True)

PAGES = ["/", "/budgets/research", "/budgets/teams", "/alerts", "/actions", "/sources", "/prices"]
WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
#: Where to keep pictures to look at; none are kept where it is not set.
PICTURES = os.environ.get("TEST_PICTURES")


@pytest.fixture(scope="module")
def address(view: View, blind: View) -> Iterator[dict[str, str]]:
    """The house, the same house gone blind, and one that wants a token, each at an address of its own."""
    houses = {"open": (view, None), "blind": (blind, None), "guarded": (view, "secret")}
    built = {
        name: build(seen, token=token, open_metrics=False, loopback=True) for name, (seen, token) in houses.items()
    }
    with serving(built) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def pictured(page: sync_api.Page, name: str) -> None:
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_page_has_a_serious_accessibility_finding_or_an_error_or_scrolls_sideways(
    chromium: sync_api.Browser, address: dict[str, str], scheme: str, size: dict[str, int]
):
    page = chromium.new_page(color_scheme=scheme, viewport=size)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    visits = [("open", path) for path in PAGES] + [("blind", path) for path in PAGES[:2] if scheme == "dark"]
    for house, path in visits:
        page.goto(address[house] + path)
        page.evaluate("document.querySelectorAll('details').forEach((fold) => fold.open = true)")
        found = axe.Axe().run(page).response["violations"]
        serious = [f"{path} {one['id']}: {one['nodes'][0]['html'][:150]}" for one in found
                   if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        pictured(page, f"{house}{path.replace('/', '-')}-{scheme}-{size['width']}")
    assert errors == []
    page.close()


def test_the_page_is_whole_without_javascript(chromium: sync_api.Browser, address: dict[str, str]):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address["open"])
    page.get_by_label("Find").fill("research")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="research", exact=True).click()
    assert "304.02 of 500.00 USD" in page.inner_text("main")
    page.locator("summary", has_text="Why").first.click()
    assert "Told once under" in page.inner_text("main")
    context.close()


def test_the_script_draws_the_page_anew_and_keeps_what_was_unfolded(
    chromium: sync_api.Browser, address: dict[str, str]
):
    page = chromium.new_page()
    page.clock.install()
    page.goto(address["open"] + "/budgets/research")
    page.locator("summary", has_text="Spent by day").click()
    page.evaluate("document.querySelector('main').dataset.old = 'yes'")
    with page.expect_response(lambda answer: answer.url.endswith("/budgets/research")):
        page.clock.fast_forward(31_000)
    page.wait_for_function("!document.querySelector('main').dataset.old")
    assert page.locator("#days").get_attribute("open") is not None
    page.close()


def test_the_keyboard_alone_reaches_a_budget(chromium: sync_api.Browser, address: dict[str, str]):
    page = chromium.new_page()
    page.goto(address["open"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(40):
        page.keyboard.press("Tab")
        if (page.evaluate("document.activeElement.getAttribute('href')") or "").startswith("/budgets/"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/budgets/**")
    page.close()


def test_a_person_signs_in_and_out(chromium: sync_api.Browser, address: dict[str, str]):
    context = chromium.new_context()
    page = context.new_page()
    assert page.goto(address["guarded"] + "/sources").status == 401
    assert [one["id"] for one in axe.Axe().run(page).response["violations"] if one["impact"] == "serious"] == []
    page.get_by_label("Access token").fill("wrong")
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text() == "That is not the token."
    page.get_by_label("Access token").fill("secret")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sources")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Access token").wait_for()
    assert page.goto(address["guarded"] + "/sources").status == 401
    context.close()
