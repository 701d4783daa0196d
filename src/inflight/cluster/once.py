"""Questions that several ask at the same time, and that are put once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Who wants the same answer while it is being asked for shares it, and its failure."""

    def __init__(self) -> None:
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer of `ask`, which has a deadline of its own. Raises what `ask` raises."""
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(_run(ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        # One who goes away must not take the answer from the others.
        return await asyncio.shield(task)

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            # Marks a failure as seen, where all who wanted the answer have gone away.
            task.exception()


async def _run(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()
