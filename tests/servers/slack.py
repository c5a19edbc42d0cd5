"""A Slack as strict as Slack: tokens, scopes, channels, block and text limits, its words of refusal, its webhooks.

Of what it knows: slack_sdk's models, Slack's reference of Block Kit, and what was observed (13,000 characters over all
blocks). `mentions` holds what a message would have pinged: it stays empty unless someone forgot to escape.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl

from tests.servers.recording import Received, RecordingServer, Reply

TOKEN: Final = "xoxb-1234-the-right-token"
APP_TOKEN: Final = "xapp-1-the-right-app-token"
WEBHOOK: Final = "/services/T0000/B0000/webhooksecret"
_BLOCKS: Final = 50
_VIEW_BLOCKS: Final = 100
_SECTION_TEXT: Final = 3000
_FIELD_TEXT: Final = 2000
_HEADER_TEXT: Final = 150
_ELEMENTS: Final = 10
_BLOCK_ID: Final = 255
_TEXT: Final = 40_000
_ALL_BLOCKS: Final = 13_000
_MENTION: Final = re.compile(r"<(?:!|@|#)[^>]*>")
_LINK: Final = re.compile(r"<([^<>|]*)(?:\|[^<>]*)?>")
_ENTITY: Final = re.compile(r"&(?!amp;|lt;|gt;)")


@dataclass
class SlackServer(RecordingServer):
    """A workspace with channels (id -> name). `messages` are those posted, `text` and `blocks` as sent, with `ts`."""

    channels: dict[str, str] = field(default_factory=lambda: {"C024BE91L": "ops", "C024BE92M": "llm-search"})
    archived: set[str] = field(default_factory=set)
    not_member: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "channels:history", "channels:read"})
    token: str = TOKEN
    messages: list[dict[str, Any]] = field(default_factory=list)
    #: Told to one person only: those of chat.postEphemeral.
    whispers: list[dict[str, Any]] = field(default_factory=list)
    #: Every text and blocks that a message was changed to, with its `ts`, in order.
    updates: list[dict[str, Any]] = field(default_factory=list)
    #: Uploaded files by id: None until the bytes came; `ready` are those that Slack has looked at.
    files: dict[str, bytes | None] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    groups: dict[str, list[str]] = field(default_factory=dict)
    #: Whether Slack looks at a picture as soon as it is uploaded.
    looks_at_once: bool = False
    #: What people are called: id -> what users.info says. What the app's Home shows each of them.
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    homes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What came to a response_url, in order.
    responses: list[dict[str, Any]] = field(default_factory=list)
    app_token: str = APP_TOKEN
    socket_url: str = ""
    mentions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._ticks = count(100)

    def answer(self, received: Received) -> Reply:
        if received.path.startswith("/services/"):
            return self._webhook(received)
        if received.path.startswith("/upload/"):
            self.files[received.path.removeprefix("/upload/")] = received.body
            return Reply(200, "OK")
        if received.path.startswith("/commands/"):
            return self._response(received)
        method = received.path.removeprefix("/api/")
        refusal = self._refusal(received)
        known = getattr(self, f"_{method.replace('.', '_')}", None)
        found = refusal or (self._no("unknown_method") if known is None else known(_arguments(received)))
        return Reply(
            200, json.dumps(found), {"Content-Type": "application/json", "x-oauth-scopes": ",".join(self.scopes)}
        )

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{WEBHOOK}"

    @property
    def response_url(self) -> str:
        return f"{self.url}/commands/T0000/1/secretofoneanswer"

    def _response(self, received: Received) -> Reply:
        body = received.json
        fault = self._fault(body)
        if not fault and body.get("response_type", "ephemeral") != "ephemeral":
            fault = "invalid_response_type"
        if fault:
            return Reply(500 if fault == "invalid_blocks" else 400, fault)
        self.responses.append(body)
        self.mentions += [mention for text in _texts(body) for mention in _MENTION.findall(text)]
        return Reply(200, "ok")

    def _views_publish(self, body: dict[str, Any]) -> dict[str, Any]:
        view = body.get("view")
        view = json.loads(view) if isinstance(view, str) else view or {}
        blocks = view.get("blocks", [])
        ids = [block["block_id"] for block in blocks if "block_id" in block]
        if set(view) - {"type", "blocks", "private_metadata", "callback_id", "external_id"} or view["type"] != "home":
            return self._no("invalid_arguments")
        if len(blocks) > _VIEW_BLOCKS or len(set(ids)) < len(ids) or not _are_blocks(blocks):
            return self._no("invalid_blocks")
        self.homes[str(body["user_id"])] = view
        self.mentions += [mention for text in _texts(view) for mention in _MENTION.findall(text)]
        return {"ok": True, "view": {"id": "V0000HOME", **view}}

    def _users_info(self, body: dict[str, Any]) -> dict[str, Any]:
        if "users:read" not in self.scopes:
            return self._no("missing_scope", needed="users:read")
        found = self.people.get(str(body.get("user")))
        return self._no("user_not_found") if found is None else {"ok": True, "user": {"id": body["user"], **found}}

    def _webhook(self, received: Received) -> Reply:
        if received.path != WEBHOOK:
            return Reply(404, "no_service")
        try:
            body = received.json
        except ValueError:
            return Reply(400, "invalid_payload")
        fault = _content_fault(body)
        if fault:
            return Reply(400, "invalid_payload" if fault.startswith("invalid") else fault)
        self._keep("webhook", body)
        return Reply(200, "ok")

    def _refusal(self, received: Received) -> dict[str, Any] | None:
        given = received.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            return self._no("not_authed")
        wanted = self.app_token if received.path.endswith("apps.connections.open") else self.token
        return None if given == wanted else self._no("invalid_auth")

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": "https://example.slack.com/", "team": "Example", "user": "alertd", "bot_id": "B1"}

    def _chat_postMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's own name
        channel = self._channel(str(body.get("channel", "")))
        refusal = self._not_there(channel) or self._fault(body) or self._no_thread(body.get("thread_ts"))
        if refusal or channel is None:
            return self._no(refusal, needed="chat:write" if refusal == "missing_scope" else "")
        kept = self._keep(channel, body)
        return {"ok": True, "channel": channel, "ts": kept["ts"], "message": {"text": body["text"]}}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        channel = str(body.get("channel", ""))
        if channel not in self.channels:
            return self._no("channel_not_found")  # updating takes ids, never names
        refusal = self._not_there(channel) or self._fault(body)
        found = [one for one in self.messages if (one["channel"], one["ts"]) == (channel, body.get("ts"))]
        if refusal or not found:
            return self._no(refusal or "message_not_found")
        found[0].update(text=body["text"], blocks=body["blocks"])
        self.updates.append(body)
        self.mentions += [mention for text in _texts(body) for mention in _MENTION.findall(text)]
        return {"ok": True, "channel": channel, "ts": body["ts"], "text": body["text"]}

    def _chat_postEphemeral(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's own name
        if body.get("channel") not in self.channels or not body.get("user") or not body.get("text"):
            return self._no("invalid_arguments")
        self.whispers.append(body)
        return {"ok": True, "message_ts": f"1763719{next(self._ticks)}.000200"}

    def _files_getUploadURLExternal(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's own name
        if "files:write" not in self.scopes:
            return self._no("missing_scope", needed="files:write", provided=",".join(self.scopes))
        file = f"F{next(self._ticks)}"
        self.files[file] = None
        return {"ok": True, "upload_url": f"{self.url}/upload/{file}", "file_id": file}

    def _files_completeUploadExternal(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's own name
        named = [one["id"] for one in json.loads(body["files"])]
        whole = all(self.files.get(one) for one in named)
        self.ready |= set(named) if self.looks_at_once else set()
        return {"ok": True, "files": [{"id": one} for one in named]} if whole else self._no("file_not_found")

    def _files_delete(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True} if self.files.pop(str(body.get("file")), None) else self._no("file_not_found")

    def _usergroups_users_list(self, body: dict[str, Any]) -> dict[str, Any]:
        if "usergroups:read" not in self.scopes:
            return self._no("missing_scope", needed="usergroups:read")
        users = self.groups.get(str(body.get("usergroup")))
        return self._no("no_such_subteam") if users is None else {"ok": True, "users": users}

    def _apps_connections_open(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": self.socket_url} if self.socket_url else self._no("internal_error")

    def _fault(self, body: dict[str, Any]) -> str:
        """Slack's word for what is wrong with a message; a picture that it has not looked at yet is no block."""
        shown = [block["slack_file"]["id"] for block in body.get("blocks", []) if "slack_file" in block]
        return _content_fault(body) or ("" if set(shown) <= self.ready else "invalid_blocks")

    def _not_there(self, channel: str | None) -> str:
        if "chat:write" not in self.scopes:
            return "missing_scope"
        if channel is None:
            return "channel_not_found"
        if channel in self.archived:
            return "is_archived"
        return "not_in_channel" if channel in self.not_member else ""

    def _no_thread(self, thread: object) -> str:
        gone = thread is not None and all(one["ts"] != thread for one in self.messages)
        return "thread_not_found" if gone else ""

    def _conversations_history(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._read(body, lambda message: "thread_ts" not in message)

    def _conversations_replies(self, body: dict[str, Any]) -> dict[str, Any]:
        thread = body.get("ts")
        return self._read(body, lambda message: thread in {message["ts"], message.get("thread_ts")})

    def _conversations_list(self, body: dict[str, Any]) -> dict[str, Any]:
        if "channels:read" not in self.scopes:
            return self._no("missing_scope", needed="channels:read", provided=",".join(self.scopes))
        ids = sorted(self.channels)
        start = int(body.get("cursor") or 0)
        page = [{"id": one, "name": self.channels[one]} for one in ids[start : start + 1]]
        following = str(start + 1) if start + 1 < len(ids) else ""
        return {"ok": True, "channels": page, "response_metadata": {"next_cursor": following}}

    def _read(self, body: dict[str, Any], wanted: Any) -> dict[str, Any]:
        if "channels:history" not in self.scopes:
            return self._no("missing_scope", needed="channels:history", provided=",".join(self.scopes))
        channel = str(body.get("channel", ""))
        if channel not in self.channels:
            return self._no("channel_not_found")  # reading takes ids, never names
        found = [one for one in self.messages if one["channel"] == channel and wanted(one)]
        if body.get("include_all_metadata") not in {True, "true", "True", "1"}:
            found = [{name: value for name, value in one.items() if name != "metadata"} for one in found]
        return {"ok": True, "messages": list(reversed(found))}

    def _channel(self, asked: str) -> str | None:
        if asked in self.channels:
            return asked
        return next((known for known, name in self.channels.items() if name == asked.removeprefix("#")), None)

    def _keep(self, channel: str, body: dict[str, Any]) -> dict[str, Any]:
        kept = {**body, "channel": channel, "ts": f"1763719{next(self._ticks)}.000100"}
        self.messages.append(kept)
        self.mentions += [found for text in _texts(body) for found in _MENTION.findall(text)]
        return kept

    def _no(self, error: str, **more: str) -> dict[str, Any]:
        return {"ok": False, "error": error, **more}


def _arguments(received: Received) -> dict[str, Any]:
    if received.body.startswith(b"{"):
        return dict(received.json)
    return dict(parse_qsl(received.body.decode()))


def _content_fault(body: dict[str, Any]) -> str:
    """Slack's word for what is wrong with a message's text and blocks; "" for nothing."""
    text, blocks = body.get("text", ""), body.get("blocks", [])
    if not text and not blocks:
        return "no_text"
    if len(text) > _TEXT:
        return "msg_too_long"
    if not isinstance(blocks, list) or len(blocks) > _BLOCKS:
        return "invalid_blocks"
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)) or any(len(one) > _BLOCK_ID for one in ids):
        return "invalid_blocks"
    if not _are_blocks(blocks):
        return "invalid_blocks"
    return "msg_blocks_too_long" if sum(len(one) for one in _texts({"blocks": blocks})) > _ALL_BLOCKS else ""


