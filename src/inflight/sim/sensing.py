"""What an HPA gets to see of a simulated fleet: the same values, ages and refusals as over the wire.

CPU comes from the fleet's metrics-server. Metrics of ours come from the replicas' gauges as a scrape each second would
have read them, each pod at its own moment of the second, and go through `inflight.guard` like those that are served:
what the guard does not know becomes the error that the metrics API would give. Times are seconds of the run; stamps
are Unix time.
"""

import math
from collections.abc import Callable, Mapping

import msgspec

from inflight.guard import Question, Unknown, answer
from inflight.hpa import ExternalAnswer, FailedAnswer, MetricAnswer, Observation, PodMetric, PodsAnswer
from inflight.objects import HorizontalPodAutoscaler, MetricIdentifier, MetricSpec, to_selector
from inflight.signals.metric_names import find_metric
from inflight.signals.series import PodSample
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_kubernetes import pod_objects
from inflight.sim.fleet_pod import FleetPod
from inflight.sim.replica import Replica
from inflight.sim.streams import between

SCRAPE_SECONDS = 1.0

GAUGES: Mapping[str, Callable[[Replica], float]] = {
    "in_flight": lambda replica: replica.running + replica.waiting,
    "running": lambda replica: replica.running,
    "waiting": lambda replica: replica.waiting,
    "kv_utilization": lambda replica: replica.kv_usage,
    "kv_capacity_tokens": lambda replica: replica.config.kv_capacity_tokens,
}
"""The canonical signals that a simulated scrape reads. Rates and quantiles need two pages: the emulator has those."""


class UnsensedError(ValueError):
    """An HPA with a metric that could never have a value in a simulation."""


class _Reading(msgspec.Struct, frozen=True):
    at: float
    values: Mapping[str, float]


def check_sensed(hpa: HorizontalPodAutoscaler) -> None:
    """Raises UnsensedError for the first metric that the simulator cannot make."""
    for index, metric in enumerate(hpa.spec.metrics):
        problem = _unsensed(metric)
        if problem:
            raise UnsensedError(f"{hpa.metadata.name or 'the HPA'}: spec.metrics[{index}]: {problem}")


