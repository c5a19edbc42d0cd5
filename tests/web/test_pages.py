"""The pages as a reader gets them: what stands on them, what can never be made to run, and what they say when blind."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from alertd.core.evaluation.values import SourceView
from alertd.core.pricing.pricefile import read_price_file
from alertd.core.pricing.prices import PriceBook
from alertd.core.usage import Line
from alertd.web.application import BudgetStatuses, Lane, Loop, View
from alertd.wire.litellm_prices import LitellmPrices
from tests.web.house import HOSTILE, NOW, SHOUT, Browser, Kept, browser, november, view_of

PAGES = ["/", "/budgets/research", "/budgets/teams", "/alerts", "/actions", "/sources", "/prices"]
OLD_PRICES = """
[[price]]
provider = "acme"
model = "plain"
input = "1"
per = 1_000_000
currency = "USD"
source = "https://acme.example/prices, seen 2025-06-01"
"""


class Reader(HTMLParser):
    """Collects what a browser would act on: elements with their attributes, and what a reader sees."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed[-1:] == [tag]
        self.unclosed.pop()

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.unclosed):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(house: Browser, path: str, status: int = 200) -> Reader:
    answer = house.get(path)
    assert answer.status_code == status
    return Reader(answer.text)


# --- safety ---


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        f"/budgets/teams?scope=team={HOSTILE}",
        f"/?q={HOSTILE}",
        f"/budgets/{SHOUT}",
        f"/budgets/research?scope={HOSTILE}",
    ],
)
def test_no_name_from_outside_becomes_an_element_an_attribute_or_a_script(open_house: Browser, path: str):
    page = Reader(open_house.get(path).text)
    assert page.unclosed == []
    assert len(page.all("script")) == 1
    for tag, attributes in page.elements:
        assert tag != "channel"
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("href", "src", "action"):
            target = attributes.get(name) or "/"
            assert target.startswith(("/", "#", "https://wiki.example.com/", "data:image/svg+xml,")), target


def test_hostile_names_are_shown_as_they_are(open_house: Browser):
    words = read(open_house, "/").words
    assert HOSTILE in words
    assert SHOUT in words


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_allows_this_style_and_this_script_and_no_other(open_house: Browser, path: str):
    answer = open_house.get(path)
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_a_page_loads_nothing_from_anywhere(open_house: Browser):
    for path in PAGES:
        page = read(open_house, path)
        assert not page.all("img")
        assert not page.all("iframe")
        assert [link["href"][:5] for link in page.all("link")] == ["data:"]


# --- what stands on them ---


def test_the_front_page_says_of_every_budget_what_was_used_what_is_likely_and_when_it_runs_out(open_house: Browser):
    words = read(open_house, "/").words
    assert "304.02 of 500.00 USD (61 %)" in words
    assert re.search(r"Likely total \d+ \(80 %: \d+ to \d+\)", words)
    assert re.search(r"Runs out \w{3} \d+ Nov", words)
    assert re.search(r"Used up Sat 14 Nov", words)
    for said in ("over budget", "at risk", "on track", "unknown", "no data yet"):
        assert said in words


def test_the_page_and_a_message_say_the_same_figures(open_house: Browser, view: View):
    event = next(row.event for row in reversed(view.records.rows) if row.event.budget == "evaluation")
    assert f"{event.spent:.2f} of 120.00 USD" in read(open_house, "/budgets/evaluation").words


def test_every_budget_leads_to_its_own_page(open_house: Browser):
    links = {link["href"] for link in read(open_house, "/").all("a") if link["href"].startswith("/budgets/")}
    assert len(links) >= 10
    for link in links:
        assert "Thresholds" in read(open_house, link).words


def test_a_budget_of_many_scopes_lists_them_and_each_scope_stands_alone(open_house: Browser):
    assert len(read(open_house, "/budgets/teams").all("tr")) == 1 + 12
    assert "68.00 of 200.00 USD" in read(open_house, f"/budgets/teams?scope=team={HOSTILE}").words
    assert "without a team" in read(open_house, "/budgets/teams?scope=team=").words


@pytest.mark.parametrize("path", ["/budgets/nothing", "/budgets/research?scope=team=a", "/budgets/teams?scope=team=zz",
                                  "/budgets/a%2Fb", "/budgets/%00"])  # fmt: skip
def test_an_unknown_budget_or_scope_is_not_found(open_house: Browser, path: str):
    assert open_house.get(path).status_code == 404


def test_a_budgets_page_tells_thresholds_contributors_and_why_something_was_announced(open_house: Browser):
    words = read(open_house, "/budgets/research").words
    for said in ("actual 50% 250.00 USD stands passed by", "forecast 100% 500.00 USD stands",
                 "rag-indexer 192.45", "volume ×2.8, same price", "Why", "Owner @ana", "Told once under"):  # fmt: skip
        assert said in words, said


