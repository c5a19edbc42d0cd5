"""The pages as a reader gets them: what stands on them, what can never be made to run, and what they say when blind."""

from __future__ import annotations

import argparse
import csv
import html
import io
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from importlib import import_module
from urllib.parse import quote

import pytest

from alertd.clients.price_files import LitellmPrices
from alertd.core.evaluation.values import SourceView
from alertd.core.lazy import Deferred
from alertd.core.loop_stats import DeliveryStats, LoopStats
from alertd.core.periods import PeriodRule
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.usage import Line
from alertd.ports import AlertRow, SentMessage, StoreError
from alertd.web.server import BudgetStatuses, View
from tests.scenario import NOVEMBER, Scenario, budget
from tests.web.dashboard_client import HOSTILE, NOW, SHOUT, Browser, StoredRows, browser, november, view_of

PAGES = ["/", "/budgets/research", "/budgets/teams", "/alerts", "/alerts?show=all", "/actions", "/actions/ffee00",
         "/actions/a1b2c3", "/sources", "/prices", "/settings", "/health"]  # fmt: skip
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


def test_a_page_loads_its_style_and_its_script_from_this_server_and_nothing_else(open_house: Browser):
    for path in PAGES:
        answer = open_house.get(path)
        page = Reader(answer.text)
        assert not page.all("img")
        assert not page.all("iframe")
        assert not page.all("style")
        (icon, sheet), (script,) = page.all("link"), page.all("script")
        assert icon["href"].startswith("data:image/svg+xml,")
        for href, kind in ((sheet["href"], "text/css"), (script["src"], "text/javascript")):
            found = open_house.get(href)
            assert (found.status_code, found.headers["content-type"].partition(";")[0]) == (200, kind)
            assert "immutable" in found.headers["cache-control"]
        policy = answer.headers["content-security-policy"]
        assert "style-src 'self'; script-src 'self'" in policy
    assert open_house.get("/assets/000000000000/page.css").status_code == 404


# --- what stands on them ---


def test_the_front_page_says_of_every_budget_what_was_used_what_is_likely_and_when_it_runs_out(open_house: Browser):
    words = read(open_house, "/").words
    assert re.search(r"research @ana At risk 61% \$304 of \$500 \$500 \$\d+ \$\d+ to \$\d+ \d+% \w{3} \d+ Nov", words)
    assert re.search(r"evaluation Over 131% .* already used up", words)
    assert re.search(r"marketing matches no usage Unknown – –", words)
    assert "team research" in words
    assert "without a team" in words


def test_the_key_figures_are_those_of_the_rule_that_covers_most_and_name_it(open_house: Browser):
    words = read(open_house, "/").words
    assert re.search(r"Spent: teams, 12 scopes \$1,185 49% of \$2,400", words)
    assert "3 over 3 at risk 2 unknown 9 on track" in words


def test_what_needs_an_answer_stands_above_the_table_the_gravest_first_five_at_most(open_house: Browser):
    words = read(open_house, "/").words.partition("Needs an answer")[2]
    assert re.match(r" 12 7 more Waits Turn this key off", words)
    assert words.index("evaluation") < words.index("research has spent") < words.index("Spend of teams")
    assert words.partition("Spend of teams")[0].count("Acknowledge") == 4


def test_the_page_and_a_message_say_the_same_figures(open_house: Browser, view: View):
    event = next(row.event for row in reversed(view.records.rows) if row.event.budget == "evaluation")
    words = read(open_house, f"/alerts/{event.id}").words
    assert f"${event.spent:.2f} of $120" in words


def test_every_budget_leads_to_its_own_page(open_house: Browser):
    links = {link["href"] for link in read(open_house, "/").all("a") if link["href"].startswith("/budgets/")}
    assert len(links) >= 10
    for link in links:
        assert "Thresholds" in read(open_house, link).words


def test_a_budget_of_many_scopes_lists_them_and_each_scope_stands_alone(open_house: Browser):
    assert len(read(open_house, "/budgets/teams").all("tr")) == 1 + 12
    assert "$68 of $200" in read(open_house, f"/budgets/teams?scope=team={HOSTILE}").words
    assert "without a team" in read(open_house, "/budgets/teams?scope=team=").words


def test_a_path_that_is_not_there_is_a_page_for_a_browser_and_a_problem_for_a_program(open_house) -> None:
    for_people = open_house.get("/nothing", headers={"accept": "text/html,*/*"})
    assert (for_people.status_code, for_people.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in for_people.text
    assert 'href="/"' in for_people.text
    for path, accept in (("/nothing", "*/*"), ("/api/v1/nothing", "text/html")):
        answer = open_house.get(path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/budgets/nothing", "/budgets/research?scope=team=a", "/budgets/teams?scope=team=zz",
                                  "/budgets/a%2Fb", "/budgets/%00"])  # fmt: skip
