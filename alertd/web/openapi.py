"""The description of the JSON API, as OpenAPI 3.1 has it. The tests hold every answer to it."""

from __future__ import annotations

import re
from typing import Any, Final

from alertd.core.actions.state_machine import STATES as ACT_STATES
from alertd.web.answers import STATES
from alertd.web.schemas import SCHEMAS, ref
from alertd.web.writes import WRITES, Write

_TEXT: Final = {"type": "string", "minLength": 1}


def _answer(description: str, schema: str) -> dict[str, Any]:
    kind = "application/problem+json" if schema == "Problem" else "application/json"
    return {"description": description, "content": {kind: {"schema": ref(schema)}}}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_FORBIDDEN: Final = {"403": _answer("The role does not suffice", "Problem")}
#: Why a change is refused, whichever it is.
_REFUSALS: Final = {
    "401": _answer("A token is needed", "Problem"),
    "403": _answer("The role does not suffice, or another site sent it", "Problem"),
    "404": _answer("There is no such thing", "Problem"),
    "409": _answer("Its state does not allow it", "Problem"),
    "412": _answer("If-Match: it has changed since", "Problem"),
    "413": _answer("The body is too large", "Problem"),
    "422": _answer("The body or the Idempotency-Key cannot be used", "Problem"),
    "502": _answer("The other side did not take it", "Problem"),
    "503": _answer("The database does not answer, or too many write at once", "Problem"),
}
_SUMMARIES: Final = {
    "/alerts/{id}/acknowledge": ("Acknowledge an alert, by its id or handle: no reminders follow", "Reason"),
    "/alerts/{id}/snooze": ("No messages about an alert for a time", "Snooze"),
    "/silences": ("Hold back matching alerts until an end", "NewSilence"),
    "/silences/{id}": ("End a silence", "Reason"),
    "/budgets/{name}/raise": ("A higher amount for the current period; thresholds re-arm", "Raise"),
    "/budgets/{name}/top-ups": ("Enter a payment into a prepaid credit, or what is left of it", "TopUp"),
    "/budgets/{name}/top-ups/{id}": ("Take back a payment that was entered", "Reason"),
    "PUT /budgets/{name}": ("Store a budget that is not in the configuration, or change it", "NewBudget"),
    "DELETE /budgets/{name}": ("Delete a stored budget", "Reason"),
    "/actions/pause": ("Hold back all actions", "Reason"),
    "/actions/resume": ("Let actions continue", "Reason"),
    "/actions/{id}/approve": ("Approve a proposed action where its reason still holds", "Reason"),
    "/actions/{id}/refuse": ("Refuse an action that was not carried out", "Reason"),
    "/actions/{id}/restore": ("Undo what an action did", "Reason"),
    "/notifiers/{name}/test": ("Send a sample message", "Reason"),
    "/proposals": ("Ask a person for a change: nothing is changed until somebody else accepts it", "NewProposal"),
    "/proposals/{id}/accept": ("Do what was proposed, in your name", "Reason"),
    "/proposals/{id}/refuse": ("Refuse a proposal: nothing is changed", "Reason"),
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "At most 200 visible ASCII characters. The same key within 24 hours is answered as before",
    "schema": {"type": "string"},
}
#: What the person saw, where that matters: a change meanwhile is answered 412.
_SEEN: Final = {
    "/budgets/{name}/raise": "The amount in force, as it was read",
    "/budgets/{name}": "The tag that was read, or `absent` to create one",
    "/actions/{id}/approve": "The number of the action's steps, as they were read",
    "/actions/{id}/refuse": "The number of the action's steps, as they were read",
    "/actions/{id}/restore": "The number of the action's steps, as they were read",
}


def _seen(path: str) -> list[dict[str, Any]]:
    said = _SEEN.get(path)
    return [{"name": "If-Match", "in": "header", "description": said, "schema": {"type": "string"}}] if said else []


def _write(write: Write) -> dict[str, Any]:
    summary, body = _SUMMARIES.get(f"{write.method} {write.path}") or _SUMMARIES[write.path]
    named = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", write.path)
    ]
    return {
        write.method.lower(): {
            "summary": summary,
            "description": f"Takes the role {write.role}.",
            "x-role": write.role,
            "parameters": [*named, _KEY, *_seen(write.path)],
            "requestBody": {"required": body != "Reason", "content": {"application/json": {"schema": ref(body)}}},
            "security": [{"token": []}, {"session": []}, {}],
            "responses": {"200": _answer("Done, or so before", "Outcome"), **_REFUSALS},
        }
    }


def _get(summary: str, answers: dict[str, Any], *parameters: dict[str, Any], public: bool = False) -> dict[str, Any]:
    refused = {} if public else {"401": _answer("A token is needed", "Problem"), **_FORBIDDEN}
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "security": [] if public else [{"token": []}, {"session": []}, {}],
            "responses": {**answers, **refused},
        }
    }


