"""A test that waits for a daemon which has died fails at once, with the daemon's last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.daemon import Daemon, env_file, wait_for


def test_who_waits_for_a_daemon_that_has_ended_is_told_at_once(tmp_path: Path) -> None:
    daemon = Daemon(env_file(tmp_path / "alertd.env", {"ALERTD_DATBASE": "x"}))
    with pytest.raises(AssertionError, match=r"ended with 1 while the test waited for the moon: .*no such key"):
        wait_for("the moon", lambda: False)
    assert daemon.ended() == 1
    assert daemon._end(60) == 1
