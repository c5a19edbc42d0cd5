"""A key of a real LiteLLM proxy is slowed down, sent to a cheaper model, blocked, and given everything back, by alertd.

LiteLLM keeps virtual keys in PostgreSQL through Prisma's engine, which is not at hand everywhere. So the key's record
is kept in the proxy's process: its admin answers read LiteLLM's own request models, and what alertd writes there is
what the proxy's own limiter and router get with each request. Only `blocked` is refused by the record itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from alertd.ports import Revoker
from alertd.revokers import litellm
from tests.real.stack import LITELLM, MODELS, Model, Process, free_port

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not LITELLM.exists(), reason=f"no LiteLLM at {LITELLM}: `make real` installs it"),
]
KEY = "sk-real-bot-00000000000000000000000000"
_KEYS = """\
import hashlib, json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from fastapi import HTTPException
from litellm.proxy._types import BlockKeyRequest, UpdateKeyRequest, UserAPIKeyAuth

KEY = "sk-real-bot-00000000000000000000000000"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
RECORD = {"key_alias": "bot", "key_name": "sk-...0000", "team_id": "search", "blocked": None, "rpm_limit": None,
          "tpm_limit": None, "aliases": {}, "spend": 1.5, "max_budget": None, "budget_duration": None}


async def user(request, api_key):
    if api_key.removeprefix("Bearer ") != KEY:
        raise Exception("no such key")
    if RECORD["blocked"]:
        raise HTTPException(401, "Key is blocked")
    limits = {name: RECORD[name] for name in ("rpm_limit", "tpm_limit")}
    return UserAPIKeyAuth(api_key=HASH, token=HASH, key_alias="bot", team_id="search", aliases=RECORD["aliases"],
                          user_role="internal_user", **limits)


class Admin(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == "/key/list":
            self.answer({"keys": [HASH], "total_count": 1, "current_page": 1, "total_pages": 1})
        elif asked.path == "/key/info" and query.get("key") == HASH:
            self.answer({"key": HASH, "info": RECORD})
        else:
            self.answer({"error": {"message": "not found"}}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = self.path.removeprefix("/key/")
        if what == "update":
            RECORD.update(UpdateKeyRequest(**body).model_dump(exclude_unset=True, exclude={"key"}))
        else:
            BlockKeyRequest(**body)
            RECORD["blocked"] = what == "block"
        self.answer({"token": HASH})

    def answer(self, value, status=200):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(os.environ["ADMIN_PORT"])), Admin).serve_forever,
                 daemon=True).start()
"""


def proxy_of(folder: Path, model: Model) -> tuple[Process, str, str]:
    """The proxy on a fake model, and where its keys are administered."""
    (folder / "keys.py").write_text(_KEYS)
    openai = {"api_base": f"{model.url}/v1", "api_key": "sk-fake"}
    models = [{"model_name": name, "litellm_params": {"model": f"openai/{name}", **openai}} for name in MODELS[:2]]
    config = {
        "model_list": models,
        "litellm_settings": {"num_retries": 0},
        "general_settings": {"master_key": "sk-master-0123456789", "custom_auth": "keys.user"},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    port, admin = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False", "ADMIN_PORT": str(admin),
    }  # fmt: skip
    command = [str(LITELLM), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    process = Process(command, f"{url}/health/liveliness", folder, folder / "litellm.log", environment)
    return process, url, f"http://127.0.0.1:{admin}"


def call(proxy: str, model: Model) -> tuple[int, str]:
    """The status of one request for the dear model, and the model that the provider was asked for."""
    before = len(model.asked)
    asked = {"model": MODELS[0], "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{proxy}/v1/chat/completions", json=asked, headers=headers, trust_env=False, timeout=60)
    return answer.status_code, "".join(model.asked[before:])


def revoker(admin: str, operation: str, **more: Any) -> Revoker:
    options = {"url": admin, "token": "sk-acting-0123456789", "operation": operation, "mode": "auto", **more}
    return litellm.build("stop", litellm.Options.model_validate(options))


async def carried_out(one: Revoker, during: list[Any], proxy: tuple[str, Model], calls: int) -> None:
    """Act, call the proxy, restore: what is read before, in between and after agrees with what was asked."""
    try:
        target = await one.find("bot")
        before = await one.read(target)
        assert before.acted is False
        await one.act(target, before, "k1", "a runaway")
        assert (await one.read(target)).acted is True
        during += [await asyncio.to_thread(call, *proxy) for _ in range(calls)]
        await one.restore(target, before, "k1", "over")
        after = await one.read(target)
        assert (after.acted, after.values) == (False, before.values)
    finally:
        await one.close()


def test_a_key_is_slowed_down_sent_to_a_cheaper_model_blocked_and_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model()
    proxy, url, admin = proxy_of(tmp_path, model)
    steps = (
        ("throttle", {"rpm_limit": 2}, 4),
        ("cheaper_model", {"models": {MODELS[0]: MODELS[1]}}, 2),
        ("block", {}, 2),
    )
    try:
        proxy.start()
        seen: dict[str, list[Any]] = {"at first": [call(url, model)]}
        for operation, more, calls in steps:
            seen[operation] = []
            asyncio.run(carried_out(revoker(admin, operation, **more), seen[operation], (url, model), calls))
            seen[f"{operation} undone"] = [call(url, model)]
    finally:
        proxy.kill()
        model.close()
    with capsys.disabled():
        print()
        for step, answers in seen.items():
            print(f"{step:24} {answers}")
    for step in ("at first", "throttle undone", "cheaper_model undone", "block undone"):
        assert seen[step] == [(200, MODELS[0])], step
    assert [status for status, _ in seen["throttle"]].count(429) >= 1
    assert {answered for _, answered in seen["cheaper_model"]} == {MODELS[1]}
    assert {status for status, _ in seen["block"]} == {401}
