"""What the judge knows: complete data, what the seen pods alone say, and the table's estimate, computed here anew from
what was delivered and true. No code of the guard is used, so that a mistake there does not excuse itself.
"""

import math
from collections.abc import Mapping

from inflight.hpa import ExternalAnswer, FailedAnswer, MetricAnswer, PodMetric, PodsAnswer
from reliability.hpas import Kind
from reliability.plant import Plant, PlantPod

HELD_SECONDS = 60.0
GRACE_SECONDS = 60.0
NO_PODS = FailedAnswer("no pod has a value")


def milli(value: float) -> int:
    """Thousandths, rounded up as the metrics API writes them."""
    return math.ceil(value * 1_000 - 1e-6)


def answer_of(kind: Kind, values: Mapping[str, float]) -> MetricAnswer:
    """The metric's answer, were these the pods and their values, by name."""
    if not values:
        return NO_PODS
    if kind == "Pods":
        return PodsAnswer({name: PodMetric(milli(value), 0) for name, value in values.items()})
    total = math.fsum(values.values())
    return ExternalAnswer((milli(total if kind == "External" else total / len(values)),))


def complete(plant: Plant, samples: Mapping[str, float] | None, at: float) -> dict[str, float]:
    """Every pod's value, by name: a sample of ours where one was delivered, is true and young, else what it holds now.

    A terminating pod counts while it is seen; without samples (twin F) all are.
    """
    found = {}
    for pod in plant.pods:
        if not pod.has_page(at):
            continue
        sample = None if samples is None else samples.get(pod.uid)
        if sample is not None:
            found[pod.name] = sample
        elif pod.deleted_at is None or samples is None:
            found[pod.name] = now(pod)
    return found


def now(pod: PlantPod) -> float:
    """What it holds this moment, as its page would say."""
    return 0.0 if pod.asleep else float(round(pod.in_flight))


def _expected(plant: Plant, at: float) -> list[PlantPod]:
    return [pod for pod in plant.pods if pod.deleted_at is None and (pod.is_ready(at) or pod.been_ready)]


def share_seen(plant: Plant, samples: Mapping[str, float], at: float) -> float | None:
    """Of the pods that are waited for; None where there is none."""
    expected = _expected(plant, at)
    return sum(pod.uid in samples for pod in expected) / len(expected) if expected else None


def seen_alone(plant: Plant, samples: Mapping[str, float], at: float) -> dict[str, float]:
    """The seen pods, and each unseen one at their mean."""
    return _filled(plant, samples, {}, at)


def estimate(
    plant: Plant, samples: Mapping[str, float], last: Mapping[str, tuple[float, float]], at: float
) -> dict[str, float]:
    """The table's estimate; `last` holds each pod's last true value delivered and when."""
    return _filled(plant, samples, last, at)


def _filled(
    plant: Plant, samples: Mapping[str, float], last: Mapping[str, tuple[float, float]], at: float
) -> dict[str, float]:
    expected = _expected(plant, at)
    seen = [samples[pod.uid] for pod in expected if pod.uid in samples]
    found = {pod.name: samples[pod.uid] for pod in plant.pods if pod.uid in samples}
    if not seen:
        return {}
    mean = math.fsum(seen) / len(seen)
    for pod in expected:
        if pod.uid in samples:
            continue
        if not pod.has_page(at) and not pod.is_ready(at):
            continue  # its engine has ended: what it held is with the others
        value, when = last.get(pod.uid, (0.0, -math.inf))
        if pod.is_ready(at) and when == -math.inf and at - pod.ready_at < GRACE_SECONDS:
            continue
        found[pod.name] = max(mean, value) if at - when <= HELD_SECONDS else mean
    return found
