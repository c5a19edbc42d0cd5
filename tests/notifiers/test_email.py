"""A mail arrives encrypted as asked, once, in its thread, as text and as HTML; whatever else happens is told."""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import warnings
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtplib.errors import SMTPServerDisconnected
from pydantic import ValidationError

from alertd.clients.smtp import Server as SmtpAccess
from alertd.clients.smtp import _error as told_of
from alertd.core.messages import compose
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers._mail import html, text
from alertd.notifiers.email import Email, Options
from alertd.ports import Delivery, DeliveryError, Receipt
from tests.servers.deliveries import delivery, now, receipt, refusal, sample, seen
from tests.servers.hanging_server import DEEDS, HangingServer, greet_and_fall_silent, no_tls
from tests.servers.smtp import SmtpServer

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


def mailer(port: int, **options: Any) -> Email:
    given = {"host": "localhost", "port": port, "security": "none", "sender": "alertd@example.com",
             "to": "ana@example.com", "timeout": "60s", **options}  # fmt: skip
    return Email("mail", Options(**given), now=now)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_what_is_known_of_the_server_shows_no_password() -> None:
    assert PASSWORD not in repr(SmtpAccess("localhost", 25, "none", "alertd", PASSWORD))


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_of_message_is_a_mail_of_text_and_html(server: SmtpServer, kind: str) -> None:
    receipt(mailer(server.port), delivery(*SAMPLES[kind](NOW)))
    mail = server.mails[0]
    assert mail.get_content_type() == "multipart/alternative"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(mail["Date"]) == NOW
    assert _visible(body(mail, "html")).startswith(body(mail, "plain").splitlines()[0])
    assert mail["Subject"].partition("] ")[2] in body(mail, "plain").splitlines()[0]


def test_the_picture_is_within_the_mail_and_no_address_is_outside_it(server: SmtpServer) -> None:
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    receipt(mailer(server.port), delivery(sample()))
    mail = server.mails[0]
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    light, dark = (one["Content-ID"].strip("<>") for one in pictures)
    assert f'<img src="cid:{light}"' in body(mail, "html")
    assert f'<source srcset="cid:{dark}" media="(prefers-color-scheme: dark)">' in body(mail, "html")
    assert "http" not in re.sub(r'href="[^"]*"', "", body(mail, "html"))


