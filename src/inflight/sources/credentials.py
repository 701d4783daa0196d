"""Tokens and certificates from files, read again when they change: mounted secrets are rotated under a running process.

A file is looked at before each use, which costs some microseconds; its text is kept while its identity, size and time
stay the same. Nothing here ever puts the content of a file into a message.
"""

import os
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

MAX_TOKEN_BYTES = 64 << 10
MAX_CA_BYTES = 4 << 20

_Stamp = tuple[int, int, int, int]
T = TypeVar("T")


class CredentialError(Exception):
    """A token or certificate file that cannot be used: which one, and why."""


def trusting(certificates: str | None) -> ssl.SSLContext:
    """Trusts these PEM certificates only, or the system's. Raises ssl.SSLError and ValueError.

    Authorities that people make for a cluster often lack keyUsage, and what they sign the authority's key identifier.
    OpenSSL takes both unless it is told to be strict, which Python does from 3.13 on.
    """
    context = ssl.create_default_context(cadata=certificates)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _Kept(Generic[T]):
    def __init__(self, stamp: _Stamp, value: T) -> None:
        self.stamp = stamp
        self.value = value


class Credentials:
    """What has been read from the files of all targets. Files that no target names any more are dropped by `keep`."""

    def __init__(self) -> None:
        self._tokens: dict[str, _Kept[str]] = {}
        self._contexts: dict[str, _Kept[ssl.SSLContext]] = {}
        self._system: ssl.SSLContext | None = None
        self._unverified: ssl.SSLContext | None = None

    def bearer(self, file: str) -> str:
        """The value of an Authorization header. Raises CredentialError."""
        stamp = _stamp(file, "token")
        kept = self._tokens.get(file)
        if kept is None or kept.stamp != stamp:
            kept = self._tokens[file] = _Kept(stamp, f"Bearer {_read_token(file)}")
        return kept.value

    def context(self, ca_file: str | None, insecure_skip_tls_verify: bool) -> ssl.SSLContext:
        """How a server's certificate is judged. Raises CredentialError."""
        if insecure_skip_tls_verify:
            if self._unverified is None:
                self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._unverified.check_hostname = False
                self._unverified.verify_mode = ssl.CERT_NONE
            return self._unverified
        if ca_file is None:
            if self._system is None:
                self._system = trusting(None)
            return self._system
        stamp = _stamp(ca_file, "CA")
        kept = self._contexts.get(ca_file)
        if kept is None or kept.stamp != stamp:
            kept = self._contexts[ca_file] = _Kept(stamp, _read_ca(ca_file))
        return kept.value

    def keep(self, files: Collection[str | None]) -> None:
        """Forget all but these files."""
        self._tokens = {file: kept for file, kept in self._tokens.items() if file in files}
        self._contexts = {file: kept for file, kept in self._contexts.items() if file in files}


def _stamp(file: str, what: str) -> _Stamp:
    try:
        found = os.stat(file)
    except (OSError, ValueError) as error:
        raise CredentialError(f"the {what} file {file} cannot be read: {_why(error)}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def _read(file: str, what: str, limit: int) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(limit + 1)
    except (OSError, ValueError) as error:
        raise CredentialError(f"the {what} file {file} cannot be read: {_why(error)}") from error
    if len(content) > limit:
        raise CredentialError(f"the {what} file {file} has more than {limit} bytes")
    return content


def _read_token(file: str) -> str:
    content = _read(file, "token", MAX_TOKEN_BYTES).strip()
    if not content:
        raise CredentialError(f"the token file {file} is empty")
    if not content.isascii() or not content.decode("ascii").isprintable() or b" " in content:
        raise CredentialError(f"the token file {file} holds more than one word of printable ASCII")
    return content.decode("ascii")


def _read_ca(file: str) -> ssl.SSLContext:
    """Trusts these certificates only. An empty `cadata` would mean the system's, so it is refused before."""
    content = _read(file, "CA", MAX_CA_BYTES)
    try:
        if not content.strip():
            raise ValueError("empty")
        return trusting(content.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise CredentialError(f"the CA file {file} holds no PEM certificates") from error


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
