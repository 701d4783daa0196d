"""What the API server refuses in a HorizontalPodAutoscaler: every rule, all errors at once, in upstream's words.

Judged is the object that `set_defaults` gives. What the API server lets pass and the controller stumbles over later is
no matter of this module. Source: kubernetes pkg/apis/autoscaling/validation/validation.go and
pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go, 1.32 to 1.37.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from inflight.objects.autoscaling import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
)
from inflight.objects.meta_validation import validate_metadata
from inflight.objects.metric_validation import is_group_version, validate_metric, validate_reference
from inflight.objects.releases import HPA_SCALE_TO_ZERO, NEWEST, Release, find_release
from inflight.objects.wire import Cause, FieldError, Path

MAX_PERIOD_SECONDS: Final = 1800
MAX_STABILIZATION_WINDOW_SECONDS: Final = 3600

_FIRST_RELEASE_WITH_API_VERSION_RULE = 34
_FIRST_RELEASE_WITH_REQUIRED_MAX = 36

Errors = Iterator[FieldError]


def validate(
    hpa: HorizontalPodAutoscaler,
    kubernetes: str = NEWEST,
    feature_gates: Mapping[str, bool] | None = None,
    old: HorizontalPodAutoscaler | None = None,
) -> list[FieldError]:
    """All reasons for which that release refuses the object; `old` is what an update replaces. Raises ReleaseError."""
    release = find_release(kubernetes, feature_gates)
    return [*validate_metadata(hpa.metadata, minor=release.minor), *_spec(hpa.spec, release, old.spec if old else None)]


def _spec(spec: HorizontalPodAutoscalerSpec, release: Release, old: HorizontalPodAutoscalerSpec | None) -> Errors:
    yield from _replicas(spec, release, old)
    has_api_version_rule = release.minor >= _FIRST_RELEASE_WITH_API_VERSION_RULE
    yield from _scale_target(spec, has_api_version_rule, old)
    check_described = has_api_version_rule and not (old and _describes_wrongly(old))
    for index, metric in enumerate(spec.metrics):
        yield from validate_metric(metric, ("spec", "metrics", index), check_described)
    if spec.min_replicas == 0 and not any(metric.type in {"Object", "External"} for metric in spec.metrics):
        problem = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield FieldError(("spec", "metrics"), problem, Cause.FORBIDDEN)
    if spec.behavior:
        yield from _rules(spec.behavior.scale_up, ("spec", "behavior", "scaleUp"))
        yield from _rules(spec.behavior.scale_down, ("spec", "behavior", "scaleDown"))


def _scale_target(
    spec: HorizontalPodAutoscalerSpec, has_api_version_rule: bool, old: HorizontalPodAutoscalerSpec | None
) -> Errors:
    target = spec.scale_target_ref
    before = old.scale_target_ref if old else None
    is_unchanged = before is not None and (before.api_version, before.kind) == (target.api_version, target.kind)
    check_api_version = has_api_version_rule and not is_unchanged
    path = ("spec", "scaleTargetRef")
    yield from validate_reference(target, path, check_api_version)
    is_core = is_group_version(target) and not target.group
    # The one scalable kind of the core group.
    if check_api_version and is_core and target.kind != "ReplicationController":
        problem = "apiVersion must specify API group: write apps/v1 for a Deployment or a StatefulSet"
        yield FieldError((*path, "apiVersion"), problem)


def _describes_wrongly(spec: HorizontalPodAutoscalerSpec) -> bool:
    """Whether an object that is updated already had what would be refused now: then it is let pass again."""
    described = (metric.object.described_object for metric in spec.metrics if metric.type == "Object" and metric.object)
    return not all(is_group_version(reference) for reference in described)


def _replicas(spec: HorizontalPodAutoscalerSpec, release: Release, old: HorizontalPodAutoscalerSpec | None) -> Errors:
    may_be_zero = release.enabled(HPA_SCALE_TO_ZERO) or (old is not None and old.min_replicas == 0)
    lower_bound = 0 if may_be_zero else 1
    if spec.min_replicas is not None and spec.min_replicas < lower_bound:
        hint = "" if spec.min_replicas < 0 or may_be_zero else f" (the feature gate {HPA_SCALE_TO_ZERO} is off)"
        problem = f"must be greater than or equal to {lower_bound}, not {spec.min_replicas}{hint}"
        yield FieldError(("spec", "minReplicas"), problem)
    path = ("spec", "maxReplicas")
    if release.minor < _FIRST_RELEASE_WITH_REQUIRED_MAX:
        if spec.max_replicas < 1:
            yield FieldError(path, f"must be greater than 0, not {spec.max_replicas}")
    elif spec.max_replicas == 0:
        yield FieldError(path, "must be set and greater than 0", Cause.REQUIRED)
    elif spec.max_replicas < 0:
        yield FieldError(path, f"must be greater than or equal to 1, not {spec.max_replicas}")
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        problem = (
            f"must be greater than or equal to `minReplicas`, which is {spec.min_replicas}, not {spec.max_replicas}"
        )
        yield FieldError(path, problem)


def _rules(rules: HPAScalingRules | None, path: Path) -> Errors:
    if rules is None:
        return
    window = rules.stabilization_window_seconds
    if window is not None and window < 0:
        problem = f"must be greater than or equal to zero, not {window}"
        yield FieldError((*path, "stabilizationWindowSeconds"), problem)
    if window is not None and window > MAX_STABILIZATION_WINDOW_SECONDS:
        problem = f"must be less than or equal to {MAX_STABILIZATION_WINDOW_SECONDS}, not {window}"
        yield FieldError((*path, "stabilizationWindowSeconds"), problem)
    if rules.select_policy is not None and rules.select_policy not in {"Max", "Min", "Disabled"}:
        problem = f"{rules.select_policy[:80]!r} is not supported: one of Disabled, Max, Min is"
        yield FieldError((*path, "selectPolicy"), problem, Cause.NOT_SUPPORTED)
    if not rules.policies:
        problem = "must specify at least one Policy: leave the list out for the default ones"
        yield FieldError((*path, "policies"), problem, Cause.REQUIRED)
    for index, policy in enumerate(rules.policies or ()):
        yield from _policy(policy, (*path, "policies", index))
    if rules.tolerance is not None and rules.tolerance.is_negative:
        yield FieldError((*path, "tolerance"), f"must be greater than or equal to 0, not {rules.tolerance}")


def _policy(policy: HPAScalingPolicy, path: Path) -> Errors:
    if policy.type not in {"Pods", "Percent"}:
        problem = f"{policy.type[:80]!r} is not supported: one of Percent, Pods is"
        yield FieldError((*path, "type"), problem, Cause.NOT_SUPPORTED)
    if policy.value <= 0:
        yield FieldError((*path, "value"), f"must be greater than zero, not {policy.value}")
    if policy.period_seconds <= 0:
        yield FieldError((*path, "periodSeconds"), f"must be greater than zero, not {policy.period_seconds}")
    if policy.period_seconds > MAX_PERIOD_SECONDS:
        problem = f"must be less than or equal to {MAX_PERIOD_SECONDS}, not {policy.period_seconds}"
        yield FieldError((*path, "periodSeconds"), problem)
