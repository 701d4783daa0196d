"""What one answer alone makes an HPA propose is what the whole engine proposes for it."""

from inflight.hpa import ExternalAnswer, FailedAnswer, Observation, PodMetric, PodsAnswer
from inflight.laws import proposal
from inflight.objects import HorizontalPodAutoscaler, decode_hpa, set_defaults
from inflight.objects.pods import Pod, PodCondition, PodMetadata, PodStatus

PODS = tuple(
    Pod(
        metadata=PodMetadata(name=f"llm-{index}", namespace="default", labels={"app": "llm"}),
        status=PodStatus(phase="Running", conditions=(PodCondition(type="Ready", status="True"),)),
    )
    for index in range(8)
)


def hpa(minimum: int = 1) -> HorizontalPodAutoscaler:
    target = {"type": "AverageValue", "averageValue": "10"}
    found = decode_hpa({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "llm", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
            "minReplicas": minimum,
            "maxReplicas": 40,
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "inflight_requests"}, "target": target}},
                {"type": "External", "external": {"metric": {"name": "inflight_requests"}, "target": target}},
                {"type": "External", "external": {
                    "metric": {"name": "inflight_load"}, "target": {"type": "Value", "value": "10"}}},
            ],
        },
    })  # fmt: skip
    return set_defaults(found, "1.37", {})


def observed(replicas: int = 8) -> Observation:
    return Observation(replicas, replicas, "app=llm", PODS[:replicas], ())


def test_each_metric_proposes_by_itself_whatever_the_others_are() -> None:
    values = PodsAnswer({f"llm-{index}": PodMetric(5_000, 0) for index in range(8)})
    assert proposal(hpa(), 0, values, observed(), 0) == 4
    assert proposal(hpa(), 1, ExternalAnswer((161_000,)), observed(), 0) == 17
    assert proposal(hpa(), 2, ExternalAnswer((15_000,)), observed(), 0) == 12


def test_windows_policies_and_bounds_come_later() -> None:
    assert proposal(hpa(), 1, ExternalAnswer((2_000_000,)), observed(), 0) == 200


def test_where_nothing_would_be_computed_nothing_is_proposed() -> None:
    assert proposal(hpa(), 1, FailedAnswer("unseen"), observed(), 0) is None
    assert proposal(hpa(), 7, ExternalAnswer((1,)), observed(), 0) is None
    assert proposal(hpa(), 1, ExternalAnswer((1,)), observed(0), 0) is None, "scaling is switched off"
    assert proposal(hpa(9), 1, ExternalAnswer((1,)), observed(), 0) is None, "raised to the minimum first"
