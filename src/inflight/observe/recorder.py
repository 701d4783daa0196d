"""A record file that looks are appended to: read and checked whole before the first line is written.

What it holds of the HPA gives the memory: looks without a gap up to now are followed as those of a record are.
"""

import copy
from pathlib import Path

from inflight.hpa import Follower, Record, RecordError, read_record
from inflight.hpa.record import MAX_LINE_BYTES
from inflight.hpa.remembered import Remembered
from inflight.objects import to_json
from inflight.observe.looking.errors import Failure, ObserveError


class Memories:
    """Follows one HPA from look to look. Without a file it knows what it was told in this run."""

    def __init__(self) -> None:
        self._follower = Follower()

    def before(self, record: Record) -> Remembered:
        """What is known before the sync of `record`, which is not followed yet: it may still turn out otherwise."""
        return copy.copy(self._follower).follow(record)

    def follow(self, record: Record) -> None:
        """The sync of `record` has happened, as far as can be seen."""
        self._follower.follow(record)

    def forget(self) -> None:
        """Something happened that was not seen: what comes next begins anew."""
        self._follower = Follower()


class Recorder:
    """Appends to one file. Lines of other HPAs stay as they are."""

    def __init__(self, path: Path, name: str, memories: Memories) -> None:
        self._path = path
        self._name = name
        self._memories = memories
        self.written = 0

    def read(self) -> None:
        """Checks what is there and follows this HPA through it. Raises ObserveError naming the line."""
        try:
            with self._path.open("rb") as file:
                number = 0
                while line := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    self._take(line, number)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ObserveError(Failure.UNREADABLE, f"{self._path} cannot be read: {error.strerror}") from error

    def append(self, record: Record) -> None:
        """Raises ObserveError where the file cannot be written."""
        try:
            with self._path.open("ab") as file:
                file.write(to_json(record) + b"\n")
        except OSError as error:
            raise ObserveError(Failure.UNREADABLE, f"{self._path} cannot be written: {error.strerror}") from error
        self.written += 1

    def _take(self, line: bytes, number: int) -> None:
        if not line.strip():
            return
        hints = ("nothing was written: give another file, or take the line out",)
        if not line.endswith(b"\n"):
            sentence = f"{self._path}:{number}: the last line is cut off, or longer than {MAX_LINE_BYTES} bytes"
            raise ObserveError(Failure.UNREADABLE, sentence, hints)
        try:
            record = read_record(line)
        except RecordError as error:
            raise ObserveError(Failure.UNREADABLE, f"{self._path}:{number}: {error}", hints) from error
        if record.name == self._name:
            self._memories.follow(record)