def test_the_html_says_all_that_the_text_says(server: SmtpServer) -> None:
    receipt(mailer(server.port), delivery(sample("burn_rate")))
    seen_words, text = _visible(body(server.mails[0], "html")).split(), body(server.mails[0], "plain")
    said = [word for word in text.split() if not word.startswith(("https://", "--"))]
    assert [word for word in said if word.strip(":") not in {one.strip(":") for one in seen_words}] == []


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_text_and_the_html_say_the_same_figures_and_words(kind: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    said = re.sub(r": https?://\S+|^-+$", "", text(message), flags=re.MULTILINE)
    assert _visible(html(message)).split() == said.split()


def test_no_line_of_the_html_breaks_between_a_figure_and_its_unit() -> None:
    page = html(compose([sample("over", currency="CHF")], NOW))
    assert "is over November&#x27;s budget: 503.20&nbsp;CHF of 500&nbsp;CHF" in page
    assert re.findall(r"\d (?:%|CHF)", page.partition("</head>")[2]) == []


def test_facts_are_a_table_of_two_columns_below_the_buttons() -> None:
    page = html(compose(SAMPLES["forecast"](NOW), NOW))
    (table,) = re.findall(r'<table class="facts".*?</table>', page, re.DOTALL)
    assert [len(re.findall("<td>", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)] == [2, 2]
    assert '<span class="label">Likely by 30 Nov</span>\n<strong>$564</strong> (515 to 640)' in table


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_login_is_given_over_an_encrypted_line(authority: trustme.CA, ca_file: Path, security: str) -> None:
    with SmtpServer(authority, security=security, login=("alertd", PASSWORD)) as server:
        options = {"security": security, "ca_file": ca_file, "username": "alertd", "password": PASSWORD}
        said = seen(mailer(server.port, **options))
        receipt(mailer(server.port, **options))
    assert server.logins == [("alertd", True), ("alertd", True)]
    assert said == f"localhost:{server.port} answers, encrypted, logged in as alertd"
    assert len(server.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_is_not_trusted_gets_neither_login_nor_mail(authority: trustme.CA, security: str) -> None:
    with SmtpServer(authority, security=security, login=("alertd", PASSWORD)) as server:
        error = refusal(mailer(server.port, security=security, username="alertd", password=PASSWORD))
    assert (server.logins, server.mails) == ([], [])
    assert "cannot connect" in str(error)
    assert "certificate" in str(error).lower()
    assert (error.permanent, error.uncertain) == (False, False)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_for_another_host_gets_neither(authority: trustme.CA, ca_file: Path, security: str) -> None:
    with SmtpServer(authority, security=security, identity="mail.example.org", login=("alertd", PASSWORD)) as server:
        error = refusal(mailer(server.port, security=security, ca_file=ca_file, username="alertd", password=PASSWORD))
    assert (server.logins, server.mails) == ([], [])
    assert "cannot connect" in str(error)
    assert "certificate" in str(error).lower()


def test_a_certificates_fault_is_said_though_the_line_was_lost_after_it() -> None:
    lost = SMTPServerDisconnected("Connection lost")
    lost.__cause__ = ConnectionResetError("reset by peer")
    lost.__cause__.__context__ = ssl.SSLCertVerificationError(1, "certificate verify failed: Hostname mismatch")
    error = told_of("mail", SmtpAccess("mail.example.com", 587, "starttls"), lost, sending=False)
    assert str(error) == ("mail: mail.example.com:587: cannot connect: certificate verify failed: Hostname mismatch")


def test_a_line_that_was_given_up_is_closed_at_once_though_nobody_answers_the_good_bye(
    authority: trustme.CA, ca_file: Path
) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(trust)
    with HangingServer(greet_and_fall_silent, trust) as hanging, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = str(refusal(mailer(hanging.port, security="tls", ca_file=ca_file, timeout="1s")))
        gc.collect()
    assert "did not answer in time" in said
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []


def test_a_server_without_starttls_gets_nothing_in_clear_text() -> None:
    with SmtpServer(login=("alertd", PASSWORD)) as server:
        error = refusal(mailer(server.port, security="starttls", username="alertd", password=PASSWORD))
    assert (server.logins, server.mails) == ([], [])
    assert error.permanent
    assert "STARTTLS" in str(error)


def test_plain_text_where_tls_was_due_is_a_retry() -> None:
    with HangingServer(no_tls) as hanging:
        error = refusal(mailer(hanging.port, security="tls"))
    assert (error.permanent, error.uncertain) == (False, False)


def test_a_wrong_password_is_given_up_and_not_shown(authority: trustme.CA, ca_file: Path) -> None:
    with SmtpServer(authority, security="starttls", login=("alertd", "another")) as server:
        options = {"security": "starttls", "ca_file": ca_file, "username": "alertd", "password": PASSWORD}
        error = refusal(mailer(server.port, **options))
        checked = seen(mailer(server.port, **options))
    assert error.permanent
    assert "535" in str(error)
    assert PASSWORD not in f"{error} {error!r} {checked}"
    assert isinstance(checked, DeliveryError)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("code", "permanent"),
    [(421, False), (450, False), (451, False), (452, False), (454, False), (500, True), (530, True), (550, True),
     (552, True), (553, True), (554, True)],
)  # fmt: skip
def test_a_refusal_is_final_from_500_on(code: int, permanent: bool, step: str) -> None:  # noqa: FBT001 - a table
    reply = f"{code} no"
    told = {"refuse": {"ana@example.com": reply}} if step == "RCPT" else {"replies": {step: reply}}
    with SmtpServer(**told) as server:  # type: ignore[arg-type]
        error = refusal(mailer(server.port))
        assert server.mails == []
    assert error.permanent is permanent
    assert str(code) in str(error)
    assert error.retry_after == (timedelta(minutes=5) if code in {450, 451, 452} else None)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_or_breaks_off_is_a_retry_that_may_have_arrived(step: str) -> None:
    for told in ({"hang_at": step}, {"break_at": step}):
        with SmtpServer(**told) as server:  # type: ignore[arg-type]
            error = refusal(mailer(server.port, timeout="1s"))
        assert (error.permanent, error.uncertain) == (False, True)


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_no_mail_server_is_a_retry(deed: str) -> None:
    with HangingServer(DEEDS[deed]) as hanging:
        error = refusal(mailer(hanging.port, timeout="1s"))
    assert (error.permanent, error.uncertain) == (False, False)


def test_a_recipient_refused_for_good_is_told_and_the_others_have_their_mail() -> None:
    with SmtpServer(refuse={"gone@example.com": "550 no such user"}) as server:
        said = receipt(mailer(server.port, to="ana@example.com,gone@example.com"))
    assert server.recipients == [["ana@example.com"]]
    assert "gone@example.com (550 no such user)" in said.said


def test_a_recipient_refused_for_now_gets_it_later_and_the_others_not_twice() -> None:
    async def twice(notifier: Email, one: Delivery) -> tuple[DeliveryError, Receipt]:
        with pytest.raises(DeliveryError) as refused:
            await notifier.send(one)
        server.refuse = {}
        return refused.value, await notifier.send(one)

    with SmtpServer(refuse={"slow@example.com": "451 greylisted"}) as server:
        error, _ = asyncio.run(twice(mailer(server.port, to="ana@example.com,slow@example.com"), delivery()))
    assert server.recipients == [["ana@example.com"], ["slow@example.com"]]
    assert not error.permanent
    assert "slow@example.com" in str(error)


def test_every_try_has_the_same_message_id_and_the_conversation_is_a_thread(server: SmtpServer) -> None:
    first = receipt(mailer(server.port), delivery(key="first"))
    receipt(mailer(server.port), delivery(key="first"))
    second = receipt(mailer(server.port), delivery(key="second", memory=first.memory))
    receipt(mailer(server.port), delivery(key="third", memory=second.memory))
    one, again, two, three = server.mails
    assert one["Message-ID"] == again["Message-ID"] != two["Message-ID"]
    assert one["In-Reply-To"] is None
    assert two["In-Reply-To"] == one["Message-ID"]
    assert three["References"].split() == [one["Message-ID"], two["Message-ID"]]


def test_a_long_thread_keeps_its_first_and_its_latest(server: SmtpServer) -> None:
    memory: Any = {}
    for count in range(18):
        memory = receipt(mailer(server.port), delivery(key=str(count), memory=memory)).memory
    references = server.mails[-1]["References"].split()
    assert references[0] == server.mails[0]["Message-ID"]
    assert references[-1] == server.mails[-2]["Message-ID"]
    assert len(references) < 15


def test_no_name_can_add_a_header_a_recipient_or_mark_up(server: SmtpServer) -> None:
    nasty = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script><!channel> & |"
    event = sample(budget="teams", scope=(("team", nasty),), owner=nasty, runbook_url='javascript:alert("1")')
    receipt(mailer(server.port), delivery(event))
    mail = server.mails[0]
    assert mail["Bcc"] is None
    assert server.recipients == [["ana@example.com"]]
    assert "<script>" not in body(mail, "html")
    assert 'href="javascript' not in body(mail, "html")
    assert "\n" not in mail["Subject"]


def test_recipients_are_filled_from_the_labels_and_a_label_is_no_address(server: SmtpServer) -> None:
    to = "team-{team}@example.com"
    receipt(mailer(server.port, to=to), delivery(sample(budget="teams", scope=(("team", "search"),))))
    errors = [
        refusal(mailer(server.port, to=to), delivery(sample(budget="teams", scope=(("team", team),))))
        for team in (None, "a@evil.example,b", "a\r\nb", "a b")
    ]
    assert server.recipients == [["team-search@example.com"]]
    assert all(error.permanent for error in errors)


def test_a_budgets_own_address_gets_it_too(server: SmtpServer) -> None:
    receipt(mailer(server.port), delivery(sample(channel="search-leads@example.com")))
    assert server.recipients == [["ana@example.com", "search-leads@example.com"]]


@pytest.mark.parametrize(
    "options",
    [{"sender": "nobody"}, {"sender": "a@b.c\r\nBcc: e@b.c"}, {"to": "ana"}, {"to": ""}, {"to": ["a@b.c\r\nx"]},
     {"username": "alertd"}, {"password": PASSWORD}, {"security": "ssl"}, {"proxy": "http://proxy:3128"}],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        mailer(25, **options)
    assert PASSWORD not in str(refused.value)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden += tag in {"style", "title"}
        if tag in {"p", "h1"}:
            self.found.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "title"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


def _visible(html: str) -> str:
    parser = _Text()
    parser.feed(html)
    return " ".join("".join(parser.found).split())
