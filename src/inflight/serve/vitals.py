"""Whether the process is fit: alive while scrapes come to an end, ready once it knows the pods that it began with.

Which pods a whole fleet waits for is each pod's own matter (`settling`, judged by the guard); ready is who has none
left of those that were there at the first look. Pods that come later change nothing: a process that was ready stays so.
Failing pods do not make it unfit: a restart would help nobody.
"""

from collections.abc import Sequence

from inflight.sources import CollectorStats, PodStatus

STILL_SECONDS = 60.0
"""Several times what the slowest attempt and the longest wait between two take together."""
FIRST_ROUNDS_SECONDS = 15.0
"""After which it is ready in any case, also where pods are replaced again and again; from the first look on."""


class Vitals:
    """Judges a collector by what it says of itself; times are Unix seconds of one clock."""

    def __init__(self, interval_seconds: float | None) -> None:
        self._still_seconds = max(STILL_SECONDS, 3 * (interval_seconds or 0.0))
        self._targets_since: float | None = None
        """Since when there has been anything to scrape; None while there is nothing."""
        self._first: frozenset[tuple[str, str]] = frozenset()
        self._looked_at: float | None = None
        self.warming_up = "just started"
        """A sentence until the pods of the first look have settled, as of the last look; "" ever after."""

    def note_targets(self, number: int, now: float) -> None:
        """There are so many pods to scrape from now on; to be told whenever they are others."""
        if not number:
            self._targets_since = None
        elif self._targets_since is None:
            self._targets_since = now

    def standstill(self, stats: CollectorStats, now: float) -> str:
        """A sentence where the scraping stands still; "" where it goes on or there is nothing to scrape."""
        self.note_targets(stats.targets, now)
        if self._targets_since is None:
            return ""
        # A scrape that ended before there was nothing to scrape says nothing about those of now.
        seconds = now - max(self._targets_since, stats.last_finished_at or 0.0)
        return f"no scrape has come to an end for {seconds:.0f} s" if seconds > self._still_seconds else ""

    def look(self, pods: Sequence[PodStatus], now: float) -> bool:
        """Whether the first rounds are over; once they are, they are for good. To be asked often until then, and not
        before the pods are known.
        """
        if self.warming_up:
            self.warming_up = self._what_is_open(pods, now)
        return not self.warming_up

    def _what_is_open(self, pods: Sequence[PodStatus], now: float) -> str:
        if self._looked_at is None:
            self._looked_at = now
            self._first = frozenset((pod.namespace, pod.name) for pod in pods)
        if now - self._looked_at >= FIRST_ROUNDS_SECONDS:
            return ""
        settling = [pod for pod in pods if pod.settling and (pod.namespace, pod.name) in self._first]
        unread = sum(pod.received_at is None for pod in settling)
        if unread:
            return f"just started: {unread} of {len(self._first)} pods have not been read yet"
        if settling:
            return f"just started: {len(settling)} of {len(self._first)} pods have not been read twice yet"
        return ""
