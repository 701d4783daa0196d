"""One attempt on a pod, from the wait for its turn to what its page says, within what scraping may take of the process.

A page whose layout is known is read on the event loop, in a fraction of a millisecond; one that is large, was never
seen, or took long before is read in a thread.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from weakref import WeakSet

import aiohttp
import msgspec

from inflight.signals import PageReading
from inflight.signals.layouts import Known
from inflight.sources.attempt import fetch_page, learn_page
from inflight.sources.clock import Clock
from inflight.sources.credentials import Credentials
from inflight.sources.pod import WatchedPod
from inflight.sources.room import ORDINARY_BYTES, Room, Slot
from inflight.sources.scrape import Failure, FetchedPage
from inflight.sources.turns import LoopTurns, ThreadTurns

BIG_PAGE_BYTES = ORDINARY_BYTES
"""A page above this is read in a thread: reading it may take longer than an answer of the metrics API should."""
SLOW_SECONDS = 0.005
"""Of the loop, for one page of a known layout; that of a busy vLLM takes 0.3 ms."""


class ScrapeSettings(msgspec.Struct, frozen=True):
    """What the user asked for; without an interval each pod gets its own."""

    interval_seconds: float | None
    timeout_seconds: float
    max_page_bytes: int


class Scraped(msgspec.Struct, frozen=True):
    """How an attempt ended. `received_at` and `duration_seconds` are of the end of the body, before it was read."""

    outcome: PageReading | Failure
    received_at: float
    duration_seconds: float
    size_bytes: int = 0
    waited_seconds: float = 0.0
    """For its turn to ask."""
    in_all_seconds: float = 0.0
    """With the wait before and the reading behind."""

    @property
    def costly_failure(self) -> bool:
        """Whether a large page was of no use."""
        outcome = self.outcome
        return isinstance(outcome, Failure) and (outcome.reason == "too_large" or self.size_bytes > BIG_PAGE_BYTES)


class Scraper:
    """Fetches pods' pages and reads them."""

    def __init__(
        self,
        settings: ScrapeSettings,
        clock: Clock,
        credentials: Credentials,
        session: aiohttp.ClientSession,
        executor: Executor,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._credentials = credentials
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._turns = LoopTurns()
        self._thread = ThreadTurns(executor)
        self._room = Room()
        self._slow: WeakSet[WatchedPod] = WeakSet()

    async def scrape(self, pod: WatchedPod) -> Scraped:
        """One attempt."""
        asked = self._loop.time()
        namespace = pod.target.namespace
        await self._turns.begin(namespace)
        began = self._loop.time()
        with Slot(self._room, namespace, self._settings.timeout_seconds) as slot:
            fetched = await self._fetch(pod, slot)
            received_at, duration = self._clock.now(), self._loop.time() - began
            size = 0 if isinstance(fetched, Failure) else len(fetched.body)
            outcome = fetched if isinstance(fetched, Failure) else await self._read(pod, fetched)
        return Scraped(outcome, received_at, duration, size, began - asked, self._loop.time() - asked)

    async def _fetch(self, pod: WatchedPod, slot: Slot) -> FetchedPage | Failure:
        settings = self._settings
        return await fetch_page(
            self._session,
            pod.target,
            pod.url,
            self._credentials,
            deadline_seconds=settings.timeout_seconds,
            max_bytes=settings.max_page_bytes,
            slot=slot,
        )

    async def _read(self, pod: WatchedPod, page: FetchedPage) -> PageReading | Failure:
        namespace = pod.target.namespace
        candidates: Sequence[Known] = ()
        if len(page.body) <= BIG_PAGE_BYTES and pod not in self._slow:
            remembered, seconds = await self._turns.do(namespace, partial(_remembered, pod, page))
            if seconds > SLOW_SECONDS:
                self._slow.add(pod)
            if remembered is not None:
                return remembered
        else:
            candidates = pod.reader.candidates(page.body)
        learned = await self._thread.do(namespace, partial(learn_page, pod.reader, candidates, page))
        return learned if isinstance(learned, Failure) else pod.reader.keep(learned)


def _remembered(pod: WatchedPod, page: FetchedPage) -> tuple[PageReading | None, float]:
    """What a page of a known layout says, and the seconds of a core that it took to look."""
    began = time.thread_time()
    reading = pod.reader.remembered(page.body, page.open_metrics)
    return reading, time.thread_time() - began
