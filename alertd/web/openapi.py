"""The description of the JSON API, as OpenAPI 3.1 has it. The tests hold every answer to it."""

from __future__ import annotations

from typing import Any, Final

from alertd.core.actions.state_machine import STATES as ACT_STATES
from alertd.web.answers import STATES
from alertd.web.schemas import SCHEMAS, ref


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": ref(schema)}}}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _get(summary: str, answers: dict[str, Any], *parameters: dict[str, Any], public: bool = False) -> dict[str, Any]:
    refused = {} if public else {"401": _answer("A token is needed", "Error")}
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "security": [] if public else [{"token": []}, {"session": []}, {}],
            "responses": {**answers, **refused},
        }
    }


_BUDGET: Final = _parameter("budget", "Only this budget", {"type": "string"})
_LIMIT: Final = _parameter("limit", "At most so many", {"type": "integer", "minimum": 1, "maximum": 1000})
_UNREADABLE: Final = {"400": _answer("A parameter cannot be read", "Error")}
_NO_DATABASE: Final = {"503": _answer("The database does not answer", "Error")}

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "alertd",
        "version": "1",
        "description": "Where every budget stands, what was announced, what was done. Money is text: an exact decimal.",
    },
    "paths": {
        "/api/v1/budgets": _get(
            "Where every budget stands, the worst first",
            {"200": _answer("Every scope of every budget", "Budgets"), "400": _answer("No such status", "Error")},
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
