"""The README's first command: a first alert within a minute, on the console and wherever the environment says."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

from alertd import demo
from tests.servers.slack import SlackServer
from tests.system.daemon import CHECKOUT, wait_for

#: A threshold of 80%, told with what is spent by then.
LEVEL = re.compile(r"has spent 8\d% of")


def test_the_demonstration_tells_of_a_level_within_a_minute_and_leaves_cleanly_at_ctrl_c():
    with SlackServer() as slack:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")} | {
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_DATABASE": "sqlite:////nowhere/alertd.db",  # as the image has one: the demonstration keeps its own
            "ALERTD_NOTIFIERS__OPS__KIND": "slack",
            "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL": slack.webhook_url,
        }
        bare = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
        begun = time.monotonic()
        command = [sys.executable, "-m", "alertd", "demo"]
        with subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            said: list[str] = []
            assert process.stdout is not None
            reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
            reader.start()
            wait_for("the 80% level on the console", lambda: any(LEVEL.search(line) for line in said))
            seconds = time.monotonic() - begun
            printed = {found[0] for line in said for found in re.finditer(r"alertd \w+[^·]*?--env-file \S+", line)}
            failed: list[tuple[str, str]] = []
            for one in sorted(printed):
                asked = [sys.executable, "-m", *shlex.split(one)]
                done = subprocess.run(asked, cwd=CHECKOUT, env=bare, capture_output=True, text=True, check=False)
                failed += [(one, done.stderr)] if done.returncode not in {0, 1} or done.stderr else []  # 1: unpriced
            wait_for("the same in Slack", lambda: any(LEVEL.search(str(one)) for one in slack.messages))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            reader.join(5)
    (page,) = (line for line in said if line.startswith("Page: "))
    port = int(page.split(":")[3].partition("/")[0])
    assert port > 0, "port 0 is what was asked for, not where it is"
    assert any(re.search(r"Spent: \$2[45]\d(\.\d\d)? of \$300 \(8\d%\)", line) for line in said)
    assert failed == []
    assert {shlex.split(one)[1] for one in printed} >= {"status", "prices"}
    summary = next(line for line in said if "so far:" in line)
    assert "1 budget over" in summary, "search has spent more than its budget before the start"
    (unpriced,) = (line for line in said if "missing from every total" in line)
    assert "mystery-9b has no price, so its cost" in unpriced, "history and gateway have one model, named once"
    print(f"\nfirst level told after {seconds:.0f} s")


def test_a_busy_port_is_one_sentence_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
        done = subprocess.run(
            [sys.executable, "-m", "alertd", "demo"], cwd=CHECKOUT, capture_output=True, text=True, check=False,
            env=environment | {"ALERTD_HTTP__LISTEN": f"127.0.0.1:{port}"},
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be used for the page" in done.stderr
    assert f"ALERTD_HTTP__LISTEN=127.0.0.1:{port + 1} alertd demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_history_is_what_the_gateway_was_used_for_until_its_start():
    started = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    rows = list(csv.DictReader(demo.history(started).splitlines()))
    assert min(row["start_time"] for row in rows) == "2026-10-01T00:00:00+00:00"
    assert max(row["end_time"] for row in rows) == started.isoformat()
    for caller in demo.CALLERS:
        own = [row for row in rows if row["key"] == caller.alias and row["start_time"] >= "2026-11"]
        used = sum(int(row["input_tokens"]) for row in own)
        assert abs(used - caller.input_an_hour * caller.hours) <= 20, caller.alias
    page = demo.exposition(demo.Traffic(started), started)
    assert "_total{" not in page, "nothing is counted twice: the counters begin at the start"
