"""Answers one call of the replica calculator. The metric is called `m`, the object is Service `s`."""

from collections.abc import Callable
from typing import Any

import msgspec

from inflight.hpa.calculator import (
    Situation,
    average_of_pods,
    external_average,
    external_value,
    failed,
    object_average,
    ratio_of_value,
    utilization,
)
from inflight.hpa.cases.lines import (
    MAX_SECONDS,
    METHODS,
    CallLine,
    CaseError,
    read_controller,
    read_moment,
    read_pods,
)
from inflight.hpa.controller import Rules, rules_of, to_nanoseconds
from inflight.hpa.numbers import MAX_INT32, MAX_INT64, MIN_INT32, MIN_INT64, wrap_int32
from inflight.hpa.observation import DEFAULT_WINDOW_NS, PodMetric
from inflight.hpa.pods import select_pods
from inflight.hpa.trace import Calculation, MetricTrace, Reason
from inflight.objects import ReleaseError, SelectorError, TimeError, parse_time

NAMESPACE = "default"
_KINDS = {
    "GetResourceReplicas": ("Resource", "Utilization"),
    "GetRawResourceReplicas": ("Resource", "AverageValue"),
    "GetMetricReplicas": ("Pods", "AverageValue"),
    "GetObjectMetricReplicas": ("Object", "Value"),
    "GetObjectPerPodMetricReplicas": ("Object", "AverageValue"),
    "GetExternalMetricReplicas": ("External", "Value"),
    "GetExternalPerPodMetricReplicas": ("External", "AverageValue"),
}
"""Method to the source and the target of the metric that asks it."""


class _Detailed(msgspec.Struct, frozen=True, rename="camel"):
    value: int = 0
    timestamp: str | None = None
    window_seconds: float | None = None


class CallTrace(msgspec.Struct, frozen=True):
    """One question to the calculator with its answer, in the form of a metric of a sync."""

    kubernetes: str
    judged: bool
    metric: MetricTrace
    tolerances: tuple[float, float]
    """Of scaling down and up."""


def answer_of_call(trace: CallTrace) -> dict[str, Any]:
    """`replicas`, `usage` and `utilization`, or `error` with the calculator's text."""
    calculation = trace.metric.calculation
    if calculation.error:
        return {"error": calculation.error}
    return {
        "replicas": calculation.replicas,
        "usage": calculation.usage_milli,
        "utilization": calculation.utilization_percent,
    }


def trace_call(line: CallLine, architecture: str = "amd64") -> CallTrace:
    """The call with all that the calculator says about it. Raises CaseError."""
    if line.method not in METHODS:
        raise CaseError(f"there is no method {line.method}; known are {', '.join(METHODS)}")
    controller = read_controller(line, architecture)
    try:
        rules = rules_of(controller)
    except ReleaseError as error:
        raise CaseError(str(error)) from error
    now_ns = read_moment(line.now, "now")
    try:
        pods = select_pods(read_pods(line.pods), NAMESPACE, line.selector or "")
    except SelectorError as error:
        raise CaseError(f"selector: {error}") from error
    tolerances = line.tolerances
    down = tolerances.scale_down if tolerances and tolerances.scale_down is not None else rules.tolerance
    up = tolerances.scale_up if tolerances and tolerances.scale_up is not None else rules.tolerance
    _check_int("current", line.current, MIN_INT32, MAX_INT32)
    _check_int("target", line.target, MIN_INT64, MAX_INT64)
    if line.metrics_error is not None:
        calculation = failed(_client_error(line, rules), Reason.REQUEST_FAILED)
    elif line.metrics is None:
        raise CaseError("the case has no metrics")
    else:
        calculation = _calculate(line, Situation(pods, now_ns, rules, down, up), now_ns)
    source, kind = _KINDS[line.method]
    if line.container and source == "Resource":
        source = "ContainerResource"
    metric = MetricTrace(
        source=source,
        metric=(line.resource or "cpu") if "Resource" in source else "m",
        name="",
        target_kind=kind,
        target=line.target,
        calculation=calculation,
        error=calculation.error,
    )
    return CallTrace(controller.kubernetes, controller.judged, metric, (down, up))