def test_the_fan_is_drawn_with_its_levels_and_a_dot_where_one_was_reached(open_house: Browser):
    classes = [attributes.get("class") for _, attributes in read(open_house, "/budgets/research").elements]
    assert {"band", "median", "spent", "limit", "level", "reached", "used-up"} <= set(classes)


def test_three_hundred_scopes_stay_usable_worst_first_and_the_rest_folded():
    house = browser(view_of(*november(scopes=300)))
    answer = house.get("/", headers={"accept-encoding": "gzip"})
    before, _, folded = answer.text.partition('<details id="rest">')
    assert before.count("<tr") <= 1 + 40
    assert folded.count("<tr") > 200
    assert re.match(r"<summary>\d+ more: .*\d+ on track</summary>", folded)
    assert answer.headers["content-encoding"] == "gzip"
    found = read(house, "/?q=team-123")
    assert len(found.all("tr")) == 1 + 1
    assert "team-123" in found.words


def test_a_search_that_finds_nothing_says_so(open_house: Browser):
    assert "No budget fits." in read(open_house, "/?q=nobody-has-this-name").words


def test_the_states_above_the_table_narrow_it(open_house: Browser):
    over = read(open_house, "/?status=over")
    assert len(over.all("tr")) == 1 + 3
    assert "no data yet" not in over.words


# --- when something is wrong ---


def test_blind_is_said_first_and_what_was_seen_is_a_lower_bound(blind: View):
    house = browser(blind)
    words = read(house, "/").words
    assert "Cannot see spend from gateway for 42 min" in words
    assert "at least 304.02 of 500.00 USD" in words
    assert "Prometheus answers 503" in read(house, "/sources").words


def test_what_has_no_price_is_told_with_its_reason(open_house: Browser):
    words = read(open_house, "/prices").words
    assert "acme gpt-9-mystery input no price is known" in words
    assert "not priced, so not counted: gpt-9-mystery 3M tokens" in read(open_house, "/budgets/platform").words


def test_old_prices_are_warned_of(view: View, open_house: Browser):
    old = replace(view, book=lambda: PriceBook((read_price_file("prices", OLD_PRICES),)))
    assert "last confirmed" not in read(open_house, "/prices").words
    assert "1 price here was last confirmed over 270 days ago" in read(browser(old), "/prices").words


def test_a_refused_configuration_and_a_dry_run_are_on_every_page(view: View):
    fault = "budgets.research.amount: '5OO USD' is no amount"
    house = browser(replace(view, faults=lambda: [fault], dry_run=True))
    for path in PAGES:
        words = read(house, path).words
        assert fault in words
        assert "Dry run" in words


def test_without_a_database_the_figures_stay_and_the_rest_says_why(view: View):
    house = browser(replace(view, records=Kept(dead=True)))
    assert "304.02 of 500.00 USD" in read(house, "/budgets/research").words
    assert "The database does not answer" in read(house, "/alerts", 503).words


def test_the_front_page_says_that_the_database_does_not_answer(view: View):
    words = read(browser(replace(view, records=Kept(dead=True))), "/").words
    assert "304.02 of 500.00 USD" in words
    said = "The database does not answer: these are the figures of the last round, and nothing new is told; see the log"
    assert said in words


def test_a_source_that_never_answered_is_said_to_be_blind_too(view: View):
    never = SourceView("cloud", None, timedelta(minutes=15), failing_since=NOW - timedelta(minutes=42), error="401")
    standings = replace(view.standings(), sources={"cloud": never})
    words = read(browser(replace(view, standings=lambda: standings)), "/").words
    assert "Cannot see spend from cloud for 42 min: its budgets are unknown. 401" in words


def test_a_loop_that_is_stuck_is_said_before_any_figure(view: View):
    loops = [Loop("evaluate", timedelta(minutes=10), runs=3, last_end=NOW - timedelta(hours=3))]
    words = read(browser(replace(view, loops=lambda: loops)), "/").words
    assert "alertd itself is stuck (evaluate): figures are old and news may be missing" in words.partition("Budgets")[2]
    assert "alertd itself is stuck" not in read(browser(view), "/").words


def test_messages_that_do_not_get_through_are_said_and_those_that_quiet_hours_hold_are_not(view: View):
    waiting = {"ops": (3, NOW - timedelta(minutes=42)), "mail": (1, NOW - timedelta(hours=5))}
    lanes = [Lane("ops", last_error="Slack answers invalid_auth"), Lane("mail")]
    told = replace(view, records=Kept(waiting=waiting), lanes=lambda: lanes)
    words = read(browser(told), "/").words
    assert "Not delivered: 3 messages for ops, the first for 42 min: Slack answers invalid_auth. See Sources" in words
    assert "for mail" not in words


