"""What alertd imports is declared: a dependency of a dependency may go with its next version."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported() -> set[str]:
    """The packages from outside that a module of alertd imports by name."""
    found: set[str] = set()
    for path in (ROOT / "alertd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"alertd"}


def declared() -> set[str]:
    """The distributions that a user gets: the dependencies and the extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for extra in ("parquet", "charts", "apprise", "mcp", "postgres", "aws", "sql") for one in extras[extra]),
    ]
    return {normal(re.split(r"[\[<>=;]", one)[0]) for one in wanted}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    used = {name: {normal(one) for one in distributions.get(name, [name])} for name in imported()}
    assert len(used) > 15
    assert {name: sorted(of) for name, of in used.items() if not of & declared()} == {}
