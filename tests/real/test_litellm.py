"""The stack that people run: LiteLLM's proxy, Prometheus, alertd by both ways, and every restart in every order.

`make real` installs LiteLLM beside the tree and runs this; some ten minutes, most of it the proxy's starts.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import permutations
from pathlib import Path

import httpx
import pytest

from alertd.cli import main
from tests.real.stack import KEYS, LITELLM, WAYS, Stack, Tokens, scraping, stack
from tests.system.daemon import wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not LITELLM.exists(), reason=f"no LiteLLM at {LITELLM}: `make real` installs it"),
    pytest.mark.skipif(not shutil.which("prometheus"), reason="no `prometheus` on PATH: install Debian's prometheus"),
]


class Tally:
    """What each way of reading could see, and the table of what it counted."""

    def __init__(self, given: Stack) -> None:
        self.stack = given
        self.visible: dict[str, Tokens] = {way: Counter() for way in WAYS}
        self.money = dict.fromkeys(WAYS, 0)
        self.used: Tokens = Counter()
        #: What the proxy's page showed when the proxy started, and since.
        self.life = (0, 0)
        #: What was used last, and the nanos that the proxy reported for it.
        self.last: Tokens = Counter()
        self.last_money = 0
        self.rows: list[tuple[str, ...]] = []

    def use(self, *ways: str) -> None:
        """Traffic that these ways can see; returns when the page, and Prometheus where it can, show all of it."""
        used = self.stack.traffic()
        self.used += used
        self.last, self.last_money = used, 0
        before = self.life
        wanted = before[0] + used.total()
        wait_for("the proxy's page", lambda: self.stack.shown()[0] == wanted, 60)
        self.life = self.stack.shown()
        self.last_money = self.life[1] - before[1]
        if "prometheus" in ways:
            wait_for("a scrape of all of it", lambda: self.stack.scraped() == wanted, 60)
        for way in ways:
            self.visible[way] += used
            self.money[way] += self.last_money

    def is_seen_later(self, way: str) -> None:
        """What was used last is seen by this way, too, once it looks at the same process."""
        self.visible[way] += self.last
        self.money[way] += self.last_money

    def restart_proxy(self) -> None:
        """Killed, and begun anew."""
        self.stack.proxy.kill()
        self.life = (0, 0)
        self.stack.proxy.start()

    def check(self, what: str) -> None:
        """Both ways come to what they could see, to the token and to the billionth."""
        for way in WAYS:
            wanted = +self.visible[way]
            # The claim is the figures, not the speed: what has just been restarted shares the machine's cores with all
            # the rest. The wait ends when the figures agree; a figure that is wrong never does.
            try:
                wait_for(
                    what, lambda way=way, wanted=wanted: self.stack.counted(way) == wanted
                    and self.stack.money(way) == self.money[way], 300,
                )  # fmt: skip
            except AssertionError:
                found, log = self.stack.counted(way), [line["message"] for line in self.stack.daemons[way].lines]
                off = {who: (found[who], wanted[who]) for who in found | wanted if found[who] != wanted[who]}
                print(f"{what}, {way}: counted and seen differ: {off}", self.stack.problems(way), *log[-20:], sep="\n")
                raise
        used = self.used.total()
        seen = [self.visible[way].total() for way in WAYS]
        cells = (f"{n:,}" + ("" if n == used else f" ({used - n:,} unseen)") for n in seen)
        self.rows.append((what, f"{used:,}", *cells, "0"))

    def print(self) -> None:
        heads = ("after", "usage fields", *(f"by {way}" for way in WAYS), "difference")
        print()
        for row in (heads, *self.rows):
            print(f"{row[0]:58} {row[1]:>14} {row[2]:>28} {row[3]:>28} {row[4]:>10}")


def test_restarts_of_everything_in_every_order_lose_no_token_that_anybody_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stack(tmp_path) as given:
        tally = Tally(given)
        try:
            _newcomer(given, monkeypatch, capsys)
            _restarts(tally)
        finally:
            with capsys.disabled():
                tally.print()
        for way in WAYS:
            assert given.problems(way) == []
            budgets = given.daemons[way].get("/api/v1/budgets")["budgets"]
            assert {row["scope"]["team"] for row in budgets} == {team for _, team in KEYS.values()}


def _newcomer(given: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody meets whose Prometheus has no key for the proxy, and what `init` makes of each address."""
    monkeypatch.chdir(given.folder)
    scraping(given.folder, given.proxy_url, key=False)
    given.prometheus.kill()
    given.prometheus.start()
    target = given.proxy_url.removeprefix("http://")
    targets = f"{given.prometheus_url}/api/v1/targets"
    wait_for("a refused scrape", lambda: "401" in httpx.get(targets, trust_env=False, timeout=30).text, 60)
    assert main(["init", "--yes", "--url", given.prometheus_url, "--out", "a.env"]) == 0
    assert f"Prometheus cannot scrape {target} (401)" in capsys.readouterr().out
    assert main(["check", "--env-file", "a.env"]) == 1
    assert f"Prometheus cannot scrape {target} (401)" in capsys.readouterr().out
    scraping(given.folder, given.proxy_url, key=True)
    given.prometheus.kill()
    given.prometheus.start()
    assert main(["init", "--yes", "--url", given.proxy_url, "--out", "b.env"]) == 0
    assert "It wants a token" in capsys.readouterr().out
    source = {**_init(given.proxy_url, "c.env", capsys, "--token-file", "key")}
    assert source == {
        "kind": "scrape", "url": f"{given.proxy_url}/metrics", "preset": "litellm", "token_file": "key",
    }  # fmt: skip


def _init(url: str, out: str, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, str]:
    assert main(["init", "--yes", "--json", "--url", url, "--out", out, *more]) == 0
    source: dict[str, str] = json.loads(capsys.readouterr().out)["source"]
    return source


def _restarts(tally: Tally) -> None:
    given = tally.stack
    tally.use(*WAYS)
    given.start()
    tally.check("alertd's first start, after the first traffic")
    tally.use(*WAYS)
    tally.check("traffic")
    tally.restart_proxy()
    tally.use(*WAYS)
    tally.check("the proxy restarted")
    given.kill()
    tally.use(*WAYS)
    given.start()
    tally.check("alertd away during traffic")
    given.kill()
    tally.use("prometheus")
    tally.restart_proxy()
    tally.use(*WAYS)
    given.start()
    tally.check("alertd away, the proxy restarted meanwhile")
    given.prometheus.kill()
    tally.use("scrape")
    tally.check("Prometheus down")
    tally.is_seen_later("prometheus")
    given.prometheus.start()
    tally.check("Prometheus back")
    given.prometheus.kill()
    tally.use("scrape")
    tally.check("Prometheus down again")
    tally.restart_proxy()
    tally.use("scrape")
    tally.check("and the proxy restarted meanwhile")
    tally.is_seen_later("prometheus")
    given.prometheus.start()
    tally.check("Prometheus back: it saw the new process alone")
    for order in permutations(("the proxy", "Prometheus", "alertd")):
        tally.use(*WAYS)
        tally.check("traffic")
        given.kill()
        given.prometheus.kill()
        given.proxy.kill()
        tally.life = (0, 0)
        for part in order:
            {"the proxy": given.proxy.start, "Prometheus": given.prometheus.start, "alertd": given.start}[part]()
        tally.use(*WAYS)
        tally.check(f"all killed at once, started: {', '.join(order)}")
