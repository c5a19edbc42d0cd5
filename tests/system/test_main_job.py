"""The main job, end to end on real parts: Prometheus counters in; Slack, e-mail and a signed webhook out."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sqlite3
from calendar import monthrange
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.clients.price_files import price_book
from alertd.core.usage import Line
from alertd.sources.prometheus import Options, build
from tests.databases import usage_by_series
from tests.memory_ledger import Ledger
from tests.servers.slack import TOKEN, SlackServer
from tests.servers.smtp import SmtpServer
from tests.servers.webhook import WebhookServer
from tests.system import trace
from tests.system.backfilled import MARKS, World
from tests.system.daemon import Daemon, env_file, wait_for

pytestmark = MARKS

SECRET = "a-signing-secret"
BOOK = price_book()
#: The headline of a level that was passed.
PASSED = re.compile(r"has spent \d+% of .{1,30}'s budget")


def period_of(world: World) -> tuple[datetime, int]:
    """The first whole day that Prometheus holds and that the budget month which starts on it still contains.

    A day that every month has, and that has not come again: on 30 November, a month from the 31st began today.
    """
    first = (world.start + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    while first.day > 28 or first + timedelta(days=monthrange(first.year, first.month)[1]) <= datetime.now(UTC):
        first += timedelta(days=1)
    return first, first.day


def visible(world: World, since: datetime, key: str = "") -> Counter[tuple[str, str]]:
    """Tokens by model and disjoint meter from an instant on (of one key), without those that no scrape could see."""
    first = int((since - world.start).total_seconds()) // trace.STEP
    found: Counter[tuple[str, str]] = Counter()
    for one in world.series["gateway"]:
        if key and one.labels["api_key_alias"] != key:
            continue
        lost = sum(int(one.used[s]) - one._kept(s, share) for s, share in trace.RESTARTS if s >= first)
        quantity = int(one.used[first:].sum()) - lost
        found[one.labels["model"], one.meter] += quantity
        if one.within:
            found[one.labels["model"], one.within] -= quantity
    return found


def live(world: World) -> Counter[tuple[str, str]]:
    """What the exporter showed since the month ended, read like the month itself."""
    found: Counter[tuple[str, str]] = Counter()
    for one in world.series["gateway"]:
        name = next((n for n in world.exporters["gateway"].used if n == one.name("").replace(",}", "}")), None)
        if name is not None:
            used = world.exporters["gateway"].used[name]
            found[one.labels["model"], one.meter] += used
            if one.within:
                found[one.labels["model"], one.within] -= used
    return found


def cost(used: Counter[tuple[str, str]]) -> Decimal:
    today = datetime.now(UTC).date()
    prices = {key: BOOK.price(Line("", *key), today) for key in used}
    return sum((prices[key].of(quantity) for key, quantity in used.items()), Decimal(0))


def settings(world: World, folder: Path, **more: str) -> dict[str, str]:
    return {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
        "ALERTD_SOURCES__GATEWAY__URL": world.url,
        "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
        "ALERTD_SOURCES__GATEWAY__MATCHERS": '{job="gateway"}',
        **more,
    }


def test_a_month_of_counters_becomes_a_slack_message_a_mail_and_a_signed_event(world: World, tmp_path: Path) -> None:
    since, start_day = period_of(world)
    # Nothing more is used before the first summary: a slow machine would reach the third level in it.
    gateway = world.exporters["gateway"]
    gateway.rest()
    spent = cost(visible(world, since))
    level = spent + cost(live(world)) + Decimal("0.4")
    with SlackServer() as slack, SmtpServer() as mail, WebhookServer(secret=SECRET) as hook:
        daemon = Daemon(
            env_file(
                tmp_path / "alertd.env",
                settings(
                    world,
                    tmp_path,
                    ALERTD_BUDGETS__RESEARCH__AMOUNT=f"{level * Decimal('1.1'):.2f} USD",
                    ALERTD_BUDGETS__RESEARCH__START_DAY=str(start_day),
                    ALERTD_BUDGETS__RESEARCH__THRESHOLDS=json.dumps(
                        ["actual 50%", "actual 80%", f"actual {level:.2f} USD", "forecast 100%"]
                    ),
                    ALERTD_BUDGETS__RESEARCH__OWNER="@ana",
                    ALERTD_BUDGETS__RESEARCH__RUNBOOK_URL="https://wiki.example.com/llm",
                    ALERTD_NOTIFIERS__OPS__KIND="slack",
                    ALERTD_NOTIFIERS__OPS__WEBHOOK_URL=slack.webhook_url,
                    ALERTD_NOTIFIERS__BOT__KIND="slack",
                    ALERTD_NOTIFIERS__BOT__BOT_TOKEN=TOKEN,
                    ALERTD_NOTIFIERS__BOT__API_URL=slack.api_url,
                    ALERTD_NOTIFIERS__BOT__CHANNEL="#ops",
                    ALERTD_NOTIFIERS__MAIL__KIND="email",
                    ALERTD_NOTIFIERS__MAIL__HOST="127.0.0.1",
                    ALERTD_NOTIFIERS__MAIL__PORT=str(mail.port),
                    ALERTD_NOTIFIERS__MAIL__SECURITY="none",
                    ALERTD_NOTIFIERS__MAIL__SENDER="alertd@example.com",
                    ALERTD_NOTIFIERS__MAIL__TO='["ops@example.com"]',
                    ALERTD_NOTIFIERS__HOOK__KIND="webhook",
                    ALERTD_NOTIFIERS__HOOK__URL=hook.url,
                    ALERTD_NOTIFIERS__HOOK__SECRET=SECRET,
                ),
            )
        )
        try:
            told = wait_for("the summary of the first start", lambda: [e for e in hook.events.values() if e["levels"]])
            assert told[0]["levels"] == [50, 80]
            gateway.idle = False
            wait_for("the level that live traffic passes", lambda: len(_levels(hook)) > 2)
            wait_for("its Slack messages", lambda: sum(bool(PASSED.search(str(m))) for m in slack.messages) >= 2)
            wait_for("its mail", lambda: any(PASSED.search(m["Subject"]) for m in mail.mails))
            (shown,) = wait_for("the API", lambda: daemon.get("/api/v1/budgets"))["budgets"]
            assert wait_for("the probe", lambda: daemon.get("/healthz")) == {"status": "ok"}
            seen_live = cost(live(world))
        finally:
            gateway.idle = False
            status, seconds = daemon.stop()
    print(f"SIGTERM: gone after {seconds:.1f} s")
    assert status == 0
    assert hook.faulty == []
    assert slack.mentions == []
    # Exact but for what was scraped between two looks: the truth of the month, plus live traffic up to now.
    assert spent <= Decimal(shown["spent"]) <= spent + seen_live
    message = next(m for m in slack.messages if PASSED.search(str(m)))
    body = next(m for m in mail.mails if PASSED.search(m["Subject"]))
    text = body.get_body(("plain",)).get_content()
    _keep(message, body.as_bytes())
    last = since.date() + timedelta(days=monthrange(since.year, since.month)[1] - 1)
    keys = {one.labels["api_key_alias"] for one in world.series["gateway"]}
    top = max(keys, key=lambda key: cost(visible(world, since, key)))
    for words in (json.dumps(message, ensure_ascii=False), text):
        _has_every_field(words, f"{last.day} {last:%b}", top)


def _levels(hook: WebhookServer) -> set[float]:
    return {level for e in hook.events.values() if e["basis"] == "actual" for level in e["levels"]}


def _has_every_field(words: str, last: str, top: str) -> None:
    """What a message about a level says: to people, in Slack and in the mail."""
    for promised in (
        r"\$[\d,.]+\*? of \$[\d,.]+ \(9[1-9]%\)",
        rf"Likely by {last}\b.*?\$[\d,]+\*? \([\d,]+ to [\d,]+\)",
        r"Chance of going over",
        r"\$[\d,]+ a day",
        # By the day on which this runs, a pace may have changed within the week: then it says whose.
        rf"By key: {top} \$[\d,]+ · key-\d+ \$|Why: key",
        r"Data to \w+ \d+ \w+ \d\d:\d\d, UTC",
        r"everything priced",
        r"owner @ana",
        r"https://wiki.example.com/llm",
    ):
        assert re.search(promised, words, re.DOTALL), f"{promised!r} is not in {words}"


def _keep(message: dict[str, object], mail: bytes) -> None:
    """For people who want to look: ALERTD_TEST_KEEP names a folder."""
    if folder := os.environ.get("ALERTD_TEST_KEEP"):
        Path(folder, "slack.json").write_text(json.dumps(message, indent=2), encoding="utf-8")
        Path(folder, "mail.eml").write_bytes(mail)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.chaos)])
def test_killed_again_and_again_with_a_receiver_that_refuses_a_third_nothing_is_lost_or_told_under_two_keys(
    world: World, tmp_path: Path, kills: int
) -> None:
    since, start_day = period_of(world)
    keys = {one.labels["api_key_alias"] for one in world.series["gateway"]}
    amount = max(cost(visible(world, since, key)) for key in keys) / 2
    # Levels that the month has passed, and a row of them that live traffic passes while the daemon dies and comes back.
    levels = [1, 5, 10, 25, 50, 75, 100, *(200 + step / 500 for step in range(1, 60))]
    chance = random.Random(7)
    with WebhookServer(refuse_every=3) as hook:
        file = env_file(
            tmp_path / "alertd.env",
            settings(
                world,
                tmp_path,
                ALERTD_BUDGETS__KEYS__AMOUNT=f"{amount:.2f} USD",
                ALERTD_BUDGETS__KEYS__PER="key",
                ALERTD_BUDGETS__KEYS__START_DAY=str(start_day),
                ALERTD_BUDGETS__KEYS__THRESHOLDS=json.dumps([f"actual {level}%" for level in levels]),
                ALERTD_NOTIFIERS__HOOK__KIND="webhook",
                ALERTD_NOTIFIERS__HOOK__URL=hook.url,
            ),
        )
        for _ in range(kills):
            daemon = Daemon(file)
            wait_for("its first word", lambda daemon=daemon: daemon.lines)
            pause = chance.uniform(0, 4)
            begun = datetime.now(UTC)
            wait_for(
                "the moment", lambda begun=begun, pause=pause: (datetime.now(UTC) - begun).total_seconds() >= pause
            )
            daemon.kill()
        daemon = Daemon(file)
        try:
            shown = wait_for("figures", lambda: _fresh(daemon))
            due = {(b["scope"]["key"], level) for b in shown for level in levels if _reached(b, level)}
            # A message that was claimed by a killed daemon is free when its lease ends, after two minutes.
            wait_for("every due level", lambda: due <= _told(hook).keys(), 600)
        finally:
            assert daemon.stop()[0] == 0
    ids = _told(hook)
    assert {key: found for key, found in ids.items() if len(found) > 1} == {}, "told under two keys"
    assert hook.refused > 0
    print(
        f"\n{kills} kills, {hook.posts} posts taken, {hook.refused} refused, {len(hook.events)} events, {len(due)} due"
    )
    before = (datetime.now(UTC) - timedelta(minutes=40)).timestamp()
    assert _quantities(tmp_path / "alertd.db", before) == _undisturbed(world, since, before)


def _fresh(daemon: Daemon) -> list[dict[str, object]] | None:
    answer = daemon.get("/api/v1/budgets")
    if not answer or not answer["budgets"] or answer["budgets"][0]["data_until"] is None:
        return None
    until = datetime.fromisoformat(answer["budgets"][0]["data_until"])
    return answer["budgets"] if datetime.now(UTC) - until < timedelta(seconds=30) else None


def _reached(budget: dict[str, object], level: float) -> bool:
    return Decimal(str(budget["spent"])) >= Decimal(str(budget["amount"])) * Decimal(str(level)) / 100


def _told(hook: WebhookServer) -> dict[tuple[str | None, float], set[str]]:
    """The ids under which each scope and level was told."""
    found: dict[tuple[str | None, float], set[str]] = {}
    for event in hook.events.values():
        if event["event"] == "threshold":
            for level in event["levels"]:
                found.setdefault((event["scope"]["key"], level), set()).add(event["id"])
    return found


def _quantities(database: Path, before: float) -> dict[tuple[str, ...], int]:
    """What the killed daemon's ledger holds, of buckets that began before an instant."""
    with sqlite3.connect(database) as found:
        held = usage_by_series(found.execute, before)
        sums: Counter[tuple[str, ...]] = Counter()
        for series, *line, key in found.execute("SELECT id, model, meter, json_extract(labels, '$.key') FROM series"):
            sums[*line, key or ""] += held.get(series, 0)
        return {place: quantity for place, quantity in sums.items() if quantity}


def _undisturbed(world: World, since: datetime, before: float) -> dict[tuple[str, ...], int]:
    """What a reader that nobody killed finds in the same Prometheus."""
    ledger = Ledger()

    async def read() -> None:
        source = build("gateway", Options(url=world.url, preset="litellm", matchers='{job="gateway"}'))
        await ledger.collect(source, since, datetime.now(UTC))
        await source.close()

    asyncio.run(read())
    ledger.increments = [one for one in ledger.increments if one.start < before]
    return dict(+ledger.totals("key"))
