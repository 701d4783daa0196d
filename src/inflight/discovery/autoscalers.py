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
MAX_PARTS = 1_000
"""Requirements and values of all selectors of an HPA: fifteen for each of its metrics. Each is checked letter by
letter, and whoever writes an HPA may write it again many times a second.
"""
MAX_BYTES = 512 << 10
"""Of an HPA's JSON; its annotations may have half of it, and all else that people write is far below the rest. What
cannot be so long is not read at all: 64 selectors of a thousand requirements would take half a second.
"""
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
    asks, room = [], MAX_PARTS
    for entry in (hpa.spec.metrics or ())[:MAX_ASKS]:
        ask, parts = _ask(entry, namespace, target, room)
        room -= parts
        if ask is not None:
            asks.append(ask)
    return Autoscaler(namespace, hpa.metadata.name, tuple(asks)) if asks else None


def _ask(entry: _Entry, namespace: str, target: WorkloadRef, room: int) -> tuple[Ask | None, int]:
    """With the parts of its selector that were read, at most `room`."""
    match entry:
        case _Entry(type="Pods", pods=_Metric(metric=MetricIdentifier(name=name))) if _is_ours(name):
            return Ask("Pods", name, target), 0
        case _Entry(
            type="Object", object=_ObjectMetric(metric=MetricIdentifier(name=name), described_object=described)
        ) if _is_ours(name):
            return Ask("Object", name, _reference(namespace, described or CrossVersionObjectReference())), 0
        case _Entry(type="External", external=_Metric(metric=MetricIdentifier(name=name, selector=selector))) if (
            _is_ours(name)
        ):
            return _external(name, selector, room)
        case _:
            return None, 0


def _is_ours(name: str) -> bool:
    return find_metric(name) is not None


def _external(name: str, label_selector: LabelSelector | None, room: int) -> tuple[Ask, int]:
    """No selector is every pod of the namespace: the controller then sends an empty text."""
    if label_selector is None:
        return Ask("External", name), 0
    expressions, labels = label_selector.match_expressions, label_selector.match_labels
    requirements = len(expressions) + len(labels)
    values = sum(len(each.values) for each in expressions) + len(labels)
    try:
        # Before it is read: what is refused must not have cost the time of reading it.
        check_size(requirements, values)
        if requirements + values > room:
            problem = f"with those before it in the HPA the selector has more than {MAX_PARTS} requirements and values"
            raise SelectorError(problem, problem)
        length = sum(len(each.key) + sum(map(len, each.values)) for each in expressions)
        _check_length(length + sum(len(key) + len(value) for key, value in labels.items()))
        selector = label_selector.to_selector()
        _check_length(len(str(selector)))
    except SelectorError as error:
        problem = f"its selector cannot be used: {printable(str(error)[:MAX_NAME])}"
        return Ask("External", name, problem=problem), min(requirements + values, room)
    return Ask("External", name, selector=selector), requirements + values


def _check_length(characters: int) -> None:
    if characters > MAX_SELECTOR_TEXT:
        problem = f"the selector has {characters} characters; at most {MAX_SELECTOR_TEXT} are followed"
        raise SelectorError(problem, problem)


def check_size(requirements: int, values: int) -> None:
    """Raises SelectorError where a selector has more of either than are followed."""
    for what, count, most in (("requirements", requirements, MAX_REQUIREMENTS), ("values", values, MAX_VALUES)):
        if count > most:
            problem = f"the selector has {count} {what}; at most {most} are followed"
            raise SelectorError(problem, problem)


def _reference(namespace: str, reference: CrossVersionObjectReference) -> WorkloadRef:
    texts = (reference.api_version, reference.kind, reference.name)
    return WorkloadRef(namespace, *(text[:MAX_NAME] for text in texts))
