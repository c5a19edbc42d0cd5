"""What every notifier keeps to, run over the folder: a new file is tried with options made from its declaration."""

from __future__ import annotations

import email
import email.policy
import json
import ssl
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from alertd.core.events import Contributor, Event
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.plugin_options import NotifierOptions
from alertd.ports import DeliveryError, Notifier
from alertd.registry import kinds, load
from tests.plugins import SECRET, addressed, options_at
from tests.servers.deliveries import delivery, outcome, receipt, refusal, refusals, sample
from tests.servers.hanging_server import DEEDS, HangingServer, no_tls
from tests.servers.recording import RecordingServer, Reply

#: Kinds that cannot be pointed at a server by one `url`.
OTHERWISE: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "slack": lambda url: {"bot_token": SECRET, "channel": "#ops", "api_url": f"{url}/api/"},
    "slack by webhook": lambda url: {"webhook_url": f"{url}/services/{SECRET}"},
    "alertmanager": lambda url: {"urls": url, "token": SECRET},
}
#: Kinds that talk no HTTP, with options that build.
QUIET: Final[Mapping[str, dict[str, Any]]] = {
    "apprise": {"url": f"json://127.0.0.1:9/{SECRET}"},
    "console": {},
    "email": {
        "host": "localhost", "sender": "alertd@example.com", "to": "ana@example.com",
        "username": "alertd", "password": SECRET,
    },
}  # fmt: skip
#: How each kind that talks HTTP is pointed at a server: its base URL in, its options out. The secret is in all.
STAGES: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    **{kind: partial(options_at, "notifiers", kind) for kind in addressed("notifiers") if kind not in QUIET},
    **OTHERWISE,
}
#: What becomes of a post that is answered so. Whatever a receiver answers is one of the two, by name.
RETRIED: Final = "retried"
GIVEN_UP: Final = "given up"
OUTCOMES: Final[Mapping[str, str]] = {
    "300 Multiple Choices": GIVEN_UP,
    "301 Moved Permanently": GIVEN_UP,
    "302 Found": GIVEN_UP,
    "303 See Other": GIVEN_UP,
    "304 Not Modified": GIVEN_UP,
    "305 Use Proxy": GIVEN_UP,
    "307 Temporary Redirect": GIVEN_UP,
    "308 Permanent Redirect": GIVEN_UP,
    "400 Bad Request": GIVEN_UP,
    "401 Unauthorized": GIVEN_UP,
    "402 Payment Required": GIVEN_UP,
    "403 Forbidden": GIVEN_UP,
    "404 Not Found": GIVEN_UP,
    "405 Method Not Allowed": GIVEN_UP,
    "406 Not Acceptable": GIVEN_UP,
    "407 Proxy Authentication Required": GIVEN_UP,
    "408 Request Timeout": RETRIED,
    "409 Conflict": GIVEN_UP,
    "410 Gone": GIVEN_UP,
    "411 Length Required": GIVEN_UP,
    "412 Precondition Failed": GIVEN_UP,
    "413 Request Entity Too Large": GIVEN_UP,
    "414 Request-URI Too Long": GIVEN_UP,
    "415 Unsupported Media Type": GIVEN_UP,
    "416 Requested Range Not Satisfiable": GIVEN_UP,
    "417 Expectation Failed": GIVEN_UP,
    "418 I'm a Teapot": GIVEN_UP,
    "421 Misdirected Request": GIVEN_UP,
    "422 Unprocessable Entity": GIVEN_UP,
    "423 Locked": RETRIED,
    "424 Failed Dependency": GIVEN_UP,
    "425 Too Early": RETRIED,
    "426 Upgrade Required": GIVEN_UP,
    "428 Precondition Required": GIVEN_UP,
    "429 Too Many Requests": RETRIED,
    "431 Request Header Fields Too Large": GIVEN_UP,
    "451 Unavailable For Legal Reasons": GIVEN_UP,
    "500 Internal Server Error": RETRIED,
    "501 Not Implemented": GIVEN_UP,
    "502 Bad Gateway": RETRIED,
    "503 Service Unavailable": RETRIED,
    "504 Gateway Timeout": RETRIED,
    "505 HTTP Version Not Supported": GIVEN_UP,
    "506 Variant Also Negotiates": RETRIED,
    "507 Insufficient Storage": RETRIED,
    "508 Loop Detected": RETRIED,
    "510 Not Extended": RETRIED,
    "511 Network Authentication Required": GIVEN_UP,
    "599 a status that nobody has named": RETRIED,
    "499 a status that nobody has named": GIVEN_UP,
}


def staged(stage: str, url: str, **more: Any) -> Notifier:
    plugin = load("notifiers", stage.partition(" ")[0])
    built = plugin.build("ops", plugin.Options(**STAGES[stage](url), **more))
    assert isinstance(built, Notifier)
    return built


def all_options() -> list[tuple[str, dict[str, Any]]]:
    pointed = [(stage, options("https://127.0.0.1:9")) for stage, options in STAGES.items()]
    return [*pointed, *QUIET.items()]


