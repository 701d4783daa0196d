"""Where time comes from. Every part that waits or stamps takes a clock, so that the lab can run an hour in minutes.

`now()` is Unix time in seconds (of the model in the lab), `sleep` takes seconds of the same time. Deadlines of
network calls stay wall time: a socket does not know about models.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Unix time, seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock's time (not at all if negative)."""
        ...


class WallClock:
    """The real time, made monotonic: a step of the system's clock must not make ages negative."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ScaledClock:
    """Model time that runs `speed` times as fast as the wall, from `start` (Unix seconds). The speed may be changed."""

    def __init__(self, speed: float, start: float) -> None:
        if speed <= 0:
            raise ValueError(f"the speed of a clock must be above 0, not {speed}")
        self._speed = speed
        self._model_then = start
        self._wall_then = time.monotonic()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> float:
        return self._model_then + (time.monotonic() - self._wall_then) * self._speed

    def set_speed(self, speed: float) -> None:
        """From this moment on; the model time does not jump."""
        if speed <= 0:
            raise ValueError(f"the speed of a clock must be above 0, not {speed}")
        self._model_then = self.now()
        self._wall_then = time.monotonic()
        self._speed = speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._speed)
