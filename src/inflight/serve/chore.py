"""Work that is done when something has changed, looked after now and then, and tried again until it succeeds.

And what is said about it: one line when a trouble begins or becomes another, not one for each attempt.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from inflight.cluster import ApiError, ClusterError, UnreachableError

LOOK_SECONDS = 60.0
BACKOFF_SECONDS = (0.5, 30.0)
BACKOFF_JITTER = 0.5
QUIET_CONFLICTS = 3
"""Somebody else was faster: that is how replicas agree, and worth a word only when it does not end."""
REPEAT_SECONDS = 600.0
FIGHT_WRITES = 10
FIGHT_SECONDS = 600.0
SLOW_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Chore:
    """`work` has to look by itself whether there is anything to do. Times in seconds."""

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        failed: Callable[[ClusterError], None],
        *,
        look_seconds: float = LOOK_SECONDS,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
        random_source: random.Random | None = None,
    ) -> None:
        self._work = work
        self._failed = failed
        self._look_seconds = look_seconds
        self._backoff_seconds = backoff_seconds
        self._random = random_source if random_source is not None else random.Random()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. After a failure the wait is not cut short: what happens meanwhile is done after it."""
        attempt = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._work()
            except ClusterError as error:
                attempt += 1
                if not (isinstance(error, ApiError) and error.code == 409 and attempt <= QUIET_CONFLICTS):
                    self._failed(error)
                await asyncio.sleep(self._wait_seconds(attempt))
                self._woken.set()
            else:
                attempt = 0

    def _wait_seconds(self, attempt: int) -> float:
        shortest, longest = self._backoff_seconds
        return min(shortest * 2.0 ** min(attempt - 1, 16), longest) * (1 + BACKOFF_JITTER * self._random.random())


class Pace:
    """Of writing one object. Whoever has to write it again and again has somebody against him: then a pause comes
    before each, so that it is neither peace nor a storm.
    """

    def __init__(self, slow_seconds: float = SLOW_SECONDS) -> None:
        self.slow_seconds = slow_seconds
        self._written: deque[float] = deque(maxlen=FIGHT_WRITES)

    def mark(self) -> None:
        """It has been written."""
        self._written.append(asyncio.get_running_loop().time())

    @property
    def is_fight(self) -> bool:
        if len(self._written) < FIGHT_WRITES:
            return False
        return asyncio.get_running_loop().time() - self._written[0] < FIGHT_SECONDS

    async def pause(self) -> None:
        await asyncio.sleep(self.slow_seconds)

    @property
    def words(self) -> str:
        return (
            f"again after {FIGHT_WRITES} times within {FIGHT_SECONDS / 60:g} minutes; from now on it is put right only"
            f" every {self.slow_seconds:g} s"
        )


class Troubles:
    """What is wrong at the moment, by topic. `event` names the lines of the log."""

    def __init__(self, event: str, seconds: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._seconds = seconds
        self._said: dict[str, _Said] = {}

    def say(self, topic: str, sentence: str) -> None:
        now, before = self._seconds(), self._said.get(topic)
        if before is not None and before.sentence == sentence and now - before.logged_at < REPEAT_SECONDS:
            return
        self._said[topic] = _Said(sentence, now)
        _log.warning("event=%s about=%s why=%r", self._event, topic, sentence)

    def end(self, topic: str) -> None:
        if self._said.pop(topic, None) is not None:
            _log.info("event=%s about=%s over=true", self._event, topic)

    def about(self, topic: str) -> str:
        """The empty text where nothing is wrong."""
        return self._said[topic].sentence if topic in self._said else ""

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(said.sentence for said in self._said.values())


class _Said(msgspec.Struct, frozen=True):
    sentence: str
    logged_at: float


def plain_object(answer: Any, what: str) -> Mapping[str, Any]:
    """Raises UnreachableError: what answers with something else is no API server."""
    if not isinstance(answer, Mapping):
        raise UnreachableError(f"{what}: the answer is not what an API server gives")
    return answer