def test_every_kind_of_the_folder_is_tried() -> None:
    assert set(kinds("notifiers")) == {stage.partition(" ")[0] for stage in STAGES} | set(QUIET)


@pytest.mark.parametrize("kind", kinds("notifiers"))
def test_every_option_is_described(kind: str) -> None:
    options = load("notifiers", kind).Options
    assert issubclass(options, NotifierOptions)
    assert [name for name, field in options.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("stage", "options"), all_options(), ids=[stage for stage, _ in all_options()])
def test_a_notifier_says_its_name_and_shows_no_secret(stage: str, options: dict[str, Any]) -> None:
    plugin = load("notifiers", stage.partition(" ")[0])
    parsed = plugin.Options(**options)
    notifier = plugin.build("ops", parsed)
    assert isinstance(notifier, Notifier)
    assert notifier.name == "ops"
    assert SECRET not in f"{parsed!r} {notifier!r}"


@pytest.mark.parametrize("kind", kinds("notifiers"))
def test_whatever_an_option_calls_a_secret_is_typed_as_one(kind: str) -> None:
    fields = load("notifiers", kind).Options.model_fields
    secret = {name for name in fields if any(word in name for word in ("token", "secret", "password", "key"))}
    assert {name for name in secret if "SecretStr" not in str(fields[name].annotation)} == set()
    assert SecretStr.__name__ in str(fields["webhook_url"].annotation) if "webhook_url" in fields else True


@pytest.mark.parametrize(("stage", "options"), all_options(), ids=[stage for stage, _ in all_options()])
def test_an_option_that_does_not_exist_is_a_fault(stage: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="chanel"):
        load("notifiers", stage.partition(" ")[0]).Options(**options, chanel="#ops")


def test_the_table_of_outcomes_names_every_status_that_there_is() -> None:
    named = {int(name[:3]) for name in OUTCOMES}
    assert {int(status) for status in HTTPStatus if status >= HTTPStatus.MULTIPLE_CHOICES} <= named


@pytest.mark.parametrize("stage", STAGES)
def test_every_status_is_retried_or_given_up_by_name(stage: str) -> None:
    with RecordingServer() as server:
        server.faults.extend(Reply(int(name[:3]), f"no: {SECRET}") for name in OUTCOMES)
        errors = refusals(staged(stage, server.url), len(OUTCOMES))
    assert [name for name, error in zip(OUTCOMES, errors, strict=True) if name[:3] not in str(error)] == []
    assert [str(error) for error in errors if SECRET in str(error)] == []
    outcomes = [GIVEN_UP if error.permanent else RETRIED for error in errors]
    assert dict(zip(OUTCOMES, outcomes, strict=True)) == OUTCOMES


@pytest.mark.parametrize("stage", STAGES)
def test_the_wait_that_a_receiver_asks_for_is_handed_on(stage: str) -> None:
    asked = {"7": 7.0, "0": 0.0, "": None, "soon": None, "99999999": 15 * 60.0}
    with RecordingServer() as server:
        server.faults.extend(Reply(429, "", {"Retry-After": text} if text else {}) for text in asked)
        errors = refusals(staged(stage, server.url), len(asked))
    waits = [error.retry_after.total_seconds() if error.retry_after is not None else None for error in errors]
    assert dict(zip(asked, waits, strict=True)) == asked


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_receiver_from_hell_ends_as_a_retry_that_may_have_arrived(stage: str, deed: str) -> None:
    with HangingServer(DEEDS[deed]) as hanging:
        error = refusal(staged(stage, hanging.url, timeout="1s"))
        assert hanging.visits == 1
    assert (error.permanent, error.uncertain) == (False, True)
    assert SECRET not in str(error)
    assert SECRET not in repr(error)


HOSTILE: Final = "k\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202eevil\u2028\x85\x7f\x00\r\nBcc: a@b.example"
#: Machines get a label as it is, as JSON writes it; people get it without what moves a cursor or ends a line.
MACHINES: Final = {"webhook", "alertmanager", "pagerduty"}


def hostile_event() -> Event:
    changes: dict[str, Any] = {"scope": (("team", HOSTILE),), "owner": HOSTILE, "reason": HOSTILE}
    contributors = (Contributor("key", HOSTILE, Decimal(5)),)
    return sample(**changes, contributors=contributors, contributor_count=1)


def controls(text: str) -> set[str]:
    return {char for char in text if char not in "\n\t" and unicodedata.category(char) in {"Cc", "Zl", "Zp"}}


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


@pytest.mark.parametrize("stage", STAGES)
def test_no_control_character_of_a_label_is_in_a_header_or_raw_in_a_body(stage: str) -> None:
    with RecordingServer() as server:
        outcome(staged(stage, server.url), delivery(hostile_event()))
        assert server.requests
    for received in server.requests:
        assert controls("".join(f"{name}: {value}" for name, value in received.headers.items())) == set()
        body = received.body.decode()
        if stage in MACHINES:
            assert {char for char in controls(body) if char < " "} == set()
            continue
        assert controls(body) == set()
        if body.startswith("{"):
            assert [text for text in strings(json.loads(body)) if controls(text)] == []


