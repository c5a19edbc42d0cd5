"""Session logs of coding agents: Claude Code's, Codex' and Gemini CLI's JSON lines. Prompts are never read.

Sources: ryoppippi/ccusage (the best public reading of the first two) and google-gemini/gemini-cli,
`chatRecordingTypes.ts`; the vendors publish no schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from alertd.core.formats.layout import IGNORED, MODEL, TIME, Flat, Layout, label, modifier, tokens

_COUNTS: Final = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_CODEX: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")


def _claude_code(objects: Iterable[object]) -> Iterator[Flat]:
    """One row an answer: of several lines of one message the one with most tokens, of a sidechain's copy none."""
    best: dict[tuple[str, str], tuple[int, Flat]] = {}
    #: By message, the request that counts: the parent's before a sidechain's, which may be read first.
    requests: dict[str, tuple[str, bool]] = {}
    for one in objects:
        row, key, is_copy = _answer(one)
        if row is None:
            continue
        message, request = key
        first, was_copy = requests.setdefault(message, (request, is_copy)) if message else (request, is_copy)
        if first != request and is_copy:
            continue
        if first != request and was_copy:
            best.pop((message, first), None)
            requests[message] = request, is_copy
        total = sum(_int(row.get(name, "")) for name in _COUNTS)
        if not message:
            yield row
        elif key not in best or total > best[key][0]:
            best[key] = (total, row)
    yield from (row for _, row in best.values())


def _answer(line: object) -> tuple[Flat | None, tuple[str, str], bool]:
    nothing = (None, ("", ""), False)
    if not isinstance(line, dict) or line.get("type") != "assistant" or line.get("isApiErrorMessage"):
        return nothing
    message = line.get("message")
    usage = message.get("usage") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(usage, dict) or message.get("model") == "<synthetic>":
        return nothing
    row: Flat = {name: _text(usage.get(name)) for name in (*_COUNTS, "service_tier", "speed")}
    writes, searches = usage.get("cache_creation"), usage.get("server_tool_use")
    if isinstance(writes, dict) and any(map(_int, map(_text, writes.values()))):
        row["cache_creation_input_tokens"] = ""
        row |= {name: _text(writes.get(name)) for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")}
    if isinstance(searches, dict):
        row["web_search_requests"] = _text(searches.get("web_search_requests"))
    project = _last_folder(line.get("cwd"))
    row |= {"timestamp": _text(line.get("timestamp")), "model": _text(message.get("model")), "project": project}
    row["session"] = _text(line.get("sessionId"))
    return row, (_text(message.get("id")), _text(line.get("requestId"))), bool(line.get("isSidechain"))


def _codex(objects: Iterable[object]) -> Iterator[Flat]:
    """One row a growth of the session's cumulative counts; a count that falls begins anew."""
    before: dict[str, int] = dict.fromkeys(_CODEX, 0)
    model = session = project = ""
    for line in objects:
        payload = line.get("payload") if isinstance(line, dict) else None
        if not isinstance(line, dict) or not isinstance(payload, dict):
            continue
        if line.get("type") == "session_meta":
            session = _text(payload.get("id"))
            project = _last_folder(payload.get("cwd"))
            before = dict.fromkeys(_CODEX, 0)
        elif line.get("type") == "turn_context":
            model = _text(payload.get("model")) or model
        elif payload.get("type") == "token_count" and (now := _totals(payload)):
            grown = {name: now[name] - before[name] for name in _CODEX}
            before = now
            if min(grown.values()) < 0:
                grown = now
            if any(grown.values()):
                counts = {name: str(n) for name, n in grown.items()}
                where = {"timestamp": _text(line.get("timestamp")), "model": model}
                yield {**where, **counts, "session": session, "project": project, "codex": ""}


def _gemini_cli(objects: Iterable[object]) -> Iterator[Flat]:
    """One row an answer, the last one written of each: thoughts are output, tools input, the cache is within input."""
    last: dict[str, Flat] = {}
    session = ""
    for one in objects:
        if not isinstance(one, dict):
            continue
        session = _text(one.get("sessionId")) or session
        messages = one.get("messages")
        for message in messages if isinstance(messages, list) else (one,):
            used = message.get("tokens") if isinstance(message, dict) else None
            if not isinstance(used, dict) or message.get("type") != "gemini":
                continue
            counts = {name: _int(_text(used.get(name))) for name in ("input", "output", "cached", "thoughts", "tool")}
            key = _text(message.get("id")) or f"{session} {len(last)}"
            last[key] = {
                "timestamp": _text(message.get("timestamp")),
                "model": _text(message.get("model")),
                "input_tokens": str(max(0, counts["input"] - counts["cached"]) + counts["tool"]),
                "cached_tokens": str(counts["cached"]),
                "output_tokens": str(counts["output"] + counts["thoughts"]),
                "session": session,
                "gemini": "",
            }
    yield from last.values()


def _totals(payload: Mapping[str, object]) -> dict[str, int]:
    info = payload.get("info")
    total = info.get("total_token_usage") if isinstance(info, dict) else None
    return {name: _int(_text(total.get(name))) for name in _CODEX} if isinstance(total, dict) else {}


def _last_folder(path: object) -> str:
    return _text(path).replace("\\", "/").rstrip("/").rpartition("/")[2]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(text: str) -> int:
    return int(text) if text.isdigit() else 0


LAYOUTS: Final = (
    Layout(
        name="claude-code",
        title="Claude Code session log (JSON lines)",
        recognised_by=("timestamp", "model", "cache_creation_input_tokens", "service_tier", "session"),
        provider="anthropic",
        includes=frozenset(),
        objects=_claude_code,
        columns={
            "timestamp": TIME,
            "model": MODEL,
            "input_tokens": tokens("input", exclusive=True),
            "output_tokens": tokens("output"),
            "cache_creation_input_tokens": tokens("cache_write"),
            "ephemeral_5m_input_tokens": tokens("cache_write", cache_ttl="5m"),
            "ephemeral_1h_input_tokens": tokens("cache_write", cache_ttl="1h"),
            "cache_read_input_tokens": tokens("cached_input"),
            "web_search_requests": tokens("web_search_requests"),
            "service_tier": modifier("tier"),
            "speed": modifier("speed"),
            "session": label("session"),
            "project": label("project"),
        },
    ),
    Layout(
        name="gemini-cli",
        title="Gemini CLI session log (JSON lines)",
        recognised_by=("timestamp", "model", "cached_tokens", "output_tokens", "session", "gemini"),
        provider="google",
        includes=frozenset({"reasoning"}),
        objects=_gemini_cli,
        columns={
            "timestamp": TIME,
            "model": MODEL,
            "input_tokens": tokens("input", exclusive=True),
            "cached_tokens": tokens("cached_input"),
            "output_tokens": tokens("output"),
            "session": label("session"),
            "gemini": IGNORED,
        },
    ),
    Layout(
        name="codex",
        title="Codex session log (JSON lines)",
        recognised_by=("timestamp", "model", "cached_input_tokens", "reasoning_output_tokens", "session", "codex"),
        provider="openai",
        includes=frozenset({"cache", "reasoning"}),
        objects=_codex,
        columns={
            "timestamp": TIME,
            "model": MODEL,
            "input_tokens": tokens("input"),
            "cached_input_tokens": tokens("cached_input"),
            "output_tokens": tokens("output"),
            "reasoning_output_tokens": tokens("reasoning"),
            "session": label("session"),
            "project": label("project"),
            "codex": IGNORED,
        },
    ),
)
