"""Whether the process is fit: alive while scrapes come to an end, ready once it knows the pods that it began with.

Until then no value for a whole fleet is served. After a start no pod has reported yet, so a sum would hold those only
that happened to be read first: it would look like load that went away. A pod is settled when it has given a page, or
has failed twice (a restart must not wait for a pod that loads or is dead); rates need one page more. Pods that appear
later wait for nobody: without them an answer is not lower than the one before. Failing pods do not make the process
unfit: a restart would help nobody.
"""

from collections.abc import Sequence

from inflight.sources import CollectorStats, PodStatus

STILL_SECONDS = 60.0
"""Several times what the slowest attempt and the longest wait between two take together."""
FIRST_ROUNDS_SECONDS = 15.0
"""After which it is ready in any case."""
TRIES = 2


class Vitals:
    """Judges a collector by what it says of itself; times are Unix seconds of one clock."""

    def __init__(self, started_at: float, interval_seconds: float | None) -> None:
        self._started_at = started_at
        self._still_seconds = max(STILL_SECONDS, 3 * (interval_seconds or 0.0))
        self._settled_at: float | None = None
        self.warming_up = "just started"
        """A sentence while the first rounds go on, as of the last look; "" ever after."""

    def standstill(self, stats: CollectorStats, now: float) -> str:
        """A sentence where the scraping stands still; "" where it goes on or there is nothing to scrape."""
        if stats.targets == 0:
            return ""
        seconds = now - (self._started_at if stats.last_finished_at is None else stats.last_finished_at)
        return f"no scrape has come to an end for {seconds:.0f} s" if seconds > self._still_seconds else ""

    def look(self, pods: Sequence[PodStatus], now: float) -> bool:
        """Whether the first rounds are over; once they are, they are for good. To be asked often until then."""
        if self.warming_up:
            self.warming_up = self._what_is_open(pods, now)
        return not self.warming_up

    def _what_is_open(self, pods: Sequence[PodStatus], now: float) -> str:
        if now - self._started_at >= FIRST_ROUNDS_SECONDS:
            return ""
        unsettled = sum(pod.received_at is None and pod.failures_in_a_row < TRIES for pod in pods)
        if unsettled:
            return f"just started: {unsettled} of {len(pods)} pods have not been read yet"
        if self._settled_at is None:
            self._settled_at = now
        second_page_seconds = 1.2 * max(
            (pod.interval_seconds for pod in pods if pod.received_at is not None), default=0
        )
        if now - self._settled_at < second_page_seconds:
            return (
                "just started: nothing is said of a whole fleet until each pod has had time for a second page,"
                " which rates need; a matter of seconds"
            )
        return ""
