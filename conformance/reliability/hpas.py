"""The HPA of a run: what it asks, against what, with which window and tolerance; and its pods as the API shows them."""

from functools import lru_cache
from typing import Literal, NamedTuple

from inflight.hpa import Controller
from inflight.objects import (
    ExternalMetricSource,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMeta,
    Pod,
    PodCondition,
    PodMetadata,
    PodsMetricSource,
    PodStatus,
    Time,
    parse_quantity,
    set_defaults,
)
from reliability.plant import Plant, PlantPod

Kind = Literal["Pods", "External", "Value"]
KINDS: tuple[Kind, ...] = ("Pods", "External", "Value")
CONTROLLER = Controller()
TARGET = 10.0
MAX_REPLICAS = 40
EPOCH_SECONDS = 1_800_000_000
SELECTOR = "app=llm"
_LABELS = {"app": "llm"}


class Setting(NamedTuple):
    """What of an HPA differs between runs."""

    kind: Kind
    window: int
    tolerance: float
    from_zero: bool = False


def now_ns(at: float) -> int:
    """Nanoseconds since 1970 of a moment of the run."""
    return round((EPOCH_SECONDS + at) * 1e9)


@lru_cache(maxsize=256)
def hpa_of(setting: Setting, roles: tuple[str, ...]) -> HorizontalPodAutoscaler:
    """With the metrics named by their roles, in this order: `load`, `floor`, `gateway`."""
    tolerance = parse_quantity(f"{setting.tolerance:g}")
    window = setting.window
    hpa = HorizontalPodAutoscaler(
        api_version="autoscaling/v2",
        kind="HorizontalPodAutoscaler",
        metadata=ObjectMeta(name="llm", namespace="default"),
        spec=HorizontalPodAutoscalerSpec(
            min_replicas=0 if setting.from_zero else 1,
            max_replicas=MAX_REPLICAS,
            metrics=tuple(_metric(role, setting.kind) for role in roles),
            behavior=HorizontalPodAutoscalerBehavior(
                scale_up=HPAScalingRules(tolerance=tolerance),
                scale_down=HPAScalingRules(tolerance=tolerance, stabilization_window_seconds=window),
            ),
        ),
    )
    return set_defaults(hpa, CONTROLLER.kubernetes, CONTROLLER.feature_gates)


def _metric(role: str, kind: Kind) -> MetricSpec:
    target = parse_quantity(f"{TARGET:g}")
    average = MetricTarget(type="AverageValue", average_value=target)
    if role == "floor":
        target = parse_quantity("1")
        return _external("inflight_replica_floor", MetricTarget(type="AverageValue", average_value=target))
    if role == "gateway":
        return _external("gateway_queue", average)
    if kind == "Pods":
        metric = MetricIdentifier(name="inflight_requests")
        return MetricSpec(type="Pods", pods=PodsMetricSource(metric=metric, target=average))
    if kind == "Value":
        return _external("inflight_requests_mean", MetricTarget(type="Value", value=target))
    return _external("inflight_requests", average)


def _external(name: str, target: MetricTarget) -> MetricSpec:
    return MetricSpec(type="External", external=ExternalMetricSource(metric=MetricIdentifier(name=name), target=target))


def pods_of(plant: Plant, at: float) -> tuple[Pod, ...]:
    """The plant's pods as Kubernetes shows them."""
    return tuple([_pod(pod, at) for pod in plant.pods])


def _pod(pod: PlantPod, at: float) -> Pod:
    pending = at < pod.created_at + 3.0
    return _pod_object(pod.name, pending=pending, ready=pod.is_ready(at), leaving=pod.deleted_at is not None)


@lru_cache(maxsize=4096)
def _pod_object(name: str, *, pending: bool, ready: bool, leaving: bool) -> Pod:
    return Pod(
        metadata=PodMetadata(
            name=name, namespace="default", labels=_LABELS, deletion_timestamp=Time(now_ns(0)) if leaving else None
        ),
        status=PodStatus(
            phase="Pending" if pending else "Running",
            start_time=Time(now_ns(0)),
            conditions=(PodCondition(type="Ready", status="True" if ready else "False"),),
        ),
    )
