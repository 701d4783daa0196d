"""What is kept of a HorizontalPodAutoscaler: which metrics of ours it asks for, and of which pods.

An HPA that asks for none of ours is not kept at all. Resource and ContainerResource metrics are another API's.
Source: k8s.io/api autoscaling/v2/types.go, 0.37; which field counts for which type is upstream's
pkg/controller/podautoscaler/horizontal.go (`computeReplicasForMetric`).
"""

from typing import Literal

import msgspec

from inflight.discovery.workloads import WorkloadRef
from inflight.objects import (
    EVERYTHING,
    CrossVersionObjectReference,
    LabelSelector,
    MetricIdentifier,
    Selector,
    SelectorError,
)
from inflight.signals.foreign import printable
from inflight.signals.metric_names import find_metric

MAX_ASKS = 64
"""Entries kept of one HPA: its status, which has as many, must stay readable for people."""
MAX_SELECTOR_TEXT = 4_096
MAX_REQUIREMENTS = 50
"""Of one selector; those that people write have fewer than 20."""
MAX_VALUES = 200
"""Of one selector, over all its requirements."""
MAX_NAME = 256


class Ask(msgspec.Struct, frozen=True):
    """One entry of `spec.metrics` that names a metric of ours."""

    type: Literal["Pods", "Object", "External"]
    metric: str
    workload: WorkloadRef | None = None
    """Whose pods they are: the scale target, or the described object. None for External."""
    selector: Selector = EVERYTHING
    """For External: the pods of the namespace."""
    problem: str = ""
    """Why this entry cannot be followed."""


class Autoscaler(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    asks: tuple[Ask, ...]


class _Metric(msgspec.Struct, frozen=True):
    metric: MetricIdentifier | None = None


class _ObjectMetric(msgspec.Struct, frozen=True, rename="camel"):
    metric: MetricIdentifier | None = None
    described_object: CrossVersionObjectReference | None = None


class _Entry(msgspec.Struct, frozen=True):
    type: str = ""
    pods: _Metric | None = None
    object: _ObjectMetric | None = None
    external: _Metric | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    scale_target_ref: CrossVersionObjectReference = CrossVersionObjectReference()
    metrics: list[_Entry] | None = None


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""


class WireAutoscaler(msgspec.Struct, frozen=True):
    """The part of an HPA's JSON that is read; its status, the larger part, is passed over."""

    metadata: _Metadata
    spec: _Spec = _Spec()


def to_autoscaler(hpa: WireAutoscaler) -> Autoscaler | None:
    """What is kept of an HPA; None where it asks for no metric of ours."""
    namespace = hpa.metadata.namespace
    target = _reference(namespace, hpa.spec.scale_target_ref)
    asks = tuple(
        ask for entry in (hpa.spec.metrics or ())[:MAX_ASKS] if (ask := _ask(entry, namespace, target)) is not None
    )
    return Autoscaler(namespace, hpa.metadata.name, asks) if asks else None


def _ask(entry: _Entry, namespace: str, target: WorkloadRef) -> Ask | None:
    match entry:
        case _Entry(type="Pods", pods=_Metric(metric=MetricIdentifier(name=name))) if _is_ours(name):
            return Ask("Pods", name, target)
        case _Entry(
            type="Object", object=_ObjectMetric(metric=MetricIdentifier(name=name), described_object=described)
        ) if _is_ours(name):
            return Ask("Object", name, _reference(namespace, described or CrossVersionObjectReference()))
        case _Entry(type="External", external=_Metric(metric=MetricIdentifier(name=name, selector=selector))) if (
            _is_ours(name)
        ):
            return _external(name, selector)
        case _:
            return None


def _is_ours(name: str) -> bool:
    return find_metric(name) is not None


def _external(name: str, label_selector: LabelSelector | None) -> Ask:
    """No selector is every pod of the namespace: the controller then sends an empty text."""
    if label_selector is None:
        return Ask("External", name)
    try:
        # Before it is read: what is refused must not have cost the time of reading it.
        expressions, labels = label_selector.match_expressions, label_selector.match_labels
        check_size(len(expressions) + len(labels), sum(len(each.values) for each in expressions) + len(labels))
        selector = label_selector.to_selector()
    except SelectorError as error:
        return Ask("External", name, problem=f"its selector cannot be used: {printable(str(error)[:MAX_NAME])}")
    length = len(str(selector))
    if length > MAX_SELECTOR_TEXT:
        problem = f"its selector has {length} characters; at most {MAX_SELECTOR_TEXT} are followed"
        return Ask("External", name, problem=problem)
    return Ask("External", name, selector=selector)


def check_size(requirements: int, values: int) -> None:
    """Raises SelectorError where a selector has more of either than are followed."""
    for what, count, most in (("requirements", requirements, MAX_REQUIREMENTS), ("values", values, MAX_VALUES)):
        if count > most:
            problem = f"the selector has {count} {what}; at most {most} are followed"
            raise SelectorError(problem, problem)


def _reference(namespace: str, reference: CrossVersionObjectReference) -> WorkloadRef:
    texts = (reference.api_version, reference.kind, reference.name)
    return WorkloadRef(namespace, *(text[:MAX_NAME] for text in texts))
