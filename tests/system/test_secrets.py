"""Every option that carries a secret holds a canary, every server tells back what it was asked: no canary comes out.

Not in the log with --verbose, not in a command's output, on a page, in /metrics, in the database, or in what is told.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from alertd.registry import kinds, load
from tests.contracts import test_notifiers, test_sources
from tests.servers.billing import Asked, Reply, serving
from tests.servers.gateway import serving_gateway
from tests.servers.smtp import SmtpServer
from tests.servers.webhook import WebhookServer
from tests.system.daemon import CHECKOUT, Daemon, env_file, wait_for

COMMANDS: Final = (("check",), ("explain", "all"), ("status", "--json"), ("test-notify", "discord"))
PAGES: Final = ("/", "/api/v1/budgets", "/api/v1/alerts", "/api/v1/sources", "/metrics", "/healthz", "/readyz")


class Parrot:
    """Refuses everybody, and tells back all that it was asked: in the body, in a redirect, in what should be JSON."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, asked: Asked) -> Reply:
        self.asked += 1
        headers = "\n".join(f"{name}: {value}" for name, value in asked.headers.items())
        echo = f"{asked.method} {asked.path}?{asked.raw_query}\n{headers}\n{asked.body.decode(errors='replace')}"
        token = asked.headers.get("authorization", "").partition(" ")[2] or "none"
        away = f"http://elsewhere.invalid/login?next={quote(asked.path)}&token={quote(token)}&{asked.raw_query}"
        return (
            Reply(echo, 401, {"WWW-Authenticate": f"Bearer error={token!r}"}),
            Reply(echo, 302, {"Location": away}),
            Reply({"error": {"message": echo}}, 403),
            Reply(echo, 500),
            Reply({"data": [{"id": echo}], "error": echo, "results": echo}, 200),
            Reply(f"<html><body>{echo}</body></html>", 200, {"Content-Type": "text/html"}),
        )[self.asked % 6]


