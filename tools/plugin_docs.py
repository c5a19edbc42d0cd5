"""Writes what the documentation takes from the plug-ins themselves: `make docs`.

    python tools/plugin_docs.py

docs/settings.md and the end of config/alertd.env.example (every key of every kind), the sections of docs/sources.md
(each source's own GUIDE), and the table of docs/outbound-hosts.md (each kind's OUTBOUND; where a file has none, the
host of its option `url`). `texts()` is the same without writing: a test compares it with the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from alertd.commands import kinds as listing
from alertd.registry import GROUPS, kinds, load

ROOT: Final = Path(__file__).parents[1]
#: What stands above this line is written by hand, what stands below it by this file.
MARK: Final = "<!-- from here on made by `make docs` -->\n"
#: The same inside of a page: what stands between the two is made.
BEGIN: Final = "<!-- made by `make docs` -->\n"
END: Final = "<!-- as far as here -->\n"
_EXAMPLES: Final = "# === Every kind"


def texts() -> dict[Path, str]:
    """The whole text of every file of which a part is made from the plug-ins."""
    docs, example = ROOT / "docs", ROOT / "config" / "alertd.env.example"
    sources, hosts = docs / "sources.md", docs / "outbound-hosts.md"
    before, rest = hosts.read_text("utf-8").split(BEGIN)
    kept = example.read_text("utf-8").splitlines(keepends=True)
    mark = next(place for place, line in enumerate(kept) if line.startswith(_EXAMPLES))
    return {
        docs / "settings.md": f"{listing.markdown()}\n",
        example: f"{''.join(kept[: mark + 1])}\n{listing.env_lines(None, None)}\n",
        sources: sources.read_text("utf-8").split(MARK)[0] + MARK + "".join(map(_guide, kinds("sources"))),
        hosts: before + BEGIN + _hosts() + END + rest.split(END)[1],
    }


def outbound(group: str, kind: str) -> str:
    """Where a kind connects to: its OUTBOUND, else the host of its option `url`. LookupError where neither says."""
    plugin = load(group, kind)
    if declared := getattr(plugin, "OUTBOUND", ""):
        return str(declared)
    url = plugin.Options.model_fields["url"]
    host = urlsplit(str(url.default)).hostname if url.default else None
    return f"{host}:443" if host else "the host of its `URL`"


def _guide(kind: str) -> str:
    """A source's section: its GUIDE's first line is the title, the rest the text. Two kinds share a section by hand."""
    title, _, text = getattr(load("sources", kind), "GUIDE", "").partition("\n")
    return f"\n## {title} · `{kind}`\n{text.lstrip()}" if title else ""


def _hosts() -> str:
    section = {group: name.removesuffix("s") for name, group in GROUPS.items()}
    rows = ["| Kind | Host and port |", "|---|---|"]
    rows += [f"| {section[group]} `{kind}` | {outbound(group, kind)} |" for group in section for kind in kinds(group)]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, "utf-8")
