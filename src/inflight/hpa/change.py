"""One change of one input of a decision, as a value that can be applied: what a counterfactual is made of.

Amounts are whole steps of a unit, so that "one step less" has a meaning: metric values and targets go in whole numbers
where they are whole and in thousandths where not, tolerances in thousandths, windows and waiting in seconds.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from inflight.hpa.controller import rules_of
from inflight.hpa.observation import ExternalAnswer, MetricAnswer, ObjectAnswer, PodMetric, PodsAnswer
from inflight.hpa.record import Record
from inflight.hpa.trace import MetricTrace
from inflight.objects import (
    HorizontalPodAutoscalerBehavior,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    Pod,
    PodCondition,
    Quantity,
    Time,
)

NANOSECONDS = 1_000_000_000
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "container_resource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
replace = msgspec.structs.replace


class Input(StrEnum):
    """Which input is changed. Stable codes."""

    METRIC_VALUE = "MetricValue"
    TARGET = "Target"
    MIN_REPLICAS = "MinReplicas"
    MAX_REPLICAS = "MaxReplicas"
    SCALE_UP_TOLERANCE = "ScaleUpTolerance"
    SCALE_DOWN_TOLERANCE = "ScaleDownTolerance"
    SCALE_UP_WINDOW = "ScaleUpWindow"
    SCALE_DOWN_WINDOW = "ScaleDownWindow"
    PODS_READY = "PodsReady"
    """So many of the pods that were set aside count with a value of their own."""
    TIME = "Time"
    """The same sync, so many seconds later."""


class Change(msgspec.Struct, frozen=True):
    """Which input, by how many steps (negative: less), and what one step is."""

    input: Input
    amount: int
    unit: int = 1
    """Thousandths in one step of a metric's value or of a quantity; else 1."""
    metric: int | None = None
    pods: tuple[str, ...] = ()


def apply_change(record: Record, change: Change, metric: MetricTrace | None = None) -> Record | None:
    """The record with the input changed, or None where it can be changed no further.

    `metric` is the trace of the changed metric: which pods counted, and how much.
    """
    hpa, spec = record.hpa, record.hpa.spec
    match change.input:
        case Input.METRIC_VALUE:
            assert change.metric is not None
            answers = list(record.observation.answers)
            answer = shift_answer(answers[change.metric], change.amount * change.unit, metric)
            if answer is None:
                return None
            answers[change.metric] = answer
            return replace(record, observation=replace(record.observation, answers=tuple(answers)))
        case Input.TARGET:
            assert change.metric is not None
            entry = shift_target(spec.metrics[change.metric], change.amount * change.unit)
            if entry is None:
                return None
            metrics = (*spec.metrics[: change.metric], entry, *spec.metrics[change.metric + 1 :])
            return replace(record, hpa=replace(hpa, spec=replace(spec, metrics=metrics)))
        case Input.MIN_REPLICAS:
            wanted = (1 if spec.min_replicas is None else spec.min_replicas) + change.amount
            # 0 is another mode, with rules of its own.
            if not 1 <= wanted <= spec.max_replicas:
                return None
            return replace(record, hpa=replace(hpa, spec=replace(spec, min_replicas=wanted)))
        case Input.MAX_REPLICAS:
            wanted = spec.max_replicas + change.amount
            if not max(1, spec.min_replicas or 1) <= wanted < 2**31:
                return None
            return replace(record, hpa=replace(hpa, spec=replace(spec, max_replicas=wanted)))
        case Input.SCALE_UP_TOLERANCE | Input.SCALE_DOWN_TOLERANCE:
            return _shift_tolerance(record, change)
        case Input.SCALE_UP_WINDOW | Input.SCALE_DOWN_WINDOW:
            return _shift_window(record, change)
        case Input.PODS_READY:
            return _make_ready(record, change, metric)
        case Input.TIME:
            return replace(record, now_ns=record.now_ns + change.amount * NANOSECONDS)


def shift_answer(answer: MetricAnswer, milli: int, metric: MetricTrace | None) -> MetricAnswer | None:
    """The answer with so much more in all (over all series or all counted pods); None below 0 or above an int64."""
    match answer:
        case ObjectAnswer(value_milli=value):
            wanted = value + milli
            return ObjectAnswer(wanted) if 0 <= wanted < 2**63 else None
        case ExternalAnswer(values_milli=values):
            shifted = _shift_all(list(values), milli)
            return None if shifted is None else ExternalAnswer(tuple(shifted))
        case PodsAnswer():
            groups = metric.calculation.pods if metric else None
            ready = [name for name in groups.ready if name in answer.values] if groups else []
            shifted = _shift_all([answer.values[name].value_milli for name in ready], milli)
            if shifted is None:
                return None
            new = {
                name: replace(answer.values[name], value_milli=value)
                for name, value in zip(ready, shifted, strict=True)
            }
            return replace(answer, values={**answer.values, **new})
    return None


def _shift_all(values: list[int], milli: int) -> list[int] | None:
    """Only the sum counts: more goes to the first value, less is taken from one after the other."""
    if not values or any(value < 0 for value in values):
        return None
    if milli >= 0:
        values[0] += milli
        return values if sum(values) < 2**63 else None
    missing = -milli
    for index, value in enumerate(values):
        taken = min(value, missing)
        values[index] -= taken
        missing -= taken
    return None if missing else values


def target_of(metric: MetricSpec) -> MetricTarget | None:
    """The target of the entry's own source."""
    source: Any = getattr(metric, _SOURCES.get(metric.type, ""), None)
    target: MetricTarget | None = None if source is None else source.target
    return target


