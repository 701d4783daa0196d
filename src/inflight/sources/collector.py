"""Scrapes every pod at its own moment of the interval and keeps what each of them said.

One task per pod, so that no pod waits for another: a server that hangs holds up itself alone, within its deadline.
Waiting goes by the clock that was given (model time in the lab); durations and deadlines are wall time. The whole lives
in `run`: when that is cancelled, no task, connection or thread is left.
"""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import aiohttp

from inflight.signals import Catalogue
from inflight.signals.series import WINDOW_SECONDS, PodSample
from inflight.sources.clock import Clock
from inflight.sources.connections import MAX_PAGE_BYTES, new_session
from inflight.sources.credentials import Credentials
from inflight.sources.file_limit import raise_file_limit
from inflight.sources.pod import SETTLE_SECONDS, Readers, WatchedPod
from inflight.sources.schedule import DEADLINE_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from inflight.sources.scraper import Scraper, ScrapeSettings
from inflight.sources.stats import CollectorStats, Counters, PodStatus
from inflight.sources.strain import Strain
from inflight.sources.target import Target
from inflight.sources.watch import Watch

LOOK_SECONDS = 10.0
"""Between two looks at all pods together."""

_SHORTEST_SECONDS = 0.01

_log = logging.getLogger(__name__)


class Collector:
    """Who is scraped (`set_targets`), the scraping (`run`), and what the pods said (`samples`).

    `interval_seconds` is kept as given; None means every second, stretched to at most 5 s for pods whose page takes
    long. `timeout_seconds` is the deadline of one scrape, in wall time.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        interval_seconds: float | None = None,
        timeout_seconds: float = DEADLINE_SECONDS,
        *,
        max_page_bytes: int = MAX_PAGE_BYTES,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        for name, value in (("interval", interval_seconds), ("timeout", timeout_seconds)):
            if value is not None and not _SHORTEST_SECONDS <= value < float("inf"):
                raise ValueError(f"the {name} of scrapes must be at least {_SHORTEST_SECONDS:g} s, not {value:g}")
        self._settings = ScrapeSettings(interval_seconds, timeout_seconds, max_page_bytes)
        self._clock = clock
        self._window_seconds = window_seconds
        self._readers = Readers(catalogue)
        self._credentials = Credentials()
        self._counters = Counters()
        self._pods: dict[tuple[str, str], WatchedPod] = {}
        self._by_namespace: dict[str, list[WatchedPod]] = {}
        self._watch: Watch | None = None
        self._room_for_pods = -1

    def set_targets(self, targets: Iterable[Target]) -> None:
        """From now on these pods and no others.

        A pod that was there before keeps its pages; at another URL, or read as another engine, it begins anew, but that
        it had reported is remembered: a typing error in a URL must not take the pod out of the sums.

        A pod that is to settle does so from the moment at which it came, also where its place changes meanwhile.

        Raises ValueError, and changes nothing, for a target whose engine is not in the catalogue.
        """
        pods: dict[tuple[str, str], WatchedPod] = {}
        targets = list(targets)
        for target in targets:
            key = (target.namespace, target.name)
            pod = self._pods.get(key)
            if pod is None or not pod.continues(target):
                pod = self._begin(target, pod)
            pods[key] = pod
        for target in targets:
            pods[target.namespace, target.name].update(target)
        self._pods = pods
        self._by_namespace = {}
        for pod in self._pods.values():
            self._by_namespace.setdefault(pod.target.namespace, []).append(pod)
        files = {pod.target.ca_file for pod in self._pods.values()}
        self._credentials.keep(files | {pod.target.bearer_token_file for pod in self._pods.values()})
        if self._watch is not None:
            self._make_room()
            self._watch.follow(self._pods.values())

    def _begin(self, target: Target, before: WatchedPod | None) -> WatchedPod:
        """A pod that is read from the beginning; `before` is what was watched under its name until now."""
        reported: Iterable[str] = ()
        settles_at = self._clock.now() + SETTLE_SECONDS if target.settle else None
        if before is not None and before.target.uid == target.uid:
            reported, settles_at = before.series.reported, before.settles_at
        return WatchedPod(target, self._readers, self._window_seconds, reported, settles_at)

    def samples(self, signal: str, namespace: str | None = None) -> list[PodSample]:
        """Each pod's word on a signal (named as `inflight.signals.derive` names it), in the order of the targets."""
        pods = self._pods.values() if namespace is None else self._by_namespace.get(namespace, ())
        now = self._clock.now()
        return [pod.sample(signal, now) for pod in pods]

    @property
    def stats(self) -> CollectorStats:
        counters = self._counters
        pods = self._pods.values()
        times = [pod.series.received_at for pod in pods if pod.series.received_at is not None]
        stretched = self._settings.interval_seconds or SHORTEST_SECONDS
        durations = [pod.last_duration_seconds for pod in pods if pod.last_duration_seconds is not None]
        return CollectorStats(
            targets=len(self._pods),
            answering=sum(pod.failure is None and pod.series.received_at is not None for pod in pods),
            scrapes=counters.scrapes,
            failures=dict(counters.failures),
            unrecognized_pages=counters.unrecognized_pages,
            restarts=counters.restarts,
            bytes_received=counters.bytes_received,
            scrape_seconds=counters.scrape_seconds,
            last_duration_seconds=counters.last_duration_seconds,
            slowest_duration_seconds=max(durations, default=None),
            last_finished_at=counters.last_finished_at,
            oldest_page_at=min(times, default=None),
            newest_page_at=max(times, default=None),
            waited_seconds=counters.waited_seconds,
            stretched=sum(pod.interval_seconds(self._settings.interval_seconds) > stretched for pod in pods),
        )

    def pods(self) -> list[PodStatus]:
        """How it stands with each pod, in the order of the targets."""
        now = self._clock.now()
        return [pod.status(self._settings.interval_seconds, now) for pod in self._pods.values()]

    async def run(self) -> None:
        """Scrapes until cancelled."""
        if self._watch is not None:
            raise RuntimeError("this collector is running already")
        self._make_room()
        async with self._new_session() as session:
            executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inflight-page")
            try:
                async with asyncio.TaskGroup() as group:
                    scraper = Scraper(self._settings, self._clock, self._credentials, session, executor)
                    self._watch = Watch(scraper, self._settings.interval_seconds, self._clock, self._counters, group)
                    self._watch.follow(self._pods.values())
                    await self._look_after(self._watch)
            finally:
                self._watch = None
                executor.shutdown(wait=False, cancel_futures=True)

    async def _look_after(self, watch: Watch) -> NoReturn:
        """Tells what only a look at all pods together can tell."""
        strain = Strain()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            watch.news.turn_over()
            counters = self._counters
            if strain.look(counters.scrapes, counters.waited_seconds):
                self._tell(strain)

    def _tell(self, strain: Strain) -> None:
        wait_ms, stats = strain.mean_wait_seconds * 1e3, self.stats
        if not strain.strained:
            _log.info("event=scraping_at_ease targets=%d wait_ms=%.0f", stats.targets, wait_ms)
            return
        why = "this process gets less of a core than its scraping takes, so pods are read less often; give it more CPU"
        form = "event=scraping_stretched targets=%d stretched=%d wait_ms=%.0f why=%r"
        _log.warning(form, stats.targets, stats.stretched, wait_ms, why)

    def _new_session(self) -> aiohttp.ClientSession:
        return new_session(self._settings.interval_seconds or LONGEST_SECONDS, self._settings.max_page_bytes)

    def _make_room(self) -> None:
        """Asked for once for a number of pods: a limit that is too low is then said once, not at every change."""
        if len(self._pods) > self._room_for_pods:
            self._room_for_pods = len(self._pods)
            raise_file_limit(self._room_for_pods)