def _are_blocks(blocks: list[dict[str, Any]]) -> bool:
    return all(_CHECKS.get(block.get("type"), lambda _: False)(block) for block in blocks)


def _text_object(found: Any, longest: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")) -> bool:
    if not isinstance(found, dict) or found.get("type") not in kinds:
        return False
    allowed = {"type", "text", "verbatim"} if found["type"] == "mrkdwn" else {"type", "text", "emoji"}
    text = found.get("text")
    return set(found) <= allowed and isinstance(text, str) and 0 < len(text) <= longest


def _section(block: dict[str, Any]) -> bool:
    fields = block.get("fields", [])
    if "text" not in block and not fields:
        return False
    good = all(_text_object(one, _FIELD_TEXT) for one in fields) and len(fields) <= _ELEMENTS
    return good and ("text" not in block or _text_object(block["text"], _SECTION_TEXT))


def _context(block: dict[str, Any]) -> bool:
    elements = block.get("elements", [])
    return 0 < len(elements) <= _ELEMENTS and all(_text_object(one, _FIELD_TEXT) for one in elements)


def _button(found: dict[str, Any]) -> bool:
    allowed = {"type", "action_id", "text", "value", "url", "style", "confirm"}
    texts = [(found.get("text"), 75)]
    confirm = found.get("confirm", {})
    texts += [(confirm[name], longest) for name, longest in _CONFIRM.items() if confirm]
    good = all(_text_object(text, longest, ("plain_text",)) for text, longest in texts)
    short = len(found.get("value", "")) <= 2000 and 0 < len(found.get("action_id", "")) <= _BLOCK_ID
    return good and short and found.get("type") == "button" and set(found) <= allowed and _style(found)


def _style(found: dict[str, Any]) -> bool:
    return found.get("style", "primary") in {"primary", "danger"}


def _actions(block: dict[str, Any]) -> bool:
    elements = block.get("elements", [])
    names = [one.get("action_id") for one in elements]
    return 0 < len(elements) <= 25 and len(names) == len(set(names)) and all(_button(one) for one in elements)


_CONFIRM: Final = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
_IMAGE: Final = frozenset({"type", "slack_file", "image_url", "alt_text"})
_CHECKS: Final[dict[Any, Any]] = {
    "section": _section,
    "context": _context,
    "header": lambda block: _text_object(block.get("text"), _HEADER_TEXT, ("plain_text",)),
    "actions": _actions,
    "image": lambda block: (
        set(block) <= {"type", "slack_file", "image_url", "alt_text"} and 0 < len(block["alt_text"]) <= 2000
    ),
    "divider": lambda block: set(block) <= {"type", "block_id"},
}


def _texts(found: Any) -> list[str]:
    """Every text that Slack would read for mark-up."""
    if isinstance(found, dict):
        own = [found["text"]] if isinstance(found.get("text"), str) and found.get("type") != "plain_text" else []
        return own + [text for value in found.values() if isinstance(value, (dict, list)) for text in _texts(value)]
    return [text for value in found for text in _texts(value)] if isinstance(found, list) else []


def badly_escaped(message: dict[str, Any]) -> list[str]:
    """The `&`, `<` and `>` of a message that are neither an escape nor a link to http(s)."""
    faults: list[str] = []
    for text in _texts(message):
        rest = _LINK.sub(lambda link: "" if link[1].startswith(("https://", "http://")) else link[0], text)
        faults += [text for _ in range(len(_ENTITY.findall(text)))] + ([text] if re.search(r"[<>]", rest) else [])
    return faults
