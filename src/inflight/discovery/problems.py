"""What keeps pods from being followed, in sentences for the person who can change it.

Each is logged when it begins and when it ends, and counted by its kind; the kinds are few and fixed, so that our own
metrics page stays small.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, get_args

import msgspec

ProblemKind = Literal[
    "autoscalers_forbidden",
    "autoscalers_unknown",
    "pods_forbidden",
    "pods_unknown",
    "scale_forbidden",
    "scale_missing",
    "scale_unknown",
    "bad_selector",
    "selects_nothing",
    "not_scraped",
    "no_port",
    "bad_annotation",
    "bad_pod",
    "overlap",
    "foreign_owner",
    "too_many",
]
KINDS: Final[tuple[ProblemKind, ...]] = get_args(ProblemKind)
LINES_PER_MINUTE = 60
MAX_KEPT = 5_000

_log = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True):
    """One sentence about one object; `namespace` is "" for what concerns the whole cluster."""

    kind: ProblemKind
    namespace: str
    object: str
    """`Kind/name`."""
    sentence: str

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.kind, self.namespace, self.object)


class ProblemLog:
    """The problems of now; tells beginnings and ends. `now` in seconds that only grow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._current: dict[tuple[str, str, str], Problem] = {}
        self._minute = float("-inf")
        self._lines = 0
        self._left_out = 0

    @property
    def current(self) -> tuple[Problem, ...]:
        return tuple(self._current.values())

    @property
    def counts(self) -> Mapping[ProblemKind, int]:
        """By kind; every kind is there, most of them at 0."""
        counts: dict[ProblemKind, int] = dict.fromkeys(KINDS, 0)
        for problem in self._current.values():
            counts[problem.kind] += 1
        return counts

    def update(self, problems: Iterable[Problem]) -> None:
        """These are all there are now."""
        found: dict[tuple[str, str, str], Problem] = {}
        for problem in problems:
            if len(found) < MAX_KEPT:
                found.setdefault(problem.key, problem)
        before, self._current = self._current, found
        for key, problem in before.items():
            if key not in found:
                self._say(logging.INFO, "problem_ended", problem)
        for key, problem in found.items():
            if key not in before:
                self._say(logging.WARNING, "problem", problem)

    def _say(self, level: int, event: str, problem: Problem) -> None:
        if self._now() - self._minute >= 60.0:
            if self._left_out:
                _log.warning("event=problems_not_logged lines=%d why='too many in a minute'", self._left_out)
            self._minute, self._lines, self._left_out = self._now(), 0, 0
        if self._lines >= LINES_PER_MINUTE:
            self._left_out += 1
            return
        self._lines += 1
        form = "event=%s kind=%s namespace=%s object=%s why=%r"
        _log.log(level, form, event, problem.kind, problem.namespace, problem.object, problem.sentence)
