"""The tasks that scrape: one per pod, each at its own moment, none of them able to hold up another."""

import asyncio
import logging
from collections.abc import Iterable

from inflight.sources import schedule
from inflight.sources.bounded_log import BoundedLog
from inflight.sources.clock import Clock
from inflight.sources.holdings import Holdings
from inflight.sources.pod import WatchedPod
from inflight.sources.scrape import Failure
from inflight.sources.scraper import Scraped, Scraper
from inflight.sources.stats import Counters

_NO_ROOM = (
    "the page is large, and what large pages say is kept within limits that its namespace has used up: fewer samples or"
    " labels on its pages, or fewer such pods"
)

_log = logging.getLogger(__name__)


class Watch:
    """Keeps one task per pod while the collector runs."""

    def __init__(
        self,
        scraper: Scraper,
        interval_seconds: float | None,
        clock: Clock,
        counters: Counters,
        group: asyncio.TaskGroup,
    ) -> None:
        self._scraper = scraper
        self._interval = interval_seconds
        self._clock = clock
        self._counters = counters
        self._group = group
        self._tasks: dict[WatchedPod, asyncio.Task[None]] = {}
        self._asleep: set[WatchedPod] = set()
        self._woken: set[WatchedPod] = set()
        """While they were being asked: they are asked once more at once."""
        self._seen: dict[WatchedPod, _State] = {}
        self._holdings = Holdings()
        self.news = BoundedLog(_log, asyncio.get_running_loop().time, "pods")

    def follow(self, pods: Iterable[WatchedPod]) -> None:
        """Watch these pods and no others; those that became ready or restarted meanwhile are asked at once."""
        wanted = dict.fromkeys(pods)
        for pod in [pod for pod in self._tasks if pod not in wanted]:
            self._tasks.pop(pod).cancel()
            self._asleep.discard(pod)
            self._woken.discard(pod)
            self._holdings.release(pod)
            del self._seen[pod]
        for pod in wanted:
            state = _state(pod)
            if pod not in self._tasks:
                self._tasks[pod] = self._group.create_task(self._watch(pod))
            elif _is_news(self._seen[pod], state):
                self._wake(pod)
            self._seen[pod] = state

    def _wake(self, pod: WatchedPod) -> None:
        if pod not in self._asleep:
            self._woken.add(pod)
            return
        self._asleep.discard(pod)
        self._tasks[pod].cancel()
        self._tasks[pod] = self._group.create_task(self._scrape_on(pod, self._clock.now()))

    async def _watch(self, pod: WatchedPod) -> None:
        interval = pod.interval_seconds(self._interval)
        due = self._clock.now() + pod.phase * interval
        # A pod that appears is looked at within a second, whatever the interval.
        await self._sleep(pod, pod.phase * min(interval, schedule.SHORTEST_SECONDS))
        await self._scrape_on(pod, due)

    async def _scrape_on(self, pod: WatchedPod, due: float) -> None:
        task = asyncio.current_task()
        began = self._clock.now()
        # A client's own deadline that ends in the same instant as a cancellation can swallow it; the count remains.
        while task is None or not task.cancelling():
            pod.places.begin()
            if not pod.places.under_way:
                began = self._clock.now()
            await self._scrape(pod)
            now = self._clock.now()
            due = self._next_due(pod, began, due, now)
            if pod in self._woken and not pod.places.under_way:
                self._woken.discard(pod)
                continue
            await self._sleep(pod, due - now)

    async def _sleep(self, pod: WatchedPod, seconds: float) -> None:
        self._asleep.add(pod)
        await self._clock.sleep(seconds)
        self._asleep.discard(pod)

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
        self._count(scraped)
        pod.took(scraped.duration_seconds, scraped.in_all_seconds)
        pod.costly_failures = pod.costly_failures + 1 if scraped.costly_failure else 0
        outcome = scraped.outcome
        if isinstance(outcome, Failure):
            self._fail(pod, outcome)
            return
        if pod.is_elsewhere(outcome):
            self._fail(pod, Failure("content", "no known engine's page"))
            return
        reader = pod.reader
        if not self._holdings.claim(pod, pod.target.namespace, reader.kept_bytes, changed=reader.changed):
            pod.forget_pages()
            self._counters.failures["too_large"] += 1
            self._fail(pod, Failure("too_large", _NO_ROOM))
            return
        if pod.failure is not None:
            self._tell(logging.INFO, pod, "event=pod_answers namespace=%s pod=%s")
        if pod.series.add(outcome, scraped.received_at):
            self._counters.restarts += 1
            form = "event=pod_restarted namespace=%s pod=%s why=%r"
            self._tell(logging.INFO, pod, form, pod.series.restart_reason)
        pod.succeeded()

    def _count(self, scraped: Scraped) -> None:
        counters, outcome = self._counters, scraped.outcome
        counters.bytes_received += scraped.size_bytes
        counters.scrape_seconds += scraped.duration_seconds
        counters.waited_seconds += scraped.waited_seconds
        counters.last_duration_seconds = scraped.duration_seconds
        counters.last_finished_at = scraped.received_at
        if isinstance(outcome, Failure):
            counters.failures[outcome.reason] += 1
        elif outcome.engine is None:
            counters.unrecognized_pages += 1

    def _fail(self, pod: WatchedPod, failure: Failure) -> None:
        before = pod.failure
        pod.failed(failure)
        if pod.failure is not None and pod.failure is not before:
            self._tell_failure(pod, pod.failure, before)

    def _tell_failure(self, pod: WatchedPod, failure: Failure, before: Failure | None) -> None:
        """Once when it begins and when its reason changes, not at every attempt."""
        if failure.reason != "internal" and (before is None or before.reason != failure.reason):
            level = logging.INFO if failure.reason == "refused" else logging.WARNING
            self._tell(level, pod, "event=pod_fails namespace=%s pod=%s reason=%s why=%r", failure.reason, failure.text)

    def _tell(self, level: int, pod: WatchedPod, form: str, *values: object) -> None:
        self.news.say(level, pod.target.namespace, form, pod.target.namespace, pod.target.name, *values)


_State = tuple[bool, int]
"""Whether the pod is ready, and how often its containers restarted."""


def _state(pod: WatchedPod) -> _State:
    return pod.target.ready is True, pod.target.restarts


def _is_news(before: _State, now: _State) -> bool:
    """Whether there is a reason to ask before the pod's time: it takes load from now on, or its engine is another."""
    return (now[0] and not before[0]) or now[1] > before[1]