_BUDGET: Final = _parameter("budget", "Only this budget", {"type": "string"})
_LIMIT: Final = _parameter("limit", "The most to return", {"type": "integer", "minimum": 1, "maximum": 1000})
_ESTIMATE: Final = _parameter(
    "estimate",
    "What this costs, as 0.40 USD or 5k tokens",
    {
        "type": "string",
        "pattern": r"^([0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[0-9][0-9_]*(\.[0-9]+)?|\.[0-9]+)"
        r" *[kKmMgGbBtT]? *([A-Za-z]{3}|tokens?)$",
    },
)
_LABELS: Final = {
    **_parameter(
        "labels",
        "Labels of the usage",
        {
            "type": "object",
            "maxProperties": 16,
            "propertyNames": {"minLength": 1, "maxLength": 256},
            "additionalProperties": {"type": "string", "maxLength": 256},
        },
    ),
    "style": "form",
    "explode": True,
}
_UNREADABLE: Final = {"400": _answer("A parameter cannot be read", "Problem")}
_NAME: Final = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
_NO_BUDGET: Final = {"404": _answer("There is no such budget", "Problem")}
_NOT_YET: Final = {"503": _answer("Nothing was evaluated yet", "Problem")}
_NO_DATABASE: Final = {"503": _answer("The database does not answer", "Problem")}

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "alertd",
        "version": "1",
        "description": "The status of every budget, what was announced, what was done. Money is text: an exact "
        "decimal.",
    },
    "paths": {
        "/api/v1/budgets": _get(
            "The status of every budget, the worst first",
            {"200": _answer("Every scope of every budget", "Budgets"), "400": _answer("No such status", "Problem")},
            _BUDGET,
            _parameter("status", "Only those of this status", {"enum": list(STATES)}),
        ),
        "/api/v1/alerts": _get(
            "What was announced, the newest first",
            {"200": _answer("Alerts", "Alerts"), **_UNREADABLE, **_NO_DATABASE},
            _BUDGET,
            _parameter(
                "since",
                "Announced at or after this; 35 days ago where absent",
                {"type": "string", "format": "date-time"},
            ),
            _LIMIT,
        ),
        "/api/v1/actions": _get(
            "What was done to keys or proposed, with its audit, the newest first",
            {"200": _answer("Actions", "Actions"), **_UNREADABLE, **_NO_DATABASE},
            _BUDGET,
            _parameter("state", "Only those in this state", {"enum": list(ACT_STATES)}),
            _LIMIT,
        ),
        "/api/v1/allowance": _get(
            "May this be spent? Every other parameter is a label: team=a&model=gpt-5",
            {
                "200": _answer("Yes or no, and why", "Allowance"),
                "304": {"description": "The answer is still the one of If-None-Match"},
                **_UNREADABLE,
            },
            _ESTIMATE,
            _LABELS,
        ),
        "/api/v1/allowance/check": _get(
            "The same for proxies that know only a status; labels also as X-Alertd-Team headers",
            {
                "200": {"description": "Yes"},
                "403": _answer("No, where refuse_status=403", "Problem"),
                "429": _answer("No, with Retry-After", "Problem"),
                **_UNREADABLE,
            },
            _ESTIMATE,
            _LABELS,
            _parameter("refuse_status", "The status of a no", {"enum": ["429", "403"]}),
        ),
        "/api/v1/allowance/denials": _get(
            "To whom the allowance said no since the start of this process, the latest first",
            {"200": _answer("Denials", "Denials")},
        ),
        "/api/v1/stored-budgets": _get(
            "Budgets that are kept in the database, with the tag of each, and the names of those in the configuration",
            {"200": _answer("Stored budgets", "StoredBudgets"), **_NO_DATABASE},
        ),
        "/api/v1/proposals": _get(
            "Changes that programs asked for, the newest first",
            {"200": _answer("Proposals", "Proposals"), **_NO_DATABASE},
        ),
        "/api/v1/budgets/{name}/explain": _get(
            "Why each threshold of a budget fires or does not, for at most 20 scopes, the worst first",
            {"200": _answer("Explanations", "Explanations"), **_NO_BUDGET, **_NOT_YET},
            _NAME,
        ),
        "/api/v1/budgets/{name}/what-if": _get(
            "What the status would be with another amount",
            {"200": _answer("Statuses", "WhatIf"), **_UNREADABLE, **_NO_BUDGET},
            _NAME,
            {**_parameter("amount", "As 600 USD", _TEXT), "required": True},
        ),
        "/api/v1/budgets/{name}/replay": _get(
            "Which alerts the last days would have brought, by the ledger's daily sums",
            {"200": _answer("Alerts and summary", "Replay"), **_UNREADABLE, **_NO_BUDGET, **_NOT_YET},
            _NAME,
            _parameter("threshold", "Instead of those of its basis: forecast 100% p80", _TEXT),
            _parameter("days", "How far back", {"type": "integer", "minimum": 2, "maximum": 120}),
        ),
        "/api/v1/sources": _get(
            "How fresh each source is, and how estimates compare with bills",
            {"200": _answer("Sources", "Sources"), **_NO_DATABASE},
        ),
        "/healthz": _get(
            "Whether every loop ticks",
            {"200": _answer("They tick", "Probe"), "503": _answer("Some ended no round for too long", "Probe")},
            public=True,
        ),
        "/readyz": _get(
            "Whether the configuration is loaded and the database takes writes",
            {"200": _answer("Ready", "Probe"), "503": _answer("The database takes no writes", "Probe")},
            public=True,
        ),
        "/metrics": _get(
            "The same for Prometheus",
            {"200": {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        ),
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "alertd"},
        },
    },
}

for _each in WRITES:
    DOCUMENT["paths"].setdefault(f"/api/v1{_each.path}", {}).update(_write(_each))

#: What generated clients call each operation: `get_budgets`, `post_budgets_raise`, `put_budgets`.
for _path, _methods in DOCUMENT["paths"].items():
    _words = [_part for _part in _path.removeprefix("/api/v1").split("/") if _part and not _part.startswith("{")]
    for _method, _operation in _methods.items():
        _operation["operationId"] = "_".join((_method, *_words)).replace("-", "_")
