"""The values that the JSON API gives, as JSON Schema has them: money is text, the unknown null. It answers nothing."""

from __future__ import annotations

from typing import Any, Final

from alertd.core.actions.state_machine import STATES as ACT_STATES
from alertd.core.billing.commitments import PERS
from alertd.core.budgets import BASES, SEVERITIES
from alertd.core.evaluation.thresholds import FLAGS
from alertd.core.events import KINDS
from alertd.web.answers import STATES
from alertd.web.notices import STATES as SOURCE_STATES

_RFC3339: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
#: What an exact amount looks like: never an exponent, never a float.
_PLAIN: Final = r"^-?[0-9]+(\.[0-9]+)?$"


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema of that name."""
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
_DECIMAL: Final = ref("Decimal")
_INSTANT: Final = ref("Instant")
_DATE: Final = {"type": "string", "format": "date"}
_QUANTILES: Final = {
    "type": "object",
    "description": "The period's total at a quantile; empty where no projection was made.",
    "propertyNames": {"enum": ["0.1", "0.5", "0.9"]},
    "additionalProperties": _DECIMAL,
}

#: What an operation is: the same fields for a configured action and for one carried out.
_OPERATION: Final = {"what": _TEXT, "grade": _TEXT, "reversible": _BOOL, "label": _TEXT}

#: The bodies of the requests that change something.
_REASON: Final = {"type": "string", "description": "Stored in the audit; at most 500 characters."}
_FOR: Final = {
    "type": "string",
    "pattern": "^[1-9][0-9]{0,3}[smhdw]$",
    "description": "A duration: 30m, 4h, 1d; a year at most.",
}
BODIES: Final[dict[str, Any]] = {
    "Reason": {"type": "object", "properties": {"reason": _REASON}},
    "Snooze": {"type": "object", "required": ["for"], "properties": {"for": _FOR, "reason": _REASON}},
    "NewSilence": {
        "type": "object",
        "required": ["where", "for", "reason"],
        "properties": {
            "where": {
                "type": "object",
                "minProperties": 1,
                "description": "Every label, or `budget`, has to match one of its patterns.",
                "propertyNames": {"pattern": "\\S"},
                "additionalProperties": {"type": ["string", "array"], "items": _TEXT, "minItems": 1},
            },
            "for": _FOR,
            "reason": {**_REASON, "pattern": "\\S"},
        },
    },
    "Raise": {
        "type": "object",
        "required": ["amount"],
        "properties": {
            "amount": {"type": "string", "description": "600 (in the budget's unit), 600 USD or 8M tokens."},
            "scope": ref("Scope"),
            "periods": {"type": "integer", "minimum": 1, "maximum": 36, "description": "This one and those after it."},
            "reason": _REASON,
        },
    },
    "TopUp": {
        "type": "object",
        "required": ["amount"],
        "properties": {
            "amount": {"type": "string", "description": "300 (in the budget's unit) or 300 USD."},
            "day": {"type": "string", "description": "2026-11-20; today in the budget's zone unless given."},
            "left": {"type": "boolean", "description": "It is what was left at the start of that day."},
            "id": {"type": "string", "description": "Such as an invoice's number: entered once, however often sent."},
            "reason": _REASON,
        },
    },
}

SCHEMAS: Final[dict[str, Any]] = {
    "Decimal": {"type": "string", "pattern": _PLAIN, "description": "An exact decimal, in the currency beside it."},
    "Instant": {"type": "string", "format": "date-time", "pattern": _RFC3339},
    "Scope": {
        "type": "object",
        "description": "The labels of one scope of a `per` budget; null where usage lacks the label.",
        "additionalProperties": {"type": ["string", "null"]},
    },
    "State": {
        "enum": list(STATES),
        "description": "The first that holds; unknown: what a silent source may have seen could reach a threshold.",
    },
    "Threshold": _closed(threshold=_TEXT, reached_at=_or_null(_DECIMAL), firing=_or_null(_BOOL)),
    "Contributor": _closed(
        label=_TEXT,
        value=_TEXT,
        spent=_DECIMAL,
        pace_per_day=_or_null(_DECIMAL),
        pace_before_per_day=_or_null(_DECIMAL),
        volume_change=_or_null(_NUMBER),
    ),
    "Unpriced": _closed(
        provider=_TEXT,
        model=_TEXT,
        meter=_TEXT,
        quantity=_COUNT,
        reason=_TEXT,
        nearest=_TEXT,
        rate=_TEXT,
        cost=_or_null(_DECIMAL),
    ),
    "Budget": _closed(
        budget=_TEXT,
        scope=ref("Scope"),
        period=_closed(start=_INSTANT, end=_INSTANT, kind=_TEXT, zone=_TEXT),
        status=ref("State"),
        flags=_list({"enum": list(FLAGS)}),
        amount=_DECIMAL,
        carried_over=_or_null(_DECIMAL),
        currency=_TEXT,
        spent=_or_null(_DECIMAL),
        spent_at_least=_or_null(_DECIMAL),
        projected=_or_null(_QUANTILES),
        probability_over=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
        exhausted_at=_or_null(_closed(low=_or_null(_INSTANT), likely=_INSTANT, high=_or_null(_INSTANT))),
        frees_at=_or_null(_INSTANT),
        others={"type": "integer", "minimum": 0},
        parent=_or_null(_closed(budget=_TEXT, scope=ref("Scope"))),
        children=_or_null(_closed(count=_COUNT, amount=_DECIMAL, spent=_DECIMAL, rest=_DECIMAL, overlapping=_BOOL)),
        pace_per_day=_or_null(_DECIMAL),
        allowed_per_day=_or_null(_DECIMAL),
        data_until=_or_null(_INSTANT),
        complete_from=_or_null(_INSTANT),
        late=_list(_closed(source=_TEXT, data_until=_INSTANT, stale=_BOOL)),
        stale_sources=_list(_TEXT),
        failed=_or_null(_TEXT),
        matched=_BOOL,
        thresholds=_list(ref("Threshold")),
        contributors=_list(ref("Contributor")),
        contributor_count=_COUNT,
        unpriced=_list(ref("Unpriced")),
        assumed_prices=_list(_TEXT),
        credit=_or_null(
            _closed(
                left=_DECIMAL,
                ends=_closed(low=_or_null(_INSTANT), likely=_or_null(_INSTANT), high=_or_null(_INSTANT)),
                source=_or_null(_TEXT),
                ledger=_or_null(_DECIMAL),
            )
        ),
        certain=_or_null(
            _closed(
                charged=_DECIMAL,
                ahead=_DECIMAL,
                total=_DECIMAL,
                exhausted_at=_or_null(_INSTANT),
                unconverted=_list(_TEXT),
            )
        ),
        commitments=_list(ref("Commitment")),
        owner=_TEXT,
        runbook_url=_TEXT,
    ),
    "Commitment": _closed(
        name=_TEXT,
        source=_TEXT,
        cost=_DECIMAL,
        per=_or_null({"enum": list(PERS)}),
        since=_INSTANT,
        until=_or_null(_INSTANT),
        charged=_DECIMAL,
        ahead=_DECIMAL,
    ),
    "Alert": _closed(
        version={"const": 1},
        id=_TEXT,
        handle=_TEXT,
        keys=_list(_TEXT),
        at=_INSTANT,
        state={"enum": ["firing", "acknowledged", "snoozed", "resolved", "announced", "dry_run"]},
        history=_list(_closed(at=_INSTANT, what=_TEXT, state=_TEXT, by=_TEXT, reason=_TEXT)),
        event={"enum": list(KINDS)},
        severity={"enum": list(SEVERITIES)},
        budget=_TEXT,
        scope=ref("Scope"),
        period=_closed(start=_or_null(_INSTANT), end=_or_null(_INSTANT)),
        status=_or_null(ref("State")),
        flags=_list({"enum": list(FLAGS)}),
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
        unpriced=_list(ref("Unpriced")),
        reason=_TEXT,
    ),
    "Evidence": {"type": "object", "description": "What it rests on; money as text, without any secret."},
    "Step": _closed(
        number={"type": "integer", "minimum": 1},
        at=_INSTANT,
        what=_TEXT,
        state=ref("ActState"),
        by=_TEXT,
        reason=_TEXT,
        request=_TEXT,
        evidence=ref("Evidence"),
    ),
    "ActState": {
        "enum": list(ACT_STATES),
        "description": "rehearsed: dry run; verified: done, and read back; drifted: somebody else changed it.",
    },
    "ConfiguredAction": _closed(
        **_OPERATION,
        name=_TEXT,
        undo=_TEXT,
        mode={"enum": ["dry_run", "approve", "auto"]},
        on=_list(_TEXT),
        approvers=_list(_TEXT),
        lacks=_TEXT,
    ),
    "Action": _closed(
        **_OPERATION,
        id=_TEXT,
        handle=_TEXT,
        action=_TEXT,
        target=_TEXT,
        key_name=_TEXT,
        provider_id=_TEXT,
        budget=_TEXT,
        scope=ref("Scope"),
        amount=_or_null(_DECIMAL),
        currency=_TEXT,
        basis=_TEXT,
        state=ref("ActState"),
        since=_or_null(_INSTANT),
        expires=_or_null(_INSTANT),
        approved_by=_TEXT,
        done_by_alertd=_BOOL,
        usage_after=_TEXT,
        held=_TEXT,
        error=_TEXT,
        reason=_TEXT,
        evidence=ref("Evidence"),
        audit=_list(ref("Step")),
    ),
    "Against": _closed(budget=_TEXT, scope=ref("Scope"), warning=_BOOL, reason=_TEXT, until=_INSTANT),
    "Unasked": _closed(budget=_TEXT, labels=_list(_TEXT)),
    "Allowance": {
        **_closed(
            allow=_BOOL,
            warning=_BOOL,
            reason=_TEXT,
            budget=_or_null(_TEXT),
            scope=ref("Scope"),
            status=_or_null(ref("State")),
            amount=_or_null(_DECIMAL),
            spent=_or_null(_DECIMAL),
            left=_or_null(_DECIMAL),
            currency=_or_null(_TEXT),
            probability_over=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
            until=_or_null(_INSTANT),
            retry_after=_or_null({"type": "integer", "minimum": 1}),
            data_until=_or_null(_INSTANT),
            evaluated_at=_or_null(_INSTANT),
            age_seconds=_or_null(_COUNT),
            against=_list(ref("Against")),
            unasked=_list(ref("Unasked")),
        ),
        "description": "Of the narrowest budget that says no, else of the one nearest its limit. warning: it would "
        "be a no, but the budget only warns. unasked: budgets that the labels given do not decide.",
    },
    "Denials": _closed(
        version={"const": 1},
        since=_INSTANT,
        denials=_list(
            _closed(
                budget=_TEXT,
                scope=ref("Scope"),
                warning=_BOOL,
                count=_COUNT,
                first=_INSTANT,
                last=_INSTANT,
                reason=_TEXT,
            )
        ),
    ),
    "NewBudget": {
        "type": "object",
        "required": ["settings"],
        "properties": {
            "settings": {
                "type": "object",
                "description": "The keys of a budget as text, as in the configuration: amount, where, per, notify.",
                "additionalProperties": _TEXT,
            },
            "reason": _TEXT,
        },
    },
    "StoredBudgets": _closed(
        version={"const": 1},
        budgets=_list(
            _closed(
                name=_TEXT,
                settings={"type": "object", "additionalProperties": _TEXT},
                by=_TEXT,
                at=_INSTANT,
                tag=_TEXT,
            )
        ),
        configured=_list(_TEXT),
    ),
    "NewProposal": {
        "type": "object",
        "required": ["what", "fields", "reason"],
        "properties": {
            "what": {"enum": ["raise", "silence", "approve"]},
            "fields": {
                "type": "object",
                "description": "raise: budget, scope, amount; silence: where, for (at most 24h); approve: action.",
            },
            "reason": _TEXT,
        },
    },
    "Proposal": _closed(
        id=_TEXT,
        what={"enum": ["raise", "silence", "approve"]},
        said=_TEXT,
        reason=_TEXT,
        by=_TEXT,
        at=_INSTANT,
        expires=_INSTANT,
        state={"enum": ["waiting", "accepted", "refused", "expired"]},
        answered_by=_TEXT,
        answered_at=_or_null(_INSTANT),
        outcome=_TEXT,
    ),
    "Proposals": _closed(version={"const": 1}, proposals=_list(ref("Proposal"))),
    "Explanations": _closed(
        version={"const": 1},
        explanations=_list(
            _closed(
                budget=_TEXT,
                scope=ref("Scope"),
                evaluated_at=_INSTANT,
                status=ref("State"),
                flags=_list({"enum": list(FLAGS)}),
                spent=_or_null(_DECIMAL),
                amount=_DECIMAL,
                currency=_TEXT,
                thresholds=_list(
                    _closed(
                        threshold=_TEXT, fires=_BOOL, because=_TEXT, held=_list(_TEXT), announced=_or_null(_INSTANT)
                    )
                ),
                notes=_list(_TEXT),
            )
        ),
    ),
    "WhatIf": _closed(
        version={"const": 1},
        amount=_DECIMAL,
        currency=_TEXT,
        scopes=_list(
            _closed(
                scope=ref("Scope"),
                status=ref("State"),
                spent=_DECIMAL,
                probability_over=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
                exhausted_at=_or_null(_INSTANT),
                fires_below=_or_null(_DECIMAL),
            )
        ),
    ),
    "Replay": _closed(
        version={"const": 1},
        budget=_TEXT,
        days=_COUNT,
        thresholds=_list(_TEXT),
        alerts=_list(
            _closed(
                at=_INSTANT,
                scope=ref("Scope"),
                period=_TEXT,
                threshold=_TEXT,
                spent=_DECIMAL,
                projected=_or_null(_DECIMAL),
            )
        ),
        summary={"type": "object", "description": "periods, crossings, caught, missed, false, median_lead_days"},
    ),
    "Actions": _closed(
        version={"const": 1},
        paused=_or_null(_closed(at=_TEXT, by=_TEXT, reason=_TEXT)),
        configured=_list(ref("ConfiguredAction")),
        actions=_list(ref("Action")),
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
        problems=_list(_TEXT),
    ),
    "Reconciled": {
        **_closed(
            provider=_TEXT,
            scope=ref("Scope"),
            currency=_TEXT,
            **{"from": _or_null(_DATE), "to": _or_null(_DATE)},
            estimated=_DECIMAL,
            billed=_DECIMAL,
            drift_percent=_or_null(_DECIMAL),
            factor=_or_null(_DECIMAL),
            used_by=_list(_TEXT),
            billed_by=_list(_TEXT),
            against={"enum": ["bill", "report"]},
            causes=_list(_closed(kind=_TEXT, said=_TEXT)),
        ),
        "description": "Estimate beside a bill or a gateway's own report, over final days; drift is in percent.",
    },
    "Sources": _closed(
        version={"const": 1},
        evaluated_at=_or_null(_INSTANT),
        sources=_list(ref("Source")),
        compared_at=_or_null(_INSTANT),
        reconciled=_list(ref("Reconciled")),
        duplicate_sources=_list(_TEXT),
    ),
    "Budgets": _closed(version={"const": 1}, evaluated_at=_or_null(_INSTANT), budgets=_list(ref("Budget"))),
    "Alerts": _closed(version={"const": 1}, alerts=_list(ref("Alert"))),
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details; `detail` says what is wrong and what to do.",
        "required": ["type", "title", "status", "detail"],
        "properties": {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT},
    },
    "Outcome": _closed(
        what=_TEXT,
        on=_TEXT,
        state=_TEXT,
        said=_TEXT,
        by=_TEXT,
        at=_INSTANT,
        until=_or_null(_INSTANT),
        changed=_BOOL,
    ),
    **BODIES,
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
