"""One log line when the state of a question changes: complete, partial, or without an answer and why.

An HPA asks the same question every 15 seconds for ever; only the change is news. What is remembered is bounded.
"""

import logging
from collections import OrderedDict

_log = logging.getLogger(__name__)

REMEMBERED = 2000


class VerdictLog:
    """The last known state of each question."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, str] = OrderedDict()

    def note(self, question: str, state: str, sentence: str) -> None:
        """`state` is one word; the sentence goes into the line, and may differ each time without being news."""
        before = self._states.get(question)
        self._states[question] = state
        self._states.move_to_end(question)
        if len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        if before != state:
            _log.info(
                "event=answer_changed question=%r state=%s before=%s why=%r",
                question,
                state,
                before or "none",
                sentence,
            )
