"""Log lines about pods and objects of many namespaces, so many a minute: whoever makes theirs flap fills no log, and
hides nobody else's news. What was left out is counted. At most twice LINES_A_MINUTE are written.
"""

import logging
from collections import Counter
from collections.abc import Callable

import msgspec

LINES_A_MINUTE = 120
LINES_OF_A_NAMESPACE = 30
_MINUTE_SECONDS = 60.0
_NAMED = 5


class LeftOut(msgspec.Struct, frozen=True):
    """What a minute had no room for."""

    lines: int
    namespaces: tuple[str, ...]
    """A few of them, those with most lines first; one more than are named stands for others."""


class LineBudget:
    """Who may write a line: so many a minute in all, and of each namespace. `now` is in seconds that only grow.

    The first line of a namespace is not of those of all, for `first_lines` namespaces: a noisy one hides no other.
    """

    def __init__(self, now: Callable[[], float], *, lines: int, lines_of_a_namespace: int, first_lines: int) -> None:
        self._now = now
        self._most = lines
        self._most_of_a_namespace = lines_of_a_namespace
        self._first_lines = first_lines
        self._began = float("-inf")
        self._lines = 0
        self._lines_of: Counter[str] = Counter()
        self._left_out = 0
        self._left_out_of: Counter[str] = Counter()

    def take(self, namespace: str) -> bool:
        """Whether there is room for one line about the namespace ("" where it concerns none) in this minute."""
        if self._has_room(namespace):
            self._lines_of[namespace] += 1
            return True
        self._left_out += 1
        if namespace in self._left_out_of or len(self._left_out_of) < self._most:
            self._left_out_of[namespace] += 1
        return False

    def _has_room(self, namespace: str) -> bool:
        of_this = self._lines_of[namespace]
        if not of_this and len(self._lines_of) < self._first_lines:
            return True
        if not of_this or of_this >= self._most_of_a_namespace or self._lines >= self._most:
            return False
        self._lines += 1
        return True

    def turn_over(self) -> LeftOut | None:
        """Begins another minute where it is time; what the last one left out, if anything."""
        now = self._now()
        if now - self._began < _MINUTE_SECONDS:
            return None
        names = tuple(name for name, _ in self._left_out_of.most_common(_NAMED + 1))
        left_out = LeftOut(self._left_out, names) if self._left_out else None
        self._began, self._lines, self._left_out = now, 0, 0
        self._lines_of.clear()
        self._left_out_of.clear()
        return left_out


class BoundedLog:
    """`now` is in seconds that only grow; `what` names the lines in the one that tells how many were left out."""

    def __init__(
        self,
        log: logging.Logger,
        now: Callable[[], float],
        what: str,
        *,
        lines: int = LINES_A_MINUTE,
        lines_of_a_namespace: int = LINES_OF_A_NAMESPACE,
    ) -> None:
        self._log = log
        self._what = what
        self._budget = LineBudget(now, lines=lines, lines_of_a_namespace=lines_of_a_namespace, first_lines=lines)

    def say(self, level: int, namespace: str, form: str, *values: object) -> None:
        """One line about the namespace ("" where it concerns none), if there is room for it in this minute."""
        self.turn_over()
        if self._budget.take(namespace):
            self._log.log(level, form, *values)

    def turn_over(self) -> None:
        """Begins another minute where it is time, and tells what the last left out. To be called now and then."""
        left_out = self._budget.turn_over()
        if left_out is not None:
            names = left_out.namespaces
            told = ",".join(names[:_NAMED]) + (",..." if len(names) > _NAMED else "")
            form = "event=lines_left_out what=%s lines=%d namespaces=%s why='too many in a minute'"
            self._log.warning(form, self._what, left_out.lines, told)
