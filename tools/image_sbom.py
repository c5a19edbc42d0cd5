"""Adds the image's Debian packages to the SBOM of its Python packages, so that one document tells all of it.

Called by the Dockerfile:   image_sbom.py PYTHON.json ROOT_FOLDER "alertd 1.2.3" OUT.json
Ends with an error where the document is none by CycloneDX's own schema; reads nothing of alertd.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def fields(control: str) -> dict[str, str]:
    """The fields of a Debian control file; of those with several lines, the first."""
    pairs = (line.partition(":") for line in control.splitlines() if ":" in line and not line.startswith(" "))
    return {name: value.strip() for name, _, value in pairs}


def system(os_release: str) -> tuple[str, str]:
    """The distribution and its version, as in ("debian", "13")."""
    of = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    return of["ID"].strip('"'), of["VERSION_ID"].strip('"')


def component(of: Mapping[str, str], distribution: str, version: str) -> dict[str, Any]:
    """A package as CycloneDX has it, named by its package URL; `upstream` is the source that advisories speak of."""
    source = of.get("Source", of["Package"]).split()[0]
    qualifiers = f"arch={of['Architecture']}&distro={distribution}-{version}&upstream={quote(source)}"
    purl = f"pkg:deb/{distribution}/{quote(of['Package'])}@{quote(of['Version'], safe='')}?{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": of["Package"], "version": of["Version"], "purl": purl}


def joined(python: dict[str, Any], program: str, debian: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One document about the program: its Python packages, with what depends on what, and Debian's behind them."""
    name, version = program.split()
    about = {**python["metadata"], "component": {**python["metadata"]["component"], "name": name, "version": version}}
    behind = sorted(debian, key=lambda one: str(one["purl"]))
    return {**python, "metadata": about, "components": [*python["components"], *behind]}


def main(python: str, root: str, program: str, out: str) -> None:
    """Reads what is there, writes the document, and holds it to the schema that it names."""
    controls = (file.read_text() for file in Path(root, "var/lib/dpkg/status.d").iterdir())
    where = system(Path(root, "etc/os-release").read_text())
    document = joined(
        json.loads(Path(python).read_text()), program, (component(fields(text), *where) for text in controls)
    )
    text = json.dumps(document, indent=2) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.from_version(document["specVersion"])).validate_str(text):
        sys.exit(f"the SBOM is not valid: {fault}")
    Path(out).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
