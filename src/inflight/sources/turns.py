"""What scraping may take of the process at once: of each turn of the event loop, and of a thread beside it.

A loop that sends a hundred requests and reads a hundred pages in one turn keeps everybody else waiting for it: an
answer of the metrics API takes about ten turns, its handshake included. So a turn holds two milliseconds of scraping
(up to twenty where scrapes have waited for long), the rest waits for the next; namespaces take turns by the time that
they have had. Times are wall seconds.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from inflight.sources.fair_queue import FairQueue

TURN_SECONDS = 0.002
"""Of scraping in one turn of the loop."""
LONGEST_TURN_SECONDS = 0.02
"""Where scrapes have waited for nine seconds: answers come late then, but with values that are younger than 15 s."""
START_SECONDS = 0.0004
"""What one scrape takes of the loop beside the reading of its page, on a slow core."""
LARGEST_THREAD_SHARE = 0.5
"""Of a core, for reading beside the loop: Python runs one of them at a time."""
SWITCH_SECONDS = 0.0005
"""How long the loop waits for the thread to make way, as it does before most of its callbacks; usually Python's 5 ms,
with which the loop was a tenth of a second late while large pages were read."""

T = TypeVar("T")

_Ran = tuple[Any, Exception | None, float]
"""What it gave, or the fault that ended it; the seconds that it took."""


class _Waiting:
    """Someone who waits for their turn, and what they do in it."""

    def __init__(self, work: Callable[[], Any], cost_seconds: float, done: asyncio.Future[Any]) -> None:
        self.work = work
        self.cost_seconds = cost_seconds
        self.done = done
        self.since = time.perf_counter()


class LoopTurns:
    """Shares the turns of the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pages: FairQueue[_Waiting] = FairQueue()
        self._scrapes: FairQueue[_Waiting] = FairQueue()
        """Behind the pages, which hold memory."""
        self._spent_seconds = 0.0
        self._next_turn: asyncio.Handle | None = None

    async def begin(self, namespace: str) -> None:
        """Waits until one more scrape may begin."""
        if self._has_room:
            self._charge(namespace, START_SECONDS)
            return
        await self._wait(self._scrapes, namespace, _nothing, START_SECONDS)

    async def do(self, namespace: str, work: Callable[[], T]) -> T:
        """Does the work, on the loop, when it is its turn."""
        if self._has_room:
            began = time.perf_counter()
            try:
                return work()
            finally:
                self._charge(namespace, time.perf_counter() - began)
        done: T = await self._wait(self._pages, namespace, work, 0.0)
        return done

    @property
    def _has_room(self) -> bool:
        return not self._pages and not self._scrapes and self._spent_seconds < TURN_SECONDS

    async def _wait(
        self, queue: FairQueue[_Waiting], namespace: str, work: Callable[[], Any], cost_seconds: float
    ) -> Any:
        done = self._loop.create_future()
        queue.push(namespace, _Waiting(work, cost_seconds, done))
        return await done

    def _charge(self, namespace: str, seconds: float) -> None:
        self._spent_seconds += seconds
        self._pages.charge(namespace, seconds)
        self._scrapes.charge(namespace, seconds)
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._next_turn = None
        self._spent_seconds, longest = 0.0, TURN_SECONDS
        while (queue := self._pages or self._scrapes) and self._spent_seconds < longest:
            namespace, waiting = queue.pop()
            if waiting.done.cancelled():
                continue
            began = time.perf_counter()
            longest = min(LONGEST_TURN_SECONDS, TURN_SECONDS * (1.0 + began - waiting.since))
            _finish(waiting)
            self._charge(namespace, time.perf_counter() - began + waiting.cost_seconds)


class ThreadTurns:
    """Shares one thread beside the loop, which rests between its tasks."""

    def __init__(self, executor: Executor) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._busy = False
        self._usual_switch_seconds = sys.getswitchinterval()

    async def do(self, namespace: str, work: Callable[[], T]) -> T:
        """Does the work in the thread, when it is its turn."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.push(namespace, _Waiting(work, 0.0, done))
        if not self._busy:
            self._next()
        return await done

    def _next(self) -> None:
        self._busy = False
        while self._queue and not self._busy:
            namespace, waiting = self._queue.pop()
            if waiting.done.cancelled():
                continue
            self._busy = True
            sys.setswitchinterval(SWITCH_SECONDS)
            running = self._loop.run_in_executor(self._executor, _timed, waiting.work)
            running.add_done_callback(
                lambda ran, namespace=namespace, waiting=waiting: self._done(ran, namespace, waiting)  # type: ignore[misc]
            )

    def _done(
        self, ran: asyncio.Future[tuple[Any, Exception | None, float]], namespace: str, waiting: _Waiting
    ) -> None:
        sys.setswitchinterval(self._usual_switch_seconds)
        if ran.cancelled():
            return
        result, error, seconds = ran.result()
        self._queue.charge(namespace, seconds)
        self._loop.call_later(seconds * (1.0 / LARGEST_THREAD_SHARE - 1.0), self._next)
        if waiting.done.cancelled():
            return
        if error is not None:
            waiting.done.set_exception(error)
        else:
            waiting.done.set_result(result)


def _finish(waiting: _Waiting) -> None:
    try:
        result = waiting.work()
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
        waiting.done.set_exception(error)
    else:
        waiting.done.set_result(result)


def _timed(work: Callable[[], Any]) -> _Ran:
    """The thread's own time: what it waits for the loop meanwhile does not count."""
    began = time.thread_time()
    try:
        return work(), None, time.thread_time() - began
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
        return None, error, time.thread_time() - began


def _nothing() -> None:
    return None
