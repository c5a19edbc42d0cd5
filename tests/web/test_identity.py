"""Who somebody is: by a token with a role, by a proxy that is trusted, by a session that ends on every replica."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from alertd.web.server import Person, View, build
from tests.web.dashboard_client import Browser, StoredRows, browser

TOKEN = "correct horse battery staple"
GRAFANA, ANA, GATEWAY = (f"{name}-token-of-thirty-characters" for name in ("grafana", "ana", "gateway"))
PEOPLE = (
    Person("grafana", "viewer", sha256(GRAFANA.encode()).hexdigest()),
    Person("ana", "editor", sha256(ANA.encode()).hexdigest()),
    Person("gateway", "allowance", sha256(GATEWAY.encode()).hexdigest()),
    Person("short", "editor", sha256(b"23 characters, no more.").hexdigest()),
    Person("bob@example.com", "responder"),
)


def house(view: View, *, address: str = "10.1.2.3", **more: Any) -> Browser:
    """The application as it is reached from an address."""
    given: dict[str, Any] = {"token": None, "open_metrics": False, "loopback": False, "people": PEOPLE}
    return From(build(view, **{**given, **more}), address=address)


class From(Browser):
    """A browser at an address of its own."""

    def __init__(self, app: Any, address: str) -> None:
        async def from_there(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": (address, 50000)}, receive, send)

        super().__init__(from_there)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def signed_in(at: Browser, token: str) -> dict[str, str]:
    return {"cookie": at.ask("POST", "/login", data={"token": token}).headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize("token", [GRAFANA, ANA])
def test_a_token_of_the_file_opens_what_there_is_to_read(view: View, token: str):
    at = house(view)
    assert at.get("/api/v1/budgets", headers=bearer(token)).status_code == 200
    assert at.get("/", headers=signed_in(at, token)).status_code == 200


@pytest.mark.parametrize(
    "token", ["23 characters, no more.", PEOPLE[0].sha256, "", GRAFANA[:-1], "bob@example.com", TOKEN]
)
def test_a_short_token_a_hash_and_a_name_open_nothing(view: View, token: str):
    at = house(view)
    assert at.get("/api/v1/budgets", headers=bearer(token)).status_code == 401
    assert at.ask("POST", "/login", data={"token": token}).status_code == 401


def test_a_token_for_the_allowance_opens_nothing_else(view: View):
    at = house(view)
    for path in ("/", "/api/v1/budgets", "/metrics", "/actions"):
        answer = at.get(path, headers=bearer(GATEWAY))
        assert answer.status_code == 403
        assert "viewer" in answer.text
    assert at.get("/api/v1/allowance", headers=bearer(GATEWAY)).status_code == 200
    assert at.get("/api/v1/allowance").status_code == 401


def test_each_role_may_what_those_before_it_may():
    may = {role: [Person("x", role).may(other) for other in ("allowance", "viewer", "responder", "editor")]
           for role in ("allowance", "viewer", "responder", "editor")}  # fmt: skip
    assert may == {
        "allowance": [True, False, False, False],
        "viewer": [True, True, False, False],
        "responder": [True, True, True, False],
        "editor": [True, True, True, True],
    }


def test_the_token_and_the_tokens_of_the_file_work_side_by_side(view: View):
    at = house(view, token=TOKEN)
    assert [at.get("/sources", headers=bearer(one)).status_code for one in (TOKEN, ANA)] == [200, 200]


# --- an authenticating proxy ---

BEHIND = {"user_header": "X-Forwarded-User", "trusted_proxies": (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))}


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::7"])
@pytest.mark.parametrize("user", ["bob@example.com", "anybody@example.com"])
def test_a_user_whom_a_trusted_proxy_names_comes_in_without_a_token(view: View, address: str, user: str):
    at = house(view, address=address, **BEHIND)
    assert at.get("/api/v1/budgets", headers={"x-forwarded-user": user}).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.1", "11.0.0.1", "::1", "", "not an address"])
def test_the_header_of_anybody_else_counts_for_nothing(view: View, address: str):
    at = house(view, address=address, **BEHIND)
    assert at.get("/api/v1/budgets", headers={"x-forwarded-user": "ana"}).status_code == 401
    assert at.get("/api/v1/budgets", headers={"x-forwarded-user": "ana", **bearer(ANA)}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-forwarded-user", "")],
        [("x-forwarded-user", "ana@example.com"), ("x-forwarded-user", "bob@example.com")],
        [("x-forwarded-email", "ana@example.com")],
    ],
)
def test_from_a_trusted_proxy_only_its_one_header_names_somebody(view: View, headers: list[tuple[str, str]]):
    at = house(view, **BEHIND)
    assert at.get("/api/v1/budgets", headers=httpx.Headers(headers)).status_code == 401


def test_a_proxys_user_is_not_a_token_of_the_same_name(view: View):
    """The header `gateway` names a user, who may view; the token `gateway` may ask for the allowance only."""
    at = house(view, **BEHIND)
    assert at.get("/api/v1/budgets", headers={"x-forwarded-user": "gateway"}).status_code == 200


def test_a_proxy_is_asked_for_on_loopback_too(view: View):
    assert house(view, people=(), loopback=True, **BEHIND).get("/api/v1/budgets").status_code == 401


# --- sessions ---


def test_a_session_that_is_signed_out_ends_on_every_replica(view: View):
    records = StoredRows()
    one, other = (house(replace(view, records=records), token=TOKEN) for _ in range(2))
    for token in (TOKEN, GRAFANA):
        cookie, kept = signed_in(one, token), signed_in(one, token)
        assert other.get("/sources", headers=cookie).status_code == 200
        assert one.ask("POST", "/logout", headers=cookie).status_code == 303
        assert [at.get("/sources", headers=cookie).status_code for at in (one, other)] == [401, 401]
        assert [at.get("/sources", headers=kept).status_code for at in (one, other)] == [200, 200]


def test_without_the_database_a_session_ends_here_and_the_page_says_that_the_others_do_not_know(view: View):
    records = StoredRows()
    one, other = (house(replace(view, records=records), token=TOKEN) for _ in range(2))
    cookie = signed_in(one, TOKEN)
    records.dead = True
    answer = one.ask("POST", "/logout", headers=cookie)
    assert (answer.status_code, "other replicas" in answer.text) == (503, True)
    assert [at.get("/prices", headers=cookie).status_code for at in (one, other)] == [401, 200]


def test_a_session_ends_with_its_token_and_takes_the_role_that_its_person_has_now(view: View):
    cookie = signed_in(house(view), GRAFANA)
    assert house(view, people=PEOPLE[1:]).get("/sources", headers=cookie).status_code == 401
    renewed = (replace(PEOPLE[0], sha256="0" * 64),)
    assert house(view, people=renewed).get("/sources", headers=cookie).status_code == 401
    lowered = (replace(PEOPLE[0], role="allowance"),)
    assert house(view, people=lowered).get("/sources", headers=cookie).status_code == 403


def test_a_session_cannot_be_turned_into_another_persons(view: View):
    at = house(view)
    session, _, signature = signed_in(at, GRAFANA)["cookie"].rsplit(".", 2)
    _, name, _ = signed_in(at, ANA)["cookie"].rsplit(".", 2)
    assert at.get("/sources", headers={"cookie": f"{session}.{name}.{signature}"}).status_code == 401


def test_wrong_bearer_tokens_are_logged_once_a_minute_without_the_token(view: View, caplog: pytest.LogCaptureFixture):
    at = house(view)
    for number in range(30):
        assert at.get("/api/v1/budgets", headers=bearer(f"guess {number}")).status_code == 401
    assert [record.getMessage() for record in caplog.records] == ["a wrong token was given"]
    assert "guess" not in caplog.text
    assert at.get("/api/v1/budgets", headers=bearer(ANA)).status_code == 200


def test_without_anything_set_on_loopback_nobody_is_asked(view: View):
    assert browser(view).get("/api/v1/budgets").status_code == 200
