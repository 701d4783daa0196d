"""What keeps pods from being followed, in sentences for the person who can change it.

Each is logged when it begins and when it ends, and counted by its kind; the kinds are few and fixed, so that our own
metrics page stays small.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, get_args

import msgspec

from inflight.signals.foreign import printable
from inflight.sources.bounded_log import LineBudget

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
LINES_PER_NAMESPACE = 10
"""Of those of a minute. The first line of each namespace is not of them: a noisy one must not hide the others."""
MAX_FIRST_LINES = 500
MAX_OBJECT = 600
MAX_SENTENCE = 6_000
"""Characters: more than a sentence with the longest selector that is followed has."""
MAX_KEPT = 50_000
MAX_KEPT_OF_NAMESPACE = 300
"""More are counted, and neither logged nor told: a namespace full of faults must not hide those of another."""

_log = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True):
    """One sentence about one object; `namespace` is "" for what concerns the whole cluster.

    Texts of strangers stand in both, so both are made printable and clipped here, once for all who tell of problems.
    """

    kind: ProblemKind
    namespace: str
    object: str
    """`Kind/name`."""
    sentence: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "object", _shown(self.object, MAX_OBJECT))
        msgspec.structs.force_setattr(self, "sentence", _shown(self.sentence, MAX_SENTENCE))

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.kind, self.namespace, self.object)


class ProblemLog:
    """The problems of now; tells beginnings and ends. `now` in seconds that only grow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._budget = LineBudget(
            now, lines=LINES_PER_MINUTE, lines_of_a_namespace=LINES_PER_NAMESPACE, first_lines=MAX_FIRST_LINES
        )
        self._current: dict[tuple[str, str, str], Problem] = {}
        self._counts: Counter[ProblemKind] = Counter()

    @property
    def current(self) -> tuple[Problem, ...]:
        return tuple(self._current.values())

    @property
    def counts(self) -> Mapping[ProblemKind, int]:
        """By kind; every kind is there, most of them at 0."""
        return {kind: self._counts[kind] for kind in KINDS}

    def update(self, problems: Iterable[Problem]) -> None:
        """These are all there are now."""
        found: dict[tuple[str, str, str], Problem] = {}
        kept: Counter[str] = Counter()
        self._counts = Counter()
        for problem in problems:
            if problem.key in found:
                continue
            self._counts[problem.kind] += 1
            if len(found) < MAX_KEPT and kept[problem.namespace] < MAX_KEPT_OF_NAMESPACE:
                kept[problem.namespace] += 1
                found[problem.key] = problem
        left_out = self._budget.turn_over()
        if left_out is not None:
            _log.warning("event=problems_not_logged lines=%d why='too many in a minute'", left_out.lines)
        before, self._current = self._current, found
        for key, problem in before.items():
            if key not in found:
                self._say(logging.INFO, "problem_ended", problem)
        for key, problem in found.items():
            if key not in before:
                self._say(logging.WARNING, "problem", problem)

    def _say(self, level: int, event: str, problem: Problem) -> None:
        if not self._budget.take(problem.namespace):
            return
        form = "event=%s kind=%s namespace=%s object=%r why=%r"
        _log.log(level, form, event, problem.kind, problem.namespace, problem.object, problem.sentence)


def _shown(text: str, most: int) -> str:
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."
