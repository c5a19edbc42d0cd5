"""Who may see what: every endpoint without a token, with a wrong one and with the right one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertd.core.addresses import picture_key, picture_url
from alertd.web.access import own_path
from alertd.web.server import View
from tests.fakes import StoppedClock
from tests.servers.deliveries import sample
from tests.web.dashboard_client import NOW, Browser, browser

TOKEN = "correct horse battery staple"
PROBES = ["/healthz", "/readyz"]
GUARDED = ["/", "/budgets/research", "/alerts", "/sources", "/prices", "/api/v1/budgets", "/api/v1/alerts",
           "/openapi.json", "/metrics", "/no-such-page"]  # fmt: skip


@pytest.fixture(scope="session")
def guarded(view: View) -> Browser:
    return browser(view, token=TOKEN, loopback=False)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers",
    [{}, bearer("wrong"), bearer(""), bearer(TOKEN[:-1]), bearer(TOKEN + "é"), {"authorization": f"Basic {TOKEN}"},
     {"cookie": "alertd=99999999999.AAAA"}, {"cookie": f"alertd={TOKEN}"}, {"cookie": "alertd=²²²²²²²²²².x"}],
)  # fmt: skip
def test_off_loopback_everything_but_the_probes_answers_401_without_the_token(
    guarded: Browser, path: str, headers: dict[str, str]
):
    answer = guarded.get(path, headers={name: value.encode() for name, value in headers.items()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "research" not in answer.text


@pytest.mark.parametrize("path", GUARDED[:-1])
def test_the_token_opens_every_endpoint(guarded: Browser, path: str):
    assert guarded.get(path, headers=bearer(TOKEN)).status_code == 200


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("headers", [{}, bearer("wrong")])
def test_the_probes_are_always_open(guarded: Browser, path: str, headers: dict[str, str]):
    assert guarded.get(path, headers=headers).status_code == 200


def test_metrics_are_open_where_the_configuration_opens_them_and_nothing_else_is(view: View):
    opened = browser(view, token=TOKEN, open_metrics=True, loopback=False)
    assert opened.get("/metrics").status_code == 200
    assert opened.get("/api/v1/budgets").status_code == 401


@pytest.mark.parametrize("guess", ["", "None", "null", " "])
def test_off_loopback_without_any_token_set_nobody_comes_in(view: View, guess: str):
    closed = browser(view, token=None, loopback=False)
    assert closed.get("/api/v1/budgets", headers=bearer(guess)).status_code == 401
    assert closed.ask("POST", "/login", data={"token": guess}).status_code == 401
    assert "ALERTD_HTTP__TOKEN_FILE" in closed.get("/", headers={"accept": "text/html"}).text


def test_a_token_is_asked_for_on_loopback_too_where_one_is_set(view: View):
    assert browser(view, token=TOKEN, loopback=True).get("/api/v1/budgets").status_code == 401


def test_on_loopback_without_a_token_all_is_open(open_house: Browser):
    assert all(open_house.get(path).status_code == 200 for path in GUARDED[:-1])


# --- signing in ---


def test_the_right_token_gives_a_cookie_that_scripts_and_other_sites_cannot_use(guarded: Browser):
    answer = guarded.ask("POST", "/login?next=/budgets/research", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/budgets/research")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie, "a link in a message opens the page; a form of another site sends no cookie"
    assert TOKEN not in cookie
    name = cookie.partition(";")[0]
    assert guarded.get("/api/v1/budgets", headers={"cookie": name}).status_code == 200


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://alertd.example.com", True), ("", False), ("http://alertd.lan", False)]
)
def test_the_cookie_stays_on_tls_where_people_come_by_tls(view: View, public_url: str, *, secure: bool):
    house = browser(replace(view, public_url=public_url), token=TOKEN, loopback=False)
    cookie = house.ask("POST", "/login", data={"token": TOKEN}).headers["set-cookie"]
    assert ("Secure" in cookie) == secure


def test_a_session_ends_after_twelve_hours_and_with_a_new_token(view: View):
    house = browser(view, token=TOKEN, loopback=False)
    cookie = house.ask("POST", "/login", data={"token": TOKEN}).headers["set-cookie"].partition(";")[0]

    def status(hours: int, token: str) -> int:
        later = replace(view, clock=StoppedClock(NOW + timedelta(hours=hours)))
        return browser(later, token=token, loopback=False).get("/sources", headers={"cookie": cookie}).status_code

    assert [status(11, TOKEN), status(13, TOKEN), status(0, "another")] == [200, 401, 401]


def test_a_session_cannot_be_made_to_last_longer(view: View):
    house = browser(view, token=TOKEN, loopback=False)
    cookie = house.ask("POST", "/login", data={"token": TOKEN}).headers["set-cookie"].partition(";")[0]
    until, _, rest = cookie.removeprefix("alertd=").partition(".")
    end, _, mark = until.partition("-")
    longer = f"alertd={int(end) + 1}-{mark}.{rest}"
    assert house.get("/sources", headers={"cookie": longer}).status_code == 401


def test_a_cookie_that_was_signed_out_admits_nobody(guarded: Browser):
    first, second = (
        guarded.ask("POST", "/login", data={"token": TOKEN}).headers["set-cookie"].partition(";")[0] for _ in range(2)
    )
    guarded.ask("POST", "/logout", headers={"cookie": first})
    assert guarded.get("/sources", headers={"cookie": first}).status_code == 401
    assert guarded.get("/sources", headers={"cookie": second}).status_code == 200


def test_after_ten_wrong_tokens_an_address_has_to_wait_and_the_log_says_so_once(
    view: View, caplog: pytest.LogCaptureFixture
):
    guarded = browser(view, token=TOKEN, loopback=False)
    answers = [guarded.ask("POST", "/login", data={"token": f"guess {each}"}) for each in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    assert guarded.get("/sources", headers=bearer(TOKEN)).status_code == 200
    lines = [record for record in caplog.records if "a wrong token" in record.getMessage()]
    assert len(lines) == 1
    assert "guess" not in caplog.text


def test_a_wrong_token_shows_the_form_again_without_what_was_typed(guarded: Browser):
    answer = guarded.ask("POST", "/login", data={"token": "hunter2"})
    assert answer.status_code == 401
    assert "That is not the token" in answer.text
    assert "hunter2" not in answer.text
    assert "set-cookie" not in answer.headers


def test_another_site_cannot_sign_anybody_in_or_out(guarded: Browser):
    for path in ("/login", "/logout"):
        headers = {"sec-fetch-site": "cross-site", **bearer(TOKEN)}
        assert guarded.ask("POST", path, data={"token": TOKEN}, headers=headers).status_code == 403


def test_signing_out_takes_the_cookie_away(guarded: Browser):
    answer = guarded.ask("POST", "/logout", headers=bearer(TOKEN))
    assert answer.status_code == 303
    assert 'alertd=""; ' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [
        ("/budgets/teams?scope=team=a", "/budgets/teams?scope=team=a"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_nowhere_but_here(asked: str, led_to: str):
    assert own_path(asked) == led_to


# --- what else a stranger may try ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9480", 200), ("127.0.0.1", 200), ("[::1]:9480", 200), ("alertd.example.com", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421), ("a b", 400),
        ("evil.example@localhost", 400), ("[::1", 400), ("", 400),
    ],
)  # fmt: skip
def test_without_a_token_only_known_hosts_are_served_so_that_no_other_site_reads_by_rebinding(
    view: View, host: str, status: int
):
    house = browser(replace(view, public_url="https://alertd.example.com"))
    assert house.get("/api/v1/budgets", headers={"host": host}).status_code == status


@pytest.mark.parametrize("path", [*PROBES, *GUARDED])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "BREW"])
def test_nothing_can_be_changed_by_any_method(open_house: Browser, path: str, method: str):
    answer = open_house.ask(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "allowed"), [("/api/v1/proposals", "GET, HEAD, POST"), ("/api/v1/silences", "POST")], ids=["both", "write"]
)
def test_a_refused_method_is_answered_with_all_that_the_path_takes(open_house: Browser, path: str, allowed: str):
    answer = open_house.ask("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", [*PROBES, *GUARDED[:-1]])
def test_head_answers_as_get_without_a_body(open_house: Browser, path: str):
    answer = open_house.ask("HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"x": "a" * 20_000}, 431), ({"content-length": "5000"}, 413), ({"content-length": "-1"}, 413),
     ({"content-length": "²"}, 413)],
)  # fmt: skip
def test_what_is_larger_than_an_honest_request_is_refused(guarded: Browser, headers: dict[str, str], status: int):
    for path in ("/healthz", "/api/v1/budgets"):
        assert guarded.get(path, headers={n: v.encode("latin-1") for n, v in headers.items()}).status_code == status


def test_a_long_form_is_refused_even_where_it_does_not_say_how_long_it_is(guarded: Browser):
    async def drops():
        for _ in range(100):
            yield b"token=" + b"x" * 100

    assert guarded.ask("POST", "/login", content=drops()).status_code == 413


@pytest.mark.parametrize("path", [*PROBES, *GUARDED])
def test_every_answer_carries_the_security_headers(open_house: Browser, path: str):
    headers = open_house.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "private, no-cache"), "kept by nobody, or asked for again each time"
    assert "server" not in headers


def test_a_message_s_picture_is_open_at_its_signed_address_and_at_no_other(guarded: Browser):
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    page = "https://alertd.example.com"
    path = picture_url(page, picture_key(TOKEN), sample()).removeprefix(page)
    answer = guarded.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.content.startswith(b"\x89PNG")
    forged = picture_url(page, picture_key("x"), sample()).rpartition("/")[2]
    for name in (forged, "abc.png", path.rpartition("/")[2][:-8] + ".png"):
        assert guarded.get(f"/pictures/{name}").status_code == 404
    assert guarded.get("/pictures").status_code == 401
