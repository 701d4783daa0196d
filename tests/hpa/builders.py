"""Builders for the objects of a decision, so that a test states only what differs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inflight.hpa import (
    Controller,
    Decision,
    ExternalAnswer,
    Memory,
    MetricAnswer,
    Observation,
    PodMetric,
    PodsAnswer,
    decide,
)
from inflight.hpa.calculator import Situation
from inflight.hpa.controller import rules_of
from inflight.objects import HorizontalPodAutoscaler, Pod, decode_hpa, decode_pod, set_defaults

SECOND = 1_000_000_000
START = 946_684_800 * SECOND  # 2000-01-01T00:00:00Z
SELECTOR = "app=web"
OLD = "1999-12-31T00:00:00Z"


def pod(
    name: str,
    *,
    ready: str | None = "True",
    phase: str = "Running",
    cpu: str | None = "1",
    deleting: bool = False,
    started: str | None = OLD,
    ready_since: str | None = OLD,
    labels: Mapping[str, str] | None = None,
    namespace: str = "default",
    **spec: Any,
) -> Pod:
    """A running, ready pod that started long ago and requests one core, unless said otherwise."""
    requests = {} if cpu is None else {"cpu": cpu}
    conditions = [] if ready is None else [{"type": "Ready", "status": ready, "lastTransitionTime": ready_since}]
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels or {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2000-01-01T00:00:00Z"
    return decode_pod(
        {
            "metadata": metadata,
            "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}], **spec},
            "status": {"phase": phase, "startTime": started, "conditions": conditions},
        }
    )


def pods(count: int, **more: Any) -> tuple[Pod, ...]:
    return tuple(pod(f"pod-{index}", **more) for index in range(count))


def values(*milli: int, at_ns: int = START, window_seconds: int = 60) -> dict[str, PodMetric]:
    """Values for pod-0, pod-1 and so on."""
    return {f"pod-{index}": PodMetric(value, at_ns, window_seconds * SECOND) for index, value in enumerate(milli)}


def external(target: str = "30", kind: str = "averageValue", name: str = "load", **metric: Any) -> dict[str, Any]:
    type_ = {"averageValue": "AverageValue", "value": "Value"}[kind]
    return {
        "type": "External",
        "external": {"metric": {"name": name, **metric}, "target": {"type": type_, kind: target}},
    }


def pods_metric(target: str = "10", name: str = "inflight") -> dict[str, Any]:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def cpu_metric(percent: int = 80) -> dict[str, Any]:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
    }


def hpa(
    *metrics: dict[str, Any],
    minimum: int | None = 1,
    maximum: int = 10,
    behavior: dict[str, Any] | None = None,
    kubernetes: str = "1.37",
    **more: Any,
) -> HorizontalPodAutoscaler:
    """An HPA as the API server stores it."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": maximum,
        "metrics": list(metrics or (external(),)),
    }
    if minimum is not None:
        spec["minReplicas"] = minimum
    if behavior is not None:
        spec["behavior"] = behavior
    return set_defaults(
        decode_hpa({"metadata": {"name": "web", "namespace": "default"}, "spec": spec, **more}), kubernetes
    )


def observe(
    replicas: int, *answers: MetricAnswer, status_replicas: int | None = None, pods: Sequence[Pod] = (), **more: Any
) -> Observation:
    more.setdefault("selector", SELECTOR)
    return Observation(
        replicas=replicas,
        status_replicas=replicas if status_replicas is None else status_replicas,
        pods=tuple(pods),
        answers=answers,
        **more,
    )


def total(load: float) -> ExternalAnswer:
    """One series with that value (not in thousandths)."""
    return ExternalAnswer((round(load * 1000),))


def per_pod(*load: float) -> PodsAnswer:
    return PodsAnswer(values(*(round(each * 1000) for each in load)))


def situation(
    pods: Iterable[Pod] = (),
    *,
    down: float = 0.1,
    up: float = 0.1,
    now_ns: int = START,
    controller: Controller | None = None,
) -> Situation:
    """What the calculator needs; upstream's test settings for young pods (2 min, 10 s)."""
    controller = controller or Controller(cpu_initialization_period_seconds=120, initial_readiness_delay_seconds=10)
    return Situation(tuple(pods), now_ns, rules_of(controller), down, up)


class Story:
    """One HPA over several syncs; the target keeps the count that the controller wrote."""

    def __init__(self, spec: HorizontalPodAutoscaler, replicas: int, controller: Controller | None = None) -> None:
        self.spec = spec
        self.replicas = replicas
        self.controller = controller or Controller()
        self.memory = Memory(status=spec.status)
        self.now_ns = START

    def sync(self, *answers: MetricAnswer, seconds: float = 15, **more: Any) -> Decision:
        """One sync now; then time passes."""
        replicas = more.pop("replicas", self.replicas)
        decision = decide(self.spec, observe(replicas, *answers, **more), self.memory, self.now_ns, self.controller)
        self.memory, self.replicas = decision.memory, decision.replicas
        self.now_ns += round(seconds * SECOND)
        return decision
