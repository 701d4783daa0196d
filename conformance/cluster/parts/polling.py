# ruff: noqa: ASYNC110 - scripts of the conformance suite, not a package.
"""One question asked again and again while something is done: which answers came, and for how long none was good."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from inflight.cluster import ApiError, ClusterError

PAUSE_SECONDS = 0.05


class Seen(msgspec.Struct, frozen=True):
    at: float
    value: object
    error: str
    """Empty where it was answered."""


class Polling:
    """In a block. `ask` gives a value or raises ClusterError."""

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        self._ask = ask
        self.seen: list[Seen] = []

    async def __aenter__(self) -> "Polling":  # noqa: PYI034 - nobody derives from it
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            at = time.monotonic()
            try:
                value, error = await self._ask(), ""
            except ClusterError as failure:
                value, error = None, f"{failure.code}: {failure}" if isinstance(failure, ApiError) else str(failure)
            self.seen.append(Seen(at, value, error))
            await asyncio.sleep(PAUSE_SECONDS)

    def __str__(self) -> str:
        bad = (
            f"{len(self.errors)} bad, for {self.longest_outage_seconds:.2f} s at the longest"
            if self.errors
            else "none bad"
        )
        return f"{len(self.seen)} answers, {bad}"

    async def at_least(self, count: int) -> None:
        """Until there are so many more answers than now."""
        wanted = len(self.seen) + count
        while len(self.seen) < wanted:
            await asyncio.sleep(PAUSE_SECONDS)

    @property
    def values(self) -> list[object]:
        return [each.value for each in self.seen if not each.error]

    @property
    def errors(self) -> list[str]:
        return [each.error for each in self.seen if each.error]

    @property
    def longest_outage_seconds(self) -> float:
        """From the first of failures in a row to the next good answer."""
        longest, since = 0.0, None
        for each in self.seen:
            if not each.error:
                longest, since = max(longest, each.at - since if since is not None else 0.0), None
            elif since is None:
                since = each.at
        return longest if since is None else max(longest, time.monotonic() - since)
