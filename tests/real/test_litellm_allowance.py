"""A LiteLLM proxy with the example callback: refused once the budget is gone, allowed after a raise; both timed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import httpx
import pytest

from alertd.cli import main
from tests.real.stack import KEYS, LITELLM, MODELS, Model, Process, free_port
from tests.system.daemon import Daemon, env_file, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not LITELLM.exists(), reason=f"no LiteLLM at {LITELLM}: `make real` installs it"),
]
EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "litellm_allowance.py"
MASTER = "sk-real-0123456789abcdef0123456789abcdef"
SEARCH, PLATFORM = KEYS
_AUTH = """\
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {keys!r}


async def user(request, api_key):
    token = api_key.removeprefix("Bearer ")
    alias, team = KEYS.get(token, ("metrics", "metrics"))
    return UserAPIKeyAuth(api_key=token, key_alias=alias, team_id=team, team_alias=team)
"""


def call(proxy: str, key: str) -> httpx.Response:
    asked = {"model": MODELS[0], "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{proxy}/v1/chat/completions", json=asked, headers=headers, trust_env=False, timeout=60)


def proxy_of(folder: Path, model: Model, alertd: str) -> tuple[Process, str]:
    """The proxy on a fake model, with the callback of config/examples."""
    shutil.copy(EXAMPLE, folder / EXAMPLE.name)
    (folder / "keys.py").write_text(_AUTH.format(keys=KEYS))
    params = {"model": f"openai/{MODELS[0]}", "api_base": f"{model.url}/v1", "api_key": "sk-fake"}
    config = {
        "model_list": [{"model_name": MODELS[0], "litellm_params": params}],
        "litellm_settings": {"callbacks": ["prometheus", "litellm_allowance.allowance"], "num_retries": 0},
        "general_settings": {"master_key": MASTER, "custom_auth": "keys.user"},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False", "ALERTD_URL": alertd, "ALERTD_KEEP_SECONDS": "1",
    }  # fmt: skip
    command = [str(LITELLM), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    return Process(command, f"{url}/health/liveliness", folder, folder / "litellm.log", environment), url


@pytest.mark.parametrize("asked", ["LISTEN", "ALLOWANCE_LISTEN"])
def test_the_proxy_refuses_after_the_budget_is_gone_and_allows_after_a_raise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str
):
    port, model = free_port(), Model()
    proxy, url = proxy_of(tmp_path, model, f"http://127.0.0.1:{port}")
    (tmp_path / "key").write_text(MASTER)
    file = env_file(
        tmp_path / "alertd.env",
        {
            "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            f"ALERTD_HTTP__{asked}": f"127.0.0.1:{port}",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"{url}/metrics",
            "ALERTD_SOURCES__GATEWAY__TOKEN_FILE": f"{tmp_path}/key",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_BUDGETS__SEARCH__AMOUNT": "0.10 USD",
            "ALERTD_BUDGETS__SEARCH__WHERE": "team=search",
            "ALERTD_NOTIFIERS__LOG__KIND": "console",
        },
    )
    proxy.start()
    daemon = Daemon(file)
    try:
        wait_for("the page", lambda: daemon.port)
        assert call(url, SEARCH).status_code == 200

        def refused() -> httpx.Response | None:
            answer = call(url, SEARCH)
            return None if answer.status_code == 200 else answer

        def spent() -> bool:
            """One call more, until the page shows that all is spent."""
            call(url, SEARCH)
            found = daemon.get("/api/v1/budgets?budget=search")
            return bool(found["budgets"]) and found["budgets"][0]["status"] == "over"

        wait_for("the budget to be gone", lambda: spent() or refused(), 120)
        gone = time.monotonic()
        no = wait_for("a refusal", refused, 60)
        after_gone = time.monotonic() - gone
        assert no.status_code == 429
        assert "search has used" in no.text
        assert call(url, PLATFORM).status_code == 200
        raised = time.monotonic()
        assert main(["raise", "search", "50 USD", "--env-file", str(file)]) == 0
        wait_for("a call that is allowed", lambda: call(url, SEARCH).status_code == 200, 60)
        after_raise = time.monotonic() - raised
        daemon.stop()
        assert call(url, SEARCH).status_code == 200, "fail-open while alertd is away"
        with capsys.disabled():
            print(
                f"\n{asked}: refused {after_gone:.1f} s after the budget was gone,"
                f" allowed {after_raise:.1f} s after the raise"
            )
            print(f"refusal: {no.status_code} {no.text[:200]}")
    finally:
        if daemon.ended() is None:
            daemon.stop()
        proxy.kill()
        model.close()
