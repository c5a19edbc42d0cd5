"""Puts the pages of the documentation where the site's builder takes them: `make site`.

    python tools/docs_site.py build/pages [address of the repository]

The README is the first page. Links to files that are no pages (configuration, tests) lead into the repository; without
its address they become plain words, so that no link is dead.
"""

from __future__ import annotations

import re
import shutil
import sys
from os.path import relpath
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: Pages outside of docs/, and their names on the site.
PAGES: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md",
                "SECURITY.md": "security.md", "config/helm/alertd/README.md": "chart.md",
                "config/kustomize/README.md": "kustomize.md"}  # fmt: skip
_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)#\s]*)(#[^)\s]*)?\)")


def place(file: Path) -> str | None:
    """Where a file is on the site; None where it is not there."""
    name = str(file.relative_to(ROOT))
    return PAGES.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else None)


def moved(page: Path, address: str) -> str:
    """A page's text with links that hold on the site."""
    own = place(page) or page.name

    def led(link: re.Match[str]) -> str:
        picture, words, target, anchor = link[1], link[2], link[3], link[4] or ""
        there = (page.parent / target).resolve() if target else page
        if (found := place(there)) is not None and there.is_file():
            return f"{picture}[{words}]({relpath(found, Path(own).parent)}{anchor})"
        return f"[{words}]({address}/blob/main/{there.relative_to(ROOT)}{anchor})" if address else words

    return _LINK.sub(led, page.read_text("utf-8"))


def main(words: list[str]) -> int:
    """0; the folder is made anew."""
    folder, address = Path(words[0]), (words[1] if len(words) > 1 else "").rstrip("/")
    shutil.rmtree(folder, ignore_errors=True)
    for file in [*(ROOT / "docs").rglob("*"), *(ROOT / name for name in PAGES)]:
        if (name := place(file)) is None or not file.is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            (folder / name).write_text(moved(file, address), "utf-8")
        else:
            shutil.copyfile(file, folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
