# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""What the drawn cases hit, and how often; what is expected and never came is a hole.

Reasons of conditions and events are read from the judge's answers, verdicts and branches from the engine's traces,
kinds of story from both (kinds.py).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from kinds import KINDS, kinds_of_story

from inflight.hpa import Decision
from inflight.hpa.cases import METHODS, CallTrace

FAILED_METRIC = (
    "FailedGetObjectMetric",
    "FailedGetPodsMetric",
    "FailedGetResourceMetric",
    "FailedGetContainerResourceMetric",
    "FailedGetExternalMetric",
)
CONDITIONS = {
    "AbleToScale": (
        "SucceededGetScale",
        "ReadyForNewScale",
        "ScaleDownStabilized",
        "ScaleUpStabilized",
        "SucceededRescale",
        "FailedGetScale",
        "FailedUpdateScale",
    ),
    "ScalingActive": (
        "ValidMetricFound",
        "ScalingDisabled",
        "InvalidSelector",
        "AmbiguousSelector",
        *FAILED_METRIC,
    ),
    "ScalingLimited": (
        "DesiredWithinRange",
        "TooFewReplicas",
        "TooManyReplicas",
        "ScaleUpLimit",
        "ScaleDownLimit",
    ),
    "ScaledToZero": ("ScaledToZero", "NotScaledToZero"),
}
EVENTS = (
    "SelectorRequired",
    "InvalidSelector",
    "AmbiguousSelector",
    *FAILED_METRIC,
    "FailedGetScale",
    "FailedComputeMetricsReplicas",
    "FailedRescale",
    "FailedUpdateStatus",
    "SuccessfulRescale",
)
OUTCOMES = (
    "Rescaled",
    "Unchanged",
    "FailedUpdateScale",
    "FailedGetScale",
    "InvalidMetrics",
    "InvalidSelector",
    "AmbiguousSelector",
)
TARGETS = {
    "Resource": ("Utilization", "AverageValue"),
    "ContainerResource": ("Utilization", "AverageValue"),
    "Pods": ("AverageValue",),
    "Object": ("Value", "AverageValue"),
    "External": ("Value", "AverageValue"),
}
PER_POD = ("Resource", "ContainerResource", "Pods")
SET_ASIDE = (
    "Deleting",
    "Failed",
    "Pending",
    "NoReadyCondition",
    "NoStartTime",
    "NotReady",
    "NeverReady",
    "SampleBeforeReady",
)
STABILISATION = {
    "legacy": ("ReadyForNewScale", "ScaleDownStabilized"),
    "behavior": ("ReadyForNewScale", "ScaleDownStabilized", "ScaleUpStabilized"),
}
LIMITS = {
    "legacy": ("DesiredWithinRange", "TooFewReplicas", "TooManyReplicas", "ScaleUpLimit"),
    "behavior": CONDITIONS["ScalingLimited"],
}
RATIO_EDGES = ("ratio exactly at the lower edge", "ratio exactly at the upper edge", "ratio exactly 1")


def expected_of_stories(release: str) -> Iterator[str]:
    """Every counter that a full run of stories fills."""
    yield from (f"condition {kind} {reason}" for kind, reasons in CONDITIONS.items() for reason in reasons)
    yield from (f"event {reason}" for reason in EVENTS)
    yield from (f"outcome {outcome}" for outcome in OUTCOMES)
    for source, targets in TARGETS.items():
        for target in targets:
            yield from expected_of_metric(source, target)
    yield "failure Object InvalidTarget"
    yield from (f"pod set aside {why}" for why in SET_ASIDE)
    yield from (f"second pass: missing pods as {fill}" for fill in ("target", "request", "0", "nothing"))
    yield "second pass: unready pods as 0"
    yield "second pass: missing and unready pods"
    yield from (f"stabilisation {path} {reason}" for path, reasons in STABILISATION.items() for reason in reasons)
    yield from (f"limits {path} {reason}" for path, reasons in LIMITS.items() for reason in reasons)
    yield from (f"policies {way} {select}" for way in ("up", "down") for select in ("Max", "Min", "Disabled"))
    # Up to 1.36 every edit waits.
    yield from (f"story: {kind}" for kind in KINDS if release != "1.36" or "at once" not in kind)
    yield from RATIO_EDGES


