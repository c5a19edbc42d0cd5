"""Pictures of the page for README and docs: made-up figures, a real evaluation, a real browser.

python tools/page_pictures.py          writes docs/gallery/page-*.png (needs `make browser` and Debian's chromium)
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import sin
from pathlib import Path

from playwright import sync_api

from alertd.ports import AlertRow
from alertd.web.server import build
from tests.scenario import NOVEMBER, Scenario, budget
from tests.web.dashboard_client import STOP, StoredRows, proposed, view_of
from tests.web.serving import serving

ROOT = Path(__file__).parents[1]
LEVELS = ["actual 50%", "actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m above 20 USD"]
NOW = NOVEMBER + timedelta(days=22, hours=7, minutes=5)
#: Each team: its budget, what it spends a day, its key, its owner, and from which day on how many times as much.
TEAMS = {
    "search": (500, 18, "search-prod", "@max", 17, 2.6), "research": (500, 9, "rag-indexer", "@ana", 16, 2.2),
    "support": (400, 12, "support-bot", "@max", 30, 1.0), "checkout": (450, 11, "checkout", "@tom", 30, 1.0),
    "docs": (200, 5, "docs-qa", "@eva", 30, 1.0), "fraud": (800, 22, "fraud-scoring", "@tom", 30, 1.0),
    "sales": (700, 18, "sales-assist", "@paul", 30, 1.0), "evals": (300, 12, "evals-nightly", "@ana", 12, 1.4),
}  # fmt: skip
SHOTS = (("page-front", "/", 1280, None), ("page-budget", "/budgets/research", 1280, 1500),
         ("page-action-phone", "/actions/a7f3c2", 390, 844))  # fmt: skip


def main() -> None:
    """Draw them all, light."""
    world, kept = (
        Scenario(
            budget("company", "4500 USD", thresholds=LEVELS, owner="@finops"),
            *(
                budget(name, f"{row[0]} USD", where={"team": name}, thresholds=LEVELS, owner=row[3])
                for name, row in TEAMS.items()
            ),
        ),
        StoredRows(),
    )
    for step in range(-31, 23):
        at = NOVEMBER + timedelta(days=step, hours=6, minutes=30)
        quiet = 0.45 if at.isoweekday() in (6, 7) else 1.0
        for team, (_, pace, key, _, since, times) in TEAMS.items():
            amount = pace * quiet * (times if step >= since else 1) * (1 + 0.15 * sin(step * 1.7 + pace))
            world.spend(round(amount * 0.8, 2), at=at, team=team, key=key)
            world.spend(round(amount * 0.2, 2), at=at, team=team, key=f"{team}-dev")
        world.now = min(at + timedelta(hours=12), NOW)
        if step >= 0:
            _remember(world, kept)
    world.now = NOW
    _remember(world, kept)
    position = next(one for one in world.evaluate().statuses if one.budget.name == "research")
    act, step = proposed("a7f3c2d4e5", STOP.name, "rag-indexer", position, NOW - timedelta(minutes=3))
    kept.steps.append(step)
    act, step = act.after("ask", NOW - timedelta(minutes=3), expires=NOW + timedelta(minutes=57))
    kept.steps.append(step)
    kept.notes = {**kept.notes, act.note: act.to_json()}
    view = view_of(world, kept, actions=lambda: [replace(STOP, approvers=())])
    application = build(view, token=None, open_metrics=False, loopback=True)
    with serving({"page": application}) as found, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, path, width, height in SHOTS:
            page = browser.new_page(viewport={"width": width, "height": height or 900})
            page.goto(found["page"] + path)
            page.screenshot(path=ROOT / "docs" / "gallery" / f"{name}.png", full_page=height is None)
        browser.close()


def _remember(world: Scenario, kept: StoredRows) -> None:
    for alert in world.tick():
        kept.rows += [AlertRow(key, world.now, alert.event) for key in alert.keys]
    kept.notes = dict(world.state.records)


if __name__ == "__main__":
    main()
