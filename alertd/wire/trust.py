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
    return _of_the_system() if ca_file is None else ssl.create_default_context(cafile=_bounded(ca_file))


def trust_with_certificate(ca_file: Path | None, cert_file: Path, key_file: Path | None) -> ssl.SSLContext:
    """The same, with a certificate of one's own to show. Raises OSError (ssl.SSLError)."""
    context = ssl.create_default_context(cafile=ca_file and _bounded(ca_file))
    context.load_cert_chain(_bounded(cert_file), key_file and _bounded(key_file))
    return context


def _bounded(file: Path) -> Path:
    """The file, where it is one and not endless: OpenSSL would wait for a pipe, and read a device for ever."""
    if not (file.is_file() and file.stat().st_size <= _MOST_BYTES):
        raise OSError(errno.EINVAL, "it is no file of certificates", str(file))
    return file


@cache
def _of_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()  # reading 140 authorities takes longer than sending a message
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(certifi.where())  # a slim image has none of its own
    return context
