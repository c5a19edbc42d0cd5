"""The description of the JSON API, as OpenAPI 3.1 has it. The tests hold every answer to it."""

from __future__ import annotations

from typing import Any, Final

from alertd.core.actions.act import STATES as ACT_STATES
from alertd.core.budgets import BASES, SEVERITIES
from alertd.core.events import KINDS
from alertd.web.answers import STATES
from alertd.web.sources import STATES as SOURCE_STATES

_RFC3339: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
#: What an exact amount looks like: never an exponent, never a float.
_PLAIN: Final = r"^-?[0-9]+(\.[0-9]+)?$"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


def _closed(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object with all of these and nothing else."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": "number"}
_BOOL: Final = {"type": "boolean"}
_DECIMAL: Final = _ref("Decimal")
_INSTANT: Final = _ref("Instant")
_DATE: Final = {"type": "string", "format": "date"}
_QUANTILES: Final = {
    "type": "object",
    "description": "The period's total at a quantile; empty where no projection was made.",
    "propertyNames": {"enum": ["0.1", "0.5", "0.9"]},
    "additionalProperties": _DECIMAL,
}

_SCHEMAS: Final[dict[str, Any]] = {
    "Decimal": {"type": "string", "pattern": _PLAIN, "description": "An exact decimal, in the currency beside it."},
    "Instant": {"type": "string", "format": "date-time", "pattern": _RFC3339},
    "Scope": {
        "type": "object",
        "description": "The labels of one scope of a `per` budget; null where usage lacks the label.",
        "additionalProperties": {"type": ["string", "null"]},
    },
    "State": {
        "enum": list(STATES),
        "description": "risk: the forecast breaks the budget; unknown: no data, or a stale source.",
    },
    "Threshold": _closed(threshold=_TEXT, reached_at=_or_null(_DECIMAL), stands=_or_null(_BOOL)),
    "Contributor": _closed(
        label=_TEXT,
        value=_TEXT,
        spent=_DECIMAL,
        pace_per_day=_or_null(_DECIMAL),
        pace_before_per_day=_or_null(_DECIMAL),
        volume_change=_or_null(_NUMBER),
    ),
    "Unpriced": _closed(provider=_TEXT, model=_TEXT, meter=_TEXT, quantity=_COUNT, reason=_TEXT, nearest=_TEXT),
    "Budget": _closed(
        budget=_TEXT,
        scope=_ref("Scope"),
        period=_closed(start=_INSTANT, end=_INSTANT, kind=_TEXT, zone=_TEXT),
        state=_ref("State"),
        amount=_DECIMAL,
        currency=_TEXT,
        spent=_or_null(_DECIMAL),
        spent_at_least=_or_null(_DECIMAL),
        projected=_or_null(_QUANTILES),
        probability_over=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
        exhausted_at=_or_null(_closed(low=_or_null(_INSTANT), likely=_INSTANT, high=_or_null(_INSTANT))),
        pace_per_day=_or_null(_DECIMAL),
        allowed_per_day=_or_null(_DECIMAL),
        data_until=_or_null(_INSTANT),
        complete_from=_or_null(_INSTANT),
        stale_sources=_list(_TEXT),
        matched=_BOOL,
        thresholds=_list(_ref("Threshold")),
        contributors=_list(_ref("Contributor")),
        contributor_count=_COUNT,
        unpriced=_list(_ref("Unpriced")),
        assumed_prices=_list(_TEXT),
        owner=_TEXT,
        runbook_url=_TEXT,
    ),
    "Alert": _closed(
        version={"const": 1},
        id=_TEXT,
        handle=_TEXT,
        keys=_list(_TEXT),
        at=_INSTANT,
        state={"enum": ["firing", "acknowledged", "snoozed", "resolved", "told", "dry_run"]},
        history=_list(_closed(at=_INSTANT, what=_TEXT, state=_TEXT, by=_TEXT, reason=_TEXT)),
        event={"enum": list(KINDS)},
        severity={"enum": list(SEVERITIES)},
        budget=_TEXT,
        scope=_ref("Scope"),
        period=_closed(start=_or_null(_INSTANT), end=_or_null(_INSTANT)),
        basis={"enum": ["", *BASES]},
        threshold=_TEXT,
        level=_or_null(_NUMBER),
        levels=_list(_NUMBER),
        amount=_or_null(_DECIMAL),
        currency=_TEXT,
        spent=_or_null(_DECIMAL),
        projected=_QUANTILES,
        exhausted_at=_or_null(_INSTANT),
        data_until=_or_null(_INSTANT),
        unpriced=_list(_ref("Unpriced")),
        reason=_TEXT,
    ),
    "Evidence": {"type": "object", "description": "What it rests on; money as text, without any secret."},
    "Step": _closed(
        number={"type": "integer", "minimum": 1},
        at=_INSTANT,
        what=_TEXT,
        state=_ref("ActState"),
        by=_TEXT,
        reason=_TEXT,
        request=_TEXT,
        evidence=_ref("Evidence"),
    ),
    "ActState": {
        "enum": list(ACT_STATES),
        "description": "rehearsed: dry run; verified: done, and read back; drifted: somebody else changed it.",
    },
    "ConfiguredAction": _closed(
        name=_TEXT,
        what=_TEXT,
        undo=_TEXT,
        mode={"enum": ["dry_run", "approve", "auto"]},
        grade=_TEXT,
        reversible=_BOOL,
        label=_TEXT,
        on=_list(_TEXT),
        approvers=_list(_TEXT),
        lacks=_TEXT,
    ),
    "Action": _closed(
        id=_TEXT,
        handle=_TEXT,
        action=_TEXT,
        what=_TEXT,
        grade=_TEXT,
        reversible=_BOOL,
        label=_TEXT,
        target=_TEXT,
        provider_id=_TEXT,
        budget=_TEXT,
        scope=_ref("Scope"),
        amount=_or_null(_DECIMAL),
        currency=_TEXT,
        basis=_TEXT,
        state=_ref("ActState"),
        since=_or_null(_INSTANT),
        expires=_or_null(_INSTANT),
        approved_by=_TEXT,
        done_by_alertd=_BOOL,
        usage_after=_TEXT,
        held=_TEXT,
        error=_TEXT,
        reason=_TEXT,
        evidence=_ref("Evidence"),
        audit=_list(_ref("Step")),
    ),
    "Actions": _closed(
        version={"const": 1},
        paused=_or_null(_closed(at=_TEXT, by=_TEXT, reason=_TEXT)),
        configured=_list(_ref("ConfiguredAction")),
        actions=_list(_ref("Action")),
    ),
    "Source": _closed(
        name=_TEXT,
        state={"enum": list(SOURCE_STATES)},
        data_until=_or_null(_INSTANT),
        complete_from=_or_null(_INSTANT),
        interval_seconds=_NUMBER,
        stale_after_seconds=_NUMBER,
        last_ok=_or_null(_INSTANT),
        failing_since=_or_null(_INSTANT),
        error=_TEXT,
        partial=_TEXT,
    ),
    "Reconciled": {
        **_closed(
            provider=_TEXT,
            scope=_ref("Scope"),
            currency=_TEXT,
            **{"from": _or_null(_DATE), "to": _or_null(_DATE)},
            estimated=_DECIMAL,
            billed=_DECIMAL,
            drift_percent=_or_null(_DECIMAL),
            factor=_or_null(_DECIMAL),
            used_by=_list(_TEXT),
            billed_by=_list(_TEXT),
            causes=_list(_closed(kind=_TEXT, said=_TEXT)),
        ),
        "description": "Estimate and bill over days that are final; drift is in percent of the bill.",
    },
    "Sources": _closed(
        version={"const": 1},
        judged_at=_or_null(_INSTANT),
        sources=_list(_ref("Source")),
        compared_at=_or_null(_INSTANT),
        reconciled=_list(_ref("Reconciled")),
        alike=_list(_TEXT),
    ),
    "Budgets": _closed(version={"const": 1}, judged_at=_or_null(_INSTANT), budgets=_list(_ref("Budget"))),
    "Alerts": _closed(version={"const": 1}, alerts=_list(_ref("Alert"))),
    "Error": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}},
    "Probe": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": ["ok", "stuck", "ready", "unready"]},
            "reason": _TEXT,
            "loops": _list(_TEXT),
        },
    },
}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


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
            {"200": _answer("Every scope of every budget", "Budgets"), "400": _answer("No such state", "Error")},
            _BUDGET,
            _parameter("state", "Only those in this state", {"enum": list(STATES)}),
        ),
        "/api/v1/alerts": _get(
            "What was announced, the newest first",
            {
                "200": _answer("Alerts", "Alerts"),
                "400": _answer("A parameter cannot be read", "Error"),
                "503": _answer("The database does not answer", "Error"),
            },
            _BUDGET,
            _parameter(
                "since",
                "Announced at or after this; 35 days ago where absent",
                {"type": "string", "format": "date-time"},
            ),
            _parameter("limit", "At most so many", {"type": "integer", "minimum": 1, "maximum": 1000}),
        ),
        "/api/v1/actions": _get(
            "What was done to keys or proposed, with its audit, the newest first",
            {
                "200": _answer("Actions", "Actions"),
                "400": _answer("A parameter cannot be read", "Error"),
                "503": _answer("The database does not answer", "Error"),
            },
            _BUDGET,
            _parameter("state", "Only those in this state", {"enum": list(ACT_STATES)}),
            _parameter("limit", "At most so many", {"type": "integer", "minimum": 1, "maximum": 1000}),
        ),
        "/api/v1/sources": _get(
            "How fresh each source is, and how estimates compare with bills",
            {"200": _answer("Sources", "Sources"), "503": _answer("The database does not answer", "Error")},
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
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "alertd"},
        },
    },
}
