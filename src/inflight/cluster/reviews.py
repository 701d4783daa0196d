"""Answers of the cluster about callers, remembered for some seconds within a bound, each asked once at a time.

Ten seconds are what the generic API server keeps (k8s.io/apiserver `pkg/server/options/authentication.go` and
`authorization.go`): a right that is taken away holds at most that much longer here. Failures are not kept.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from inflight.cluster.once import Once

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
        self._once: Once[K, V] = Once()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer kept, or that of `ask`. Raises what `ask` raises."""
        kept = self._kept.get(key)
        if kept is not None and self._now() - kept[0] < self._kept_seconds:
            self._kept.move_to_end(key)
            return kept[1]
        return await self._once.get(key, lambda: self._fetch(key, ask))

    async def _fetch(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        value = await ask()
        self._kept[key] = (self._now(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)
        return value
