"""Where values come from: the pods that are scraped, how often, and within which limits; and the clocks it all goes by.

collector = Collector(shipped(), WallClock())
collector.set_targets(load_targets(text, "targets.yaml"))
async with asyncio.TaskGroup() as group:
    group.create_task(collector.run())
    ...
    collector.samples("in_flight", "default")   # -> [PodSample(...), ...]
"""

from inflight.sources.clock import Clock, ScaledClock, WallClock
from inflight.sources.collector import Collector
from inflight.sources.scrape import REASONS, FailureReason
from inflight.sources.stats import CollectorStats, PodStatus
from inflight.sources.target import Target
from inflight.sources.targets import TargetsError, load_targets

__all__ = [
    "REASONS",
    "Clock",
    "Collector",
    "CollectorStats",
    "FailureReason",
    "PodStatus",
    "ScaledClock",
    "Target",
    "TargetsError",
    "WallClock",
    "load_targets",
]
