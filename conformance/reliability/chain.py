"""The usual chain as modelled: Prometheus reads each pod every 15 s, and an adapter answers from what it has.

Pods cells: a popular rule for vLLM as it stands under `rules` (sum by pod). External and Value cells: the same
series under `externalRules`, one sum or mean. A pod that cannot be read has a stale marker and is gone from the
sum; a page that carries its own standing time writes no new samples and is found by look-back for 5 minutes. NaN is
0 on the custom path and the smallest int64 on the external one (prometheus-adapter on amd64; see
docs/reliability.md). KEDA's scaler takes an empty result, NaN and infinity for 0 unless `ignoreNullValues` is
false. Neither looks at age or coverage.
"""

import math

from inflight.hpa import ExternalAnswer, FailedAnswer, MetricAnswer, PodMetric, PodsAnswer
from reliability.faults import Sight
from reliability.plant import Plant
from reliability.policies import View
from reliability.truth import milli
from reliability.watcher import Watcher

LOOK_BACK_SECONDS = 300.0
SCRAPE_STEPS = 5
EMPTY = FailedAnswer("no metrics returned from the metrics API")


class Series:
    """One pod's series: its last sample, and the time that the page gave it."""

    __slots__ = ("at", "page_time", "value")

    def __init__(self, value: float, at: float, page_time: float | None) -> None:
        self.value, self.at, self.page_time = value, at, page_time


class Chain:
    """Prometheus and prometheus-adapter, or KEDA (`null_is_zero`)."""

    has_floor = False

    def __init__(self, seed: int, *, null_is_zero: bool = False) -> None:
        self._phase = seed % SCRAPE_STEPS
        self._null_is_zero = null_is_zero
        self._series: dict[int, dict[str, Series]] = {}

    def restart(self, watcher: Watcher) -> None:
        """Inflight is not part of this chain."""

    def tick(self, watchers: list[Watcher], plant: Plant, step: int) -> None:
        if step % SCRAPE_STEPS != self._phase:
            return
        at = step * 3.0
        for watcher in watchers:
            before = self._series.get(watcher.number, {})
            after = {}
            for pod in plant.pods:
                record = watcher.records.get(pod.uid)
                if record is not None and (series := _scraped(record.sight, before.get(pod.uid), at)) is not None:
                    after[pod.uid] = series
            self._series[watcher.number] = after

    def load(self, view: View) -> MetricAnswer:
        names = {pod.uid: pod.name for pod in view.plant.pods}
        series = self._series.get(view.watcher.number, {})
        values = {names[uid]: each.value for uid, each in series.items() if uid in names}
        if not values:
            return ExternalAnswer((0,)) if self._null_is_zero else EMPTY
        if view.setting.kind == "Pods":
            return PodsAnswer({name: PodMetric(_custom_milli(value), 0) for name, value in values.items()})
        total = sum(values.values())
        return ExternalAnswer(
            (self._external_milli(total if view.setting.kind == "External" else total / len(values)),)
        )

    def floor(self, view: View) -> MetricAnswer:
        return EMPTY

    def _external_milli(self, value: float) -> int:
        if math.isfinite(value):
            return max(-(2**63), min(2**63 - 1, milli(value)))
        return 0 if self._null_is_zero else -(2**63)


def _scraped(sight: Sight, before: Series | None, at: float) -> Series | None:
    """The series after a scrape; None where its last sample is a stale marker or too old."""
    if sight.value is None:
        return None
    if sight.page_time is not None and before is not None and before.page_time == sight.page_time:
        return before if at - before.at < LOOK_BACK_SECONDS else None
    return Series(sight.value, at, sight.page_time)


def _custom_milli(value: float) -> int:
    """The adapter's custom path: NaN is 0, all else is cut to what an int64 holds."""
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return -(2**63)
    return max(-(2**63), min(2**63 - 1, milli(value)))
