"""The pages in a real browser: no serious accessibility finding, no error in its console, whole without JavaScript."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from alertd.core.actions.state_machine import acts
from alertd.core.evaluation.state import LIFECYCLES, RAISED, State, silences_of
from alertd.web.server import Person, View, build
from tests.system.daemon import wait_for
from tests.web.dashboard_client import StoredRows, november, view_of, with_acts
from tests.web.serving import serving

pytestmark = pytest.mark.integration

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: make browser")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs Debian's chromium: apt-get install chromium", allow_module_level=True)

PAGES = ["/", "/?group=rule", "/budgets/research", "/budgets/teams", "/alerts?show=all", "/actions", "/actions/ffee00",
         "/actions/a1b2c3", "/sources", "/prices", "/settings", "/health"]  # fmt: skip
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
def test_no_page_has_an_accessibility_finding_or_an_error_or_scrolls_sideways(
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
        assert [f"{path} {one['id']}: {one['nodes'][0]['html'][:150]}" for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        pictured(page, f"{house}{path.replace('/', '-')}-{scheme}-{size['width']}")
    assert errors == []
    page.close()


def test_the_page_is_whole_without_javascript(chromium: sync_api.Browser, address: dict[str, str]):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address["open"])
    page.get_by_label("Find a budget").fill("research")
    page.get_by_role("button", name="Find").click()
    page.locator("#budgets").get_by_role("link", name="research", exact=True).click()
    assert "$304.02 of $500" in page.inner_text("main")
    context.close()


def test_the_script_draws_the_page_anew_and_keeps_what_was_unfolded(
    chromium: sync_api.Browser, address: dict[str, str]
):
    page = chromium.new_page()
    page.clock.install()
    page.goto(address["open"] + "/budgets/research")
    page.locator("summary", has_text="How this is computed").click()
    page.evaluate("document.querySelector('main').dataset.old = 'yes'")
    with page.expect_response(lambda answer: answer.url.endswith("/budgets/research")):
        page.clock.fast_forward(31_000)
    page.wait_for_function("!document.querySelector('main').dataset.old")
    assert page.locator("#computed").get_attribute("open") is not None
    page.close()


def test_the_keyboard_alone_reaches_a_budget(chromium: sync_api.Browser, address: dict[str, str]):
    page = chromium.new_page()
    page.goto(address["open"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(80):
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
    page.locator("#you > summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Access token").wait_for()
    assert page.goto(address["guarded"] + "/sources").status == 401
    context.close()


def test_colours_and_the_zone_of_times_are_chosen_in_the_menu(chromium: sync_api.Browser, address: dict[str, str]):
    context = chromium.new_context(color_scheme="light", timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(address["open"] + "/alerts?show=all")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.locator("#you > summary").click()
    page.get_by_role("link", name="Dark", exact=True).click()
    page.wait_for_url("**/alerts?show=all")
    dark = page.evaluate(background)
    assert (light, dark) == ("rgb(250, 251, 252)", "rgb(13, 15, 18)")
    page.locator("#you > summary").click()
    page.get_by_role("link", name="This browser: Asia/Tokyo").click()
    page.wait_for_url("**/alerts?show=all")
    assert "All times Asia/Tokyo" in page.inner_text("footer")
    assert page.evaluate(background) == dark, "one choice keeps the other"
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found] == []
    context.close()


# --- acting from the page, on a telephone at night ---

TOKENS = {role: f"a token of the role {role}, long" for role in ("viewer", "responder", "editor")}
#: A responder whom an action names as its approver.
ANA = "the token of ana, the approver"


@dataclass
class Console:
    """A console of its own, over rows that a test may change, with people of every role."""

    kept: StoredRows
    address: str

    @property
    def state(self) -> State:
        return State(self.kept.notes, {})

    def open_alert(self, budget: str) -> str:
        rows = [row for row in self.kept.rows if row.event.budget == budget and not row.event.scope]
        lives = dict(LIFECYCLES.items(self.state))
        return next(row.event.id for row in rows if lives.get(row.event.id) and lives[row.event.id].state == "firing")


@pytest.fixture(scope="module")
def told() -> Any:
    world, kept = november(scopes=2)
    with_acts(world, kept)
    return world, kept


@pytest.fixture
def console(told: Any, request: pytest.FixtureRequest) -> Iterator[Console]:
    """With a parameter: one in which every action names its approvers."""
    world, kept = told
    own = StoredRows(list(kept.rows), dict(kept.notes), steps=list(kept.steps))
    people = [Person(role, role, sha256(token.encode()).hexdigest()) for role, token in TOKENS.items()]
    people.append(Person("ana", "responder", sha256(ANA.encode()).hexdigest()))
    view = view_of(world, own)
    if approvers := getattr(request, "param", ()):
        policies = {one.name: replace(one, approvers=approvers) for one in view.actions()}
        view = replace(view, actions=lambda: list(policies.values()))
        view = replace(view, operations=replace(view.operations, policies=lambda: policies))
    application = build(view, token=None, open_metrics=False, loopback=False, people=people)
    with serving({"console": application}) as found:
        yield Console(own, found["console"])


@contextmanager
def on_a_phone(
    chromium: sync_api.Browser, console: Console, role: str, *, script: bool = True
) -> Iterator[sync_api.Page]:
    context = chromium.new_context(viewport=PHONE, has_touch=True, java_script_enabled=script)
    page = context.new_page()
    page.goto(console.address)
    page.get_by_label("Access token").fill(TOKENS.get(role, ANA))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Budgets", exact=True).wait_for()
    yield page
    context.close()


def said(page: sync_api.Page, words: str) -> None:
    """Waits until the page says what was done."""
    page.get_by_role("status").filter(has_text=words).wait_for()


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_one_tap_acknowledges_snoozes_and_approves_and_a_form_raises(
    chromium: sync_api.Browser, console: Console, *, script: bool
):
    with on_a_phone(chromium, console, "editor", script=script) as page:
        alert = console.open_alert("evaluation")
        page.goto(f"{console.address}/alerts/{alert}")
        page.get_by_role("button", name="Snooze 4 h").tap()
        said(page, "Snoozed")
        assert dict(LIFECYCLES.items(console.state))[alert].state == "snoozed"
        page.get_by_role("button", name="Acknowledge").tap()
        said(page, "Acknowledged")
        assert dict(LIFECYCLES.items(console.state))[alert].state == "acknowledged"

        page.goto(f"{console.address}/actions/ffee00")
        assert "everything that uses" in page.inner_text("main"), "what will be stopped is shown"
        button = page.locator(".bottom").get_by_role("button", name="Approve")
        assert button.bounding_box()["height"] >= 44
        button.tap()
        said(page, "Approved")
        assert acts(console.kept.notes)["ffee00aa11"].approved_by == "editor"

        page.goto(f"{console.address}/budgets/research")
        page.locator("summary", has_text="Raise…").tap()
        page.get_by_label("New amount in USD").fill("650")
        page.locator("#raise").get_by_label("Reason").fill("a launch")
        page.get_by_role("button", name="Raise", exact=True).tap()
        said(page, "Raised until the end of the period")
        (raised,) = dict(RAISED.items(console.state)).values()
        assert (f"{raised.amount}", raised.by, raised.reason) == ("650", "editor", "a launch")
        pictured(page, f"raised-{script}")


def test_a_silence_is_made_on_the_budget_and_ended_on_the_page_of_alerts(chromium: sync_api.Browser, console: Console):
    with on_a_phone(chromium, console, "responder") as page:
        page.goto(f"{console.address}/budgets/research")
        page.locator("summary", has_text="Silence…").tap()
        page.get_by_label("For").select_option("1d")
        page.get_by_label("Reason").fill("load test")
        page.get_by_role("button", name="Silence", exact=True).tap()
        said(page, "Silenced")
        (silence,) = silences_of(console.state)
        assert (silence.where, silence.by) == ({"budget": ("research",)}, "responder")
        page.goto(f"{console.address}/alerts")
        page.get_by_role("button", name="End the silence").tap()
        said(page, "The silence has ended")
        assert silences_of(console.state) == []


#: What each role finds to press, by page; nobody finds more.
PRESSES = {
    "alert": {"viewer": set(), "responder": {"Snooze 4 h", "Acknowledge"}, "editor": {"Snooze 4 h", "Acknowledge"}},
    "action": {"viewer": set(), "responder": {"Not now"}, "editor": {"Approve", "Not now"}},
    "budget": {"viewer": set(), "responder": {"Silence"}, "editor": {"Raise", "Silence"}},
    "settings": {"viewer": set(), "responder": {"Send test"}, "editor": {"Send test"}},
    "actions": {
        "viewer": set(), "responder": {"Not now", "Pause all actions"},
        "editor": {"Approve", "Not now", "Pause all actions"},
    },
}  # fmt: skip


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
@pytest.mark.parametrize("role", list(TOKENS))
def test_a_role_finds_what_it_may_do_and_what_it_may_not_is_refused_and_changes_nothing(
    chromium: sync_api.Browser, console: Console, role: str, *, script: bool
):
    alert, before = console.open_alert("evaluation"), dict(console.kept.notes)
    pages = {
        "alert": f"/alerts/{alert}", "action": "/actions/ffee00", "budget": "/budgets/tokens", "settings": "/settings",
        "actions": "/actions",
    }  # fmt: skip
    writes = {
        f"/alerts/{alert}/acknowledge": "responder", f"/alerts/{alert}/snooze": "responder",
        "/silences": "responder", "/actions/pause": "responder", "/actions/ffee00/refuse": "responder",
        "/notifiers/ops/test": "responder", "/budgets/research/raise": "editor", "/actions/ffee00/approve": "editor",
        "/actions/a1b2c3/restore": "editor", "/settings/budget": "editor", "/budgets/research/delete": "editor",
    }  # fmt: skip
    rank = list(TOKENS)
    with on_a_phone(chromium, console, role, script=script) as page:
        for name, path in pages.items():
            page.goto(console.address + path)
            pressed = page.locator("main button:not([type=search])").all_inner_texts()
            found = {one.strip() for one in pressed if one.strip()} - {"Find"}
            hidden = {one.text_content() or "" for one in page.locator("main details button").all()}
            assert (found | hidden) == PRESSES[name][role], (name, found, hidden)
        for path, needed in writes.items():
            if rank.index(role) < rank.index(needed):
                sent = page.request.post(console.address + path, headers={"origin": console.address})
                assert sent.status == 403, path
        page.goto(f"{console.address}/settings/budget")
        assert page.get_by_role("button", name="Store").count() == (1 if role == "editor" else 0)
    assert console.kept.notes == before


@pytest.mark.parametrize("console", [("ana",)], indirect=True)
def test_where_approvers_are_named_they_approve_on_the_telephone_and_no_editor_is_offered_it(
    chromium: sync_api.Browser, console: Console
):
    with on_a_phone(chromium, console, "editor", script=False) as page:
        page.goto(f"{console.address}/actions/ffee00")
        assert page.get_by_role("button", name="Approve").count() == 0
        assert "Waiting for ana." in page.inner_text("main")
        sent = page.request.post(f"{console.address}/actions/ffee00/approve", headers={"origin": console.address})
        assert sent.status == 403
    with on_a_phone(chromium, console, "ana", script=False) as page:
        page.goto(f"{console.address}/actions/ffee00")
        page.locator(".bottom").get_by_role("button", name="Approve").tap()
        said(page, "Approved")
    assert acts(console.kept.notes)["ffee00aa11"].approved_by == "ana"


def test_a_refusal_and_a_pause_are_one_tap_each(chromium: sync_api.Browser, console: Console):
    with on_a_phone(chromium, console, "editor", script=False) as page:
        page.goto(f"{console.address}/actions/ffee00")
        page.locator(".bottom").get_by_role("button", name="Refuse").tap()
        said(page, "Refused: nothing is done.")
        assert acts(console.kept.notes)["ffee00aa11"].state == "refused"
        page.goto(f"{console.address}/actions")
        page.get_by_role("button", name="Pause all actions").tap()
        said(page, "All actions are paused.")
        page.get_by_role("button", name="Continue").tap()
        said(page, "Actions continue.")


def test_what_a_role_may_not_do_has_no_button_and_is_refused(chromium: sync_api.Browser, console: Console):
    alert = console.open_alert("evaluation")
    with on_a_phone(chromium, console, "viewer") as page:
        page.goto(f"{console.address}/alerts/{alert}")
        assert page.get_by_role("button", name="Acknowledge").count() == 0
        assert "Your role only reads." in page.inner_text("main")
        sent = page.request.post(f"{console.address}/alerts/{alert}/acknowledge", headers={"origin": console.address})
        assert sent.status == 403
    with on_a_phone(chromium, console, "responder") as page:
        page.goto(f"{console.address}/actions/ffee00")
        assert page.get_by_role("button", name="Approve").count() == 0
        assert page.get_by_role("button", name="Refuse").count() > 0
        assert page.locator("summary", has_text="Raise…").count() == 0
    assert dict(LIFECYCLES.items(console.state))[alert].state == "firing"


FORGED = {
    "acknowledge": "/alerts/{alert}/acknowledge", "snooze": "/alerts/{alert}/snooze?for=4h",
    "raise": "/budgets/research/raise?amount=5000&scope={{}}&seen=500", "approve": "/actions/ffee00/approve",
    "store": "/settings/budget?name=mine&set-amount=1 USD", "silence": "/silences?for=7d&where={{}}&reason=quiet",
}  # fmt: skip


@pytest.mark.parametrize("form", FORGED.values(), ids=FORGED)
def test_a_form_of_another_site_changes_nothing_though_the_editor_is_signed_in(
    chromium: sync_api.Browser, console: Console, form: str
):
    before = dict(console.kept.notes)
    path, _, fields = form.format(alert=console.open_alert("evaluation")).partition("?")
    with on_a_phone(chromium, console, "editor") as page:
        page.goto("about:blank")
        with page.expect_response(lambda answer: path in answer.url) as forged:
            page.evaluate(
                """([target, fields]) => {
                const form = document.createElement("form"); form.method = "post"; form.action = target;
                for (const [name, value] of new URLSearchParams(fields)) {
                  const field = document.createElement("input"); field.name = name; field.value = value;
                  form.append(field);
                }
                document.body.append(form); form.submit(); }""",
                [console.address + path, fields],
            )
        assert forged.value.status in (401, 403)
    assert console.kept.notes == before


def test_what_was_typed_is_not_drawn_over_by_the_refresh(chromium: sync_api.Browser, console: Console):
    with on_a_phone(chromium, console, "editor") as page:
        page.clock.install()
        page.goto(f"{console.address}/budgets/research")
        page.locator("summary", has_text="Raise…").tap()
        page.get_by_label("New amount in USD").fill("650")
        page.locator("h1").tap()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.fast_forward(31_000)
        page.evaluate("new Promise((done) => requestAnimationFrame(done))")
        assert asked == []
        assert page.get_by_label("New amount in USD").input_value() == "650"
        page.get_by_label("New amount in USD").fill("")
        page.locator("footer").tap()
        with page.expect_response(lambda answer: answer.url.endswith("/budgets/research")):
            page.clock.fast_forward(31_000)


def test_a_charts_figures_stand_beside_the_finger_and_the_pointer(chromium: sync_api.Browser, address: dict[str, str]):
    for size, touch in ((PHONE, True), (WIDE, False)):
        context = chromium.new_context(viewport=size, has_touch=touch)
        page = context.new_page()
        page.goto(f"{address['open']}/budgets/research")
        column = page.locator("#chart svg.chart rect.hit").nth(5)
        column.tap(force=True) if touch else column.hover(force=True)
        tip = page.locator(".chart-tip")
        assert re.search(r"^\w{3} \d+ Nov: \$\d+\.\d\d that day, \$\d+\.\d\d so far", tip.inner_text())
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        page.mouse.move(5, 5)
        assert tip.is_hidden()
        context.close()


def test_a_tap_on_who_spends_narrows_the_page(chromium: sync_api.Browser, address: dict[str, str]):
    context = chromium.new_context(viewport=PHONE, has_touch=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address['open']}/budgets/research")
    page.locator("#who").get_by_role("link", name="chat").tap()
    page.wait_for_url("**/budgets/research?by=model&key=chat#who")
    page.get_by_role("link", name=re.compile("^key chat")).tap()
    page.wait_for_url("**/budgets/research?by=model#who")
    context.close()


# --- the demonstration, as somebody sees it who has just started it ---


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """Where the page of a running `alertd demo` is."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
    with subprocess.Popen(
        [sys.executable, "-m", "alertd", "demo"], env={**bare, "ALERTD_HTTP__LISTEN": "127.0.0.1:0"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        lines: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        wait_for("the page's address", lambda: any(line.startswith("Page: ") for line in lines))
        yield next(line for line in lines if line.startswith("Page: ")).split()[1].rstrip("/")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        reader.join(5)


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_a_budget_is_added_changed_and_deleted_with_faults_beside_their_lines(
    chromium: sync_api.Browser, demo: str, *, script: bool
):
    context = chromium.new_context(viewport=PHONE, has_touch=True, java_script_enabled=script)
    page, name = context.new_page(), f"mine-{'with' if script else 'without'}"

    def evaluated() -> bool:
        page.goto(demo)
        return page.locator("#budgets").count() == 1

    wait_for("the first evaluation", evaluated)
    page.get_by_role("link", name="Add a budget").tap()
    page.get_by_label("Name").fill("Mine")
    page.get_by_label("Amount").fill("5OO")
    page.get_by_label("Alerts when").fill("actual 80")
    page.get_by_role("button", name="Store").tap()
    assert page.get_by_role("alert").inner_text() == "Nothing was stored: see below."
    assert "not a valid name" in page.locator("#name-f").inner_text()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Store").tap()
    assert "neither a currency code" in page.locator("#set-amount-f").inner_text()
    assert "write it as actual 80%" in page.locator("#thresholds-f").inner_text()
    if script:
        assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == []
    pictured(page, f"budget-form-{script}")
    page.get_by_label("Amount").fill("1 USD")
    page.get_by_label("Which usage").fill("team=research")
    page.get_by_label("Alerts when").fill("actual 80%\nforecast 100%")
    page.get_by_role("button", name="Store").tap()
    said(page, "Stored: it is evaluated within seconds.")
    wait_for("its own page", lambda: page.goto(f"{demo}/budgets/{name}").status == 200)
    page.get_by_role("link", name="Edit", exact=True).tap()
    assert page.get_by_label("Alerts when").input_value() == "actual 80%\nforecast 100%"
    page.get_by_label("Amount").fill("2 USD")
    page.get_by_role("button", name="Store").tap()
    said(page, "Stored")
    assert "2 USD" in page.locator("#stored").inner_text()
    page.get_by_role("link", name=f"Edit {name}").tap()
    page.get_by_role("button", name="Delete this budget").tap()
    said(page, "Deleted: what it announced stays.")
    assert page.goto(f"{demo}/settings/budget?name={name}").status == 404
    context.close()


def test_the_demonstrations_runaway_is_stopped_by_one_press(chromium: sync_api.Browser, demo: str):
    context = chromium.new_context(viewport=PHONE, has_touch=True, java_script_enabled=False)
    page = context.new_page()

    def proposed() -> bool:
        page.goto(demo)
        return page.locator("#ask").get_by_role("button", name="Approve").count() == 1

    wait_for("the proposal", proposed, seconds=180)
    page.locator("#ask").get_by_role("button", name="Approve").tap()
    said(page, "Approved")
    page.goto(f"{demo}/actions")
    page.get_by_role("link", name=re.compile("^Block this key at the gateway: ci")).tap()
    page.wait_for_url("**/actions/*")
    path = page.url

    def verified() -> bool:
        page.goto(path)
        return page.get_by_text("Done and verified").count() == 1

    def undone() -> bool:
        page.goto(path)
        return page.get_by_text("Undone, and verified at the provider").count() == 1

    wait_for("the gateway's answer", verified)
    assert "by hour, to" in page.inner_text("main")
    assert "Approved by local" in page.inner_text("main")
    pictured(page, "demo-approved")
    page.locator(".bottom").get_by_role("button", name="Undo").tap()
    said(page, "It is being undone.")
    wait_for("the gateway's other answer", undone)
    context.close()
