"""Writes the small files that scripts wait for: whole or not at all, and secrets for the owner's eyes alone."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """A file that only its owner can read (0600), whatever stood there before and whatever the umask is."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """A new file renamed over the old one, so that a reader never sees a half, and no link is followed."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
