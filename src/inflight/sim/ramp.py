"""How the load changes: a factor m(t) >= 0 that divides the gaps of a trace, piecewise linear in time.

`0.7:300,4:600,4:300,0.7:600` starts at 0.7 and stays there for 300 s, climbs to 4 in 600 s, stays for 300 s and comes
down in 600 s. Each entry is the factor that is reached and the seconds it takes; the first says where it starts; 0
seconds is a jump. Behind the last entry the last factor holds.

The factor may change within a gap, so a gap g that begins at t ends where the integral of m from t reaches g: it is
divided by the mean of m over itself.
"""

import math

import msgspec

MIN_FACTOR = 0.001
MAX_FACTOR = 1_000.0
MAX_SECONDS = 30 * 86_400.0
MAX_ENTRIES = 1_000

DEFAULT = "0.7:300,4:600,4:300,0.7:600"


class RampError(ValueError):
    """A ramp that cannot be used: which entry, what is wrong with it, how it has to look."""


class Reach(msgspec.Struct, frozen=True):
    """Go to `factor` in a straight line, in `seconds`."""

    factor: float
    seconds: float


class Ramp(msgspec.Struct, frozen=True):
    """The factor over time, seconds from the start of the run."""

    entries: tuple[Reach, ...]

    @property
    def seconds(self) -> float:
        """How long it is written down for: the horizon of a run."""
        return math.fsum(entry.seconds for entry in self.entries)

    @property
    def rises_at(self) -> float | None:
        """When the factor begins to grow for the first time; None if it never does."""
        start, before = 0.0, self.entries[0].factor
        for entry in self.entries:
            if entry.factor > before:
                return start
            start, before = start + entry.seconds, entry.factor
        return None

    def factor_at(self, at: float) -> float:
        """m(t); at a jump the factor behind it."""
        before = self.entries[0].factor
        for entry in self.entries:
            if at < entry.seconds:
                return before + (entry.factor - before) * max(0.0, at) / entry.seconds
            at -= entry.seconds
            before = entry.factor
        return before

    def __str__(self) -> str:
        return ",".join(f"{entry.factor:g}:{entry.seconds:g}" for entry in self.entries)


class Warp:
    """Walks along a ramp: how far the run has come after so many seconds of the trace. Goes forward only."""

    def __init__(self, ramp: Ramp) -> None:
        self._ends = [*ramp.entries, Reach(ramp.entries[-1].factor, math.inf)]
        self._start = 0.0  # when this entry began, in the run
        self._before = ramp.entries[0].factor
        self._consumed = 0.0  # seconds of the trace until then

    def at(self, trace_seconds: float) -> float:
        """The time of the run at which `trace_seconds` of the trace are over; infinite if the factor stays 0."""
        while True:
            entry = self._ends[0]
            mean = (self._before + entry.factor) / 2
            content = mean * entry.seconds if mean else 0.0
            left = trace_seconds - self._consumed
            if left <= content and content:
                return self._start + self._within(left, entry)
            if math.isinf(entry.seconds):
                return math.inf
            self._start += entry.seconds
            self._consumed += content
            self._before = entry.factor
            del self._ends[0]

    def _within(self, left: float, entry: Reach) -> float:
        """Seconds x with before*x + slope*x*x/2 = left, by the form that does not cancel."""
        slope = (entry.factor - self._before) / entry.seconds
        factors = self._before + math.sqrt(max(0.0, self._before * self._before + 2 * slope * left))
        return 2 * left / factors if left > 0 and factors else 0.0


def parse_ramp(text: str) -> Ramp:
    """The ramp of a text like `0.7:300,4:600`. Raises RampError with the entry and what is wrong with it."""
    parts = text.split(",")
    if len(parts) > MAX_ENTRIES:
        raise RampError(f"the ramp has {len(parts)} entries; at most {MAX_ENTRIES} are read")
    entries = tuple(_parse_entry(part, index) for index, part in enumerate(parts, 1))
    ramp = Ramp(entries)
    if not 0 < ramp.seconds <= MAX_SECONDS:
        raise RampError(
            f"the ramp {text[:80]!r} lasts {ramp.seconds:g} s; it has to last more than 0 and at most 30 days"
        )
    if not any(entry.factor for entry in entries):
        raise RampError(f"the ramp {text[:80]!r} is 0 all the time, so that nothing would arrive")
    return ramp


def _parse_entry(part: str, index: int) -> Reach:
    factor, colon, seconds = part.partition(":")
    if not colon:
        raise RampError(f"entry {index} of the ramp, {part.strip()[:40]!r}, has to look like 4:600 (factor, seconds)")
    reach = Reach(
        _parse_number(factor, f"factor of entry {index}", MAX_FACTOR),
        _parse_number(seconds, f"seconds of entry {index}", MAX_SECONDS),
    )
    if 0 < reach.factor < MIN_FACTOR:
        raise RampError(
            f"the factor of entry {index} of the ramp is {reach.factor:g}; it has to be 0 or at least {MIN_FACTOR:g}"
        )
    return reach


def _parse_number(text: str, what: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise RampError(f"the {what} of the ramp is {text.strip()[:40]!r}; it has to be a number from 0 to {most:g}")
    return number
