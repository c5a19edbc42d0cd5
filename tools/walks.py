"""How many files five things touch: one alert, one `raise`, a new notifier, a new source, a new field of the API.

    PYTHONPATH=. python tools/walks.py                    all five, some minutes
    PYTHONPATH=. python tools/walks.py alert raise --list  two of them, with the files by name

`alert` and `raise` run for real and count the files of alertd that were entered. `notifier` and `source` add a kind to
a copy of this tree (an existing one under another name), run `make docs` there, and name every file that is new or
changed; the contract tests of the new kind have to pass. `field` names the files that know one field of the API.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Final

from alertd.cli import main as cli
from alertd.core.evaluation.routing import Receiver, route
from alertd.core.messages import compose
from tests.scenario import Scenario, budget

ROOT: Final = Path(__file__).parents[1]
#: The field of the API whose files are counted: one that is in every budget's answer.
FIELD: Final = "probability_over"
_ENV: Final = """\
ALERTD_DATABASE=sqlite:///{folder}/alertd.db
ALERTD_SOURCES__GATEWAY__KIND=prometheus
ALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:9
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__RESEARCH__AMOUNT=500 USD
ALERTD_NOTIFIERS__OPS__KIND=console
"""


def alert() -> list[str]:
    """The files that one threshold alert passes through, from a usage row to the words of its message."""
    scenario = Scenario(budget(thresholds=["actual 50%", "actual 100%"]))
    scenario.spend(1)
    scenario.tick()
    scenario.pass_time(hours=1)
    receivers = {"ops": Receiver("ops", people=True, address=lambda _: "#llm")}
    with _entered() as walked:
        scenario.spend(300)
        messages = route(scenario.tick(), {one.name: one for one in scenario.budgets}, receivers)
        texts = [compose(list(message.events), scenario.now) for message in messages]
    assert texts, "the alert is announced"  # noqa: S101 - else there was nothing to walk
    return walked


def raise_() -> list[str]:
    """The files that `alertd raise research 600` enters."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alertd.env"
        file.write_text(_ENV.format(folder=folder), "utf-8")
        with _entered() as walked, contextlib.redirect_stdout(io.StringIO()):
            code = cli(["raise", "research", "600", "--env-file", str(file)])
    assert code == 0, "the budget is raised"  # noqa: S101 - else there was nothing to walk
    return walked


@contextlib.contextmanager
def _entered() -> Iterator[list[str]]:
    """The file of each call into alertd, one after the other; printed are the calls and the changes of file."""
    walked: list[str] = []

    def enter(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # not a module or a class that is being imported
        if event == "call" and is_function and name.startswith(str(ROOT / "alertd")):
            walked.append(str(Path(name).relative_to(ROOT)))

    sys.setprofile(enter)
    try:
        yield walked
    finally:
        sys.setprofile(None)
    print(f"  {sum(one != other for one, other in pairwise(walked))} changes of file, {len(walked)} calls")


def notifier() -> list[str]:
    """The files that a new notifier adds or changes: one like Discord's."""
    return _added("notifiers", "discord", "tests/contracts/test_notifiers.py")


def source() -> list[str]:
    """The files that a new source adds or changes: one like Anthropic's."""
    return _added("sources", "anthropic", "tests/contracts/test_sources.py")


def field() -> list[str]:
    """The files of the program and its documentation that name one field of a budget's answer."""
    command = ["git", "-C", str(ROOT), "grep", "-l", f"{FIELD}", "--", "alertd/web", "alertd/commands", "docs"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603 - git


def _added(group: str, like: str, contract: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in ("alertd", "tests", "tools", "docs", "config"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"):
            shutil.copy(ROOT / name, tree / name)
        before = _texts(tree)
        made = (tree / "alertd" / group / f"{like}.py").read_text("utf-8")
        (tree / "alertd" / group / "example.py").write_text(made.replace(f"={like}", "=example"), "utf-8")
        _run(tree, [sys.executable, "tools/plugin_docs.py"])
        _run(tree, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "example", contract])
        after = _texts(tree)
        return [*sorted(name for name in after if after[name] != before.get(name)), "(its own test)"]


def _texts(tree: Path) -> dict[str, bytes]:
    files = (path for path in tree.rglob("*") if path.is_file() and not {"__pycache__", ".hypothesis"} & {*path.parts})
    return {str(path.relative_to(tree)): path.read_bytes() for path in files}


def _run(tree: Path, command: list[str]) -> None:
    done = subprocess.run(command, cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True)  # noqa: S603, PLW1510 - our own; said below
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]  # noqa: S101 - the claim of this walk


WALKS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "alert": alert, "raise": raise_, "notifier": notifier, "source": source, "field": field,
}  # fmt: skip


def main() -> int:
    """Print the files of each walk that is named, or of all."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tools/walks.py", description=__doc__, formatter_class=form)
    parser.add_argument("walk", nargs="*", metavar="WALK", help=f"one of {', '.join(WALKS)}; without one, all")
    parser.add_argument("--list", action="store_true", help="print the files, too")
    given = parser.parse_args()
    if unknown := set(given.walk) - {*WALKS}:
        parser.error(f"no walk {', '.join(sorted(unknown))}; there are: {', '.join(WALKS)}")
    for name in given.walk or WALKS:
        print(f"{name}:")
        files = sorted(set(WALKS[name]()))
        print(f"  {len(files)} files")
        for file in files if given.list else ():
            print(f"    {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
