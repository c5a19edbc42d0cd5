"""Whom an encrypted connection trusts: the system's authorities, or those of a file that a company gives."""

from __future__ import annotations

import errno
import ssl
from functools import cache
from pathlib import Path
from typing import Final

import certifi

#: The system's own authorities are 0.2 MB.
_MOST_BYTES: Final = 16 * 1024 * 1024


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """A context that verifies certificates and host names. A given file is read anew each time, so that a reload helps.

    Raises OSError (ssl.SSLError) where the file cannot be read or holds no certificate.
    """
    if ca_file is not None and not (ca_file.is_file() and ca_file.stat().st_size <= _MOST_BYTES):
        raise OSError(errno.EINVAL, "it is no file of certificates", str(ca_file))
    return _of_the_system() if ca_file is None else ssl.create_default_context(cafile=ca_file)


@cache
def _of_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()  # reading 140 authorities takes longer than sending a message
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(certifi.where())  # a slim image has none of its own
    return context
