"""What may be said about a fleet, given what its pods have said: a value with its coverage, or Unknown with a reason.

The one place where this is decided. Pure: samples and the time in, an answer out.
"""

from inflight.guard.answer import FRESH_SECONDS, Answer, PodValue, Question, Unknown, answer

__all__ = ["FRESH_SECONDS", "Answer", "PodValue", "Question", "Unknown", "answer"]
