"""What alertd is made of: declared, locked by hash without an address, and built twice to the same bytes."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: What no line of ours imports, with why it is asked for.
NOT_IMPORTED = {"sniffio": "httpx asks for it at every lock", "tzdata": "zoneinfo reads it"}
SLIM = [*PROJECT["dependencies"], *EXTRAS["postgres"], *EXTRAS["charts"]]
#: Of each lock, what it has to hold; empty where a file of that name and `.in` lists it.
LOCKS = {
    "alertd": PROJECT["dependencies"],
    "slim": SLIM,
    "full": [
        *SLIM,
        *EXTRAS["parquet"],
        *EXTRAS["apprise"],
        *EXTRAS["aws"],
        *EXTRAS["azure"],
        *EXTRAS["gcp"],
        *EXTRAS["clickhouse"],
        *EXTRAS["mcp"],
    ],
    "build": [],
    "docs": [],
}


def imported() -> dict[str, set[str]]:
    """What the package imports from outside the standard library, with the files that do."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "alertd").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module" and node.args:
                names += [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
            for name in names:
                found.setdefault(str(name).partition(".")[0], set()).add(file.name)
    return {name: files for name, files in found.items() if name not in {*sys.stdlib_module_names, "alertd"}}


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_whatever_is_imported_is_declared_and_whatever_is_declared_is_imported() -> None:
    known = importlib.metadata.packages_distributions()
    needed = {name: {canonicalize_name(one) for one in known.get(name, [name])} for name in imported()}
    own = declared("postgres", "charts", "apprise", "parquet", "aws", "gcp", "sql", "clickhouse", "mcp")
    assert {name: imported()[name] for name, given in needed.items() if not given & own} == {}
    used = {one for given in needed.values() for one in given}
    assert declared() - used == set(NOT_IMPORTED)


# --- the image's requirements ---


def locked(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement of a lock, with its hashes."""
    for entry in (ROOT / "requirements" / f"{name}.lock").read_text().replace("\\\n", " ").splitlines():
        line, *hashes = entry.split("--hash=")
        yield Requirement(line), [one.strip() for one in hashes]


@pytest.mark.parametrize("name", LOCKS)
def test_each_locked_file_has_its_hash_and_no_address_is_named(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert re.findall(r"https?:|file:|index|find-links|/opt|@", text) == []
    found = list(locked(name))
    assert len(found) > 5
    for requirement, hashes in found:
        assert re.fullmatch(r"==[0-9][0-9a-z.!+]*", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_is_declared_at_a_version_that_is_allowed(name: str) -> None:
    wanted = LOCKS[name] or [
        line for line in (ROOT / "requirements" / f"{name}.in").read_text().splitlines() if not line.startswith("#")
    ]
    versions = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one, _ in locked(name)}
    for line in wanted:
        requirement = Requirement(line)
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{line} is not in {name}.lock: make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{line}: {version}: make lock"


def test_the_image_installs_nothing_but_locked_files() -> None:
    installs = re.findall(r"pip[^\n]* install [^\n]*", (ROOT / "Dockerfile").read_text())
    installs = [line for line in installs if "apt-get" not in line]
    assert len(installs) == 3
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []
    assert [line for line in installs if "--no-deps" not in line] == []


# --- the same bytes twice ---


def built(folder: Path, kind: str, umask: int) -> dict[str, str]:
    """What hatchling builds of a copy of the tree, by name: its SHA-256."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    before = os.umask(umask)
    try:
        for name in tracked.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PYTHONHASHSEED": str(umask)}
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind],
            cwd=folder, env=environment, capture_output=True, check=True,
        )  # fmt: skip
    finally:
        os.umask(before)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "dist").iterdir()}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_two_builds_in_two_places_at_two_times_are_the_same_bytes(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("hatchling", reason="no hatchling: pip install --editable '.[dev]'")
    one, other = built(tmp_path / "one", kind, 0o022), built(tmp_path / "elsewhere" / "other", kind, 0o077)
    assert len(one) == 1
    assert one == other
