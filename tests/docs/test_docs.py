"""The documentation holds: its settings load, its commands exist, its messages are the code's, its links lead."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import pytest

from alertd.cli import command_names
from alertd.settings import describe, load_settings

ROOT = Path(__file__).parents[2]
OF_THE_ROOT = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [ROOT / name for name in OF_THE_ROOT] + sorted((ROOT / "docs").glob("*.md"))
TROUBLE = ROOT / "docs" / "troubleshooting.md"
HOSTS = ROOT / "docs" / "outbound-hosts.md"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks of a kind, also those that stand in a list."""
    return [dedent(block) for block in re.findall(rf"^ *```{kind}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)]


def env_blocks() -> list[tuple[str, str]]:
    found = ((named(page), block) for page in PAGES for block in blocks(page.read_text(), "sh"))
    return [(name, block) for name, block in found if "ALERTD_" in block]


@pytest.mark.parametrize(("page", "block"), env_blocks(), ids=lambda part: part if part.endswith(".md") else "")
def test_every_configuration_that_is_shown_is_sound(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With secrets from files that are there, and with the elsewhere-shown rest that a part of one needs."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "database-url").write_text("postgresql://alertd@db/alertd")
    for name in ("heartbeat-url", "slack-webhook"):
        (tmp_path / name).write_text("https://example.com/x")
    for name in re.findall(r"/run/secrets/([\w-]+)", block):
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text("s3cret-of-enough-characters")
    if "SOURCES__GATEWAY" in block and "GATEWAY__KIND" not in block:
        block += "ALERTD_SOURCES__GATEWAY__KIND=prometheus\nALERTD_SOURCES__GATEWAY__URL=http://x\n"
        block += "ALERTD_SOURCES__GATEWAY__PRESET=litellm\n"
    (tmp_path / "alertd.env").write_text(block.replace("/run/secrets", str(tmp_path)))
    assert load_settings({}, [tmp_path / "alertd.env"]) is not None, page


def commands() -> list[tuple[str, str]]:
    """Every `alertd ...` that a page shows as typed."""
    lines = (
        (named(page), line) for page in PAGES for b in blocks(page.read_text(), "console") for line in b.splitlines()
    )
    typed = ((page, line.removeprefix("$ ").partition("  #")[0]) for page, line in lines if line.startswith("$ "))
    return [(page, line) for page, line in typed if re.match(r"(\.venv/bin/)?alertd ", line)]


def parser_of(name: str) -> argparse.ArgumentParser:
    command = import_module(f"alertd.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    return parser


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_that_is_shown_is_taken(page: str, line: str) -> None:
    _, name, *words = shlex.split(line)
    assert name in command_names(), f"{page}: {line}"
    assert parser_of(name).parse_args(words) is not None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target.partition("#") for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    here = [(page.parent / name if name else page, place) for name, _, place in targets if "://" not in name]
    assert [file for file, _ in here if not file.exists()] == []
    assert [(file, place) for file, place in here if place and place not in headings(file)] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_file_that_the_configuration_and_the_readme_speak_of_is_there() -> None:
    """Paths in comments and in prose, which are no links."""
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "config").glob("*.*")]
    named = {
        path
        for file in files
        for path in re.findall(r"\b(?:docs|config)/[\w./-]+\w", re.sub(r"https?://\S+", "", file.read_text()))
    }
    assert len(named) > 20
    yours = {"config/prices.toml"}  # a name for a file that the reader writes
    assert {path for path in named - yours if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_program_that_is_named_is_there(page: Path) -> None:
    """From the root, the package or the benchmarks: `core/ledger/blocks.py`, `bench_tick.py --series N`."""
    roots = (ROOT, ROOT / "alertd", ROOT / "tests" / "benchmarks")
    found = set(re.findall(r"`(?:[\w.=]+ )*([\w/]+\.py)\b[^`]*`", page.read_text()))
    assert {name for name in found if not any((root / name).exists() for root in roots)} == set()


def test_the_layers_in_the_architecture_are_those_of_the_linter() -> None:
    linted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in linted if contract["type"] == "layers")
    chain = " > ".join(f"({layer})" if "|" in layer else layer for layer in layers)
    assert f"`{chain}`" in (ROOT / "docs" / "architecture.md").read_text()


def test_every_dependency_has_its_reason_on_the_page_of_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", one)[0] for one in project["dependencies"]}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in wanted if name not in text} == set()
    assert {extra for extra in project["optional-dependencies"] if f"`{extra}`" not in text} == set()


def source_text() -> str:
    """The program's text, with strings that go on over lines joined, and what is filled in as `…`."""
    text = "\n".join(file.read_text() for file in sorted((ROOT / "alertd").rglob("*.py")))
    joined = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\{[^{}\n]*\}|%s|%d", "…", joined)


def messages() -> list[str]:
    """The messages of the troubleshooting page: the first column, but for paths and plain words."""
    cells = re.findall(r"^\| `([^`]+)` \|", TROUBLE.read_text(), re.MULTILINE)
    return [cell for cell in cells if not cell.startswith("/")]


SOURCE = source_text()


@pytest.mark.parametrize("message", messages())
def test_every_message_of_the_troubleshooting_page_is_one_that_alertd_says(message: str) -> None:
    parts = [part.strip() for part in re.split(r"…|; |: |\(schema|401|403|\(it|\(these|\)", message)]
    wanted = [part for part in parts if len(part) > 7]
    assert wanted, "a message has words of its own"
    assert [part for part in wanted if part not in SOURCE] == []


def test_what_is_made_from_the_plug_ins_is_what_they_say() -> None:
    """The settings, the env example, the sources and the outbound hosts. To mend it: `make docs`."""
    spec = spec_from_file_location("plugin_docs", ROOT / "tools" / "plugin_docs.py")
    assert spec is not None
    assert spec.loader is not None
    plugin_docs = module_from_spec(spec)
    spec.loader.exec_module(plugin_docs)
    stale = [named(path) for path, text in plugin_docs.texts().items() if path.read_text("utf-8") != text]
    assert stale == []


def test_every_default_address_is_on_the_page_of_hosts() -> None:
    text = HOSTS.read_text()
    hosts = {urlsplit(key.default).hostname for key in describe() if key.default.startswith("https://")}
    assert len(hosts) > 4
    assert {host for host in hosts if host not in text} == set()


def test_no_page_is_long() -> None:
    """Task by task: who needs more than two screens has two tasks. What code makes may be long, as may a changelog."""
    made = {"settings.md", "gallery.md", "sources.md", "CHANGELOG.md"}
    long = {named(page): len(page.read_text().splitlines()) for page in PAGES if page.name not in made}
    assert {name: lines for name, lines in long.items() if lines > (140 if name == "README.md" else 130)} == {}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text()))
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
    }
    assert len(named) > 40
    assert named - there == set()
