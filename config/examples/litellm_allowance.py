"""LiteLLM asks alertd before each call.

Put this beside the proxy's configuration, and in it:

    litellm_settings: {callbacks: [prometheus, litellm_allowance.allowance]}

Environment of the proxy: ALERTD_URL, ALERTD_TOKEN (a token of the role allowance), ALERTD_FAIL_CLOSED=true to refuse
while alertd does not answer. An answer is kept for as long as alertd says, ten seconds, by team, key, user and model.
"""

import asyncio
import os
import time

import httpx
from fastapi import HTTPException
from litellm._logging import verbose_proxy_logger as log
from litellm.integrations.custom_logger import CustomLogger

URL = os.environ.get("ALERTD_URL", "http://127.0.0.1:9480").rstrip("/") + "/api/v1/allowance"
TOKEN = os.environ.get("ALERTD_TOKEN", "")
CLOSED = os.environ.get("ALERTD_FAIL_CLOSED") == "true"
KEPT_SECONDS = float(os.environ.get("ALERTD_KEEP_SECONDS", "10"))
MOST_KEPT = 10_000


class Allowance(CustomLogger):
    """Refuses with 429 and the reason, which OpenAI's and Anthropic's SDKs do not repeat."""

    def __init__(self):
        super().__init__()
        headers = {"authorization": f"Bearer {TOKEN}"} if TOKEN else {}
        self._http = httpx.AsyncClient(timeout=0.3, headers=headers)
        self._known, self._asking = {}, {}

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        labels = {
            "team": user_api_key_dict.team_alias or user_api_key_dict.team_id or "",
            "key": user_api_key_dict.key_alias or "",
            "user": user_api_key_dict.user_id or "",
            "model": data.get("model") or "",
        }
        key = tuple(labels.values())
        if len(self._known) > MOST_KEPT:
            self._known.clear()
            self._asking.clear()
        async with self._asking.setdefault(key, asyncio.Lock()):  # one question at a time for each key
            until, answer = self._known.get(key, (0.0, {}))
            if time.monotonic() >= until:
                answer, kept = await self._ask(labels)
                self._known[key] = (time.monotonic() + kept, answer)
        if not answer["allow"]:
            headers = {"retry-after": str(answer.get("retry_after") or 60), "x-should-retry": "false"}
            raise HTTPException(429, {"error": answer["reason"]}, headers)
        return data

    async def _ask(self, labels):
        try:
            reply = await self._http.get(URL, params=labels)
            return reply.raise_for_status().json(), KEPT_SECONDS
        except (httpx.HTTPError, ValueError) as error:
            log.warning("alertd: %s, so the call is %s", type(error).__name__, "refused" if CLOSED else "allowed")
            return {"allow": not CLOSED, "reason": "the budget service does not answer"}, 2.0


allowance = Allowance()