def expected_of_metric(source: str, target: str) -> Iterator[str]:
    where = f"{source} {target}"
    yield from (f"verdict {where} {verdict}" for verdict in ("MetricRecommendation", "WithinTolerance"))
    yield f"failure {where} RequestFailed"
    if source in PER_POD:
        yield from (f"verdict {where} {verdict}" for verdict in ("DirectionChanged", "AgainstDirection"))
        yield from (f"failure {where} {failure}" for failure in ("NoSeries", "NoPods", "NoUsablePods"))
    elif target == "Value":
        yield f"failure {where} NoPods"
    if source == "External":
        yield f"failure {where} NoSeries"
    if source in {"Pods", "Object", "External"}:
        yield f"failure {where} InvalidMetricSelector"
    if target == "Utilization":
        yield from (f"failure {where} {failure}" for failure in ("MissingRequest", "NoMatchingPods"))
        if source == "ContainerResource":
            yield f"failure {where} ContainerNotFound"


def expected_of_calls() -> Iterator[str]:
    """Every counter that a full run of calls fills."""
    for method in METHODS:
        yield f"call {method} at a boundary"
        yield from (f"call {method} {word}" for word in ("MetricRecommendation", "WithinTolerance", "RequestFailed"))
        if method in {"GetResourceReplicas", "GetRawResourceReplicas", "GetMetricReplicas"}:
            yield from (
                f"call {method} {word}" for word in ("DirectionChanged", "AgainstDirection", "NoPods", "NoUsablePods")
            )
    for word in ("MissingRequest", "ContainerNotFound", "NoMatchingPods"):
        yield f"call GetResourceReplicas {word}"
    yield from (f"call: {edge}" for edge in RATIO_EDGES)


def count_story(
    counts: Counter[str], case: Mapping[str, Any], answer: Mapping[str, Any], decisions: list[Decision]
) -> None:
    """Adds what one story hit; `answer` is the judge's."""
    counts["stories"] += 1
    syncs = answer.get("syncs") or ()
    counts["syncs"] += len(syncs)
    if not syncs:
        counts["stories refused"] += 1
    for sync in syncs:
        for condition in sync.get("conditions") or ():
            counts[f"condition {condition['type']} {condition.get('reason')}"] += 1
        for event in sync.get("events") or ():
            counts[f"event {event.split(' ', 1)[1].split(':', 1)[0]}"] += 1
    for decision in decisions:
        count_trace(counts, decision)
    for kind in kinds_of_story(case, answer, decisions):
        counts[f"story: {kind}"] += 1


def count_trace(counts: Counter[str], decision: Decision) -> None:
    trace = decision.trace
    counts[f"outcome {trace.outcome}"] += 1
    for metric in trace.metrics:
        calculation = metric.calculation
        where = f"{metric.source} {metric.target_kind}".rstrip()
        if calculation.failure is not None:
            counts[f"failure {where} {calculation.failure}"] += 1
        else:
            counts[f"verdict {where} {calculation.verdict}"] += 1
        if calculation.pods is not None:
            for aside in (*calculation.pods.unready, *calculation.pods.ignored):
                counts[f"pod set aside {aside.why}"] += 1
        second = calculation.second_pass
        if second is not None and calculation.pods is not None:
            if calculation.pods.missing:
                counts[f"second pass: missing pods as {second.missing_filled or 'nothing'}"] += 1
            if second.unready_filled:
                counts["second pass: unready pods as 0"] += 1
            if second.unready_filled and calculation.pods.missing:
                counts["second pass: missing and unready pods"] += 1
        if calculation.ratio is not None:
            counts["ratio exactly at the lower edge"] += calculation.ratio == 1.0 - trace.scale_down_tolerance
            counts["ratio exactly at the upper edge"] += calculation.ratio == 1.0 + trace.scale_up_tolerance
            counts["ratio exactly 1"] += calculation.ratio == 1.0
    if trace.stabilization is not None and trace.limits is not None:
        path = trace.stabilization.path
        counts[f"stabilisation {path} {trace.stabilization.reason}"] += 1
        counts[f"limits {path} {trace.limits.reason}"] += 1
        if trace.limits.select_policy:
            counts[f"policies {trace.limits.direction} {trace.limits.select_policy}"] += 1


def count_call(counts: Counter[str], case: Mapping[str, Any], trace: CallTrace | None, near: bool) -> None:
    """Adds one call of the calculator."""
    counts["calls"] += 1
    counts[f"call {case['method']}"] += 1
    counts[f"call {case['method']} at a boundary"] += near
    if trace is None:
        counts["calls refused"] += 1
        return
    calculation = trace.metric.calculation
    counts[f"call {case['method']} {calculation.failure or calculation.verdict}"] += 1
    if calculation.ratio is not None:
        counts["call: ratio exactly at the lower edge"] += calculation.ratio == 1.0 - trace.tolerances[0]
        counts["call: ratio exactly at the upper edge"] += calculation.ratio == 1.0 + trace.tolerances[1]
        counts["call: ratio exactly 1"] += calculation.ratio == 1.0
