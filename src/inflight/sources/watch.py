"""The tasks that scrape: one per pod, each at its own moment, none of them able to hold up another."""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import Executor

import aiohttp
import msgspec

from inflight.signals import PageReading
from inflight.sources import schedule
from inflight.sources.attempt import fetch_page, read_page
from inflight.sources.clock import Clock
from inflight.sources.credentials import Credentials
from inflight.sources.pod import WatchedPod
from inflight.sources.scrape import Failure, FetchedPage
from inflight.sources.stats import Counters

BIG_PAGE_BYTES = 256 << 10
"""A page above this is read in a thread: reading it may take longer than an answer of the metrics API should."""

_log = logging.getLogger(__name__)


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


class Scraper:
    """Fetches a pod's page and reads it."""

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
        self._executor = executor

    async def scrape(self, pod: WatchedPod) -> Scraped:
        """One attempt."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        fetched = await self._fetch(pod)
        received_at, duration = self._clock.now(), loop.time() - started
        if isinstance(fetched, Failure):
            return Scraped(fetched, received_at, duration)
        return Scraped(await self._read(pod, fetched), received_at, duration, len(fetched.body))

    async def _fetch(self, pod: WatchedPod) -> FetchedPage | Failure:
        settings = self._settings
        return await fetch_page(
            self._session,
            pod.target,
            pod.url,
            self._credentials,
            deadline_seconds=settings.timeout_seconds,
            max_bytes=settings.max_page_bytes,
        )

    async def _read(self, pod: WatchedPod, page: FetchedPage) -> PageReading | Failure:
        if len(page.body) <= BIG_PAGE_BYTES:
            return read_page(pod.reader, page)
        return await asyncio.get_running_loop().run_in_executor(self._executor, read_page, pod.big_reader, page)


class Watch:
    """Keeps one task per pod while the collector runs."""

    def __init__(
        self, scraper: Scraper, settings: ScrapeSettings, clock: Clock, counters: Counters, group: asyncio.TaskGroup
    ) -> None:
        self._scraper = scraper
        self._interval = settings.interval_seconds
        self._clock = clock
        self._counters = counters
        self._group = group
        self._tasks: dict[WatchedPod, asyncio.Task[None]] = {}

    def follow(self, pods: Iterable[WatchedPod]) -> None:
        """Watch these pods and no others."""
        wanted = dict.fromkeys(pods)
        for pod in [pod for pod in self._tasks if pod not in wanted]:
            self._tasks.pop(pod).cancel()
        for pod in wanted:
            if pod not in self._tasks:
                self._tasks[pod] = self._group.create_task(self._watch(pod))

    async def _watch(self, pod: WatchedPod) -> None:
        interval = pod.interval_seconds(self._interval)
        now = self._clock.now()
        due = now + pod.phase * interval
        # A pod that appears is looked at within a second, whatever the interval.
        await self._clock.sleep(pod.phase * min(interval, schedule.SHORTEST_SECONDS))
        task = asyncio.current_task()
        began = now
        # A client's own deadline that ends in the same instant as a cancellation can swallow it; the count remains.
        while task is None or not task.cancelling():
            pod.places.begin()
            if not pod.places.under_way:
                began = self._clock.now()
            await self._scrape(pod)
            now = self._clock.now()
            due = self._next_due(pod, began, due, now)
            await self._clock.sleep(due - now)

    def _next_due(self, pod: WatchedPod, began: float, due: float, now: float) -> float:
        """When the pod is asked next; `began` is when the walk through its places did, or the one attempt."""
        if pod.places.under_way:
            return now + schedule.between_places_seconds(pod.places.count, self._interval)
        if pod.failure is None:
            return schedule.next_due(due, now, pod.interval_seconds(self._interval))
        wait = pod.back_off_seconds(self._interval)
        if pod.places.searching:
            # Places that hang have taken long enough: one that answers by now must not wait for them twice.
            return max(began + wait, now + min(wait, schedule.SHORTEST_SECONDS))
        return now + wait

    async def _scrape(self, pod: WatchedPod) -> None:
        try:
            self._note(pod, await self._scraper.scrape(pod))
        except Exception:  # noqa: BLE001 - a fault of ours that one page brings to light must not stop the other pods
            if pod.failure is None or pod.failure.reason != "internal":
                _log.exception("event=scrape_fault namespace=%s pod=%s", pod.target.namespace, pod.target.name)
            self._counters.failures["internal"] += 1
            self._fail(pod, Failure("internal", "a fault of the scraper; its log has the details"))
        self._counters.scrapes += 1

    def _note(self, pod: WatchedPod, scraped: Scraped) -> None:
        counters = self._counters
        counters.bytes_received += scraped.size_bytes
        counters.scrape_seconds += scraped.duration_seconds
        counters.last_duration_seconds = scraped.duration_seconds
        counters.last_finished_at = scraped.received_at
        pod.took(scraped.duration_seconds)
        outcome = scraped.outcome
        if isinstance(outcome, Failure):
            counters.failures[outcome.reason] += 1
            self._fail(pod, outcome)
            return
        if outcome.engine is None:
            counters.unrecognized_pages += 1
        if pod.is_elsewhere(outcome):
            self._fail(pod, Failure("content", "no known engine's page"))
            return
        if pod.failure is not None:
            _log.info("event=pod_answers namespace=%s pod=%s", pod.target.namespace, pod.target.name)
        if pod.series.add(outcome, scraped.received_at):
            counters.restarts += 1
            why = pod.series.restart_reason
            _log.info("event=pod_restarted namespace=%s pod=%s why=%r", pod.target.namespace, pod.target.name, why)
        pod.succeeded()

    def _fail(self, pod: WatchedPod, failure: Failure) -> None:
        before = pod.failure
        pod.failed(failure)
        if pod.failure is not None and pod.failure is not before:
            _log_failure(pod, pod.failure, before)


def _log_failure(pod: WatchedPod, failure: Failure, before: Failure | None) -> None:
    """Once when it begins and when its reason changes, not at every attempt."""
    if failure.reason != "internal" and (before is None or before.reason != failure.reason):
        target = pod.target
        level = logging.INFO if failure.reason == "refused" else logging.WARNING
        _log.log(
            level,
            "event=pod_fails namespace=%s pod=%s reason=%s why=%r",
            target.namespace,
            target.name,
            failure.reason,
            failure.text,
        )
