"""Prints sentences picked at random from docs, docstrings and messages, to be read as a stranger reads them.

    PYTHONPATH=. python tools/sample_sentences.py [--seed N] [--count N]

The same seed picks the same sentences as long as the texts stay the same.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from alertd.core.messages import compose, text_of
from alertd.core.messages.samples import SAMPLES

ROOT: Final = Path(__file__).parents[1]
#: Generated pages; the sentences in them are picked from the code.
_GENERATED: Final = {"settings.md", "gallery.md"}
_NOW: Final = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)
_LEAST_WORDS: Final = 6


def doc_sentences() -> list[str]:
    """Sentences of README.md and docs/*.md, without code blocks, tables and headings."""
    pages = [
        ROOT / "README.md",
        *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in _GENERATED),
    ]
    found: list[str] = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for paragraph in re.split(r"\n\s*\n|\n- |\n\d+\. ", text):
            if not re.match(r"\s*[|#!]", paragraph):
                plain = re.sub(r"\s+", " ", paragraph).strip("- ")
                found += [f"{page.name}: {one}" for one in re.split(r"(?<=[.!?]) (?=[A-Z])", plain) if _is_long(one)]
    return found


def docstrings() -> list[str]:
    """The first line of every docstring in alertd."""
    found: list[str] = []
    for file in sorted((ROOT / "alertd").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                line = (ast.get_docstring(node) or "").partition("\n")[0]
                if _is_long(line):
                    found.append(f"{file.relative_to(ROOT / 'alertd')}: {line}")
    return found


def message_lines() -> list[str]:
    """Every line of every sample message, as plain text."""
    found: dict[str, None] = {}
    for kind, sample in SAMPLES.items():
        message = compose(list(sample(_NOW)), _NOW)
        for line in (message.headline, *message.body):
            if _is_long(text := text_of(line)):
                found[f"{kind}: {text}"] = None
    return list(found)


def _is_long(sentence: str) -> bool:
    return len(sentence.split()) >= _LEAST_WORDS


def main() -> int:
    """Print the sentences."""
    parser = argparse.ArgumentParser(description="sentences picked at random from docs, docstrings and messages")
    parser.add_argument("--seed", type=int, default=19, help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=10, help="of each (default: %(default)s)")
    args = parser.parse_args()
    for title, sentences in (("Docs", doc_sentences()), ("Docstrings", docstrings()), ("Messages", message_lines())):
        chosen = random.Random(args.seed).sample(sentences, min(args.count, len(sentences)))  # noqa: S311 - no secret
        print(f"## {title} ({len(sentences)} in all)\n")
        print("\n".join(f"- {one}" for one in chosen), end="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
