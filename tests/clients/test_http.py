"""The one HTTP client: whom it trusts, what it tells, what it refuses, and when it tries again."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from decimal import Decimal

import pytest
import trustme

from alertd.clients.http import Access, Http
from alertd.clients.http_response import ERROR_CODES, HttpProblem, may_retry, retry_after
from alertd.clients.redaction import without
from tests.servers import hanging_server
from tests.servers.billing import Reply, serving


def ask(url, access=None, method="GET", **request):
    """One request; the answer."""

    async def talk():
        http = Http(access or Access(timeout=timedelta(seconds=5)))
        try:
            return await http.send(method, url, **request)
        finally:
            await http.close()

    return asyncio.run(talk())


def problem(url, *args, **request):
    with pytest.raises(HttpProblem) as caught:
        ask(url, *args, **request)
    return caught.value


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_of_300_and_above_is_retried_or_given_up_by_the_table(status):
    assert may_retry(status) == (status in {408, 423, 425, 429} or (status >= 500 and status not in {501, 505, 511}))


def test_nothing_is_taken_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password x\n")
    with serving(lambda _: Reply({})) as server:
        ask(server.url, Access(bearer="t0ken"))
        assert server.asked[0].headers["authorization"] == "Bearer t0ken"


def test_a_proxy_that_is_configured_is_used_and_its_password_is_not_told():
    access = Access(proxy="http://ana:pa55word@127.0.0.1:1", timeout=timedelta(seconds=2))
    error = problem("http://gateway.example/metrics", access)
    assert str(error).startswith("http://gateway.example/metrics cannot be reached")
    assert "pa55word" not in str(error) + repr(access)


def test_fractions_of_json_stay_exact():
    with serving(lambda _: Reply('{"value": 0.1, "count": 3}')) as server:
        assert ask(server.url).json() == {"value": Decimal("0.1"), "count": 3}


@pytest.mark.parametrize(
    "body", ["<p>no</p>", '{"half": ', "[" * 100_000, '{"n": 1e99999999999999999999}', '{"n": ' + "9" * 5000 + "}"]
)
def test_a_body_that_is_no_json_anybody_means_is_a_problem_that_names_the_place(body):
    with serving(lambda _: Reply(body)) as server:
        answer = ask(server.url)
        with pytest.raises(HttpProblem, match=server.url):
            answer.json()


def test_a_body_that_is_not_encoded_as_it_says_broke_off_on_its_way():
    with serving(lambda _: Reply("no gzip at all", 200, {"Content-Encoding": "gzip"})) as server:
        error = problem(server.url)
    assert (error.permanent, error.uncertain) == (False, True)
    assert "broke off" in str(error)


def test_an_answer_that_never_ends_is_cut_off_at_the_limit():
    with serving(lambda _: Reply("x" * 3_000_000)) as server:
        error = problem(server.url, limit=1 << 20)
    assert "sends more than 1 MB" in str(error)


def test_a_server_that_drips_costs_one_timeout():
    with hanging_server.HangingServer(hanging_server.hang) as server:
        error = problem(server.url, Access(timeout=timedelta(seconds=1)))
    assert (error.permanent, error.uncertain, error.status) == (False, True, None)


def test_a_server_that_is_not_there_was_certainly_not_reached():
    error = problem("http://127.0.0.1:1/")
    assert (error.permanent, error.uncertain) == (False, False)


@pytest.mark.parametrize(
    ("method", "status", "followed"),
    [("GET", 301, True), ("GET", 302, True), ("POST", 307, True), ("POST", 308, True), ("POST", 301, False),
     ("POST", 302, False)],
)  # fmt: skip
def test_a_redirect_on_the_same_host_is_followed_where_it_loses_nothing(method, status, followed):
    def answer(asked):
        return Reply({"at": asked.path}) if asked.path == "/new" else Reply("", status, {"Location": "/new"})

    with serving(answer) as server:
        if followed:
            assert ask(f"{server.url}/old", method=method).json() == {"at": "/new"}
        else:
            assert problem(f"{server.url}/old", method=method).permanent


def test_a_redirect_to_another_port_of_the_same_host_is_another_server_and_gets_nothing():
    with (
        serving(lambda _: Reply({})) as other,
        serving(lambda _: Reply("", 302, {"Location": f"{other.url}/new"})) as server,
    ):
        error = problem(f"{server.url}/old", Access(bearer="t0ken"))
    assert f"redirects to {other.url}, which is not followed" in str(error)
    assert (error.permanent, other.asked) == (True, [])


def test_a_redirect_from_https_to_http_of_the_same_server_is_not_followed_and_the_token_stays_encrypted(tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def send_away(connection, _over):
        with connection:
            connection.recv(65536)
            plain = b"http://127.0.0.1:%d/new" % connection.getsockname()[1]
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + plain + b"\r\nContent-Length: 0\r\n\r\n")

    with hanging_server.HangingServer(send_away, context) as server:
        error = problem(f"{server.url}/old", Access(bearer="t0ken", ca_file=tmp_path / "ca.pem"))
    plain = server.url.replace("https:", "http:")
    assert (f"redirects to {plain}, which is not followed" in str(error), error.permanent) == (True, True)


@pytest.mark.parametrize(
    ("onward", "refused"),
    [
        ("https://gateway.example/metrics", False),
        ("https://other.example/metrics", True),
        ("https://gateway.example:8443/metrics", True),
        ("http://gateway.example:8080/metrics", True),
    ],
)
def test_of_redirects_elsewhere_only_the_one_to_https_on_the_same_host_is_followed(onward, refused):
    """Seen through a proxy, which is the one asked for every name."""
    with serving(lambda _: Reply("", 301, {"Location": onward})) as proxy:
        error = problem("http://gateway.example/metrics", Access(proxy=proxy.url, bearer="t0ken"))
    assert ("which is not followed" in str(error)) is refused
    assert len(proxy.asked) == 1


def test_redirects_in_a_circle_end():
    with serving(lambda asked: Reply("", 302, {"Location": asked.path})) as server:
        assert "redirects in circles" in str(problem(f"{server.url}/round"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "99999999"}, 900),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:01:00 GMT", "date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 60),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT", "date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_of_the_servers_own_clock_and_bounded(headers, seconds):
    assert retry_after(headers) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("access", "secret"),
    [
        (Access(username="ana", password="pa55word"), "YW5hOnBhNTV3b3Jk"),
        (Access(bearer="a/b+c=d&e"), "a%2Fb%2Bc%3Dd%26e"),
        (Access(secret_path=True), "t1cket-of-the-hook"),
    ],
)
def test_a_secret_is_cut_out_in_every_writing_that_a_server_may_tell_it_back_in(access, secret):
    with serving(lambda asked: Reply(f"{asked.headers} {asked.path} a%2Fb%2Bc%3Dd%26e", 401)) as server:
        answer = ask(f"{server.url}/hook/t1cket-of-the-hook", access, allowed=frozenset({401}))
    shown = without(answer.secrets, answer.body.decode())
    assert secret not in shown
    assert "***" in shown


def test_the_text_of_an_error_is_not_shown():
    with serving(lambda _: Reply("no credit for: write a poem about Ana Lopez", 403)) as server:
        error = problem(f"{server.url}/a?token=abc")
    assert str(error) == (
        f"{server.url}/a answers 403 (these credentials may not do this); the server's answer is not shown"
    )


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": {"type": "authentication_error", "message": "sk-1 of Ana"}}, "authentication_error"),
        ({"error": {"code": "invalid_api_key", "type": "auth_error"}}, "invalid_api_key, auth_error"),
        ({"Code": "InvalidTimeStamp.Expired", "Message": "Ana"}, "InvalidTimeStamp.Expired"),
        ({"errors": [{"code": "over_quota", "detail": "Ana"}]}, "over_quota"),
        ({"code": "sk-live-0123456789", "type": "write a poem about Ana"}, ""),
        ({"code": 400, "type": None, "error": "Ana", "errors": []}, ""),
        (["code"], ""),
    ],
)
def test_of_a_known_providers_error_its_codes_are_shown_and_nothing_else(body, shown):
    with serving(lambda _: Reply(body, 400)) as server:
        error = problem(server.url, Access(error_fields=ERROR_CODES))
    expected = f": {shown}" if shown else "; the server's answer is not shown"
    assert str(error) == f"{server.url}/ answers 400{expected}"
    assert "Ana" not in str(error)


def test_an_address_that_is_a_secret_is_shown_as_its_host_only():
    with serving(lambda _: Reply("no", 404)) as server:
        error = problem(f"{server.url}/services/T0/B0/s3cret", Access(secret_path=True))
    assert str(error).startswith(f"{server.url} answers 404")


def test_a_company_s_authority_and_client_certificate_work_and_nothing_else_is_trusted(tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(server_context)
    server_context.verify_mode = ssl.CERT_REQUIRED
    files = {"ca": authority.cert_pem, "stranger": stranger.cert_pem,
             "client": authority.issue_cert("client.example").private_key_and_cert_chain_pem}  # fmt: skip
    paths = {name: tmp_path / f"{name}.pem" for name in files}
    for name, blob in files.items():
        blob.write_to_path(paths[name])

    def greet(connection, _over):
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with hanging_server.HangingServer(greet, server_context) as server:
        assert ask(server.url, Access(ca_file=paths["ca"], cert_file=paths["client"])).json() == {}
        assert "cannot be reached" in str(problem(server.url, Access(ca_file=paths["stranger"])))
        assert "cannot be reached" in str(problem(server.url))


def test_a_certificate_file_that_is_not_there_is_said_and_not_tried_again(tmp_path):
    error = problem("https://127.0.0.1:1/", Access(ca_file=tmp_path / "none.pem"))
    assert error.permanent
    assert "cannot be asked" in str(error)
