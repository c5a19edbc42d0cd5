"""The README and the links of the package's page, as they are read on an index, not in a checkout.

`PROJECT_URL` is the repository's address; the release sets it. Without it the README is as it is, and no link is added.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Links(MetadataHookInterface):
    """Adds `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Hatchling's entry, called before the metadata are written."""
        text = Path(self.root, "README.md").read_text("utf-8")
        metadata["urls"] = {}
        if address := os.environ.get("PROJECT_URL", "").rstrip("/"):
            tag = f"v{metadata['version']}"
            metadata["urls"] = {
                "Source": address,
                "Documentation": f"{address}/tree/{tag}/docs",
                "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
                "Issues": f"{address}/issues",
                "Security": f"{address}/security/policy",
            }
            text = re.sub(r"(!\[[^\]]*\])\((?!\w+:|#)", rf"\1({address}/raw/{tag}/", text)
            text = re.sub(r"(?<!!)(\[[^\]]*\])\((?!\w+:|#)", rf"\1({address}/blob/{tag}/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
