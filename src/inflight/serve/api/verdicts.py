"""One log line when the state of a question changes: complete, partial, or without an answer and why.

An HPA asks the same question every 15 seconds for ever; only the change is news. What is remembered is bounded, and so
is what is written: where more questions are asked than are remembered, each answer looks like news.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

_log = logging.getLogger(__name__)

REMEMBERED = 2000
LINES_PER_MINUTE = 120
"""More than the HPAs of a whole cluster change within a minute, unless all do at once."""
MINUTE_SECONDS = 60.0


class VerdictLog:
    """The last known state of each question. `now` gives the seconds of a clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._states: OrderedDict[str, str] = OrderedDict()
        self._minute_began = float("-inf")
        self._lines = 0
        self._left_out = 0

    def note(self, question: str, state: str, sentence: str) -> None:
        """`state` is one word; the sentence goes into the line, and may differ each time without being news."""
        before = self._states.get(question)
        self._states[question] = state
        self._states.move_to_end(question)
        if len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        self._look(self._now())
        if before != state:
            self._say(question, state, before or "none", sentence)

    def _look(self, now: float) -> None:
        """Whether another minute has begun, also by a clock that was set back; what was left out is told then."""
        if 0 <= now - self._minute_began < MINUTE_SECONDS:
            return
        if self._left_out:
            _log.warning("event=answers_not_logged left_out=%d lines_per_minute=%d", self._left_out, LINES_PER_MINUTE)
        self._minute_began, self._lines, self._left_out = now, 0, 0

    def _say(self, question: str, state: str, before: str, sentence: str) -> None:
        if self._lines >= LINES_PER_MINUTE:
            self._left_out += 1
            return
        self._lines += 1
        _log.info("event=answer_changed question=%r state=%s before=%s why=%r", question, state, before, sentence)
