"""How alertd logs: one line per event, as JSON for machines or as text on a terminal. Nothing is stored."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from alertd.terminal import raw, without_controls

_OWN: Final = frozenset(vars(logging.makeLogRecord({})))
#: Libraries whose every round would be a line.
_CHATTY: Final = ("apscheduler",)
#: Libraries that write whole URLs and headers, in which there are secrets; clients/http.py says what it asks instead.
_INDISCREET: Final = ("aiohttp", "aiosmtplib", "apprise", "httpcore", "httpx", "requests", "slack_sdk", "urllib3")


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, what was passed as `extra`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN and name != "message"},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return without_controls(json.dumps(line, default=str, ensure_ascii=False))


class Words(logging.Formatter):
    """A record as a line for a person: no label moves the cursor; further lines are indented, so none is forged."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  as logging has it
        record.message = without_controls(record.message).replace("\n", "\n    ")
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  as logging has it
        return without_controls(super().formatException(ei))


def set_up(*, verbose: bool = False) -> None:
    """Log to standard error; words on a terminal, JSON lines elsewhere."""
    lines = logging.StreamHandler(raw(sys.stderr))
    words = Words("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    lines.setFormatter(words if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[lines], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of every malformed request, so that strangers could fill the log.
    logging.getLogger("uvicorn").setLevel(logging.INFO if verbose else logging.ERROR)
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # its skips are counted, see Daemon
