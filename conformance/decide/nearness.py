# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Whether a call stands at a boundary: 1 ulp or one thousandth further and it may be answered otherwise.

Boundaries are the two ends of the tolerance, the ratio 1 (which direction the others are filled in for) and the counts
at which the ceiling jumps. A thousandth is the smallest step of a value. Where targets are so small that a thousandth
moves the ratio by half a percent or more everything would be near, so that there only 1 ulp counts.
"""

import copy
import math
from typing import Any

from inflight.hpa.cases import CallTrace, explain_case
from inflight.hpa.trace import Reason

COARSE = 0.005


def is_near(case: dict[str, Any], trace: CallTrace) -> bool:
    calculation = trace.metric.calculation
    if calculation.error or calculation.ratio is None:
        return False
    edges = (1 - trace.tolerances[0], 1 + trace.tolerances[1], 1.0)
    ratios = [calculation.ratio]
    if calculation.second_pass is not None and calculation.second_pass.ratio is not None:
        ratios.append(calculation.second_pass.ratio)
    if any(abs(ratio - edge) <= math.ulp(edge) for ratio in ratios for edge in edges):
        return True
    step, multiplied = steps_of(case, trace)
    if step <= COARSE and any(abs(calculation.ratio - edge) <= step for edge in edges):
        return True
    if calculation.verdict is Reason.METRIC_RECOMMENDATION and multiplied:
        # The last ratio makes the count.
        count = ratios[-1] * multiplied
        if math.isfinite(count) and abs(count) < 2**31:
            gap = abs(count - round(count))
            if gap <= math.ulp(count) or (step <= COARSE and gap <= step * multiplied):
                return True
    return trace.metric.target_kind == "Utilization" and one_thousandth_matters(case)


def steps_of(case: dict[str, Any], trace: CallTrace) -> tuple[float, float]:
    """By how much a thousandth moves the ratio (infinite: not known), and what the ratio is multiplied by."""
    calculation, target = trace.metric.calculation, abs(trace.metric.target)
    if not target or calculation.ratio is None:
        return math.inf, 0
    match trace.metric.source, trace.metric.target_kind:
        case (("Object" | "External"), "Value"):
            return 1 / target, 1 if calculation.counted is None else calculation.counted
        case (("Object" | "External"), "AverageValue"):
            replicas = abs(case["current"])
            return (1 / (target * replicas) if replicas else math.inf), replicas
        case _, "AverageValue":
            pods = calculation.counted or 0
            second = calculation.second_pass
            return 1 / target, pods if second is None else second.counted
    return math.inf, calculation.counted or 0


def one_thousandth_matters(case: dict[str, Any]) -> bool:
    """Whether one pod's usage a thousandth up or down gives another count or verdict."""
    metrics = case.get("metrics")
    if not metrics:
        return False
    name, value = next(iter(metrics.items()))
    before = outcome(case)
    for change in (1, -1):
        moved = copy.copy(case)
        there = {**value, "value": value["value"] + change} if isinstance(value, dict) else value + change
        moved["metrics"] = {**metrics, name: there}
        if outcome(moved) != before:
            return True
    return False


def outcome(case: dict[str, Any]) -> tuple[Any, ...]:
    answer, _, trace = explain_case(case)
    return (answer.get("replicas"), trace.metric.calculation.verdict if trace else None)
