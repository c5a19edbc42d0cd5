"""Figures of the code: files, lines, functions, docstrings, comments, `Any`, cycles, names with two meanings.

    python tools/code_figures.py                  the working tree
    python tools/code_figures.py v0.1 HEAD .      git revisions (and `.`, the working tree) side by side
    python tools/code_figures.py --names          every class that is defined in more than one module, with its modules

A function's length is its lines with its docstring, without decorators. A cycle is a set of packages of `alertd.core`
(a folder, or a module beside the folders) that import each other, imports for types included.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: One file a kind, however many there are: not counted among the files that everybody has to know.
PLUGINS: Final = ("alertd/sources/", "alertd/notifiers/", "alertd/revokers/", "alertd/core/formats/")
#: A file of more lines than this is too long.
_LONG: Final = 300
#: What every plug-in calls alike.
_PROTOCOL: Final = frozenset({"Options"})


def sources(revision: str) -> dict[str, str]:
    """The Python files below alertd/ by path: of a git revision, or of the working tree for "."."""
    if revision == ".":
        return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted(ROOT.glob("alertd/**/*.py"))}
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "alertd"]
    packed = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - git on this repository
    found: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tree:
        for member in tree.getmembers():
            content = tree.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                found[member.name] = content.read().decode("utf-8")
    return found


def figures(files: Mapping[str, str]) -> dict[str, str]:
    """Every figure by its name, as text."""
    trees = {path: ast.parse(text) for path, text in files.items()}
    lengths = [text.count("\n") for path, text in files.items() if _has_code(trees[path])]
    core = [text.count("\n") for path, text in files.items() if not path.startswith(PLUGINS) and _has_code(trees[path])]
    functions = [_length(node) for tree in trees.values() for node in _functions(tree)]
    lines = sum(text.count("\n") for text in files.values())
    docstrings = sum(_docstring_lines(tree) for tree in trees.values())
    comments = sum(_comment_lines(text) for text in files.values())
    return {
        "files": str(len(files)),
        "files beside plug-ins": str(sum(1 for path in files if not path.startswith(PLUGINS))),
        "lines": f"{lines:,}",
        "lines of a file: median, p90, max": _spread(lengths),
        "the same beside plug-ins": _spread(core),
        "files over 300 lines": str(sum(1 for length in lengths if length > _LONG)),
        "functions": f"{len(functions):,}",
        "lines of a function: median, p90, max": _spread(functions),
        "docstrings, share of lines": f"{docstrings / lines:.1%}",
        "comments, share of lines": f"{comments / lines:.1%}",
        "`Any` in annotations": str(sum(_any(tree) for tree in trees.values())),
        "broad `except Exception`": str(sum(_broad(tree) for tree in trees.values())),
        "cycles between packages of core": _cycles(trees),
        "classes defined in two modules": str(len(doubled(trees))),
    }


def doubled(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Classes that more than one module defines, `_` left off, with the modules.

    A provider's source and revoker have the provider's name: that is one meaning.
    """
    where: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        for name in _types(tree):
            where[name.lstrip("_")].add(path)
    found = {name: sorted(paths) for name, paths in sorted(where.items()) if len(paths) > 1 and name not in _PROTOCOL}
    return {name: paths for name, paths in found.items() if len({Path(path).stem for path in paths}) > 1}


def _types(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name


def _cycles(trees: Mapping[str, ast.Module]) -> str:
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        if not path.startswith("alertd/core/"):
            continue
        package = _package(path.removesuffix(".py").replace("/", "."))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alertd.core."):
                graph[package].add(_package(str(node.module)))
        graph[package].discard(package)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " > ".join(error.args[1])
    return "none"


def _package(module: str) -> str:
    return module.split(".")[2]


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _docstring_lines(tree: ast.Module) -> int:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, holders) and ast.get_docstring(node) is not None:
            found += (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return found


def _comment_lines(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(1 for token in tokens if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"))


def _any(tree: ast.Module) -> int:
    return sum(1 for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "Any")


def _broad(tree: ast.Module) -> int:
    handlers = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    return sum(1 for node in handlers if isinstance(node.type, ast.Name) and node.type.id == "Exception")


def _has_code(tree: ast.Module) -> bool:
    """Not a package's `__init__` that holds a docstring alone."""
    return len(tree.body) > 1


def _spread(values: Sequence[int]) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]}, {ordered[len(ordered) * 9 // 10]}, {ordered[-1]}"


def main() -> None:
    """Print the figures of each revision beside each other."""
    parser = argparse.ArgumentParser(description="figures of the code, of git revisions or the working tree")
    parser.add_argument("revisions", nargs="*", default=["."])
    parser.add_argument("--names", action="store_true", help="list the classes that two modules define")
    given = parser.parse_args()
    found = [figures(sources(revision)) for revision in given.revisions]
    width = max(map(len, found[0]))
    print(" " * width, *(f"{revision[:18]:>18}" for revision in given.revisions))
    for name in found[0]:
        print(f"{name:{width}}", *(f"{one[name]:>18}" for one in found))
    if given.names:
        trees = {path: ast.parse(text) for path, text in sources(given.revisions[-1]).items()}
        for name, paths in doubled(trees).items():
            print(f"{name}: {', '.join(path.removeprefix('alertd/') for path in paths)}")


if __name__ == "__main__":
    main()
