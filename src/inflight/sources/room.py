"""Room for the pages that are being received or wait to be read: a bounded number of them, shared out by namespace.

An ordinary page needs a slot, a large one a large slot, which it gets when it turns out to be large. Half of the
slots at most are one namespace's; a free one goes to the namespace that has fewest, and among those to the one that was
served longest ago. Who waits leaves its page with the server: of an answer that nobody reads only what connections.py
allows is held here.
"""

import asyncio
from collections import Counter, deque
from typing import Self

ORDINARY_BYTES = 256 << 10
"""Four times the page of a busy vLLM."""
ORDINARY_SLOTS = 64
LARGE_SLOTS = 8


class Slots:
    """Some slots of one size."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._most = max(1, count // 2)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: dict[str, int] = {}
        self._turn = 0

    def take_at_once(self, namespace: str) -> bool:
        """Whether there was a slot."""
        if not self._free or self._held[namespace] >= self._most or namespace in self._waiting:
            return False
        self._give(namespace)
        return True

    async def take(self, namespace: str) -> None:
        """Waits for a slot."""
        if self.take_at_once(namespace):
            return
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(came)
        try:
            await came
        except asyncio.CancelledError:
            if came.done() and not came.cancelled():
                self.give_back(namespace)
            else:
                self._forget(namespace, came)
            raise

    def give_back(self, namespace: str) -> None:
        """The slot is free again."""
        self._free += 1
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]
        self._serve()

    def _give(self, namespace: str) -> None:
        self._free -= 1
        self._held[namespace] += 1
        self._turn += 1
        self._served[namespace] = self._turn
        if len(self._served) > 4_096:
            self._served = {name: turn for name, turn in self._served.items() if turn > self._turn - 1_024}

    def _forget(self, namespace: str, came: asyncio.Future[None]) -> None:
        """Nobody waits for it any more."""
        waiting = self._waiting.get(namespace)
        if waiting is not None and came in waiting:
            waiting.remove(came)
            if not waiting:
                del self._waiting[namespace]

    def _serve(self) -> None:
        while self._free:
            able = [name for name in self._waiting if self._held[name] < self._most]
            if not able:
                return
            namespace = min(able, key=lambda name: (self._held[name], self._served.get(name, 0)))
            waiting = self._waiting[namespace]
            came = waiting.popleft()
            if not waiting:
                del self._waiting[namespace]
            if not came.cancelled():
                self._give(namespace)
                came.set_result(None)


class Room:
    """All slots for pages."""

    def __init__(self, ordinary: int = ORDINARY_SLOTS, large: int = LARGE_SLOTS) -> None:
        self.ordinary = Slots(ordinary)
        self.large = Slots(large)


class NoRoomError(Exception):
    """There was no room for a page in the time that it may take."""


class Slot:
    """One page's slot, from the head of its answer until it was read: `with Slot(room, namespace, 5.0) as slot`."""

    def __init__(self, room: Room, namespace: str, longest_seconds: float) -> None:
        self._room = room
        self._namespace = namespace
        self._longest_seconds = longest_seconds
        self._taken: Slots | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def take(self, size_bytes: int) -> None:
        """Waits for a slot where a page of this size fits; one that is held already is given up for a larger one.

        Raises NoRoomError.
        """
        wanted = self._room.ordinary if size_bytes <= ORDINARY_BYTES else self._room.large
        if self._taken is wanted or self._taken is self._room.large:
            return
        if not wanted.take_at_once(self._namespace):
            try:
                async with asyncio.timeout(self._longest_seconds):
                    await wanted.take(self._namespace)
            except TimeoutError:
                raise NoRoomError from None
        self.leave()
        self._taken = wanted

    def leave(self) -> None:
        """The page is no longer held."""
        if self._taken is not None:
            self._taken.give_back(self._namespace)
            self._taken = None