def test_an_unknown_budget_or_scope_is_not_found(open_house: Browser, path: str):
    assert open_house.get(path).status_code == 404


def test_a_budgets_page_tells_thresholds_contributors_and_what_was_announced(open_house: Browser):
    words = read(open_house, "/budgets/research").words
    for said in ("$304.02 of $500", "actual 50%", "forecast 100%", "rag-indexer", "2.8 times the volume, same price",
                 "owner @ana", "Silence…", "Raise…", "research will probably go over"):  # fmt: skip
        assert said in words, said


def test_an_alerts_page_says_what_was_said_why_and_what_became_of_it(open_house: Browser, view: View):
    row = next(row for row in view.records.rows if row.event.budget == "research" and row.event.kind == "threshold")
    for wanted in (row.event.id, row.event.id[:6]):
        words = read(open_house, f"/alerts/{wanted}").words
        for said in ("What was said", "Why", "Announced once under", "Timeline", "Firing", "Open budget", "Runbook"):
            assert said in words, said
    assert open_house.get("/alerts/nothing").status_code == 404


def test_the_chart_has_an_axis_the_value_now_the_ends_and_a_column_a_day(open_house: Browser):
    page = read(open_house, "/budgets/research")
    classes = [attributes.get("class") for _, attributes in page.elements]
    assert {"fan", "l main", "l main dash", "g-budget", "g-thr", "g-now", "dot", "zone"} <= set(classes)
    assert classes.count("hit") >= 28
    for said in ("Budget $500", "$304.02", "now, Tue 17 Nov 09:40", "1 Nov", "30 Nov", "$0"):
        assert said in page.words, said
    assert re.search(r"Mon 16 Nov: \$[\d.]+ that day, \$[\d.]+ so far \(\d+% of the budget\)", page.words)


def test_days_before_the_data_begin_are_not_seen_and_bars_stand_on_their_own_days() -> None:
    """A ledger that begins within the period: the bar of the 13th is above the 13th of the chart's axis."""
    world = Scenario(budget("labs", "500 USD"), at=NOW)
    world.sources["gateway"] = SourceView(
        "gateway", NOW, timedelta(minutes=15), complete_from=datetime(2026, 11, 13, tzinfo=UTC)
    )
    for day in (13, 14, 16):
        world.spend(day, at=datetime(2026, 11, day, 12, tzinfo=UTC), key="ci")
    page = browser(view_of(world, StoredRows())).get("/budgets/labs").text
    places = [float(x) for x in re.findall(r'<rect class="s1" x="([\d.]+)%"', page)]
    assert [round(place * 30 / 100 - 0.12, 2) for place in places] == [12, 13, 15]
    words = html.unescape(re.sub(r"<[^>]+>", "|", page))
    assert "Thu 12 Nov: not seen" in words
    assert "Fri 13 Nov: $13 that day, $13 so far" in words
    assert "Sun 15 Nov: $0 that day, $27 so far" in words


def test_three_hundred_scopes_are_paged_sorted_grouped_and_searched_by_the_address():
    house = browser(view_of(*november(scopes=300)))
    answer = house.get("/", headers={"accept-encoding": "gzip"})
    assert answer.text.count("<tr") == 1 + 50, "its head, and a page of fifty"
    assert "1 to 50 of 312" in Reader(answer.text).words
    assert answer.headers["content-encoding"] == "gzip"
    assert "301 to 312 of 312" in read(house, "/?page=7").words
    assert "301 to 312 of 312" in read(house, "/?page=99").words
    by_name = re.findall(r"team team-\d+|evaluation", read(house, "/?sort=name&dir=up&q=e").words)
    assert by_name
    assert "of 1 " in read(house, "/?q=team-123").words
    assert "team team-123" in read(house, "/?q=team-123").words
    assert re.search(r"teams · \d+ budgets", read(house, "/?group=rule").words)
    for query in ("page=0", "page=x", "sort=nothing", "group=1", "dir=1", "page=99999999"):
        assert house.get(f"/?{query}").status_code == 200


