"""Mutation testing: change one operator or number of a file at a time, run its tests, and list the changes that lived.

python tools/mutate.py alertd/core/evaluation/lifecycle.py --tests tests/stories/test_alert_life.py --sample 30 --seed 1

Works in a copy of the tree. A change that no test notices is printed with its line; exit status 1 where any lived.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COPIED: Final = ("alertd", "tests", "config", "pyproject.toml")


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """The line, what changes, and the whole text, of every mutant of a module."""
    count = sum(1 for _ in _places(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        line, said, change = list(_places(tree))[number]
        change()
        yield line, said, ast.unparse(ast.fix_missing_locations(tree))


def _places(tree: ast.Module) -> Iterator[tuple[int, str, object]]:
    for node in ast.walk(tree):
        match node:
            case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
                other = _COMPARED[type(operator)]
                said = f"{type(operator).__name__} -> {other.__name__}: {ast.unparse(node)}"
                yield node.lineno, said, lambda node=node, other=other: setattr(node, "ops", [other()])
            case ast.BoolOp():
                other_op = ast.Or if isinstance(node.op, ast.And) else ast.And
                said = f"{type(node.op).__name__} -> {other_op.__name__}: {ast.unparse(node)}"
                yield node.lineno, said, lambda node=node, other_op=other_op: setattr(node, "op", other_op())
            case ast.UnaryOp(op=ast.Not()):
                said = f"not removed: {ast.unparse(node)}"
                yield node.lineno, said, lambda node=node: _negate(node)
            case ast.Constant(value=bool()):
                yield node.lineno, f"{node.value} flipped", lambda node=node: setattr(node, "value", not node.value)
            case ast.Constant(value=int() | float()):
                yield node.lineno, f"{node.value} + 1", lambda node=node: setattr(node, "value", node.value + 1)


def _negate(node: ast.UnaryOp) -> None:
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _failure(folder: str, tests: list[str]) -> str:
    """What the tests say where one fails; "" where all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": folder}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    return ran.stdout + ran.stderr if ran.returncode else ""


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    found = list(mutants((ROOT / args.file).read_text()))
    chosen = random.Random(args.seed).sample(found, min(args.sample, len(found)))  # noqa: S311 - a reproducible sample
    lived = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in _COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        if said := _failure(folder, args.tests):
            print(f"the tests fail without any change:\n{said}")
            return 2
        for line, said, text in chosen:
            (Path(folder) / args.file).write_text(text)
            if not _failure(folder, args.tests):
                lived.append((line, said))
                print(f"lived: {args.file}:{line}: {said}", flush=True)
    print(f"{args.file}: {len(chosen)} of {len(found)} mutants tried, {len(lived)} lived")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