def test_no_control_character_of_a_label_is_printed_or_makes_a_line_of_a_mail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin = load("notifiers", "console")
    receipt(plugin.build("here", plugin.Options()), delivery(hostile_event()))
    printed = capsys.readouterr().out
    assert controls(printed) == set()
    assert "evil" in printed
    mail = load("notifiers", "email")
    drafts = mail.draft(mail.Options(**QUIET["email"]), delivery(hostile_event()), NOW)
    raw = next(content for suffix, content in drafts.items() if suffix == ".eml")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Bcc"] is None
    assert controls("".join(f"{name}: {value}" for name, value in message.items())) == set()
    for part in message.walk():
        if part.get_content_maintype() == "text":
            assert controls(part.get_content().replace("\r\n", "\n")) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_posted_where_the_lease_has_run_out(stage: str) -> None:
    with RecordingServer() as server:
        error = refusal(staged(stage, server.url), delivery(is_leased=lambda: False))
        assert server.requests == []
    assert (error.permanent, error.uncertain) == (False, False)
    assert "lease" in str(error)


@pytest.mark.parametrize(("kind", "options"), QUIET.items(), ids=list(QUIET))
def test_nothing_is_said_where_the_lease_has_run_out(
    kind: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = load("notifiers", kind)
    error = refusal(plugin.build("ops", plugin.Options(**options)), delivery(is_leased=lambda: False))
    assert "lease" in str(error), "asked for before a connection is made"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("stage", STAGES)
def test_nobody_listening_is_a_retry_that_has_not_arrived(stage: str) -> None:
    with HangingServer(no_tls) as gone:
        url = gone.url
    error = refusal(staged(stage, url))
    assert (error.permanent, error.uncertain) == (False, False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_certificate_that_nobody_vouches_for_gets_nothing(stage: str) -> None:
    authority = trustme.CA()
    trust = _server_trust(authority)
    with HangingServer(DEEDS["hangs up"], trust) as hanging:
        error = refusal(staged(stage, hanging.url))
    assert (error.permanent, error.uncertain) == (False, False)
    assert "certificate" in str(error).lower()


@pytest.mark.parametrize("stage", STAGES)
def test_a_redirect_to_another_host_is_not_followed(stage: str) -> None:
    with RecordingServer() as other:
        moved = {"Location": f"http://localhost:{other.port}/elsewhere"}
        with RecordingServer() as server:
            server.faults.extend(Reply(status, "", moved) for status in (301, 302, 303, 307, 308))
            assert all(error.permanent for error in refusals(staged(stage, server.url), 5))
        assert other.requests == []


@pytest.mark.parametrize("stage", STAGES)
def test_proxies_of_the_environment_are_not_used(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordingServer() as proxy, RecordingServer(lambda _: Reply(503)) as server:
        for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        refusal(staged(stage, server.url))
        assert (len(proxy.requests), len(server.requests)) == (0, 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_proxy_of_the_configuration_is_used(stage: str) -> None:
    with RecordingServer(lambda _: Reply(503)) as proxy:
        refusal(staged(stage, "http://chat.example.com", proxy=proxy.url))
        assert [request.path.startswith("http://chat.example.com/") for request in proxy.requests] == [True]


@pytest.mark.parametrize(("stage", "options"), all_options(), ids=[stage for stage, _ in all_options()])
def test_an_address_is_words_even_for_an_event_about_no_budget(stage: str, options: dict[str, Any]) -> None:
    plugin = load("notifiers", stage.partition(" ")[0])
    notifier = plugin.build("ops", plugin.Options(**options))
    for kind in ("source_stale", "uncovered", "forecast"):
        assert isinstance(notifier.address(sample(kind)), str)


@pytest.mark.parametrize(("stage", "options"), all_options(), ids=[stage for stage, _ in all_options()])
def test_what_would_be_sent_can_be_written_to_files_without_sending(stage: str, options: dict[str, Any]) -> None:
    plugin = load("notifiers", stage.partition(" ")[0])
    for kind in SAMPLES:
        drafts = plugin.draft(plugin.Options(**options), delivery(*SAMPLES[kind](NOW)), NOW)
        assert drafts
        assert all(suffix.startswith(".") and content for suffix, content in drafts.items())


def test_the_console_takes_everything(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = load("notifiers", "console")
    said = receipt(plugin.build("here", plugin.Options()), delivery())
    assert "Spent: $323.60 of $500 (65%)" in capsys.readouterr().out
    assert said.said == "printed"


def test_an_outcome_is_never_silent() -> None:
    with RecordingServer(lambda _: Reply(418)) as server:
        assert isinstance(outcome(staged("webhook", server.url)), DeliveryError)


def _server_trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
