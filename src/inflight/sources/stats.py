"""What the collector has done, as values: for our own metrics page, for health checks, and for people."""

from collections.abc import Mapping

import msgspec

from inflight.sources.scrape import REASONS, FailureReason


class CollectorStats(msgspec.Struct, frozen=True):
    """Of all pods together, so that a metrics page made of it stays small however many pods there are."""

    targets: int
    answering: int
    """Pods whose last scrape gave a page."""
    scrapes: int
    """Attempts that ended, with a page or without."""
    failures: Mapping[FailureReason, int]
    """Attempts that gave no page; every reason is there, most of them at 0."""
    unrecognized_pages: int
    """Pages on which no engine of the catalogue was recognized."""
    restarts: int
    """Pages that showed that a pod's server had been restarted since the page before."""
    bytes_received: int
    scrape_seconds: float
    """Wall time of all scrapes, from the request to the end of the body."""
    last_duration_seconds: float | None
    """Wall time of the scrape that ended last."""
    slowest_duration_seconds: float | None
    """Of each pod's last scrape, the longest."""
    last_finished_at: float | None
    """When a scrape last ended, Unix seconds: old means that the collector stands still."""
    oldest_page_at: float | None
    """Of each pod's last page the oldest, Unix seconds; pods that never gave one do not count."""
    newest_page_at: float | None
    waited_seconds: float = 0.0
    """Wall time that all scrapes waited for their turn: scraping leaves time for everything else in the process."""
    stretched: int = 0
    """Pods that are read less often than was asked for (every second where nothing was)."""


class PodStatus(msgspec.Struct, frozen=True):
    """How the collector stands with one pod."""

    namespace: str
    name: str
    engine: str | None
    version: str | None
    received_at: float | None
    """Of the last page, Unix seconds."""
    interval_seconds: float
    last_duration_seconds: float | None
    failing: str
    """Why the last scrape gave no page; empty when it did."""
    failures_in_a_row: int
    restarts: int
    settling: bool = False
    """It was running before it was watched and has not had the time yet to be read."""


class Counters:
    """The running totals behind CollectorStats."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.failures: dict[FailureReason, int] = dict.fromkeys(REASONS, 0)
        self.unrecognized_pages = 0
        self.restarts = 0
        self.bytes_received = 0
        self.scrape_seconds = 0.0
        self.waited_seconds = 0.0
        self.last_duration_seconds: float | None = None
        self.last_finished_at: float | None = None
