"""Whose turn it is among namespaces: theirs who have had least so far. Pure.

What a namespace has had is the sum of what its turns cost; one that comes back after a pause starts level with those
who are waiting, so that nobody saves up. A namespace full of costly pages thereby waits for itself: one with cheap
pages gets as much time, and so many more turns.
"""

import heapq
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_REMEMBERED = 4_096
"""Namespaces that do not wait: what they have had is forgotten beyond this number."""


class FairQueue(Generic[T]):
    """Items of namespaces, each namespace's in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._had: dict[str, float] = {}
        self._order: list[tuple[float, int, str]] = []
        """One entry for each namespace that waits; the number keeps those that are level in order of arrival."""
        self._arrivals = 0
        self._level = 0.0
        """What the namespace had whose turn was last."""

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def push(self, namespace: str, item: T) -> None:
        items = self._waiting.get(namespace)
        if items is not None:
            items.append(item)
            return
        self._waiting[namespace] = deque((item,))
        self._had[namespace] = max(self._had.get(namespace, 0.0), self._level)
        self._enter(namespace)

    def pop(self) -> tuple[str, T]:
        """The next item and its namespace. Raises IndexError where nobody waits."""
        while True:
            had, _, namespace = heapq.heappop(self._order)
            if had == self._had[namespace]:
                break
            # It was charged since it began to wait.
            self._enter(namespace)
        self._level = max(self._level, had)
        items = self._waiting[namespace]
        item = items.popleft()
        if items:
            self._enter(namespace)
        else:
            del self._waiting[namespace]
            self._forget()
        return namespace, item

    def charge(self, namespace: str, cost: float) -> None:
        """What a turn of the namespace has cost."""
        self._had[namespace] = max(self._had.get(namespace, 0.0), self._level) + cost

    def _enter(self, namespace: str) -> None:
        self._arrivals += 1
        heapq.heappush(self._order, (self._had[namespace], self._arrivals, namespace))

    def _forget(self) -> None:
        if len(self._had) > _MAX_REMEMBERED + len(self._waiting):
            self._had = {
                namespace: had
                for namespace, had in self._had.items()
                if namespace in self._waiting or had > self._level
            }
