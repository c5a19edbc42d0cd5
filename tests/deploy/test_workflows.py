"""What a public forge runs: by its schema, linted, pinned by commit, with no right unnamed; and the release."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alertd import __version__
from tools import docs_site, release

ROOT = Path(__file__).parents[2]
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
yaml: Any = pytest.importorskip("yaml", reason="no YAML reader; `make deploy` installs it")


def ran(program: str, *words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {program}; `make deploy` installs it")
    return subprocess.run([found, *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_zizmor_finds_nothing() -> None:
    done = ran("zizmor", "--offline", "--persona", "pedantic", "--no-progress", FORGE)
    assert done.returncode == 0, done.stdout


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    unsafe = (
        "on: pull_request\njobs: {a: {runs-on: x, steps: [{run: 'echo ${{ github.event.pull_request.title }}'}]}}\n"
    )
    (tmp_path / ".github" / "workflows" / "one.yml").write_text(unsafe)
    done = ran("zizmor", "--offline", "--no-progress", tmp_path)
    assert done.returncode != 0
    assert "template-injection" in done.stdout


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [FORGE / "dependabot.yml"]),
        ("github-issue-forms", sorted((FORGE / "ISSUE_TEMPLATE").glob("*.yml"))),
    ],
    ids=["workflows", "dependabot", "issue forms"],
)
def test_each_file_is_one_by_its_schema(schema: str, files: list[Path]) -> None:
    assert files
    done = ran("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_and_every_right_is_named(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "permissions" in job, name
        assert job.keys() & {"timeout-minutes", "uses"}, name
        for step in job.get("steps", []):
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40)), step


def test_only_the_jobs_that_publish_may_prove_who_they_are() -> None:
    jobs = yaml.safe_load((FORGE / "workflows" / "release.yml").read_text())["jobs"]
    trusted = {name for name, job in jobs.items() if job["permissions"].get("id-token") == "write"}
    assert trusted == {"index", "images", "chart"}
    assert not any("checkout" in step.get("uses", "") for step in jobs["index"]["steps"]), "it publishes what was built"
    assert {"test", "package"} <= set(jobs["index"]["needs"])
    build = next(step for step in jobs["image"]["steps"] if step.get("id") == "build")["with"]
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")


def test_what_the_workflows_call_is_there() -> None:
    """Targets of make, files and locks."""
    lines = [
        step["run"]
        for file in WORKFLOWS
        for job in yaml.safe_load(file.read_text())["jobs"].values()
        for step in job.get("steps", [])
        if "run" in step
    ]
    text = "\n".join(lines)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", text)) <= targets
    named = set(re.findall(r"(?<![\w/])((?:\.ci|requirements|tests|tools|config)/[\w./-]+)", text))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


# --- the release ---


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a release reads and writes, with the changelog as it is at a release."""
    for name in [*release.PLACES, "config/helm/alertd/values.yaml", "CHANGELOG.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    sections = ("Unreleased\n\n- later", f"{__version__} (2026-12-01)\n\n- One.", "0.0.1 (2026-01-01)\n\n- Old.")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n" + "".join(f"\n## {section}\n" for section in sections))
    return tmp_path


def test_the_notes_are_the_version_s_own_section(tree: Path) -> None:
    assert release.notes(f"v{__version__}", tree) == "- One.\n"


def test_a_tag_that_is_not_the_tree_s_version_makes_no_release(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"alertd/__init__\.py: the version is .*, the tag is v9\.9\.9"):
        release.notes("v9.9.9", tree)
    chart = tree / "config" / "helm" / "alertd" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(f"\nversion: {__version__}", "\nversion: 7.7.7"))
    with pytest.raises(ValueError, match="the chart's version is 7"):
        release.notes(f"v{__version__}", tree)


def test_a_version_without_a_dated_section_makes_no_release(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## Unreleased: {__version__}, the first version\n\n- One.\n")
    with pytest.raises(ValueError, match="give the unreleased one its date"):
        release.notes(f"v{__version__}", tree)


def test_the_released_chart_knows_its_image_and_where_it_comes_from(tree: Path) -> None:
    release.chart("https://forge.example.com/us/alertd", "registry.example.com/us/alertd", tree)
    about = yaml.safe_load((tree / "config/helm/alertd/Chart.yaml").read_text())
    assert (about["home"], about["version"]) == ("https://forge.example.com/us/alertd", __version__)
    images = yaml.safe_load(about["annotations"]["artifacthub.io/images"])
    assert images[0]["image"] == f"registry.example.com/us/alertd:{__version__}"
    assert any(link["name"] == "support" for link in yaml.safe_load(about["annotations"]["artifacthub.io/links"]))
    assert yaml.safe_load(about["annotations"]["artifacthub.io/changes"])
    assert about["annotations"]["artifacthub.io/category"] == "monitoring-logging"
    values = yaml.safe_load((tree / "config/helm/alertd/values.yaml").read_text())
    assert values["image"]["repository"] == "registry.example.com/us/alertd"


# --- the site ---


@pytest.mark.parametrize("address", ["https://forge.example.com/us/alertd", ""], ids=["with an address", "without one"])
def test_the_site_has_every_page_and_no_dead_link_and_loads_nothing_from_elsewhere(
    address: str, tmp_path: Path
) -> None:
    assert docs_site.main([str(tmp_path / "pages"), address]) == 0
    text = (ROOT / "zensical.toml").read_text()
    (tmp_path / "zensical.toml").write_text(text.replace("build/pages", "pages").replace("build/site", "site"))
    done = ran("zensical", "build", "--clean", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    sources = {file.stem for file in (tmp_path / "pages").glob("*.md")}
    assert {re.sub(r"\W", "", name) for name in re.findall(r'[\w-]+(?=\.md")', text)} == {
        re.sub(r"\W", "", name) for name in sources
    }, "zensical.toml names each page"
    pages = [file.read_text() for file in (tmp_path / "site").rglob("*.html")]
    assert len(pages) >= len(sources)
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+rel=\"(?:stylesheet|preconnect)\"[^>]+http"
    )
    assert [match[0] for page in pages for match in loaded.finditer(page)] == []
    assert [page for page in pages if '="../config/' in page or '="../tests/' in page] == []


def test_ci_installs_every_program_that_a_test_cannot_do_without() -> None:
    """Where it installs none, the test is skipped there, and CI takes a skipped integration test for a failure."""
    asked = re.compile(r'(?:skipif\(|if )[^\n]*shutil\.which\("(\w+)"\)|= shutil\.which\("(\w+)"\)$', re.MULTILINE)
    named = {
        program
        for folder in ("system", "web", "commands", "sources", "core")
        for file in sorted((ROOT / "tests" / folder).rglob("*.py"))
        for pair in asked.findall(file.read_text())
        for program in pair
        if program
    }
    script = (ROOT / ".ci" / "run").read_text()
    assert {"nginx", "chromium", "prometheus"} <= named
    # promtool comes with prometheus, setpriv with every Debian.
    assert {one for one in named - {"promtool", "setpriv"} if not re.search(rf"\b{one}\b", script)} == set()
