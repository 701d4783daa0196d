"""The lab's clock: wall time times the speed, held back when the work of the model cannot keep up.

A clock that runs on while the fleets stand still would let requests, scrapes and decisions of different moments meet,
and each policy would suffer differently. So the model time never runs further than `max_ahead_seconds` past the last
instant that the driver has finished. What is lost that way is the slip, and it is measured: the share of the model
time that the speed promised and the clock did not give.
"""

import asyncio
import time
from collections.abc import Callable


class PacedClock:
    """A Clock (inflight.sources.clock) whose owner releases it instant by instant; all times in Unix seconds."""

    def __init__(
        self,
        speed: float,
        start: float,
        *,
        max_ahead_seconds: float,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"the speed of a clock must be above 0, not {speed}")
        self._wall = wall
        self._speed = speed
        self._max_ahead_seconds = max_ahead_seconds
        self._model_then = start
        self._wall_then = wall()
        self._released = start + max_ahead_seconds
        self._promised_seconds = 0.0
        self._held_seconds = 0.0
        self._earlier = (0.0, 0.0)  # promised and held at speeds before this one

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> float:
        return min(self._free(), self._released)

    def release(self, done: float) -> None:
        """The driver has brought everything to `done`: the clock may run on to `done + max_ahead_seconds`."""
        self._anchor()
        self._released = max(self._released, done + self._max_ahead_seconds)

    def set_speed(self, speed: float) -> None:
        """From this moment on; the model time does not jump, and the slip is counted anew."""
        if speed <= 0:
            raise ValueError(f"the speed of a clock must be above 0, not {speed}")
        self._anchor()
        self._speed = speed
        promised, held = self._earlier
        self._earlier = (promised + self._promised_seconds, held + self._held_seconds)
        self._promised_seconds = self._held_seconds = 0.0

    def slip(self) -> float:
        """Share (0..1) of the promised model time that the clock was held back, since the speed was last set."""
        self._anchor()
        if self._promised_seconds <= 0:
            return 0.0
        return max(0.0, self._held_seconds / self._promised_seconds)

    def slip_of_the_run(self) -> float:
        """The same over all speeds the clock has had."""
        self._anchor()
        promised, held = self._earlier[0] + self._promised_seconds, self._earlier[1] + self._held_seconds
        return max(0.0, held / promised) if promised > 0 else 0.0

    async def sleep(self, seconds: float) -> None:
        """Until the model has moved on by that much: longer than `seconds / speed` when the clock is held."""
        until = self.now() + max(0.0, seconds)
        while (missing := until - self.now()) > 1e-9:  # noqa: ASYNC110 - time is not an event that can be set
            await asyncio.sleep(max(missing / self._speed, 0.0005))
        if seconds <= 0:
            await asyncio.sleep(0)

    def _free(self) -> float:
        return self._model_then + (self._wall() - self._wall_then) * self._speed

    def _anchor(self) -> None:
        free, now, wall = self._free(), self.now(), self._wall()
        self._promised_seconds += free - self._model_then
        self._held_seconds += free - now
        self._model_then, self._wall_then = now, wall
