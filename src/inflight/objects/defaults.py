"""What the API server makes of a new HorizontalPodAutoscaler before it is stored.

Fields left out are filled in, fields behind a closed gate are dropped, and quantities take the form they come back in.
The controller never sees an object without this. Source: kubernetes pkg/apis/autoscaling/v2/defaults.go and
pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go, 1.32 to 1.37 (the defaults are the same in all).
"""

from collections.abc import Mapping

import msgspec

from inflight.objects.autoscaling import (
    KIND,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from inflight.objects.releases import HPA_CONFIGURABLE_TOLERANCE, NEWEST, find_release
from inflight.objects.wire import decode, to_plain

DEFAULT_NAMESPACE = "default"

# Percent. The one place where an autoscaler gets a CPU target that nobody wrote.
_DEFAULT_CPU_UTILIZATION = 80

# 15 s and not the 60 s of KEP-853 and of one API comment: the code decides.
_SCALE_UP = HPAScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
# The window stays open here: it is a flag of the controller (300 s unless set).
_SCALE_DOWN = HPAScalingRules(
    select_policy="Max", policies=(HPAScalingPolicy(type="Percent", value=100, period_seconds=15),)
)


def set_defaults(
    hpa: HorizontalPodAutoscaler,
    kubernetes: str = NEWEST,
    feature_gates: Mapping[str, bool] | None = None,
    old: HorizontalPodAutoscaler | None = None,
) -> HorizontalPodAutoscaler:
    """The object as that release would store it; its status is kept. `old` is what an update replaces.

    Raises ReleaseError for a release or gate that is not known. The result may still be refused: see `validate`.
    """
    release = find_release(kubernetes, feature_gates)
    spec = hpa.spec
    behavior = _complete(spec.behavior)
    if behavior and not release.enabled(HPA_CONFIGURABLE_TOLERANCE) and not (old and _has_tolerance(old.spec.behavior)):
        behavior = _without_tolerance(behavior)
    spec = msgspec.structs.replace(
        spec,
        min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
        metrics=spec.metrics or _default_metrics(),
        behavior=behavior,
    )
    metadata = msgspec.structs.replace(hpa.metadata, namespace=hpa.metadata.namespace or DEFAULT_NAMESPACE)
    return _stored(msgspec.structs.replace(hpa, metadata=metadata, spec=spec))


def _default_metrics() -> tuple[MetricSpec, ...]:
    target = MetricTarget(type="Utilization", average_utilization=_DEFAULT_CPU_UTILIZATION)
    return (MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target)),)


def _complete(behavior: HorizontalPodAutoscalerBehavior | None) -> HorizontalPodAutoscalerBehavior | None:
    """Both directions, as soon as there is a `behavior` at all, an empty one included."""
    if behavior is None:
        return None
    return HorizontalPodAutoscalerBehavior(
        scale_up=_filled(behavior.scale_up, _SCALE_UP), scale_down=_filled(behavior.scale_down, _SCALE_DOWN)
    )


def _filled(rules: HPAScalingRules | None, default: HPAScalingRules) -> HPAScalingRules:
    """Field by field; a list that is given, even empty, replaces the default list."""
    if rules is None:
        return default
    window = rules.stabilization_window_seconds
    return HPAScalingRules(
        stabilization_window_seconds=default.stabilization_window_seconds if window is None else window,
        select_policy=default.select_policy if rules.select_policy is None else rules.select_policy,
        policies=default.policies if rules.policies is None else rules.policies,
        tolerance=rules.tolerance,
    )


def _has_tolerance(behavior: HorizontalPodAutoscalerBehavior | None) -> bool:
    if behavior is None:
        return False
    return any(rules is not None and rules.tolerance is not None for rules in (behavior.scale_up, behavior.scale_down))


def _without_tolerance(behavior: HorizontalPodAutoscalerBehavior) -> HorizontalPodAutoscalerBehavior:
    return HorizontalPodAutoscalerBehavior(
        scale_up=behavior.scale_up and msgspec.structs.replace(behavior.scale_up, tolerance=None),
        scale_down=behavior.scale_down and msgspec.structs.replace(behavior.scale_down, tolerance=None),
    )


def _stored(hpa: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    """Through JSON once: `0.3` comes back as `300m`, which is another double where it is a tolerance."""
    return decode(to_plain(hpa), HorizontalPodAutoscaler, KIND)
