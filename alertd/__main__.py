"""`python -m alertd` is `alertd`."""

from __future__ import annotations

import sys

from alertd.cli import main

sys.exit(main())
