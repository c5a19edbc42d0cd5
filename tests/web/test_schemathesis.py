"""The API under schemathesis: whatever is asked, the answers are as the document has them, and never a 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from alertd.web.application import View, build
from tests.web.serving import serving

PROGRAM = Path(sys.executable).with_name("schemathesis")
pytestmark = pytest.mark.integration
if not PROGRAM.exists():
    pytest.skip("needs schemathesis: make browser", allow_module_level=True)


@pytest.mark.parametrize("token", [None, "secret"], ids=["open", "guarded"])
def test_no_question_gets_an_answer_that_the_document_does_not_have(view: View, tmp_path: Path, token: str | None):
    application = build(view, token=token, open_metrics=False, loopback=True)
    with serving({"house": application}) as address:
        words = [PROGRAM, "run", f"{address['house']}/openapi.json", "--checks", "all", "--max-examples", "40"]
        key = ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run([*words, *key], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "7 tested" in done.stdout or "Tested: 7" in done.stdout