class Canaries:
    """Secrets by the place that they were given; `in_` finds those that a text holds, however they are written."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def new(self, place: str) -> str:
        self.known[place] = f"canary{len(self.known):03}Zq9/+{re.sub('[^a-z]', '', place.lower())[-12:]}"
        return self.known[place]

    def in_(self, text: str) -> set[str]:
        return {place for place, canary in self.known.items() if any(form in text for form in _forms(canary))}


def _forms(canary: str) -> set[str]:
    plain = {canary, quote(canary), quote(canary, safe=""), quote_plus(canary), json.dumps(canary)[1:-1]}
    encoded = {
        base64.b64encode(text.encode()).decode().strip("=")[4:-4]
        for text in (canary, f"user:{canary}", f"ana:{canary}")
    }
    return plain | encoded | {canary[:12]}


def swapped(options: dict[str, Any], secret: str, canary: str) -> dict[str, str]:
    """Options of a contract test with a canary where the secret stood; as they are written in an env file."""
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return {name: value.replace(secret, quote(canary, safe="") if "://" in value else canary)
            for name, value in text.items()}  # fmt: skip


def secret_fields(options: Any) -> list[str]:
    """The fields of an options model that hold a secret."""
    return [name for name, field in options.model_fields.items() if SecretStr in _parts(field.annotation)]


def _parts(annotation: Any) -> set[Any]:
    found = {annotation}
    for part in getattr(annotation, "__args__", ()):
        found |= _parts(part)
    return found


def everything(url: str, canaries: Canaries) -> dict[str, str]:
    """Every kind of source and notifier and the actions, each with a secret of its own; all of them at one server."""
    found: dict[str, str] = {}

    def put(room: str, name: str, kind: str, options: dict[str, str]) -> None:
        for option, value in {"kind": kind, **options}.items():
            found[f"ALERTD_{room}__{name.upper().replace(' ', '_')}__{option.upper()}"] = value

    for kind, stage in test_sources.STAGES.items():
        put("SOURCES", kind, kind, swapped(stage(url), test_sources.SECRET, canaries.new(f"source {kind}")))
    for stage_name, stage in test_notifiers.STAGES.items():
        kind = stage_name.partition(" ")[0]
        given = swapped(stage(url), test_notifiers.SECRET, canaries.new(f"notifier {stage_name}"))
        put("NOTIFIERS", stage_name, kind, given)
    put("SOURCES", "basic", "prometheus", {
        "url": url, "preset": "litellm", "username": "user", "password": canaries.new("password"),
        "headers": json.dumps({"X-Scope-OrgID": canaries.new("header")}),
    })  # fmt: skip
    proxy = f"http://user:{quote(canaries.new('proxy'), safe='')}@{url.removeprefix('http://')}"
    put("SOURCES", "proxied", "scrape", {"url": "http://far.invalid/metrics", "preset": "vllm", "proxy": proxy})
    put("SOURCES", "sts", "alibaba", {
        "access_key_id": "LTAI", "access_key_secret": canaries.new("secret of sts"), "url": url,
        "security_token": canaries.new("security token"),
    })  # fmt: skip
    put("NOTIFIERS", "ears", "slack", {
        "bot_token": f"xoxb-{canaries.new('bot token')}", "app_token": f"xapp-{canaries.new('app token')}",
        "channel": "#ops", "api_url": f"{url}/api/", "users": "U012AB3CD",
    })  # fmt: skip
    put("NOTIFIERS", "amwithpassword", "alertmanager",
        {"urls": url, "username": "ana", "password": canaries.new("password of alertmanager")})  # fmt: skip
    put("NOTIFIERS", "apprise", "apprise", {"url": f"json://{url.removeprefix('http://')}/{canaries.new('apprise')}"})
    for kind in kinds("revokers"):
        fields = secret_fields(load("revokers", kind).Options)
        given = {name: canaries.new(f"action {kind} {name}") for name in fields if name != "url"}
        if kind == "webhook":
            given["url"] = f"{url}/hook/{quote(canaries.new('hook'), safe='')}"
        elif "url" in load("revokers", kind).Options.model_fields:
            given["url"] = url
        if kind == "command":
            given["command"] = json.dumps(["/bin/false"])
        put("ACTIONS", kind, kind, given)
    return found


def said(file: Path, *words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
    done = subprocess.run(
        [sys.executable, "-m", "alertd", *words, *([] if words[0] == "kinds" else ["--env-file", str(file)])],
        cwd=CHECKOUT, env=clean, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_no_secret_comes_out_whatever_the_servers_say_back(tmp_path: Path) -> None:
    canaries, parrot = Canaries(), Parrot()
    with ExitStack() as stack:
        server = stack.enter_context(serving(parrot))
        gateway, at_gateway = stack.enter_context(serving_gateway())
        hook, mail = stack.enter_context(WebhookServer()), stack.enter_context(SmtpServer())
        gateway.token, gateway.step = canaries.new("gateway"), 300_000
        file = env_file(tmp_path / "alertd.env", {
            **everything(server.url, canaries),
            "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_HEARTBEAT_URL": f"{server.url}/ping/{quote(canaries.new('heartbeat'), safe='')}",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"{at_gateway.url}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
            "ALERTD_SOURCES__GATEWAY__TOKEN": gateway.token,
            "ALERTD_BUDGETS__ALL__AMOUNT": "10M tokens",
            "ALERTD_BUDGETS__ALL__WHERE": "model=m",
            "ALERTD_BUDGETS__ALL__THRESHOLDS": '["actual 10%","actual 20%","actual 30%","burn_rate 1x over 1h and 5m"]',
            "ALERTD_BUDGETS__ALL__ACTIONS": ",".join(kinds("revokers")),
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            "ALERTD_NOTIFIERS__HOOK__SECRET": canaries.new("signing secret"),
            "ALERTD_NOTIFIERS__MAIL__KIND": "email",
            "ALERTD_NOTIFIERS__MAIL__HOST": "127.0.0.1",
            "ALERTD_NOTIFIERS__MAIL__PORT": str(mail.port),
            "ALERTD_NOTIFIERS__MAIL__SECURITY": "none",
            "ALERTD_NOTIFIERS__MAIL__SENDER": "alertd@example.com",
            "ALERTD_NOTIFIERS__MAIL__TO": '["ops@example.com"]',
        })  # fmt: skip
        daemon = Daemon(file, words=("--verbose",))
        try:
            wait_for("what was crossed, told", lambda: daemon.ended() or len(hook.events) > 3, 300)
            assert daemon.ended() is None, daemon.raw[-5:]
            wait_for("its mail", lambda: mail.mails, 300)
            wait_for("every server to have told back a lot", lambda: parrot.asked > 80, 300)
            texts = {path: daemon.text(path) for path in PAGES}
        finally:
            daemon.kill()
            (tmp_path / "log").write_text("".join(daemon.raw))
        hook_bodies = "\n".join(received.body.decode() for received in hook.requests)
        texts |= {"the log": "".join(daemon.raw), "events": hook_bodies, "mails": "\n".join(map(str, mail.mails))}
        texts |= {" ".join(words): said(file, *words) for words in COMMANDS}
    with closing(sqlite3.connect(tmp_path / "alertd.db")) as db:
        texts["the database"] = "\n".join(db.iterdump())
    assert len(canaries.known) > 35
    assert {place: found for place, text in texts.items() if (found := canaries.in_(text))} == {}
    assert "answers 401" in texts["the log"], "the test has heard the servers' refusals"
    assert len(texts["check"]) > 2000


def test_a_databases_password_is_in_no_error(tmp_path: Path) -> None:
    canaries = Canaries()
    password = quote(canaries.new("database"), safe="")
    file = env_file(tmp_path / "alertd.env", {
        "ALERTD_DATABASE": f"postgresql://ana:{password}@127.0.0.1:9/alertd",
        "ALERTD_SOURCES__A__KIND": "csv",
        "ALERTD_SOURCES__A__PATH": f"{tmp_path}/*.csv",
        "ALERTD_BUDGETS__A__AMOUNT": "1 USD",
    })  # fmt: skip
    for words in (("run", "--verbose"), ("check",), ("status",)):
        told = said(file, *words)
        assert canaries.in_(told) == set()
        assert "127.0.0.1" in told
        assert words[0] != "run" or "Traceback" not in told
