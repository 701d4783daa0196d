"""The requests that come, and when: a trace whose gaps are divided by a ramp, repeated when it runs out.

Times are seconds from the start of the run. Nothing is drawn: the same trace and ramp give the same arrivals.
"""

from collections.abc import Iterator

import msgspec

from inflight.sim.ramp import Ramp, Warp
from inflight.sim.traces import Trace

MAX_ARRIVALS = 5_000_000


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One request as it comes in."""

    at: float
    prompt_tokens: int
    output_tokens: int


class TooManyArrivalsError(ValueError):
    """The ramp and the trace together would make more requests than a run can hold."""


def paced(trace: Trace, ramp: Ramp, until: float | None = None) -> list[Arrival]:
    """The arrivals before `until` seconds (the length of the ramp by default).

    The trace begins again one mean gap after its last request; a trace without gaps is played once. Raises
    TooManyArrivalsError.
    """
    horizon = ramp.seconds if until is None else until
    warp = Warp(ramp)
    arrivals: list[Arrival] = []
    for trace_seconds, row in _repeated(trace):
        at = warp.at(trace_seconds)
        if at >= horizon:
            break
        if len(arrivals) == MAX_ARRIVALS:
            raise TooManyArrivalsError(
                f"{trace.name} under the ramp {str(ramp)[:80]} makes more than {MAX_ARRIVALS} requests in"
                f" {horizon:g} s; lower the factors or shorten the run"
            )
        arrivals.append(Arrival(at, trace.prompt_tokens[row], trace.output_tokens[row]))
    return arrivals


def _repeated(trace: Trace) -> Iterator[tuple[float, int]]:
    begun = 0.0
    while True:
        for row, at in enumerate(trace.at_seconds):
            yield begun + at, row
        if trace.mean_gap_seconds <= 0:
            return
        begun += trace.at_seconds[-1] + trace.mean_gap_seconds
