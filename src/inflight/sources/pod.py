"""One pod under watch: what it has reported, how the last attempt went, and when the next one is due."""

from collections.abc import Iterable

from yarl import URL

from inflight.signals import Catalogue, LayoutCache, Missing, PageReader, PageReading, SignalValue
from inflight.signals.foreign import printable
from inflight.signals.series import PodSample, PodSeries, Silence
from inflight.sources import schedule
from inflight.sources.attempt import candidate_urls, shows_engine
from inflight.sources.places import Places
from inflight.sources.scrape import Failure
from inflight.sources.stats import PodStatus
from inflight.sources.target import Target

SETTLE_SECONDS = 15.0
"""So long a fleet waits for a pod that was running before it was watched: what its last value would count."""
SETTLED_AFTER = 2
"""Pages, since rates need two, or failures in a row: a pod that loads or is dead must not hold up the others."""

COSTLY_AFTER = 3
"""Large pages in a row that are of no use: the pod is then left alone for longer."""

_MAX_SIGNALS = 256


class Readers:
    """What the readers of all pods share: pods of one deployment write pages of one layout."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._layouts = LayoutCache()

    def reader(self, target: Target) -> PageReader:
        return PageReader(self.catalogue, target.engine, self._layouts, owner=target.namespace)


class WatchedPod:
    """The state of one living pod, read in one way; a successor under the same name gets a new one.

    `settles_at` is the time at which a fleet no longer waits for it; None where none ever does.
    """

    def __init__(
        self,
        target: Target,
        readers: Readers,
        window_seconds: float,
        reported: Iterable[str] = (),
        settles_at: float | None = None,
    ) -> None:
        self.target = target
        self._window_seconds = window_seconds
        self.series = PodSeries(window_seconds, reported)
        self.reader = readers.reader(target)
        self.failure: Failure | None = None
        self.failures_in_a_row = 0
        self.costly_failures = 0
        """In a row: large pages that were of no use."""
        self.last_duration_seconds: float | None = None
        self.places = Places(candidate_urls(target, readers.catalogue))
        self.settles_at = settles_at
        self._gone = False
        self._container_restarts = target.restarts
        self._pages = 0
        self._smoothed_seconds: float | None = None
        self._attempts = 0
        self._samples: dict[str, PodSample] = {}

    @property
    def url(self) -> URL:
        return self.places.url

    @property
    def phase(self) -> float:
        return schedule.phase(self.target.namespace, self.target.name, self.target.uid)

    def continues(self, target: Target) -> bool:
        """Whether a new version of the target is the same living pod, read at the same places in the same way."""
        mine = self.target
        return (mine.uid, mine.url, mine.alternatives, mine.engine) == (
            target.uid,
            target.url,
            target.alternatives,
            target.engine,
        )

    def update(self, target: Target) -> None:
        """Other labels or files, a restart or a coming end of the same pod."""
        if target == self.target:
            return
        self.target = target
        self._samples.clear()
        if target.restarts > self._container_restarts:
            self._container_restarts = target.restarts
            self.places.forget()

    def settling(self, now: float) -> bool:
        """Whether nothing may be said yet of a fleet without this pod."""
        if self.settles_at is not None and now >= self.settles_at:
            self.settles_at = None
            self._samples.clear()
        return self.settles_at is not None

    def interval_seconds(self, wanted: float | None) -> float:
        """The user's interval, or one that suits the pod."""
        return wanted if wanted is not None else schedule.interval_seconds(self._smoothed_seconds or 0.0)

    def back_off_seconds(self, wanted: float | None) -> float:
        shortest = schedule.SHORTEST_SECONDS if wanted is None else wanted
        key = f"{self.target.namespace}/{self.target.name}"
        longest = schedule.LONGEST_BACK_OFF_SECONDS
        if self.costly_failures >= COSTLY_AFTER:
            longest = schedule.LONGEST_COSTLY_BACK_OFF_SECONDS
        return schedule.back_off_seconds(self.failures_in_a_row, shortest, key, longest)

    def took(self, duration_seconds: float, in_all_seconds: float) -> None:
        """An attempt ended. What stretches the interval is all of it: waiting for its turn, the answer, the reading.
        The first at a place does not count: it connected too.
        """
        self._attempts += 1
        self.last_duration_seconds = duration_seconds
        if self._attempts > 1:
            self._smoothed_seconds = schedule.smooth(self._smoothed_seconds, in_all_seconds)

    def is_elsewhere(self, reading: PageReading) -> bool:
        """Whether a page is not the one that is looked for, and that one may be at another place."""
        return self.places.searching and not shows_engine(reading, self.target.engine)

    def forget_pages(self) -> None:
        """Nothing of its pages is kept; that it has reported is."""
        self.series = PodSeries(self._window_seconds, self.series.reported)
        self._samples.clear()

    def succeeded(self) -> None:
        """The page is there, and in the series."""
        self.places.found()
        self._pages += 1
        if self._pages >= SETTLED_AFTER:
            self.settles_at = None
        self.failure = None
        self.failures_in_a_row = 0
        self.costly_failures = 0
        self._gone = False
        self._samples.clear()

    def failed(self, failure: Failure) -> None:
        """No page at the place that was asked: a failure of the pod where no other place is left to ask."""
        if self.places.searching:
            self._attempts = 0
        of_the_pod = self.places.not_here(failure)
        if of_the_pod is None:
            # A walk that goes on: what it has met may already be a reason not to leave the pod out.
            self._samples.clear()
        else:
            self._fail(of_the_pod)

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= SETTLED_AFTER:
            self.settles_at = None
        # Nobody listens: what the server last said is over, fresh or not, until there is a page again.
        self._gone = self._gone or failure.reason == "refused"
        self._samples.clear()

    def sample(self, signal: str, now: float) -> PodSample:
        """The pod's word on a signal; kept until the next page, since several HPAs ask for the same."""
        if self.settles_at is not None:
            self.settling(now)
        found = self._samples.get(signal)
        if found is None:
            if len(self._samples) >= _MAX_SIGNALS:
                self._samples.clear()
            found = self._samples[signal] = self._sample(signal)
        return found

    def _sample(self, signal: str) -> PodSample:
        target, series, failure = self.target, self.series, self.failure
        value = None if self._gone else series.value(signal)
        if value is None:
            missing = failure.text if failure is not None else ""
        else:
            missing = value.reason if isinstance(value, Missing) else ""
        return PodSample(
            namespace=target.namespace,
            name=target.name,
            labels=target.labels,
            value=None if value is None or isinstance(value, Missing) else value.value,
            received_at=series.received_at,
            missing=missing,
            reported_before=series.has_reported(signal),
            alive=not target.terminating,
            failure=failure.text if failure is not None else "",
            quiet=isinstance(value, Missing) and series.is_quiet(signal),
            across=value.across if isinstance(value, SignalValue) and value.across != "merge" else "",
            settling=self.settles_at is not None,
            ready=target.ready,
            kind=target.kind,
            silence=self._silence,
        )

    @property
    def _silence(self) -> Silence:
        if self.failure is not None:
            return self.failure.silence
        latest = self.series.latest
        if latest is not None:
            return "" if latest.engine is not None else "no_engine"
        return self.places.silence

    def status(self, wanted_interval: float | None, now: float) -> PodStatus:
        latest = self.series.latest
        return PodStatus(
            namespace=self.target.namespace,
            name=self.target.name,
            engine=latest.engine if latest is not None else None,
            version=printable(latest.version) if latest is not None and latest.version is not None else None,
            received_at=self.series.received_at,
            interval_seconds=self.interval_seconds(wanted_interval),
            last_duration_seconds=self.last_duration_seconds,
            failing=self.failure.text if self.failure is not None else "",
            failures_in_a_row=self.failures_in_a_row,
            restarts=self.series.restarts,
            settling=self.settling(now),
        )
