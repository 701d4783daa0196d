"""Five shapes of load, as requests a second at each step. The same for every plant of a run, so that twins differ in
what they decide and in nothing else. Times are seconds of the run.
"""

import math
import random
from typing import NamedTuple

SHAPES = ("steady", "rise", "fall", "square", "spike")
STEP_SECONDS = 3.0
"""Inflight reads every second; a lost read or two is nothing, so a coarser step shows the same faults."""

SERVICE_SECONDS = 8.0
"""How long a request is served while the engine has room for it."""

_RAMP_SECONDS = 60.0
_SQUARE_SECONDS = 240.0
_SPIKE_SECONDS = 75.0


class Span(NamedTuple):
    """When the fault begins and ends, and from when to when nothing at all is asked for."""

    begin: float
    end: float
    idle_from: float
    idle_until: float
    dip: bool
    """Hardly anything arrives for half a minute when the fault ends."""


def arrivals(shape: str, seed: int, steps: int, span: Span) -> list[float]:
    """Requests that arrive in each step."""
    rng = random.Random(f"load/{shape}/{seed}")
    base = rng.uniform(45.0, 95.0)
    turn = span.begin + rng.uniform(0.1, 0.5) * (span.end - span.begin)
    found = []
    for step in range(steps):
        at = step * STEP_SECONDS
        in_flight = base * _factor(shape, at, turn)
        if span.dip and span.end - 12.0 <= at < span.end + 20.0:
            in_flight *= 0.1
        if span.idle_from <= at < span.idle_until:
            in_flight = 0.0
        mean = in_flight / SERVICE_SECONDS * STEP_SECONDS
        found.append(max(0.0, rng.gauss(mean, 0.5 * math.sqrt(mean))))
    return found


def _factor(shape: str, at: float, turn: float) -> float:
    """The demand at a moment, of the demand before the fault."""
    risen = min(1.0, max(0.0, (at - turn) / _RAMP_SECONDS))
    if shape == "rise":
        return 1.0 + 0.9 * risen
    if shape == "fall":
        return 1.0 - 0.55 * risen
    if shape == "square":
        return 1.35 if (at - turn) % (2 * _SQUARE_SECONDS) < _SQUARE_SECONDS else 0.65
    if shape == "spike":
        return 2.2 if turn <= at < turn + _SPIKE_SECONDS else 1.0
    return 1.0
