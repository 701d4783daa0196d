"""Answers of the cluster about callers, remembered for some seconds within a bound, each asked once at a time.

Ten seconds are what the generic API server keeps (k8s.io/apiserver `pkg/server/options/authentication.go` and
`authorization.go`): a right that is taken away holds at most that much longer here. Failures are not kept.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KEPT_SECONDS = 10.0
MAX_KEPT = 4096

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Reviews(Generic[K, V]):
    """For each key an answer that is fresh; callers who want the same one at the same time share it."""

    def __init__(
        self,
        *,
        kept_seconds: float = KEPT_SECONDS,
        max_kept: int = MAX_KEPT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._max_kept = max_kept
        self._now = now
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}
        self.asked = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer kept, or that of `ask`. Raises what `ask` raises."""
        kept = self._kept.get(key)
        if kept is not None and self._now() - kept[0] < self._kept_seconds:
            self._kept.move_to_end(key)
            return kept[1]
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        # One caller who goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _fetch(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        self.asked += 1
        value = await ask()
        self._kept[key] = (self._now(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)
        return value

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            # Marks a failure as seen, where every caller has gone away.
            task.exception()