def cpu_answer(fleet: Fleet) -> PodsAnswer:
    """The CPU use of all pods as metrics.k8s.io lists it now: nanocores, which the HPA rounds up to thousandths."""
    epoch = fleet.setup.epoch_seconds
    return PodsAnswer(
        {
            name: PodMetric(
                value_milli=-(-round(usage.cores * 1e9) // 1_000_000),
                timestamp_ns=_nanoseconds(epoch + usage.at),
                window_ns=_nanoseconds(usage.window_seconds),
            )
            for name, usage in fleet.cpu_usage().items()
        }
    )


class Sensing:
    """Looks at one fleet, sync by sync, and remembers which pods have been seen."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._seen: set[str] = set()

    def observe(self, hpa: HorizontalPodAutoscaler, at: float) -> Observation:
        """Advances the fleet to `at` and gives what the controller's sync finds there."""
        fleet = self._fleet
        readings = self._scrape(at) if any(_identifier(metric) for metric in hpa.spec.metrics) else {}
        fleet.advance(at)
        return Observation(
            replicas=fleet.replicas,
            status_replicas=fleet.status_replicas,
            selector=fleet.setup.template.selector,
            pods=pod_objects(fleet.pods, fleet.setup),
            answers=tuple(self._answer(metric, readings, at) for metric in hpa.spec.metrics),
        )

    def _scrape(self, at: float) -> dict[str, _Reading]:
        """The last reading of each pod before `at`, by uid; the fleet is advanced to each in turn."""
        fleet = self._fleet
        fleet.advance(at - SCRAPE_SECONDS)
        moments = sorted((_last_scrape(pod, fleet.setup.seed, at), pod.index, pod) for pod in fleet.pods)
        readings: dict[str, _Reading] = {}
        for moment, _, pod in moments:
            fleet.advance(moment)
            replica = pod.replica
            if replica is None or pod.gone_at is not None:
                continue
            self._seen.add(pod.uid)
            readings[pod.uid] = _Reading(moment, {signal: gauge(replica) for signal, gauge in GAUGES.items()})
        return readings

    def _answer(self, metric: MetricSpec, readings: Mapping[str, _Reading], at: float) -> MetricAnswer:
        problem = _unsensed(metric)
        identifier = _identifier(metric)
        if problem:
            return FailedAnswer(problem)
        if identifier is None:
            return cpu_answer(self._fleet)
        return self._ask(identifier, metric.type == "Pods", readings, at)

    def _ask(
        self, identifier: MetricIdentifier, per_pod: bool, readings: Mapping[str, _Reading], at: float
    ) -> MetricAnswer:
        """Pods metrics are about the target's pods; an External metric's selector chooses by the pods' labels."""
        api = "custom" if per_pod else "external"
        served = find_metric(identifier.name)
        if served is None:
            return FailedAnswer(f"unable to fetch metrics from {api} metrics API: {identifier.name} is not served")
        epoch = self._fleet.setup.epoch_seconds
        labels = self._fleet.setup.template.labels
        chosen = per_pod or to_selector(identifier.selector).matches(labels)
        samples = [self._sample(pod, served.signal, readings) for pod in self._fleet.pods] if chosen else []
        question = Question(identifier.name, served.signal, per_pod, served.across)
        found = answer(question, samples, epoch + at)
        if isinstance(found, Unknown):
            return FailedAnswer(f"unable to fetch metrics from {api} metrics API: {found.reason}")
        if found.value is not None:
            return ExternalAnswer((_milli(found.value),))
        return PodsAnswer(
            {pod.name: PodMetric(_milli(pod.value), _nanoseconds(pod.received_at)) for pod in found.values}
        )

    def _sample(self, pod: FleetPod, signal: str, readings: Mapping[str, _Reading]) -> PodSample:
        reading = readings.get(pod.uid)
        template = self._fleet.setup.template
        return PodSample(
            namespace=template.namespace,
            name=pod.name,
            labels=template.labels,
            value=None if reading is None else reading.values[signal],
            received_at=None if reading is None else self._fleet.setup.epoch_seconds + reading.at,
            missing="the server does not answer yet" if reading is None else "",
            reported_before=pod.uid in self._seen,
            alive=pod.deleted_at is None,
        )


def _last_scrape(pod: FleetPod, seed: int, at: float) -> float:
    phase = between(0.0, SCRAPE_SECONDS, seed, "scrape", pod.index)
    return math.floor((at - phase) / SCRAPE_SECONDS) * SCRAPE_SECONDS + phase


def _identifier(metric: MetricSpec) -> MetricIdentifier | None:
    """The metric's name and selector where it is one of ours."""
    if metric.type == "Pods" and metric.pods is not None:
        return metric.pods.metric
    if metric.type == "External" and metric.external is not None:
        return metric.external.metric
    return None


def _unsensed(metric: MetricSpec) -> str:
    """Why a metric can have no value in a simulation; empty if it can."""
    identifier = _identifier(metric)
    if identifier is not None:
        served = find_metric(identifier.name)
        if served is not None and served.signal not in GAUGES:
            return (
                f"{identifier.name} cannot be simulated: it is made from two pages of an engine; metrics of"
                f" {', '.join(sorted(GAUGES))} can"
            )
        return ""
    source = metric.resource if metric.type == "Resource" else metric.container_resource
    if source is not None and metric.type in {"Resource", "ContainerResource"}:
        return "" if source.name == "cpu" else f"the resource {source.name!r} cannot be simulated; cpu can"
    return f"a metric of type {metric.type!r} cannot be simulated; Resource, ContainerResource, Pods and External can"


def _milli(value: float) -> int:
    """Thousandths, rounded up as the metrics API writes them."""
    nearest = round(value * 1_000)
    return nearest if abs(value * 1_000 - nearest) <= 1e-9 * abs(nearest) else math.ceil(value * 1_000)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
