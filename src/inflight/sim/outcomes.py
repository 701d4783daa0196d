"""What became of a request, as its client saw it. Every request that arrives has exactly one outcome.

A client waits so long for the first token and gives up without it; once tokens flow it stays to the end. Counting the
time of the whole answer would let a request of 600 tokens fail at the very 100 ms a token that the objective allows.
Times are seconds of the run.
"""

from enum import StrEnum

import msgspec


class How(StrEnum):
    """How a request ended."""

    FINISHED = "finished"
    GAVE_UP = "gave up"
    """No first token in time; the client went away."""
    LOST = "lost"
    """Its pod was killed before the answer was complete: the grace period was over."""
    REFUSED = "refused"
    """The engine took it for too long and answered 400."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One request, from arrival to end."""

    id: int
    arrived_at: float
    prompt_tokens: int
    output_tokens: int
    how: How
    first_token_at: float | None
    ended_at: float
    pod: str
    """Empty for a request that never left the router."""

    @property
    def ttft_seconds(self) -> float | None:
        """Arrival to first token; None if there never was one."""
        return None if self.first_token_at is None else self.first_token_at - self.arrived_at

    @property
    def mean_itl_seconds(self) -> float | None:
        """Mean time between tokens of a finished answer; None without one, and for an answer of one token."""
        if self.how is not How.FINISHED or self.first_token_at is None or self.output_tokens < 2:
            return None
        return (self.ended_at - self.first_token_at) / (self.output_tokens - 1)


class Slo(msgspec.Struct, frozen=True):
    """What users were promised, for each request."""

    ttft_seconds: float = 2.0
    mean_itl_seconds: float = 0.1

    def met_by(self, outcome: Outcome) -> bool:
        """Only a finished request can meet it; an answer of one token has no time between tokens."""
        ttft = outcome.ttft_seconds
        if outcome.how is not How.FINISHED or ttft is None or ttft > self.ttft_seconds:
            return False
        itl = outcome.mean_itl_seconds
        return itl is None or itl <= self.mean_itl_seconds
