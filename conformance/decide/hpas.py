# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""HPAs to decide about: all sources and targets, behaviours, old statuses, and some that are refused."""

from typing import Any

from spelling import EPOCH_2000, MAX_INT64, Draw, iso, key_suffix, label_selector, quantity


def target_milli(draw: Draw) -> int:
    return draw.weighted(
        (4, draw.choice([1000, 5000, 10_000, 15_000, 20_000, 30_000, 100_000])),
        (2, draw.randint(1, 100_000)),
        (1, draw.randint(1, 20)),
        (0.1, draw.randint(1, MAX_INT64)),
    )


def metric(draw: Draw, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """An entry of spec.metrics, and what the story has to know to answer it."""
    kind = draw.weighted((4, "External"), (3, "Pods"), (4, "Resource"), (1.5, "ContainerResource"), (2.5, "Object"))
    name = draw.choice(["load", "queue", f"m{index}", "vllm:num_requests_running"])
    milli = target_milli(draw)
    plan: dict[str, Any] = {"kind": kind, "milli": milli, "percent": None, "average": True}
    if kind in {"Resource", "ContainerResource"}:
        resource = draw.weighted((5, "cpu"), (2, "memory"), (0.3, "nvidia.com/gpu"))
        container = draw.weighted((5, "main"), (1, "side"), (0.3, "gone"), (0.3, "proxy"), (0.2, "init"))
        if draw.chance(0.65):
            plan["percent"] = draw.weighted(
                (3, draw.choice([50, 80, 100])), (2, draw.randint(1, 300)), (0.2, 2**31 - 1)
            )
            target: dict[str, Any] = {"type": "Utilization", "averageUtilization": plan["percent"]}
        else:
            target = {
                "type": draw.choice(["AverageValue", "Utilization", "Value"]),
                "averageValue": quantity(draw, milli),
            }
        if draw.chance(0.02):
            target["value"] = "1"  # which nobody looks at
        source: dict[str, Any] = {"name": resource, "target": target}
        plan["key"] = f"resource/{resource}"
        if kind == "ContainerResource":
            source["container"] = container
            plan["key"] = f"containerResource/{resource}/{container}"
        plan["resource"] = resource
        return {"type": kind, kind[0].lower() + kind[1:]: source}, plan
    selector = label_selector(draw)
    identifier = {"name": name, **({} if selector is None else {"selector": selector})}
    suffix = key_suffix(selector) if draw.chance(0.7) else ""
    plan["key"] = f"{kind.lower()}/{name}{suffix}"
    if kind == "Pods":
        return {
            "type": kind,
            "pods": {"metric": identifier, "target": {"type": "AverageValue", "averageValue": quantity(draw, milli)}},
        }, plan
    plan["average"] = draw.chance(0.6)
    field = "averageValue" if plan["average"] else "value"
    type_ = "AverageValue" if plan["average"] else "Value"
    if draw.chance(0.04):
        type_ = draw.choice(["Value", "AverageValue", "Utilization"])
    target = {"type": type_, field: quantity(draw, milli)}
    if kind == "External":
        return {"type": kind, "external": {"metric": identifier, "target": target}}, plan
    if draw.chance(0.1):
        # Both may be there, and the type decides.
        target["value" if plan["average"] else "averageValue"] = quantity(draw, target_milli(draw))
    described = draw.choice(
        [
            {"kind": "Service", "name": "s", "apiVersion": "v1"},
            {"kind": "Ingress", "name": "main", "apiVersion": "networking.k8s.io/v1"},
            {"kind": "Namespace", "name": "default", "apiVersion": "v1"},
        ]
    )
    return {"type": kind, "object": {"describedObject": described, "metric": identifier, "target": target}}, plan


def rules(draw: Draw, way: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if draw.chance(0.75 if way == "scaleDown" else 0.5):
        result["stabilizationWindowSeconds"] = draw.choice([0, 0, 0, 0, 15, 30, 45, 60, 14, 16, 300, 3600, 1])
    if draw.chance(0.4):
        result["selectPolicy"] = draw.weighted((3, "Max"), (3, "Min"), (1, "Disabled"))
    if draw.chance(0.7):
        result["policies"] = [
            {
                "type": kind,
                "value": draw.weighted(
                    (4, draw.randint(1, 5)), (3, draw.choice([10, 12, 50, 80, 90, 100, 200])), (0.1, 2**31 - 1)
                ),
                "periodSeconds": draw.choice([1, 14, 15, 16, 30, 45, 60, 120, 1800]),
            }
            for kind in draw.choices(["Pods", "Percent"], k=draw.randint(1, 3))
        ]
    if draw.chance(0.3):
        result["tolerance"] = draw.choice(
            ["0", "0.05", "0.3", "0.018", "9m", "36m", "1", "2", "500u", "0.0005", "0.1", "100m", "1e-1"]
        )
    return result


def autoscaler(draw: Draw) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    drawn = [metric(draw, index) for index in range(draw.weighted((5, 1), (3, 2), (1, 3), (0.4, 5)))]
    plans = [plan for _, plan in drawn]
    outside = any(plan["kind"] in {"Object", "External"} for plan in plans)
    minimum = draw.weighted((1, None), (4, 1), (2, draw.randint(1, 6)), (1.6 if outside else 0.05, 0))
    maximum = max(minimum or 1, 1) + draw.weighted(
        (6, draw.randint(0, 12)), (2, draw.randint(10, 60)), (0.2, 2**31 - 10)
    )
    spec: dict[str, Any] = {
        "scaleTargetRef": draw.weighted(
            (8, {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}),
            (1, {"apiVersion": "v1", "kind": "ReplicationController", "name": "rc"}),
            (1, {"apiVersion": "example.com/v1alpha1", "kind": "Thing", "name": "web.x"}),
        ),
        "maxReplicas": maximum,
        "metrics": [entry for entry, _ in drawn],
    }
    if minimum is not None:
        spec["minReplicas"] = minimum
    if draw.chance(0.02):
        del spec["metrics"]
        plans = [
            {
                "kind": "Resource",
                "milli": 1000,
                "percent": 80,
                "average": True,
                "key": "resource/cpu",
                "resource": "cpu",
            }
        ]
    shape = draw.weighted((4, "none"), (1, "empty"), (5, "some"))
    if shape == "empty":
        spec["behavior"] = {}
    elif shape == "some":
        spec["behavior"] = {way: rules(draw, way) for way in ("scaleUp", "scaleDown") if draw.chance(0.8)}
    if draw.chance(0.03):
        spoil(draw, spec)
    hpa: dict[str, Any] = {"metadata": {"name": "web"}, "spec": spec}
    if draw.chance(0.3):
        hpa["metadata"]["namespace"] = draw.choice(["default", "prod"])
    if draw.chance(0.3):
        hpa["status"] = old_status(draw)
    return hpa, plans


def spoil(draw: Draw, spec: dict[str, Any]) -> None:
    """Something that the API server refuses, or nearly."""
    match draw.randrange(8):
        case 0:
            spec["maxReplicas"] = draw.choice([0, -1])
        case 1:
            spec["minReplicas"] = draw.choice([-1, 0, 1000])
        case 2:
            spec["scaleTargetRef"] = draw.choice(
                [
                    {"kind": "Deployment", "name": "web"},
                    {"apiVersion": "apps/v1", "kind": "", "name": "web"},
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a/b"},
                ]
            )
        case 3:
            spec["behavior"] = {"scaleUp": {"policies": []}}
        case 4:
            spec["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": draw.choice([-1, 3600, 3601])}}
        case 5:
            spec["behavior"] = {
                "scaleDown": {
                    "policies": [
                        {"type": "Pods", "value": draw.choice([0, 1]), "periodSeconds": draw.choice([0, 1800, 1801])}
                    ]
                }
            }
        case 6:
            spec["behavior"] = {"scaleUp": {"tolerance": draw.choice(["-0.1", "0", "x"])}}
        case _:
            spec["metrics"] = [
                {
                    "type": draw.choice(["External", "Nope", ""]),
                    "external": {
                        "metric": {"name": draw.choice(["", "a/b", "x"])},
                        "target": {"type": "Value", "value": draw.choice(["0", "-1", "5"])},
                    },
                }
            ]


def old_status(draw: Draw) -> dict[str, Any]:
    """What an earlier controller left."""
    status: dict[str, Any] = {"desiredReplicas": draw.randint(0, 9), "currentReplicas": draw.randint(0, 9)}
    conditions = []
    for kind, reason in (
        ("AbleToScale", "SucceededGetScale"),
        ("ScalingActive", "ValidMetricFound"),
        ("ScalingLimited", "TooFewReplicas"),
        ("ScaledToZero", "ScaledToZero"),
    ):
        if draw.chance(0.7):
            conditions.append(
                {
                    "type": kind,
                    "status": draw.choice(
                        ["True", "False", "Unknown"] if kind != "ScaledToZero" else ["True", "True", "False"]
                    ),
                    "reason": reason,
                    "message": "old",
                    "lastTransitionTime": iso(EPOCH_2000 - draw.randint(0, 10_000)),
                }
            )
    if conditions:
        status["conditions"] = conditions
    if draw.chance(0.2):
        status["lastScaleTime"] = iso(EPOCH_2000 - 500)
    if draw.chance(0.2):
        status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "12e3"}}}
        ]
    return status