def test_every_order_is_an_order(open_house: Browser):
    def used(path: str) -> list[int]:
        return [int(one) for one in re.findall(r"(\d+)% \$\d+ of", read(open_house, path).words)]

    assert used("/?sort=used") == sorted(used("/?sort=used"), reverse=True)
    assert used("/?sort=used&dir=up") == sorted(used("/?sort=used&dir=up"))
    for sort in ("name", "spent", "amount", "likely", "chance", "runs_out", "status"):
        assert "1 to 17 of 17" in read(open_house, f"/?sort={sort}").words


def test_a_refresh_costs_nothing_until_something_changes(view: View):
    house = browser(view)
    for path in ("/", "/alerts", "/actions", "/budgets/research"):
        first = house.get(path)
        tag = {"if-none-match": first.headers["etag"]}
        again = house.get(path, headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        assert house.get(f"{path}?page=2", headers=tag).status_code == 200
    later = replace(view.standings(), evaluated_at=NOW + timedelta(minutes=1))
    assert browser(replace(view, standings=lambda: later)).get("/", headers=tag).status_code == 200


def test_a_budget_is_split_by_key_model_team_provider_and_day_and_each_split_adds_up(open_house: Browser):
    for by, name in (("key", "rag-indexer"), ("model", "plain"), ("team", "research"), ("provider", "acme")):
        page = read(open_house, f"/budgets/research?by={by}")
        assert f"{name} $" in page.words, by
        assert "$304.02 together" in page.words, by
        path = next(str(a["href"]) for a in page.all("a") if "usage.csv" in str(a.get("href")))
        rows = list(csv.DictReader(io.StringIO(open_house.get(path).text)))
        assert abs(sum(float(row["spent"]) for row in rows) - 304.02) < 1e-6
    assert "Tue 17 Nov $22.84 $304.02" in read(open_house, "/budgets/research?by=day").words
    assert open_house.get("/budgets/nothing/usage.csv").status_code == 404


def test_every_row_of_who_spends_narrows_the_page_and_its_address_says_to_what(open_house: Browser):
    whole = read(open_house, "/budgets/research")
    link = next(str(a["href"]) for a in whole.all("a") if "key=chat" in str(a.get("href")))
    assert link == "/budgets/research?by=model&key=chat#who"
    page = read(open_house, link.partition("#")[0])
    assert "By day and model: only key chat" in page.words
    assert re.search(r"1 in all, \$(\d+\.\d\d) together, \d\d% of what the budget spent", page.words)
    assert "$304.02 of $500" in page.words, "the budget's own figures are those of the whole"
    csv_path = next(str(a["href"]) for a in page.all("a") if "usage.csv" in str(a.get("href")))
    rows = list(csv.DictReader(io.StringIO(open_house.get(csv_path).text)))
    spent = re.search(r"1 in all, \$(\d+\.\d\d) together", page.words)
    assert spent is not None
    assert abs(sum(float(row["spent"]) for row in rows) - float(spent[1])) < 0.01
    assert any(a["href"] == "/budgets/research?by=model#who" for a in page.all("a")), "the way back to all of it"

    days = read(open_house, "/budgets/research?by=day")
    day = next(str(a["href"]) for a in days.all("a") if "day=2026-11-05" in str(a.get("href")))
    assert "Thu 5 Nov" in read(open_house, day.partition("#")[0]).words
    for odd in ("day=rubbish", "by=rubbish", "day=9999-99-99"):
        assert "$304.02 together" in read(open_house, f"/budgets/research?{odd}").words
    assert "Nothing was spent with these filters." in read(open_house, "/budgets/research?key=nobody").words
    assert "without a model" in read(open_house, "/budgets/research?model=").words
    assert HOSTILE in read(open_house, f"/budgets/research?key={quote(HOSTILE)}").words


def test_the_table_compares_with_the_period_before_where_that_is_known(view: View, open_house: Browser):
    assert "vs Oct 14 days" in read(open_house, "/").words
    changes = {"research": 0.384, "platform": -0.05, "evaluation": 12.6}
    statuses = [
        replace(one, evidence=Deferred(lambda one=one: replace(one.evidence.value, change=changes[one.budget.name])))
        if one.budget.name in changes else one
        for one in view.standings().statuses
    ]  # fmt: skip
    standings = replace(view.standings(), statuses=statuses)
    words = read(browser(replace(view, standings=lambda: standings)), "/?sort=name").words.partition("vs Oct 14 days")[
        2
    ]
    for name, said in (("research", "+38%"), ("platform", "−5%"), ("evaluation", "×14")):
        assert said in words.partition(f" {name} ")[2][:400], name


def test_the_page_of_an_action_shows_what_the_key_spent_by_hour(view: View):
    page = read(browser(view), "/actions/a1b2c3")
    assert "rag-indexer by hour, to 06:45" in page.words
    bars = [svg for svg in page.all("svg") if str(svg.get("aria-label", "")).startswith("Spend by hour")]
    assert [bar["aria-label"] for bar in bars] == ["Spend by hour: $0 in the last of 24"]


def test_the_budgets_are_a_csv_file_in_which_no_cell_is_a_formula(open_house: Browser):
    answer = open_house.get("/budgets.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 17
    research = next(row for row in rows if row["budget"] == "research")
    assert (research["status"], research["spent"], research["amount"], research["unit"]) == (
        "at_risk", "304.02", "500", "USD",
    )  # fmt: skip


def test_a_search_that_finds_nothing_says_so(open_house: Browser):
    assert "No budget fits." in read(open_house, "/?q=nobody-has-this-name").words


def test_the_states_above_the_table_narrow_it(open_house: Browser):
    over = read(open_house, "/?status=over")
    assert "1 to 3 of 3" in over.words
    assert "marketing" not in over.words.partition("Find")[2]


# --- when something is wrong ---


def test_blind_is_said_first_and_what_was_seen_is_a_lower_bound(blind: View):
    house = browser(blind)
    words = read(house, "/").words
    assert "No data from gateway for 42 min" in words
    assert re.search(r"≥ 61% ≥ \$304 of \$500", words)
    assert "Prometheus answers 503" in read(house, "/sources").words


def test_what_has_no_price_is_told_with_its_reason(open_house: Browser):
    words = read(open_house, "/prices").words
    assert "gpt-9-mystery (acme) has no price, so its cost is missing from every total" in words
    assert "platform has used 3M tokens of it in this period; 2 budgets count without it. input: no price" in words
    assert "no price, so not counted: gpt-9-mystery 3M tokens" in read(open_house, "/budgets/platform").words


def test_the_link_to_a_models_budgets_holds_its_whole_name(view: View):
    odd = replace(view, lines=lambda: [Line("acme", "a&b #9", "input")])
    assert 'href="/?q=a%26b+%239"' in browser(odd).get("/prices").text


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
    house = browser(replace(view, records=StoredRows(dead=True)))
    assert "$304.02 of $500" in read(house, "/budgets/research").words
    assert "The database does not answer" in read(house, "/alerts", 503).words


class WithoutMessages(StoredRows):
    """Rows of which those of messages cannot be read."""

    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]:
        raise StoreError(f"no message between {begin} and {end}: the table is damaged")


def test_where_messages_cannot_be_read_it_is_said_and_none_is_said_to_be_gone(view: View, open_house: Browser):
    kept = view.records
    assert isinstance(kept, StoredRows)
    house = browser(replace(view, records=WithoutMessages(list(kept.rows), dict(kept.notes), steps=list(kept.steps))))
    path = f"/alerts/{kept.rows[0].event.id}"
    said = "The database cannot be read: what became of the messages is not known."
    for page in (path, "/alerts?show=all"):
        assert said in read(house, page).words
        assert said not in read(open_house, page).words
    assert "No message about it is kept" not in read(house, path).words
    assert "No message about it is kept" in read(open_house, path).words


def test_the_front_page_says_that_the_database_does_not_answer(view: View):
    words = read(browser(replace(view, records=StoredRows(dead=True))), "/").words
    assert "$304 of $500" in words
    said = (
        "The database does not answer: these are the figures of the last round, and no new alert is sent; see the log"
    )
    assert said in words


def test_a_source_that_never_answered_is_said_to_be_blind_too(view: View):
    never = SourceView("cloud", None, timedelta(minutes=15), failing_since=NOW - timedelta(minutes=42), error="401")
    standings = replace(view.standings(), sources={"cloud": never})
    words = read(browser(replace(view, standings=lambda: standings)), "/").words
    assert "No data from cloud for 42 min; what its budgets spent since is not known. 401" in words


def test_a_loop_that_is_stuck_is_said_before_any_figure(view: View):
    loops = [LoopStats("evaluate", timedelta(minutes=10), runs=3, last_end=NOW - timedelta(hours=3))]
    words = read(browser(replace(view, loops=lambda: loops)), "/").words
    assert "alertd itself is stuck (evaluate): figures are old and news may be missing" in words
    assert words.index("alertd itself") < words.index("Spent:")
    assert "alertd itself is stuck" not in read(browser(view), "/").words


def test_messages_that_do_not_get_through_are_said_and_those_that_quiet_hours_hold_are_not(view: View):
    waiting = {"ops": (3, NOW - timedelta(minutes=42)), "mail": (1, NOW - timedelta(hours=5))}
    stats = [DeliveryStats("ops", last_error="Slack answers invalid_auth"), DeliveryStats("mail")]
    told = replace(view, records=StoredRows(waiting=waiting), delivery_stats=lambda: stats)
    words = read(browser(told), "/").words
    assert "Not delivered: 3 messages for ops, the first for 42 min: Slack answers invalid_auth. See Settings" in words
    assert "for mail" not in words


def test_what_is_on_track_is_not_said_to_run_out(open_house: Browser):
    rows = [row for row in open_house.get("/").text.split("<tr") if "pill on_track" in row]
    assert len(rows) == 9
    assert [row for row in rows if not re.search(r'<td class="drop">–</td>', row)] == []


def test_before_the_first_evaluation_the_page_says_what_it_waits_for(view: View):
    assert "Nothing was evaluated yet" in read(browser(replace(view, standings=BudgetStatuses)), "/").words
    standings = BudgetStatuses(NOW, (), view.standings().sources)
    shown = {"Sources": [("gateway", "prometheus")], "Budgets": [], "Notifiers": []}
    page = read(browser(replace(view, standings=lambda: standings, settings=lambda: shown)), "/")
    assert "Connect a source gateway: read. See sources 2 Set a budget Give an amount" in page.words
    assert [one["class"] for one in page.all("section") if "step" in str(one["class"])] == [
        "card step done", "card step next", "card step",
    ]  # fmt: skip


# --- accessibility that needs no browser ---


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_language_a_title_one_heading_and_labels(open_house: Browser, path: str):
    page = read(open_house, path)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    pictures = [svg for svg in page.all("svg") if "preserveaspectratio" not in svg or "aria-hidden" in svg]
    assert all(svg.get("aria-hidden") == "true" or svg.get("aria-label") for svg in pictures)
    assert all(cell.get("scope") in {"col", "row", "colgroup"} for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_style_answers_to_dark_mode_small_screens_and_the_keyboard(open_house: Browser):
    (_, sheet) = read(open_house, "/").all("link")
    style = open_house.get(str(sheet["href"])).text
    for rule in ("prefers-color-scheme: dark", "max-width: 800px", ":focus-visible"):
        assert rule in style


# --- actions, and the bill against the estimate ---


def test_the_page_of_actions_lists_them_and_each_has_its_evidence_and_audit(open_house: Browser):
    words = read(open_house, "/actions").words
    for said in ("Waits for an answer", "Done and verified", "Turn this key off: rag-indexer", "a token of its own",
                 "Approve", "Not now", "Pause all actions"):  # fmt: skip
        assert said in words, said
    done = read(open_house, "/actions/a1b2c3").words
    assert re.search(r"Approved by ana ?: looks wrong", done)
    assert "Done, and verified at the provider : status inactive" in done
    assert "→" not in done, "no state of the machine"
    for said in ("values status active", "values api token **********",
                 "Share of the budget's spend 62%"):  # fmt: skip
        assert said in done, said
    assert "Undo" not in done, "the key was already off before alertd acted"
    waiting = read(open_house, "/actions/ffee00").words
    for said in ("expires 10:35", "What happens", "Can be undone", "keeps working; the proposal expires"):
        assert said in waiting, said
    assert open_house.get("/actions/nothing").status_code == 404


def test_a_budget_shows_its_own_acts_and_no_others(open_house: Browser):
    def acts(path: str) -> set[str]:
        return {a["href"] for a in read(open_house, path).all("a") if str(a.get("href")).startswith("/actions/")}

    assert acts("/budgets/research") == {"/actions/a1b2c3d4e5"}
    assert acts(f"/budgets/teams?scope=team={HOSTILE}") == {"/actions/ffee00aa11"}
    assert acts("/budgets/platform") == set()


def test_the_sources_page_compares_estimate_and_bill_and_says_why_they_differ(open_house: Browser, blind: View):
    words = read(open_house, "/sources").words
    for said in ("gateway against bill", "2026-11-01 to 2026-11-14", "$412.50", "$330", "+25.0%",
                 "gpt-4o: billed 0.80 times", "Compared 20 min ago", "look like the same traffic"):  # fmt: skip
        assert said in words, said
    assert "nothing can be compared" in read(browser(blind), "/sources").words


def test_a_dead_database_hides_no_source(view: View):
    house = browser(replace(view, records=StoredRows(dead=True)))
    words = read(house, "/sources").words
    assert "gateway" in words
    assert "how they compare is not known" in words
    assert "The database does not answer" in read(house, "/actions", 503).words


def test_the_front_page_says_that_an_act_waits_for_a_person(open_house: Browser, blind: View):
    assert "Waits Turn this key off" in read(open_house, "/").words
    assert "Waits" not in read(browser(blind), "/").words


def test_a_viewer_sees_no_button_that_changes_anything(view: View):
    house = browser(replace(view, public_url="https://alertd.example.com"))
    for path in PAGES:
        page = Reader(house.get(path, headers={"host": "alertd.example.com"}).text)
        assert not [form for form in page.all("form") if form.get("method") == "post"], path


def test_another_list_s_figures_stand_beside_ours_and_a_disagreement_is_said(view: View, open_house: Browser):
    assert "other list" not in read(open_house, "/prices").words
    table = {"plain": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": Decimal("9e-6")}}
    compared = PriceBook((read_price_file("prices", OLD_PRICES),), None, LitellmPrices(table, "other.json"))
    used = [Line("acme", "plain", "input"), Line("acme", "launched-today", "input")]
    words = read(browser(replace(view, book=lambda: compared, lines=lambda: used)), "/prices").words
    assert "$1.00 other list $9.00" in words
    assert "plain input: prices disagree: 1.00 USD" in words
    assert 'model = "launched-today"' in words


def test_the_page_of_a_window_says_when_it_frees_and_nothing_by_day() -> None:
    rule = PeriodRule("rolling", UTC, length=timedelta(hours=5))
    world = Scenario(budget("agents", "100 USD", period=rule), at=NOW - timedelta(minutes=30))
    world.spend(110, key="ci")
    world.now = NOW
    world.tick()
    page = browser(view_of(world, StoredRows())).get("/budgets/agents").text
    assert "frees at" in page
    assert "Nothing was spent" not in page


def test_the_page_of_a_window_that_use_opened_says_when_it_is_full() -> None:
    rule = PeriodRule("window", UTC, length=timedelta(hours=5))
    world = Scenario(budget("agents", "100 USD", period=rule), at=NOW - timedelta(minutes=30))
    for minutes in (0, 10, 20):
        world.spend(20, at=NOW - timedelta(minutes=30 - minutes), key="ci")
    world.now = NOW
    world.tick()
    words = read(browser(view_of(world, StoredRows())), "/budgets/agents").words
    assert f"The window since {NOW - timedelta(minutes=30):%H:%M}" in words
    assert f"{NOW + timedelta(minutes=20):%H:%M}" in words


def test_a_budget_s_page_lists_what_changed_only() -> None:
    world = Scenario(budget(), at=NOW)
    for day in range(16):
        world.spend("1.89", at=NOW - timedelta(days=day + 1), key="steady")
        world.spend(2 if day > 2 else 20, at=NOW - timedelta(days=day + 1), key="grown")
    world.tick()
    page = browser(view_of(world, StoredRows())).get("/budgets/research").text
    changed = page.split('id="what-changed"')[1].split("</table>")[0]
    assert "grown" in changed
    assert "steady" not in changed


def test_the_front_page_and_a_budgets_page_show_what_is_below_with_sums_that_fit() -> None:
    world = Scenario(
        budget("company", "50 USD"), budget("teams", "40 USD", per=("team",), parent=("company",)), at=NOW
    )  # fmt: skip
    world.tick()
    for team, dollars in (("a", "10.004"), ("b", "9.004")):
        world.spend(dollars, team=team)
    client = browser(view_of(world, StoredRows()))
    for path, title in (("/", "Budgets and their parts"), ("/budgets/company", "Parts")):
        reader = Reader(client.get(path).text)
        words = " ".join(" ".join(reader.text).split())
        section = words[words.index(f"{title} Budget Spent") :]
        for said in ("company 19.01 USD $50 its parts have $80", "team a 10.01 USD $40", "team b 9.00 USD $40"):
            assert said in section, path
    assert "Budgets and their parts" not in browser(view_of(*november())).get("/").text


def test_a_browser_chooses_its_colours_and_the_zone_of_times_and_comes_back_to_its_page(open_house: Browser):
    chosen = open_house.get("/display?theme=dark&back=/alerts%3Fshow%3Dall")
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/alerts?show=all")
    cookie = {"cookie": chosen.headers["set-cookie"].partition(";")[0]}
    zoned = open_house.get("/display?zone=Asia/Tokyo&back=/", headers=cookie)
    cookie = {"cookie": zoned.headers["set-cookie"].partition(";")[0]}
    before, page = open_house.get("/"), open_house.get("/", headers=cookie)
    assert '<html lang="en" class="dark">' in page.text
    assert "All times Asia/Tokyo" in page.text
    assert "Data to 18:40" in page.text
    assert "All times UTC" in before.text
    assert before.headers["etag"] != page.headers["etag"], "a page in another zone is another page"
    for query in ("zone=Not/AZone", "zone=../etc/passwd", "theme=neon", "back=//evil.example"):
        answer = open_house.get(f"/display?{query}")
        assert (answer.headers["location"], ".UTC" in answer.headers["set-cookie"]) == ("/", True), query
    assert ":root.dark {" in open_house.get(str(read(open_house, "/").all("link")[1]["href"])).text


def test_each_alert_says_through_which_channel_it_arrived_or_waits(view: View):
    rows = view.records.rows  # type: ignore[attr-defined] # those of the tests
    alert = next(row for row in rows if row.event.budget == "evaluation" and row.event.severity == "critical")
    other = next(row for row in rows if row.event.budget == "tokens" and row.event.kind == "threshold")
    sent = [
        SentMessage("ops", (alert.event.id, other.event.id), alert.at, "delivered", 1, alert.at),
        SentMessage("mail", (alert.event.id,), alert.at, "waiting", 2, None, NOW + timedelta(minutes=5), "421 later"),
        SentMessage("pager", (alert.event.id,), alert.at, "given up", 8, NOW, None, "404 no such service"),
    ]
    house = browser(replace(view, records=replace(view.records, sent=sent)))  # type: ignore[type-var] # as above
    listed = read(house, "/alerts?show=all&budget=evaluation").words
    assert "✓ ops delivered" in listed
    assert "↻ mail, try 3" in listed
    assert "✗ pager, given up" in listed
    page = read(house, f"/alerts/{alert.event.id}").words
    for said in ("ops delivered", "mail waits, 2 tries so far", "pager given up at try 8", "404 no such service"):
        assert said in page, said
    assert "✓ ops delivered ↻ mail, try 3" in read(house, "/budgets/evaluation").words


def test_alerts_are_found_by_words_and_exported_with_the_same_filters(open_house: Browser):
    assert "evaluation" in read(open_house, "/alerts?show=all&q=nightly").words.partition("What Budget")[2]
    assert "research will probably" not in read(open_house, "/alerts?show=all&q=nightly").words
    lines = open_house.get("/alerts.csv?budget=evaluation&severity=critical").text.splitlines()
    assert lines[0].startswith("at,id,kind,severity,budget,scope,threshold,state")
    assert {line.split(",")[3] for line in lines[1:]} == {"critical"}
    assert open_house.get("/prices.csv").text.splitlines()[1] == "acme,gpt-9-mystery,input,,,,,,no price is known"


def test_the_settings_page_shows_every_written_setting_with_its_place_and_no_secret(view: View):
    written = [
        ("ALERTD_TIMEZONE", "Europe/Berlin", "alertd.env:3"),
        ("ALERTD_HTTP__TOKEN", "set, not shown", "environment"),
    ]
    house = browser(replace(view, in_force=lambda: written, people=[("ana", "responder")]))
    words = read(house, "/settings").words
    assert "ALERTD_TIMEZONE Europe/Berlin alertd.env:3 ALERTD_HTTP__TOKEN set, not shown environment" in words
    assert "ana responder also acknowledges" in words
    assert "ops Works 5 1 0 Send test" in words
    assert "1 of 2 settings" in read(house, "/settings?q=berlin").words


def test_the_sources_page_says_which_budgets_hang_on_each_source():
    world, kept = november(scopes=2)
    evaluated = world.facts(), world.evaluate()
    words = read(browser(view_of(world, kept, evaluation=lambda: evaluated)), "/sources").words
    assert "gateway every 1m Fresh" in words
    assert "under 1 min now, promised 1 min" in words
    assert re.search(r"Feeds gateway .* 13 budgets", words)
    assert "What feeds what Source research and 4 more marketing gateway" in words


def test_what_is_new_is_answered_by_no_raise_and_its_threshold_is_known() -> None:
    world = Scenario(budget("agents", thresholds=["novel key above 1 USD"]), at=NOW - timedelta(minutes=10))
    for day in range(20, 0, -1):
        world.spend(3, at=NOW - timedelta(days=day), key="ci")
    world.tick()
    world.now, kept = NOW, StoredRows()
    world.spend(2, key="stolen")
    kept.rows = [AlertRow(key, world.now, alert.event) for alert in world.tick() for key in alert.keys]
    kept.notes = dict(world.state.records)
    house = browser(view_of(world, kept))
    alert = next(row for row in kept.rows if row.event.basis == "novel")
    assert "Raise…" not in read(house, f"/alerts/{alert.event.id}").words
    words = read(house, "/budgets/agents").words
    assert re.search(r"A new key is used novel key above 1 USD – Firing new: stolen", words)
    assert "Not known" not in words


def test_commands_on_a_page_find_the_configuration_of_the_daemon() -> None:
    world = Scenario(budget("teams", "5 USD", per=("team",)), at=NOW)
    world.spend(9, at=NOW - timedelta(hours=1), team="a b")
    options = "--env-file '/etc/a <b>.env'"
    page = (
        browser(replace(view_of(world, StoredRows()), command_options=lambda: options))
        .get("/budgets/teams?scope=team%3Da+b")
        .text
    )
    written = html.escape(options, quote=False)
    commands = [line for text in re.findall(r"<(?:code|pre)[^>]*>(alertd [^<]*)", page) for line in text.splitlines()]
    assert len(commands) == 5
    assert [line for line in commands if f" {written}" not in line] == []
    assert f"alertd explain teams --scope 'team=a b' {written}   # every figure and threshold" in html.unescape(
        page.replace(written, html.escape(written))
    )
    assert f"alertd usage export --by key {written}   # the usage itself" in commands


@pytest.mark.parametrize("path", PAGES)
def test_each_command_on_a_page_is_one_that_there_is(path: str) -> None:
    world, kept = november()
    view = replace(view_of(world, kept), command_options=lambda: "--env-file a.env")
    page = html.unescape(browser(view).get(path).text)
    for text in re.findall(r"<(?:code|pre)[^>]*>(alertd [^<]*)", page):
        for line in text.splitlines():
            _, name, *words = shlex.split(line, comments=True)
            parser = argparse.ArgumentParser(exit_on_error=False)
            import_module(f"alertd.commands.{name.replace('-', '_')}").add_arguments(parser)
            parser.parse_args(words)


def test_a_running_runaway_says_when_the_budget_is_used_up_and_asks_without_commands() -> None:
    rule = "burn_rate 10x over 1h and 5m above 20 USD"
    world = Scenario(budget("research", "500 USD", thresholds=[rule]), at=NOW - timedelta(minutes=9))
    for day in range(16, 0, -1):
        world.spend(3, at=NOW - timedelta(days=day), key="ci")
    kept = StoredRows()
    for _ in range(4):
        world.now += timedelta(minutes=2)
        world.spend(30, at=world.now - timedelta(minutes=1), key="ci")
        kept.rows += [AlertRow(key, world.now, alert.event) for alert in world.tick() for key in alert.keys]
    kept.notes = dict(world.state.records)
    house = browser(view_of(world, kept))
    front = read(house, "/").words
    assert re.search(r"Runaway 34% .* 1[0-2]:[0-5]\d", front)
    assert re.search(r"Runs out about 1[0-2]:[0-5]\d", read(house, "/budgets/research").words)
    page = house.get("/budgets/research").text
    assert "if it goes on" in page
    assert "if it calms down, and its range" in page
    (course,) = re.findall(r'<path class="l main dash" d="M(\d+) ([\d.]+) L(\d+) ([\d.]+)">', page)
    assert float(course[3]) < float(course[1]), "it rises"
    (ask,) = re.findall(r"Needs an answer .* Acknowledge (?=Spend of)", front)
    assert "alertd ack" not in ask
    assert ".." not in ask


def test_on_the_first_day_the_pace_is_said_to_be_known_later() -> None:
    world = Scenario(budget("research", "500 USD"))
    world.now += timedelta(hours=3)
    world.spend(4)
    words = read(browser(view_of(world, StoredRows())), "/").words
    assert "Pace, last 7 days – known after a whole day of usage" in words


def test_the_period_before_a_quarter_is_not_called_by_its_first_or_last_month() -> None:
    world = Scenario(budget("research", "500 USD", period=PeriodRule("quarter", UTC)))
    for days in (60, 50, 40, 30, 20, 10):
        world.spend(5, at=NOVEMBER - timedelta(days=days), key="ci")
    world.now += timedelta(days=3)
    client = browser(view_of(world, StoredRows()))
    assert "vs last 14 days" in read(client, "/").words
    words = read(client, "/budgets/research").words
    assert "last $" in words
    assert "Sep $" not in words
