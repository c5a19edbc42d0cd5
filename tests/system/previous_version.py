"""`alertd` as it was one migration ago: the program of today that knows of the schema only what was there before.

The stand-in for the release before this one, where ALERTD_TEST_PREVIOUS names no checkout of it.
"""

from __future__ import annotations

import sys
from functools import partial

from alertd.cli import main
from alertd.stores import migrations, postgres, sqlite

if __name__ == "__main__":
    before = partial(migrations.migrate, steps=migrations.MIGRATIONS[:-1])
    postgres.migrate = sqlite.migrate = before  # type: ignore[assignment] # what makes it the one of yesterday
    sys.exit(main())
