"""What the API server refuses in one metric of a HorizontalPodAutoscaler.

Only the first source that is present, in upstream's order, is looked into. That `target.type` fits the field set is no
rule of the API server. Source: kubernetes pkg/apis/autoscaling/validation/validation.go, 1.32 to 1.37.
"""

from collections.abc import Iterator
from typing import Final

from inflight.objects.autoscaling import (
    ContainerResourceMetricSource,
    CrossVersionObjectReference,
    ExternalMetricSource,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from inflight.objects.names import container_resource_problems, dns_label_problems, path_segment_problems
from inflight.objects.wire import Cause, FieldError, Path

Errors = Iterator[FieldError]
Source = (
    ObjectMetricSource | ExternalMetricSource | PodsMetricSource | ResourceMetricSource | ContainerResourceMetricSource
)

# Field on the wire to the `type` that asks for it, in the order in which upstream looks for what it validates in depth.
_TYPE_OF_SOURCE: Final = {
    "object": "Object",
    "external": "External",
    "pods": "Pods",
    "resource": "Resource",
    "containerResource": "ContainerResource",
}
_SUPPORTED_TYPES: Final = ", ".join(sorted(_TYPE_OF_SOURCE.values()))


def validate_metric(metric: MetricSpec, path: Path, check_described: bool) -> Errors:
    """One entry of `spec.metrics`; `check_described` asks for a well-formed API version of the described object."""
    if not metric.type:
        # Upstream says of it that it is not supported, too.
        problem = f"must specify a metric source type: one of {_SUPPORTED_TYPES}"
        yield FieldError((*path, "type"), problem, Cause.REQUIRED)
    if metric.type not in _TYPE_OF_SOURCE.values():
        problem = f"{metric.type[:80]!r} is not supported: one of {_SUPPORTED_TYPES} is"
        yield FieldError((*path, "type"), problem, Cause.NOT_SUPPORTED)
    present = _present_sources(metric)
    for name, source in list(present.items())[:1]:
        yield from _source(source, (*path, name), check_described)
    wanted = next((name for name, kind in _TYPE_OF_SOURCE.items() if kind == metric.type), None)
    if wanted and wanted not in present:
        problem = "must populate information for the given metric source"
        yield FieldError((*path, wanted), problem, Cause.REQUIRED)
    # Upstream's condition, which lets a single source of another type pass here: the missing one is refused above.
    if len(present) > 1:
        for name in present:
            if name != wanted:
                yield FieldError((*path, name), "must populate the given metric source only", Cause.FORBIDDEN)


def validate_reference(reference: CrossVersionObjectReference, path: Path, check_api_version: bool) -> Errors:
    """Kind and name must be there and fit into a URL."""
    for name, text in (("kind", reference.kind), ("name", reference.name)):
        if not text:
            yield FieldError((*path, name), f"must be set: the {name} of the object", Cause.REQUIRED)
        for problem in path_segment_problems(text):
            yield FieldError((*path, name), f"{problem}: {text[:80]!r}")
    if check_api_version and not is_group_version(reference):
        problem = f"unexpected GroupVersion string: {reference.api_version[:80]}"
        yield FieldError((*path, "apiVersion"), f"{problem}; write it as apps/v1")


def is_group_version(reference: CrossVersionObjectReference) -> bool:
    """Whether its API version reads as `group/version` or `version`; an empty one does."""
    return reference.api_version.count("/") <= 1


def _present_sources(metric: MetricSpec) -> dict[str, Source]:
    """By field, in the order of `_TYPE_OF_SOURCE`."""
    sources: dict[str, Source | None] = {
        "object": metric.object,
        "external": metric.external,
        "pods": metric.pods,
        "resource": metric.resource,
        "containerResource": metric.container_resource,
    }
    return {name: source for name, source in sources.items() if source is not None}


def _source(source: Source, path: Path, check_described: bool) -> Errors:
    match source:
        case ResourceMetricSource() | ContainerResourceMetricSource():
            yield from _resource(source, path)
            return
        case ObjectMetricSource(described_object=described):
            yield from validate_reference(described, (*path, "describedObject"), check_described)
    yield from _identifier(source.metric, (*path, "metric"))
    yield from _target(source.target, (*path, "target"))
    yield from _needed_target(source, source.target, (*path, "target"))


def _needed_target(
    source: ObjectMetricSource | ExternalMetricSource | PodsMetricSource, target: MetricTarget, path: Path
) -> Errors:
    """Which of value and averageValue each source must have, and may not have together."""
    has_value, has_average = target.value is not None, target.average_value is not None
    match source:
        case PodsMetricSource():
            if not has_average:
                problem = "must specify a positive target averageValue"
                yield FieldError((*path, "averageValue"), problem, Cause.REQUIRED)
        case ObjectMetricSource():
            if not has_value and not has_average:
                problem = "must set either a target value or averageValue"
                yield FieldError((*path, "averageValue"), problem, Cause.REQUIRED)
        case ExternalMetricSource():
            if not has_value and not has_average:
                problem = "must set either a target value for metric or a per-pod target"
                yield FieldError((*path, "averageValue"), problem, Cause.REQUIRED)
            if has_value and has_average:
                problem = "may not set both a target value for metric and a per-pod target"
                yield FieldError((*path, "value"), problem, Cause.FORBIDDEN)


def _resource(source: ResourceMetricSource | ContainerResourceMetricSource, path: Path) -> Errors:
    if not source.name:
        yield FieldError((*path, "name"), "must specify a resource name", Cause.REQUIRED)
    if isinstance(source, ContainerResourceMetricSource):
        yield from _container(source, path)
    target = source.target
    yield from _target(target, (*path, "target"))
    if target.average_utilization is None and target.average_value is None:
        problem = "must set either a target raw value or a target utilization"
        yield FieldError((*path, "target", "averageUtilization"), problem, Cause.REQUIRED)
    if target.average_utilization is not None and target.average_value is not None:
        problem = "may not set both a target raw value and a target utilization"
        yield FieldError((*path, "target", "averageValue"), problem, Cause.FORBIDDEN)


def _container(source: ContainerResourceMetricSource, path: Path) -> Errors:
    if source.name:
        for problem in container_resource_problems(source.name):
            yield FieldError((*path, "name"), f"{problem}: {source.name[:80]!r}")
    if not source.container:
        yield FieldError((*path, "container"), "must specify a container", Cause.REQUIRED)
        return
    for problem in dns_label_problems(source.container):
        yield FieldError((*path, "container"), f"{problem}: {source.container[:80]!r}")


def _identifier(metric: MetricIdentifier, path: Path) -> Errors:
    if not metric.name:
        yield FieldError((*path, "name"), "must specify a metric name", Cause.REQUIRED)
    for problem in path_segment_problems(metric.name):
        yield FieldError((*path, "name"), f"{problem}: {metric.name[:80]!r}")


def _target(target: MetricTarget, path: Path) -> Errors:
    kinds = "must be either Utilization, Value, or AverageValue"
    if not target.type:
        # Upstream says of it that it must be one of them, too.
        yield FieldError((*path, "type"), "must specify a metric target type", Cause.REQUIRED)
    if target.type not in {"Utilization", "Value", "AverageValue"}:
        yield FieldError((*path, "type"), f"{kinds}, not {target.type[:80]!r}")
    for name, quantity in (("value", target.value), ("averageValue", target.average_value)):
        if quantity is not None and quantity.sign <= 0:
            yield FieldError((*path, name), f"must be positive, not {quantity}")
    if target.average_utilization is not None and target.average_utilization < 1:
        yield FieldError((*path, "averageUtilization"), f"must be greater than 0, not {target.average_utilization}")
