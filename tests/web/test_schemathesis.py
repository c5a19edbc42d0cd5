"""The API under schemathesis: whatever is asked, the answers are as the document has them, and never a 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alertd.web.server import build
from tests.web.dashboard_client import november, view_of, with_acts
from tests.web.serving import serving

PROGRAM = Path(sys.executable).with_name("schemathesis")
pytestmark = pytest.mark.integration
if not PROGRAM.exists():
    pytest.skip("needs schemathesis: make browser", allow_module_level=True)


#: What is asked is the same each time, so that a failure is of a change and not of luck.
SAME = ["--generation-deterministic"]
#: A schema cannot say which alert is open, what an amount is above, or which key was used before.
EVERY = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "15"]
READS = ["--include-method", "GET", "--max-examples", "40"]
#: Every other parameter of the allowance is a label, and in a query all are text: nothing in it is of a wrong type.
#: (`--checks all` would turn that check on again; all are on by themselves.)
#: Nor can a schema say which budgets there are, in which currency, or how a threshold is written.
SETTINGS = """
[[operations]]
include-path-regex = "^/api/v1/allowance(/check)?$"
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "^/api/v1/budgets/[^/]+/(explain|what-if|replay)$"
parameters = { "path.name" = "research", "query.amount" = "600 USD", "query.threshold" = "forecast 100% p80" }
"""


@pytest.mark.parametrize(
    ("token", "options", "count"), [(None, EVERY, 33), ("secret", READS, 15)], ids=["all", "reads"]
)
def test_no_question_gets_an_answer_that_the_document_does_not_have(
    tmp_path: Path, token: str | None, options: list[str], count: int
):
    world, kept = november(scopes=2)
    with_acts(world, kept)
    decided = world.facts(), world.evaluate()
    view = view_of(world, kept, budgets=lambda: world.budgets, evaluation=lambda: decided)
    application = build(view, token=token, open_metrics=False, loopback=True)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    with serving({"house": application}) as address:
        words = [PROGRAM, "run", f"{address['house']}/openapi.json", *SAME, *options]
        key = ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run([*words, *key], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"Tested: {count}" in done.stdout
