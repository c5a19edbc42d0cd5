"""What a release needs from the tree: that its version is the same everywhere, its notes, and the chart's addresses.

python tools/release.py notes v0.1.0                          # the section of CHANGELOG.md, or why there is none
python tools/release.py chart https://FORGE/OWNER/alertd REGISTRY/OWNER/alertd
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CHART: Final = "config/helm/alertd"
#: Where the version stands, and how.
PLACES: Final = {
    "alertd/__init__.py": r'^__version__: Final = "(.+)"$',
    "config/helm/alertd/Chart.yaml": r'^appVersion: "(.+)"$',
    "config/kustomize/kustomization.yaml": r'^ +newTag: "(.+)"$',
}


def notes(tag: str, root: Path = ROOT) -> str:
    """The version's section of the changelog. ValueError: another version somewhere, or no section."""
    version = tag.removeprefix("v")
    for name, pattern in PLACES.items():
        found = re.findall(pattern, (root / name).read_text("utf-8"), re.MULTILINE)
        if found != [version]:
            raise ValueError(f"{name}: the version is {', '.join(found) or 'not there'}, the tag is {tag}")
    chart = re.findall(r"^version: (.+)$", (root / CHART / "Chart.yaml").read_text("utf-8"), re.MULTILINE)
    if chart != [version]:
        raise ValueError(f"config/helm/alertd/Chart.yaml: the chart's version is {', '.join(chart)}, the tag is {tag}")
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    for section in sections:
        if re.match(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n", section):
            return section.partition("\n")[2].strip() + "\n"
    raise ValueError(f"CHANGELOG.md: no section '## {version} (YYYY-MM-DD)'; give the unreleased one its date")


def chart(address: str, image: str, root: Path = ROOT) -> None:
    """Write the addresses that are known at a release into the chart: where its image is, where it comes from."""
    file = root / CHART / "Chart.yaml"
    about = file.read_text("utf-8")
    version = re.findall(r'^appVersion: "(.+)"$', about, re.MULTILINE)[0]
    images = f"""  artifacthub.io/images: |
    - {{name: alertd, image: "{image}:{version}", platforms: [linux/amd64, linux/arm64]}}
    - {{name: alertd-full, image: "{image}:{version}-full", platforms: [linux/amd64, linux/arm64]}}
  artifacthub.io/links: |
    - {{name: support, url: "{address}/issues"}}
    - {{name: documentation, url: "{address}/tree/v{version}/docs"}}
"""
    about = about.replace("annotations:\n", f"home: {address}\nsources: [{address}]\nannotations:\n{images}", 1)
    file.write_text(about, "utf-8")
    file = root / CHART / "values.yaml"
    values = file.read_text("utf-8")
    file.write_text(values.replace("repository: alertd\n", f"repository: {image}\n", 1), "utf-8")


def main(words: list[str]) -> int:
    """0; 1 with the reason where the tree is not ready for this release; 2 for a wrong use."""
    try:
        match words:
            case ["notes", tag]:
                print(notes(tag), end="")
            case ["chart", address, image]:
                chart(address, image)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
