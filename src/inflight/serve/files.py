"""Writes the small files that scripts wait for: whole or not at all, and secrets for the owner's eyes alone.

A new file is renamed over the old one, so that a reader never sees a half. Where the path is a symbolic link, it stays,
and the file that it leads to is the one that is replaced, as editors and kubectl do it. But only a link of ours or of
root is followed, and only to a file of ours or of root: in a directory that others write to, a link of theirs would
choose where a secret goes or which of our files is overwritten (what Linux's `fs.protected_symlinks` is about).
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

MAX_LINKS = 40
"""As many as Linux follows."""


class WrittenFile(msgspec.Struct, frozen=True):
    """A file as it was written, so that at the end nobody else's is taken away in its place."""

    path: Path
    """Where it really is, behind all links."""
    device: int
    inode: int
    modified_nanoseconds: int

    def remove(self) -> bool:
        """Removes the file, if it is still there and still the one that was written; whether it did."""
        with suppress(OSError):
            if _identity(self.path.lstat()) == (self.device, self.inode, self.modified_nanoseconds):
                self.path.unlink()
                return True
        return False


def write_private(path: Path, content: bytes) -> WrittenFile:
    """A file that only its owner can read (0600), whatever stood there before and whatever the umask is.

    Raises OSError with a sentence, as does `write_public`.
    """
    return _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> WrittenFile:
    return _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> WrittenFile:
    destination = _behind_links(path.absolute())
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{destination.name[:100]}.", dir=destination.parent)
    except OSError as error:
        raise type(error)(f"{path} cannot be written: {error.strerror} ({destination.parent})") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            identity = _identity(os.fstat(file.fileno()))
        os.replace(temporary, destination)
    except OSError as error:
        _forget(temporary)
        raise type(error)(f"{path} cannot be written: {error.strerror}") from error
    except BaseException:
        _forget(temporary)
        raise
    return WrittenFile(destination, *identity)


def _behind_links(path: Path) -> Path:
    """The file that the last part of the path leads to, which need not be there yet. Raises OSError."""
    trusted = {os.geteuid(), 0}
    here = path
    for _ in range(MAX_LINKS):
        try:
            found = here.lstat()
        except OSError:
            # Not there, or not to be looked at: what writing it says is the better sentence.
            return here
        is_link = stat.S_ISLNK(found.st_mode)
        if not is_link and not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not written: {_leads_to(path, here)} no regular file. Name a file")
        if found.st_uid not in trusted and (is_link or here != path):
            what = "a symbolic link" if is_link else "a file"
            raise OSError(
                f"{path} is not written: {_leads_to(path, here)} {what} of another user (uid {found.st_uid})."
                " Name the file itself, in a directory of your own"
            )
        if not is_link:
            return here
        here = here.parent / os.readlink(here)
    raise OSError(f"{path} is not written: it leads through more than {MAX_LINKS} symbolic links. Name the file itself")


def _leads_to(path: Path, here: Path) -> str:
    return "it is" if here == path else f"it leads to {here}, which is"


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _forget(temporary: str) -> None:
    with suppress(OSError):
        os.unlink(temporary)
