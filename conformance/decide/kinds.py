# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""The kinds of story that a run must contain, and how each is told from the case and the engine's decisions.

A kind that never occurs is a hole in the generator.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from inflight.hpa import Decision, Memory, Reason

NANOSECONDS = 1_000_000_000
A_MILLISECOND = 1_000_000
BURST = 3
"""So many syncs in a row with a failed metric are a burst."""
MANY_PODS = 14
LARGEST_INT64 = 2**63 - 1
LARGEST_INT32 = 2**31 - 1
SMALLEST_INT32 = -(2**31)

KINDS = (
    "one pod",
    "no pods",
    "readiness that flaps",
    "a window that ends at the instant of a sync",
    "a window that ends within a millisecond of a sync",
    "a policy's period that ends at the instant of a sync",
    "a policy's period that ends within a millisecond of a sync",
    "a policy's period shorter than the time between syncs",
    "a direction that is disabled",
    "policies that disagree",
    "another writer of the scale",
    "status.replicas above spec.replicas",
    "status.replicas below spec.replicas",
    "errors in bursts",
    "some of several metrics fail: up is allowed",
    "some of several metrics fail: down is not",
    "all of several metrics fail",
    "a quantity in u or n",
    "a quantity with an exponent",
    "a quantity with Ki, Mi or Gi",
    "a quantity beyond int64 thousandths",
    "a proposal that overflows int32",
    "a proposal that saturates at the largest int32",
    "a negative sum of series",
    "restart",
    "restart with an edit in between",
    "edit that is looked at at once",
    "edit that waits for the next sync",
    "edit that brings behavior",
    "edit that takes behavior away",
    "edit that changes the metrics",
    "conflict that is overcome",
    "conflict that lasts",
    "status that cannot be written",
    "scale that cannot be read",
    "scale that cannot be written",
    "second HPA on the same pods",
    "second HPA on other pods",
    "several other HPAs",
    "late sync",
    "to zero",
    "from zero by itself",
    "from zero below minReplicas",
    "zero that another writer set",
    "stays at zero while metrics are asked",
    "above max",
    "below min",
    "more than 14 pods",
    "an old slot of the recommendations is used again",
    "an old slot of the scale events is used again",
    "a tolerance of the HPA's own",
    "the flag's tolerance, not 0.1",
    "a metric with a selector",
    "two metrics of one name",
    "no metrics in the HPA: cpu at 80 %",
    "an old status",
    "an HPA that is refused",
    "an edit that is refused",
    "a gate or release that does not exist",
    "pod-level requests",
    "sidecars",
    "values of pods that do not exist",
    "pods of other namespaces or labels",
    "replicas near 2^31",
)


def kinds_of_story(case: Mapping[str, Any], answer: Mapping[str, Any], decisions: list[Decision]) -> set[str]:
    """Which of KINDS the story is; `answer` is the judge's."""
    return {*kinds_of_text(case), *kinds_of_case(case, answer), *kinds_of_decisions(case, decisions)}


_SMALL = re.compile(r'"-?[0-9.]+[un]"')
_EXPONENT = re.compile(r'"-?[0-9.]+[eE][-+]?[0-9]+"')
_BINARY = re.compile(r'"-?[0-9.]+[KMGTPE]i"')


def kinds_of_text(case: Mapping[str, Any]) -> Iterator[str]:
    text = msgspec.json.encode([[step.get("metrics") for step in case["steps"]], case["hpa"].get("spec")]).decode()
    if _SMALL.search(text):
        yield "a quantity in u or n"
    if _EXPONENT.search(text):
        yield "a quantity with an exponent"
    if _BINARY.search(text):
        yield "a quantity with Ki, Mi or Gi"
    if any(number in text for number in ('"8Ei"', '"1E"', '"2e16"', '"9223372036854775807"', '"9223372036854776"')):
        yield "a quantity beyond int64 thousandths"
    if '"selector"' in text:
        yield "a metric with a selector"


