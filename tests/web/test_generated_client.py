"""A client that openapi-python-client generates from the document reads, asks and changes things on a real port."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alertd.web.openapi import DOCUMENT
from tests.web.serving import serving
from tests.web.test_mcp import Served
from tests.web.test_writes import TOKENS

GENERATOR = shutil.which("openapi-python-client") or str(Path(sys.executable).parent / "openapi-python-client")
pytestmark = pytest.mark.skipif(
    not Path(GENERATOR).exists(), reason="no openapi-python-client: `make browser` installs it"
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The generated package, imported; a warning of the generator would mean that a piece is missing."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    (folder / "config.yml").write_text("post_hooks: []\n")
    command = [GENERATOR, "generate", "--path", "openapi.json", "--output-path", "alertd_client", "--meta", "none",
               "--config", "config.yml", "--fail-on-warning"]  # fmt: skip
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "NO_COLOR": "1"})  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("alertd_client")
    finally:
        sys.path.remove(str(folder))


def call(operation: str, /, **arguments: Any) -> Any:
    return importlib.import_module(f"alertd_client.api.default.{operation}").sync_detailed(**arguments)


def test_a_generated_client_reads_asks_and_raises(generated: Any):
    models = importlib.import_module("alertd_client.models")
    labels = models.GetAllowanceLabels.from_dict({"team": "research"})
    more = models.Raise(amount="900 USD")
    with (
        serving({"alertd": Served("off").app}) as at,
        generated.AuthenticatedClient(base_url=at["alertd"], token=TOKENS["editor"]) as client,
    ):
        (research,) = call("get_budgets", client=client, budget="research").parsed.budgets
        assert (research.budget, research.amount, research.currency) == ("research", "500", "USD")
        explained = call("get_budgets_explain", client=client, name="research").parsed
        assert explained.explanations[0].thresholds
        asked = call("get_allowance", client=client, labels=labels).parsed
        assert (asked.allow, asked.budget, asked.scope["team"]) == (False, "teams", "research")
        assert call("post_budgets_raise", client=client, name="research", body=more).parsed.state == "900 USD"
        assert call("post_budgets_raise", client=client, name="nobody", body=more).status_code == 404
