"""Small fleets and loads for tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from inflight.objects import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    LabelSelector,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMeta,
    PodsMetricSource,
    ResourceMetricSource,
    parse_quantity,
    set_defaults,
)
from inflight.sim.arrivals import Arrival
from inflight.sim.cold_start import ColdStart
from inflight.sim.engine import EngineConfig
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_setup import FleetSetup
from inflight.sim.presets import PRESETS

A100 = PRESETS["llama-3.1-8b/a100-80gb"]


def setup(engine: EngineConfig = A100, **changes: Any) -> FleetSetup:
    return FleetSetup(engine, **changes)


def fleet(arrivals: Sequence[Arrival] = (), **changes: Any) -> Fleet:
    return Fleet(setup(**changes), arrivals)


def steady(count: int, gap: float, start: float = 0.0, prompt: int = 200, output: int = 50) -> list[Arrival]:
    return [Arrival(start + index * gap, prompt, output) for index in range(count)]


EXACT = ColdStart(30, 30, pending_seconds=5)


def hpa(metric: MetricSpec, maximum: int = 8, minimum: int = 1) -> HorizontalPodAutoscaler:
    target = CrossVersionObjectReference(kind="Deployment", name="vllm", api_version="apps/v1")
    made = HorizontalPodAutoscaler(
        metadata=ObjectMeta(name="vllm", namespace="inference"),
        spec=HorizontalPodAutoscalerSpec(
            scale_target_ref=target, min_replicas=minimum, max_replicas=maximum, metrics=(metric,)
        ),
    )
    return set_defaults(made, "1.37")


def on_cpu(percent: int = 80, name: str = "cpu") -> MetricSpec:
    target = MetricTarget(type="Utilization", average_utilization=percent)
    return MetricSpec(type="Resource", resource=ResourceMetricSource(name=name, target=target))


def per_pod(average: str, name: str = "inflight_requests") -> MetricSpec:
    target = MetricTarget(type="AverageValue", average_value=parse_quantity(average))
    return MetricSpec(type="Pods", pods=PodsMetricSource(metric=MetricIdentifier(name=name), target=target))


def external(average: str, name: str = "inflight_requests", labels: Mapping[str, str] | None = None) -> MetricSpec:
    selector = LabelSelector(match_labels=dict({"app": "vllm"} if labels is None else labels))
    target = MetricTarget(type="AverageValue", average_value=parse_quantity(average))
    source = ExternalMetricSource(metric=MetricIdentifier(name=name, selector=selector), target=target)
    return MetricSpec(type="External", external=source)