def with_target(metric: MetricSpec, target: MetricTarget) -> MetricSpec:
    field = _SOURCES[metric.type]
    return replace(metric, **{field: replace(getattr(metric, field), target=target)})


def target_field(metric: MetricSpec) -> str:
    """Which field of the target the controller goes by; empty where none is set."""
    target = target_of(metric)
    if target is None:
        return ""
    order: tuple[str, ...] = ("average_value", "average_utilization", "value")
    if metric.type == "Object":
        order = ("value",) if target.type == "Value" else ("average_value",)
    return next((field for field in order if getattr(target, field) is not None), "")


def shift_target(metric: MetricSpec, amount: int) -> MetricSpec | None:
    """The target so many thousandths (or percent) higher; None where it would not be positive."""
    field, target = target_field(metric), target_of(metric)
    if not field or target is None:
        return None
    if field == "average_utilization":
        wanted = (target.average_utilization or 0) + amount
        return with_target(metric, replace(target, average_utilization=wanted)) if 0 < wanted < 2**31 else None
    quantity: Quantity = getattr(target, field)
    milli = quantity.milli_value() + amount
    if not 0 < milli < 2**63:
        return None
    return with_target(metric, replace(target, **{field: Quantity.from_milli(milli)}))


def _rules_of_direction(record: Record, upwards: bool) -> HPAScalingRules | None:
    behavior = record.hpa.spec.behavior
    if behavior is None:
        return None
    return behavior.scale_up if upwards else behavior.scale_down


def _with_rules(record: Record, upwards: bool, rules: HPAScalingRules) -> Record:
    hpa, behavior = record.hpa, record.hpa.spec.behavior
    assert behavior is not None
    changed: HorizontalPodAutoscalerBehavior = replace(behavior, **{"scale_up" if upwards else "scale_down": rules})
    return replace(record, hpa=replace(hpa, spec=replace(hpa.spec, behavior=changed)))


def tolerance_milli(record: Record, upwards: bool) -> int:
    """The tolerance in force in that direction, in thousandths."""
    rules = _own_tolerance(record, upwards)
    if rules is not None and rules.tolerance is not None:
        return rules.tolerance.milli_value()
    return round(record.controller.tolerance * 1000)


def _own_tolerance(record: Record, upwards: bool) -> HPAScalingRules | None:
    """The rules of the direction where they name a tolerance that counts, else None: the controller's flag counts."""
    rules = _rules_of_direction(record, upwards)
    counts = rules_of(record.controller).configurable_tolerance
    return rules if rules is not None and rules.tolerance is not None and counts else None


def _shift_tolerance(record: Record, change: Change) -> Record | None:
    upwards = change.input is Input.SCALE_UP_TOLERANCE
    milli = tolerance_milli(record, upwards) + change.amount
    if milli < 0:
        return None
    rules = _own_tolerance(record, upwards)
    if rules is None:
        # The flag counts for both directions; which of them is meant does not matter to the other's decision here.
        return replace(record, controller=replace(record.controller, tolerance=milli / 1000))
    return _with_rules(record, upwards, replace(rules, tolerance=Quantity.from_milli(milli)))


def window_seconds(record: Record, upwards: bool) -> int:
    """The stabilisation window in force in that direction."""
    rules = _rules_of_direction(record, upwards)
    if rules is not None and rules.stabilization_window_seconds is not None:
        return rules.stabilization_window_seconds
    return 0 if upwards else int(record.controller.downscale_stabilization_seconds)


def _shift_window(record: Record, change: Change) -> Record | None:
    upwards = change.input is Input.SCALE_UP_WINDOW
    seconds = window_seconds(record, upwards) + change.amount
    # The API server takes an hour at most.
    if not 0 <= seconds <= 3600:
        return None
    rules = _rules_of_direction(record, upwards)
    if rules is not None and rules.stabilization_window_seconds is not None:
        return _with_rules(record, upwards, replace(rules, stabilization_window_seconds=seconds))
    if upwards:
        return None
    return replace(record, controller=replace(record.controller, downscale_stabilization_seconds=seconds))


def _make_ready(record: Record, change: Change, metric: MetricTrace | None) -> Record | None:
    """The first `amount` of the pods run, are ready for long, and have a value: their own, else the average."""
    assert change.metric is not None
    chosen = set(change.pods[: change.amount])
    if change.amount > len(change.pods) or metric is None:
        return None
    answers = list(record.observation.answers)
    answer = answers[change.metric]
    if not isinstance(answer, PodsAnswer):
        return None
    value = metric.calculation.usage_milli
    new = {
        name: PodMetric(value, record.now_ns) for name in change.pods if name in chosen and name not in answer.values
    }
    answers[change.metric] = replace(answer, values={**answer.values, **new})
    seen = replace(
        record.observation,
        pods=_each(record.observation.pods, lambda pod: pod.metadata.name in chosen, _ready_for_long),
        answers=tuple(answers),
    )
    return replace(record, observation=seen)


def _each(pods: tuple[Pod, ...], wanted: Callable[[Pod], bool], change: Callable[[Pod], Pod]) -> tuple[Pod, ...]:
    return tuple(change(pod) if wanted(pod) else pod for pod in pods)


def _ready_for_long(pod: Pod) -> Pod:
    long_ago = Time(0)
    others = tuple(condition for condition in pod.status.conditions if condition.type != "Ready")
    status = replace(
        pod.status,
        phase="Running",
        start_time=long_ago,
        conditions=(PodCondition(type="Ready", status="True", last_transition_time=long_ago), *others),
    )
    return replace(pod, metadata=replace(pod.metadata, deletion_timestamp=None), status=status)
