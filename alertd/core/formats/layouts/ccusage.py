"""ccusage's JSON reports (`ccusage daily --json` and the like): four disjoint counts a model, and its own estimate.

Source: ryoppippi/ccusage, docs/guide/json-output.md; shapes as its code writes them.
"""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import END, MODEL, REPORTED, TIME, Column, Layout, ignored, label, tokens

_COUNTS: Final = {
    "model_name": MODEL,
    "input_tokens": tokens("input", exclusive=True),
    "output_tokens": tokens("output"),
    "cache_creation_tokens": tokens("cache_write"),
    "cache_read_tokens": tokens("cached_input"),
    "cost": REPORTED,
    **ignored("total_tokens", "total_cost"),
}


def _report(name: str, path: str, carry: tuple[str, ...], columns: dict[str, Column]) -> Layout:
    return Layout(
        name=f"ccusage-{name}",
        title=f"ccusage {name} report (JSON)",
        recognised_by=(*carry[:1], "modelName", "inputTokens", "cacheReadTokens", "cost"),
        includes=frozenset(),
        money="reported",
        path=path,
        carry=carry,
        columns={**_COUNTS, **columns},
    )


LAYOUTS: Final = (
    _report("daily", "daily[].modelBreakdowns[]", ("date",), {"date": TIME}),
    _report("instances", "projects.{}[].modelBreakdowns[]", ("date", "key"), {"date": TIME, "key": label("project")}),
    _report("weekly", "weekly[].modelBreakdowns[]", ("week",), {"week": Column("time", "week")}),
    _report("monthly", "monthly[].modelBreakdowns[]", ("month",), {"month": TIME}),
    _report(
        "session",
        "sessions[].modelBreakdowns[]",
        ("sessionId", "projectPath", "firstActivity", "lastActivity"),
        {
            "first_activity": TIME,
            "last_activity": END,
            "session_id": label("session"),
            "project_path": label("project"),
        },
    ),
    Layout(
        name="ccusage-blocks",
        title="ccusage blocks report (JSON)",
        recognised_by=("startTime", "endTime", "costUSD", "tokenCounts.inputTokens"),
        provider="anthropic",
        money="reported",
        path="blocks[]",
        where={"isGap": ("false", "")},
        columns={
            "start_time": TIME,
            "actual_end_time": END,
            "cost_usd": REPORTED,
            **ignored("total_tokens", "token_counts_input_tokens", "token_counts_output_tokens"),
            **ignored("token_counts_cache_creation_input_tokens", "token_counts_cache_read_input_tokens"),
        },
        one_cost=True,
        note="a block's tokens are not split by model: its cost is ccusage's own estimate",
    ),
)
