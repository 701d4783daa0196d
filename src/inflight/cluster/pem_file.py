"""A private key in a file, for a moment: the ssl module reads keys from files only."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from inflight.cluster.errors import ConfigError


@contextmanager
def as_pem_file(pem: bytes) -> Iterator[str]:
    """The path of a file that is readable by us alone, and gone when the block ends. Raises ConfigError where it cannot
    be written.
    """
    path = ""
    try:
        try:
            descriptor, path = tempfile.mkstemp(prefix="inflight-", suffix=".pem")
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
        except OSError as error:
            raise ConfigError(
                "a certificate and its key have to stand in a temporary file for a moment, which cannot be written"
                f" ({error.strerror or error}): make room, or name a folder that can be written to in TMPDIR"
            ) from error
        yield path
    finally:
        if path:
            with suppress(OSError):
                os.unlink(path)
