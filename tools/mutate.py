"""Mutation testing: change one operator or number of a file at a time, run its tests, and list the changes that lived.

python tools/mutate.py alertd/core/evaluation/lifecycle.py --tests tests/stories/test_alert_life.py

The module is loaded once, and every change is tried in a child process. A change that no test notices is printed with
its line; exit status 1 where any lived. --sample N tries N changes, chosen by --seed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
#: Seconds until a change counts as noticed because the tests do not end.
_LONGEST: Final = 300


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


def _apply(module: ModuleType, text: str) -> None:
    """Give the functions and constants of a loaded module the meaning of another text, wherever they were imported."""
    changed: dict[str, object] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(text, str(module.__file__), "exec"), changed)  # noqa: S102 - the project's own text
    for name, value in changed.items():
        _replace(vars(module), name, value, module.__name__)


def _replace(space: dict[str, object], name: str, new: object, of: str) -> None:
    old = space.get(name)
    if isinstance(old, FunctionType) and isinstance(new, FunctionType) and old.__module__ == of:
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    elif isinstance(old, type) and isinstance(new, type) and old.__module__ == of:
        for own, value in vars(new).items():
            _replace(dict(vars(old)), own, value, of)
    elif isinstance(old, property) and isinstance(new, property):
        _replace({"get": old.fget}, "get", new.fget, of)
    elif not isinstance(new, type | FunctionType) and not name.startswith("__") and isinstance(space, dict):
        space[name] = new


def _is_noticed(module: ModuleType, text: str, tests: list[str]) -> bool:
    """Whether a test fails with the changed text; tried in a child, so that nothing stays changed."""
    child = os.fork()
    if not child:
        signal.alarm(_LONGEST)  # a change that never ends is noticed, too
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            try:
                _apply(module, text)
                code = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))
            except BaseException:  # noqa: BLE001 - a text that cannot even be loaded is noticed
                code = 1
            os._exit(1 if code else 0)
    return os.waitpid(child, 0)[1] != 0


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", help="only changes of these lines: 12,40-60")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    module = importlib.import_module(".".join(args.file.with_suffix("").parts))
    original = (ROOT / args.file).read_text()
    found = [one for one in mutants(original) if _is_asked(one[0], args.lines)]
    if args.sample:
        found = random.Random(args.seed).sample(found, min(args.sample, len(found)))  # noqa: S311 - reproducible
    pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", "-p", "no:xdist", *args.tests])
    if _is_noticed(module, original, args.tests):
        print("the tests fail without any change")
        return 2
    lived = 0
    for line, said, text in sorted(found):
        if not _is_noticed(module, text, args.tests):
            lived += 1
            print(f"lived: {args.file}:{line}: {said}", flush=True)
    print(f"{args.file}: {len(found)} changes tried, {lived} lived")
    return 1 if lived else 0


def _is_asked(line: int, lines: str | None) -> bool:
    if lines is None:
        return True
    spans = [part.split("-") for part in lines.split(",")]
    return any(int(span[0]) <= line <= int(span[-1]) for span in spans)


if __name__ == "__main__":
    sys.exit(main())