def _calculate(line: CallLine, situation: Situation, now_ns: int) -> Calculation:
    current, target, resource = line.current, line.target, line.resource or "cpu"
    methods: dict[str, Callable[[], Calculation]] = {
        "GetResourceReplicas": lambda: utilization(
            situation,
            _per_pod(line.metrics, now_ns),
            current,
            wrap_int32(target),
            resource=resource,
            container=line.container or "",
        ),
        "GetRawResourceReplicas": lambda: average_of_pods(
            situation, _per_pod(line.metrics, now_ns), current, target, resource
        ),
        "GetMetricReplicas": lambda: average_of_pods(situation, _per_pod(line.metrics, now_ns), current, target),
        "GetObjectMetricReplicas": lambda: ratio_of_value(situation, _one(line.metrics), current, target),
        "GetObjectPerPodMetricReplicas": lambda: object_average(situation, _one(line.metrics), current, target),
        "GetExternalMetricReplicas": lambda: external_value(situation, _series(line.metrics), current, target),
        "GetExternalPerPodMetricReplicas": lambda: external_average(situation, _series(line.metrics), current, target),
    }
    return methods[line.method]()


def _client_error(line: CallLine, rules: Rules) -> str:
    """The calculator's text around that of a failed metrics client."""
    text = line.metrics_error
    match line.method:
        case "GetResourceReplicas" | "GetRawResourceReplicas":
            return f"unable to get metrics for resource {line.resource or 'cpu'}: {text}"
        case "GetMetricReplicas":
            return f"unable to get metric m: {text}"
        case "GetObjectMetricReplicas" | "GetObjectPerPodMetricReplicas":
            if rules.object_error_in_order:
                return f"unable to get metric m on Service {NAMESPACE}/s: {text}"
            return f"unable to get metric m: Service on {NAMESPACE} s/{text}"
    return f"unable to get external metric {NAMESPACE}/m/nil: {text}"


def _per_pod(plain: Any, now_ns: int) -> dict[str, PodMetric]:
    if not isinstance(plain, dict):
        raise CaseError("metrics: per-pod methods take an object of pod names")
    return {name: _pod_metric(name, value, now_ns) for name, value in plain.items()}


def _pod_metric(name: str, plain: Any, now_ns: int) -> PodMetric:
    if plain is None:
        plain = 0
    if isinstance(plain, int):
        return PodMetric(_check_int(name, plain, MIN_INT64, MAX_INT64), now_ns)
    try:
        given = {key: value for key, value in plain.items() if value is not None} if isinstance(plain, dict) else plain
        detailed = msgspec.convert(given, _Detailed)
        timestamp = parse_time(detailed.timestamp) if detailed.timestamp else now_ns
    except (msgspec.ValidationError, TimeError) as error:
        raise CaseError(f"metrics: {name}: {error}") from error
    seconds = detailed.window_seconds
    if seconds is not None and abs(seconds) > MAX_SECONDS:
        raise CaseError(f"metrics: {name}: {seconds} seconds are more than a duration holds ({MAX_SECONDS})")
    window_ns = DEFAULT_WINDOW_NS if seconds is None else to_nanoseconds(seconds)
    return PodMetric(_check_int(name, detailed.value, MIN_INT64, MAX_INT64), timestamp, window_ns)


def _one(plain: Any) -> int:
    if not isinstance(plain, int):
        raise CaseError("metrics: object methods take an integer")
    return _check_int("metrics", plain, MIN_INT64, MAX_INT64)


def _series(plain: Any) -> list[int]:
    if not isinstance(plain, list) or not all(each is None or isinstance(each, int) for each in plain):
        raise CaseError("metrics: external methods take a list of integers")
    return [0 if each is None else _check_int("metrics", each, MIN_INT64, MAX_INT64) for each in plain]


def _check_int(name: str, number: int, smallest: int, largest: int) -> int:
    if isinstance(number, bool) or not smallest <= number <= largest:
        raise CaseError(f"{name}: {number} is no integer from {smallest} to {largest}")
    return number
