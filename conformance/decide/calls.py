# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Draws calls of the replica calculator: seven methods, many of them within a thousandth or an ulp of a boundary."""

import math
from typing import Any

from spelling import EPOCH_2000, MAX_INT64, Draw, iso

METHODS = (
    "GetResourceReplicas",
    "GetRawResourceReplicas",
    "GetMetricReplicas",
    "GetObjectMetricReplicas",
    "GetObjectPerPodMetricReplicas",
    "GetExternalMetricReplicas",
    "GetExternalPerPodMetricReplicas",
)
EXTREMES = [0, 1, -1, MAX_INT64, -MAX_INT64 - 1, MAX_INT64 // 2 + 1, MAX_INT64 // 100, 2**53 + 1, 2**31, 2**32 + 7]


def call(draw: Draw, name: str, release: str, method: str | None = None) -> dict[str, Any]:
    method = method or draw.choice(METHODS)
    case: dict[str, Any] = {"id": name, "method": method}
    if release != "1.37" or draw.chance(0.5):
        case["kubernetes"] = release
    current = draw.weighted((8, draw.randint(1, 12)), (1, 0), (1, draw.randint(1, 5000)), (0.2, 2**31 - 1), (0.1, -3))
    case["current"] = current
    percent = method == "GetResourceReplicas"
    target = draw.weighted(
        (4, draw.choice([50, 80, 100]) if percent else draw.choice([1000, 5000, 15_000])),
        (4, draw.randint(1, 300 if percent else 100_000)),
        (0.2, draw.choice([0, -1, 2**31 - 1] if percent else EXTREMES)),
    )
    case["target"] = target
    down, up = (
        draw.choice([0.1, 0.1, 0.0, 0.05, 0.2, 0.34, 1.0, 0.018]),
        draw.choice([0.1, 0.1, 0.0, 0.05, 0.01, 2.0, 0.3]),
    )
    if draw.chance(0.7):
        case["tolerances"] = {"scaleDown": down, "scaleUp": up}
    else:
        down = up = 0.1
        if draw.chance(0.3):
            down = up = draw.choice([0.0, 0.2, 0.5])
            case["controller"] = {"tolerance": down}
    ratio = edge(draw, down, up, current)
    now = EPOCH_2000 + draw.choice([0, 0, 1000.5, 10_000_000])
    if now != EPOCH_2000:
        case["now"] = iso(now)
    if draw.chance(0.03):
        case["metricsError"] = draw.choice(["boom", "no metrics returned from custom metrics API"])
    if method.startswith(("GetResource", "GetRaw", "GetMetric")):
        per_pod(draw, case, ratio, now)
    else:
        whole(draw, case, ratio)
    return case


def edge(draw: Draw, down: float, up: float, current: int) -> float:
    """A ratio at an end of the tolerance, at 1, where the count jumps, or anywhere."""
    pods = min(max(current, 1), 5000)
    jump = draw.randint(0, 2 * pods + 1) / pods
    at = draw.choice([1 - down, 1 + up, 1.0, 1 - down, 1 + up, jump, jump, draw.uniform(0, 3), 0.0, 2.0, 1.5])
    return draw.choice([at, at, math.nextafter(at, 0), math.nextafter(at, 9)])


def whole(draw: Draw, case: dict[str, Any], ratio: float) -> None:
    """One object's value, or the series of an external metric."""
    spread = "PerPod" in case["method"]
    usage = draw.near(
        min(max(case["target"] * ratio * (max(case["current"], 1) if spread else 1), -(2.0**62)), 2.0**62)
    )
    if draw.chance(0.08):
        usage = draw.choice(EXTREMES)
    if "Object" in case["method"]:
        case["metrics"] = usage
    else:
        count = draw.weighted((5, 1), (3, 2), (1, 5))
        series = [usage // count] * count
        series[0] += usage - sum(series)
        if draw.chance(0.05):
            series = [draw.choice(EXTREMES) for _ in range(draw.randint(1, 3))]
        case["metrics"] = series
    if not spread:
        count = draw.weighted((6, min(max(case["current"], 0), 12)), (3, draw.randint(0, 8)))
        case["pods"] = [pod(draw, index, EPOCH_2000, "1") for index in range(count)]
        if draw.chance(0.2):
            case["selector"] = draw.choice(["app=web", "app!=web", "app"])


def per_pod(draw: Draw, case: dict[str, Any], ratio: float, now: float) -> None:
    count = draw.weighted((6, min(max(case["current"], 0), 12)), (3, draw.randint(0, 9)))
    percent = case["method"] == "GetResourceReplicas"
    request = draw.choice([1000, 2000, 250, 100, 7])
    if percent or draw.chance(0.2):
        case["resource"] = draw.choice(["cpu", "cpu", "cpu", "memory"])
    if percent and draw.chance(0.2):
        case["container"] = draw.choice(["main", "main", "side", "gone"])
    sharp = draw.chance(0.45)
    case["pods"] = [pod(draw, index, now, f"{request}m", plain=sharp) for index in range(count)]
    if draw.chance(0.2):
        case["controller"] = {
            **case.get("controller", {}),
            "cpuInitializationPeriodSeconds": draw.choice([0, 60, 120.5]),
            "initialReadinessDelaySeconds": draw.choice([0, 10, 30]),
        }
    if sharp and count:
        case["metrics"] = sharp_values(draw, case, ratio, count, request)
        return
    base = request * case["target"] / 100 if percent else case["target"]
    aim = max(min(base * ratio, 2.0**60), -(2.0**60))
    gaps = draw.choice([0.0, 0.0, 0.3])
    metrics: dict[str, Any] = {}
    for index in range(count):
        if draw.chance(gaps):
            continue
        value = draw.near(aim) if draw.chance(0.6) else draw.near(aim * draw.uniform(0, 2))
        if draw.chance(0.01):
            value = draw.choice(EXTREMES)
        metrics[f"pod-{index}"] = value
        if draw.chance(0.15):
            metrics[f"pod-{index}"] = {
                "value": value,
                "timestamp": iso(now - draw.choice([0, 1, 30, 59, 60, 61])),
                "windowSeconds": draw.choice([30, 60, 0, 15.5]),
            }
    if draw.chance(0.04):
        metrics["stranger"] = draw.near(aim)
    case["metrics"] = metrics


def sharp_values(draw: Draw, case: dict[str, Any], ratio: float, count: int, request: int) -> dict[str, int]:
    """Values whose total is a thousandth or none from where average or percentage jump onto or off the ratio."""
    ratio = max(min(ratio, 9.0), 0.0)
    if case["method"] == "GetResourceReplicas":
        goal = case["target"] * ratio
        goal = draw.choice([math.floor(goal), math.ceil(goal), math.ceil(goal) + 1])
        # The smallest total of which this is the whole percentage.
        total = -(-goal * request * count // 100)
    else:
        goal = min(case["target"] * ratio, 2.0**53)
        total = draw.choice([math.floor(goal), math.ceil(goal)]) * count
    total += draw.choice([0, 0, 1, -1])
    values = [total // count] * count
    values[-1] += total - sum(values)
    if count > 1 and draw.chance(0.7):
        shift = draw.randint(0, max(abs(values[0]), 1))
        values[0] += shift
        values[1] -= shift
    return {f"pod-{index}": max(min(value, MAX_INT64), -MAX_INT64 - 1) for index, value in enumerate(values)}


def pod(draw: Draw, index: int, now: float, cpu: str, plain: bool = False) -> dict[str, Any]:
    """A pod that may be anything, or a `plain` one: old, ready, of one container."""
    if plain:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": iso(now - 9000)}
        requests = {"cpu": cpu, "memory": cpu}
        return {
            "metadata": {"name": f"pod-{index}", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
            "status": {"phase": "Running", "startTime": iso(now - 9999), "conditions": [ready]},
        }
    age = draw.choice([0, 1, 10, 30, 60, 120, 299, 300, 301, 5000])
    after = draw.choice([0, 1, 9, 10, 11, 29, 30, 31, 60, age])
    requests = {"cpu": cpu, "memory": cpu}
    if draw.chance(0.01):
        del requests["cpu"]
    containers = [{"name": "main", "resources": {"requests": requests}}]
    if draw.chance(0.2):
        containers.append({"name": "side", "resources": {"requests": {"cpu": "1m", "memory": "1m"}}})
    status: dict[str, Any] = {
        "phase": draw.weighted((9, "Running"), (1, "Pending"), (0.4, "Failed"), (0.3, "Succeeded"))
    }
    if draw.chance(0.97):
        status["startTime"] = iso(now - age)
    if draw.chance(0.97):
        status["conditions"] = [
            {
                "type": "Ready",
                "status": draw.weighted((8, "True"), (2, "False"), (0.3, "Unknown")),
                "lastTransitionTime": iso(now - age + after),
            }
        ]
    metadata: dict[str, Any] = {"name": f"pod-{index}", "labels": {"app": "web"}}
    if draw.chance(0.05):
        metadata["deletionTimestamp"] = iso(now)
    spec: dict[str, Any] = {"containers": containers}
    if draw.chance(0.05):
        spec["resources"] = {"requests": {"cpu": draw.choice(["3", "1m"])}}
    return {"metadata": metadata, "spec": spec, "status": status}
