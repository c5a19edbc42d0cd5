"""The README's first command: a first alert within a minute, on the console and wherever the environment says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from tests.servers.slack import SlackServer
from tests.system.daemon import HOUSE, wait_for


def test_the_demonstration_tells_of_a_level_within_a_minute_and_leaves_cleanly_at_ctrl_c():
    with SlackServer() as slack:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")} | {
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_DATABASE": "sqlite:////nowhere/alertd.db",  # as the image has one: the demonstration keeps its own
            "ALERTD_NOTIFIERS__OPS__KIND": "slack",
            "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL": slack.webhook_url,
        }
        begun = time.monotonic()
        command = [sys.executable, "-m", "alertd", "demo", "--env-file", "config/demo.env"]
        with subprocess.Popen(
            command, cwd=HOUSE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            said: list[str] = []
            assert process.stdout is not None
            reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
            reader.start()
            wait_for("the 80 % level on the console", lambda: any("80 % of" in line for line in said))
            seconds = time.monotonic() - begun
            wait_for("the same in Slack", lambda: any("80 % of" in str(one) for one in slack.messages))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            reader.join(5)
    (page,) = (line for line in said if line.startswith("Page: "))
    port = int(page.split(":")[3].partition("/")[0])
    assert port > 0, "port 0 is what was asked for, not where it is"
    assert any("used 240" in line and "of 300.00 USD (80 %)" in line for line in said)
    print(f"\nfirst level told after {seconds:.0f} s")