def test_what_is_on_track_is_not_said_to_run_out(open_house: Browser):
    rows = open_house.get("/").text.split("<tr")
    assert any("on track" in row and "chance of exceeding" in row for row in rows)
    assert [row for row in rows if "on track" in row and "Runs out" in row] == []


def test_before_the_first_evaluation_the_page_says_what_it_waits_for(view: View):
    assert "Nothing was evaluated yet" in read(browser(replace(view, standings=BudgetStatuses)), "/").words


# --- accessibility that needs no browser ---


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_language_a_title_one_heading_and_labels(open_house: Browser, path: str):
    page = read(open_house, path)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert all(svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    assert all(cell.get("scope") in {"col", "row"} for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_style_answers_to_dark_mode_small_screens_and_the_keyboard(open_house: Browser):
    style = open_house.get("/").text.partition("<style>")[2].partition("</style>")[0]
    for rule in ("prefers-color-scheme: dark", "max-width: 46rem", ":focus-visible"):
        assert rule in style


# --- actions, and the bill against the estimate ---


def test_the_page_of_actions_shows_who_did_what_when_and_why_and_offers_no_button(open_house: Browser):
    page = read(open_house, "/actions")
    for words in ("waits for an answer", "done and verified", "turn this key off: rag-indexer", "approve → approved",
                  "ana", "looks wrong", "values status active", "values api token **********", "share 0.62",
                  "alertd actions approve ffee00", "alertd actions refuse ffee00",
                  "a token of its own"):  # fmt: skip
        assert words in page.words, words
    assert "Expires 10:35 UTC : without an answer nothing is done." in page.words
    assert page.words.count("Expires") == 1, "what is done waits for nothing"
    assert "alertd actions restore" not in page.words, "it was so before alertd came"
    assert not [form for form in page.all("form") if form.get("method") == "post"]


def test_the_foot_of_a_page_ends_with_a_word_though_no_script_runs(open_house: Browser):
    foot = open_house.get("/").text.partition("<footer>")[2].partition("</footer>")[0]
    assert re.sub("<[^>]*>", "", foot).endswith(" · alertd 0.1.0"), foot


def test_a_budget_shows_its_own_acts_and_no_others(open_house: Browser):
    own = read(open_house, "/budgets/research").words
    assert "turn this key off: rag-indexer" in own
    assert "ffee00" not in own
    other = read(open_house, f"/budgets/teams?scope=team={HOSTILE}").words
    assert "ffee00" in other
    assert "rag-indexer" not in other
    assert "turn this key off" not in read(open_house, "/budgets/platform").words


def test_the_sources_page_compares_estimate_and_bill_and_says_why_they_differ(open_house: Browser, blind: View):
    words = read(open_house, "/sources").words
    for said in ("gateway against bill", "2026-11-01 to 2026-11-14", "412.50 USD", "330.00 USD", "+25.0 %",
                 "gpt-4o: billed 0.80 times", "Compared 20 min ago", "look like the same traffic"):  # fmt: skip
        assert said in words, said
    assert "nothing can be compared" in read(browser(blind), "/sources").words


def test_a_dead_database_hides_no_source(view: View):
    house = browser(replace(view, records=Kept(dead=True)))
    words = read(house, "/sources").words
    assert "gateway" in words
    assert "how they compare is not known" in words
    assert "The database does not answer" in read(house, "/actions", 503).words


def test_the_front_page_says_that_an_act_waits_for_a_person(open_house: Browser, blind: View):
    assert "1 act on a key waits for an answer" in read(open_house, "/").words
    assert "on a key" not in read(browser(blind), "/").words


def test_on_a_telephone_what_an_action_lacks_stands_below_it_and_is_not_cut_off(open_house: Browser):
    page = read(open_house, "/actions")
    assert "scroll stacked" in [attributes.get("class") for attributes in page.all("div")]
    assert "lacks a token of its own: ALERTD_ACTIONS__STOP_TEAMS__TOKEN_FILE" in page.words


def test_another_list_s_figures_stand_beside_ours_and_a_disagreement_is_said(view: View, open_house: Browser):
    assert "Other list" not in read(open_house, "/prices").words
    table = {"plain": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": Decimal("9e-6")}}
    compared = PriceBook((read_price_file("prices", OLD_PRICES),), None, LitellmPrices(table, "other.json"))
    used = [Line("acme", "plain", "input"), Line("acme", "launched-today", "input")]
    words = read(browser(replace(view, book=lambda: compared, lines=lambda: used)), "/prices").words
    assert "Other list" in words
    assert "9.00 USD" in words
    assert "plain input: prices disagree: 1.00 USD" in words
    assert 'model = "launched-today"' in words