def kinds_of_case(case: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    steps, spec = case["steps"], case["hpa"].get("spec", {})
    error = answer.get("error") or ""
    if "gate" in error or "plays" in error:
        yield "a gate or release that does not exist"
    elif error.startswith("steps["):
        yield "an edit that is refused"
    elif error:
        yield "an HPA that is refused"
    if not answer.get("syncs"):
        return
    if case["hpa"].get("status"):
        yield "an old status"
    metrics = spec.get("metrics") or ()
    if not metrics:
        yield "no metrics in the HPA: cpu at 80 %"
    if case.get("controller", {}).get("tolerance", 0.1) != 0.1:
        yield "the flag's tolerance, not 0.1"
    for index, step in enumerate(steps):
        errors = step.get("scaleErrors") or {}
        if "scale" in step:
            yield "another writer of the scale"
        if "restart" in step and index:
            yield "restart with an edit in between" if "hpa" in step else "restart"
        if "statusError" in step:
            yield "status that cannot be written"
        if "get" in errors:
            yield "scale that cannot be read"
        if "update" in errors and not errors.get("conflicts"):
            yield "scale that cannot be written"
        if step.get("lateSeconds"):
            yield "late sync"
        if len(step.get("otherHpas") or ()) > 1:
            yield "several other HPAs"
        for pod in step.get("pods") or ():
            yield from kinds_of_pod(pod)
        if len(step.get("pods") or ()) > MANY_PODS:
            yield "more than 14 pods"
    yield from flapping(steps)


def kinds_of_pod(pod: Mapping[str, Any]) -> Iterator[str]:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if metadata.get("labels", {}).get("app") != "web" or metadata.get("namespace"):
        yield "pods of other namespaces or labels"
    if (spec.get("resources") or {}).get("requests"):
        yield "pod-level requests"
    if any(each.get("restartPolicy") == "Always" for each in spec.get("initContainers") or ()):
        yield "sidecars"


def flapping(steps: list[Mapping[str, Any]]) -> Iterator[str]:
    states: dict[str, list[str]] = {}
    for step in steps:
        for pod in step.get("pods") or ():
            for condition in pod.get("status", {}).get("conditions") or ():
                if condition["type"] == "Ready":
                    states.setdefault(pod["metadata"]["name"], []).append(condition["status"])
    if any(len(list(groupby(history))) > 2 for history in states.values()):
        yield "readiness that flaps"


def kinds_of_decisions(case: Mapping[str, Any], decisions: list[Decision]) -> Iterator[str]:
    before: Decision | None = None
    hpa: Mapping[str, Any] = case["hpa"].get("spec", {})
    failing = 0
    waits = case.get("kubernetes") == "1.36" or case.get("featureGates", {}).get("HPAGeneration") is False
    for step, decision in zip(case["steps"], decisions, strict=False):
        trace = decision.trace
        edited = step.get("hpa")
        if edited is not None:
            if "restart" not in step:
                at_once = not waits and edited["spec"] != hpa
                yield "edit that is looked at at once" if at_once else "edit that waits for the next sync"
            had, has = "behavior" in hpa, "behavior" in edited["spec"]
            if has and not had:
                yield "edit that brings behavior"
            if had and not has:
                yield "edit that takes behavior away"
            if edited["spec"].get("metrics") != hpa.get("metrics"):
                yield "edit that changes the metrics"
            hpa = edited["spec"]
        if before is not None and not step.get("restart"):
            yield from kinds_of_memory(before, decision, hpa)
        metrics = trace.metrics
        names = [(each.source, each.metric) for each in metrics]
        if len(set(names)) < len(names):
            yield "two metrics of one name"
        failures = [each for each in metrics if each.calculation.failure]
        failing = failing + 1 if failures else 0
        if failing >= BURST:
            yield "errors in bursts"
        if trace.combination is not None and failures and len(metrics) > 1:
            if len(failures) == len(metrics):
                yield "all of several metrics fail"
            elif trace.combination.verdict is Reason.INVALID_METRICS:
                yield "some of several metrics fail: down is not"
            elif trace.limits is not None and trace.limits.stabilized > trace.current_replicas:
                yield "some of several metrics fail: up is allowed"
        yield from kinds_of_trace(step, decision)
        before = decision


def kinds_of_trace(step: Mapping[str, Any], decision: Decision) -> Iterator[str]:
    trace = decision.trace
    current, final = trace.current_replicas, trace.desired_replicas
    conflicts = (step.get("scaleErrors") or {}).get("conflicts") or 0
    if conflicts and trace.outcome in {Reason.RESCALED, Reason.FAILED_UPDATE_SCALE}:
        yield "conflict that lasts" if trace.outcome is Reason.FAILED_UPDATE_SCALE else "conflict that is overcome"
    if step.get("otherHpas") and trace.combination is not None:
        ambiguous = trace.combination.verdict is Reason.AMBIGUOUS_SELECTOR
        yield "second HPA on the same pods" if ambiguous else "second HPA on other pods"
    if trace.status_replicas != current:
        yield f"status.replicas {'above' if trace.status_replicas > current else 'below'} spec.replicas"
    if trace.branch is Reason.ABOVE_MAX_REPLICAS:
        yield "above max"
    if trace.branch is Reason.BELOW_MIN_REPLICAS:
        yield "below min"
    if trace.branch is Reason.SCALING_DISABLED:
        yield "zero that another writer set"
    if abs(current) > 2**30:
        yield "replicas near 2^31"
    if trace.outcome is Reason.RESCALED and current > 0 and final == 0:
        yield "to zero"
    if current == 0 and trace.branch is Reason.COMPUTED and trace.limits is not None:
        if trace.limits.limited < trace.min_replicas <= final:
            yield "from zero below minReplicas"
        yield "from zero by itself" if trace.outcome is Reason.RESCALED else "stays at zero while metrics are asked"
    if trace.scale_down_tolerance != trace.scale_up_tolerance:
        yield "a tolerance of the HPA's own"
    for metric in trace.metrics:
        calculation = metric.calculation
        if calculation.failure is not None:
            continue
        if calculation.replicas == SMALLEST_INT32:
            yield "a proposal that overflows int32"
        if calculation.replicas == LARGEST_INT32:
            yield "a proposal that saturates at the largest int32"
        if metric.source == "External" and (calculation.total_milli or 0) == LARGEST_INT64:
            yield "a negative sum of series"
        if calculation.pods is not None:
            if calculation.pods.unknown:
                yield "values of pods that do not exist"
            groups = calculation.pods
            if len(groups.ready) + len(groups.unready) + len(groups.missing) + len(groups.ignored) == 1:
                yield "one pod"
        if calculation.failure is None and calculation.counted == 0 and metric.target_kind == "Value":
            yield "no pods"
    if any(metric.calculation.failure is Reason.NO_PODS for metric in trace.metrics):
        yield "no pods"
    if trace.limits is not None:
        if trace.limits.select_policy == "Disabled":
            yield "a direction that is disabled"
        if len({policy.limit for policy in trace.limits.policies}) > 1:
            yield "policies that disagree"


def kinds_of_memory(before: Decision, decision: Decision, hpa: Mapping[str, Any]) -> Iterator[str]:
    """What the sync did with what it remembered."""
    memory: Memory = before.memory
    trace, now_ns = decision.trace, decision.trace.now_ns
    interval_ns = now_ns - before.trace.now_ns
    if trace.stabilization is not None:
        step = trace.stabilization
        for window_ns in {step.scale_up_window_ns, step.scale_down_window_ns}:
            for past in memory.recommendations:
                away = abs(past.at_ns + window_ns - now_ns)
                if window_ns and not away:
                    yield "a window that ends at the instant of a sync"
                elif window_ns and away <= A_MILLISECOND:
                    yield "a window that ends within a millisecond of a sync"
        if len(decision.memory.recommendations) == len(memory.recommendations):
            yield "an old slot of the recommendations is used again"
    for policy in trace.limits.policies if trace.limits is not None else ():
        period_ns = policy.period_seconds * NANOSECONDS
        if period_ns < interval_ns:
            yield "a policy's period shorter than the time between syncs"
        for event in (*memory.scale_ups, *memory.scale_downs):
            away = abs(event.at_ns + period_ns - now_ns)
            if not away:
                yield "a policy's period that ends at the instant of a sync"
            elif away <= A_MILLISECOND:
                yield "a policy's period that ends within a millisecond of a sync"
    if decision.rescaled and "behavior" in hpa:
        events = len(decision.memory.scale_ups) + len(decision.memory.scale_downs)
        if events and events == len(memory.scale_ups) + len(memory.scale_downs):
            yield "an old slot of the scale events is used again"
