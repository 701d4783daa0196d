# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""The golden vectors: numbers of upstream's own unit tests, asked of the judge and of the engine.

From kubernetes pkg/controller/podautoscaler/replica_calculator_test.go and horizontal_test.go, the Kubernetes
documentation's walk from 80 to 10 replicas, and some quirks. Calls of the calculator first, then limits and policies as
stories of two or more syncs. What upstream's tests reach inside the package alone (lists of recommendations and scale
events given from outside) is in tests/hpa/test_windows.py and test_limits.py.
"""

from collections.abc import Iterator
from typing import Any

from chunks import ask_judge, judge_of
from spelling import MAX_INT64

from inflight.hpa.cases import answer_case
from inflight.objects import to_json

OLD = "1999-12-31T00:00:00Z"
NOW = "2000-01-01T00:00:00Z"
FLAGS = {"cpuInitializationPeriodSeconds": 120, "initialReadinessDelaySeconds": 10}
MAX_INT32 = 2**31 - 1
UNFIT = -MAX_INT64 - 1
"""What a double outside of int64 becomes on amd64."""


def pod(index: int, kind: str = "", cpu: str = "2") -> dict[str, Any]:
    """A pod by what is special about it: F not ready, H hot (just ready), P Pending, X Failed, D deleting."""
    started = NOW if kind in {"F", "H"} else OLD
    ready = {"type": "Ready", "status": "False" if kind == "F" else "True", "lastTransitionTime": started}
    metadata: dict[str, Any] = {"name": f"pod-{index}"}
    if kind == "D":
        metadata["deletionTimestamp"] = NOW
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {
            "phase": {"P": "Pending", "X": "Failed"}.get(kind, "Running"),
            "startTime": started,
            "conditions": [ready],
        },
    }


def fleet(kinds: str, cpu: str = "2") -> list[dict[str, Any]]:
    """`..F`: two plain pods and one that is not ready."""
    return [pod(index, kind.strip("."), cpu) for index, kind in enumerate(kinds)]


def values(*usage: int) -> dict[str, int]:
    return {f"pod-{index}": value for index, value in enumerate(usage)}


def tolerances(down: float, up: float) -> dict[str, float]:
    return {"scaleDown": down, "scaleUp": up}


def calls() -> Iterator[tuple[dict[str, Any], tuple[Any, ...] | str]]:
    """A case and what it answers: replicas, usage, utilization, or the text of its error."""
    yield from utilization()
    yield from pods_metrics()
    yield from whole_metrics()


def utilization() -> Iterator[tuple[dict[str, Any], tuple[Any, ...] | str]]:
    def ask(
        pods: list[dict[str, Any]], current: int, usage: dict[str, int], target: int, **more: Any
    ) -> dict[str, Any]:
        return {
            "method": "GetResourceReplicas",
            "pods": pods,
            "current": current,
            "metrics": usage,
            "target": target,
            **more,
        }

    three = values(600, 1000, 1400)
    five = values(200, 600, 1000, 500, 500)
    yield ask(fleet("..."), 3, three, 30), (5, 1000, 50)
    yield ask(fleet("F.."), 3, three, 30), (4, 1200, 60)
    yield ask(fleet("H.."), 3, three, 30), (4, 1200, 60)
    yield ask(fleet(".FF"), 3, values(800, 1000, 1400), 30), (3, 800, 40)
    yield ask(fleet("..XX"), 2, values(1000, 1400), 30), (4, 1200, 60)
    yield ask(fleet("..DD"), 2, values(1000, 1400), 30), (4, 1200, 60)
    yield ask(fleet("....."), 5, five, 50), (3, 560, 28)
    yield ask(fleet("...FF"), 5, five, 50), (2, 600, 30)
    yield ask(fleet("...HH"), 5, five, 50), (2, 600, 30)
    yield ask(fleet(".PPPP"), 5, values(200), 50), (1, 200, 10)
    yield ask(fleet("...", "1"), 3, values(300, 500, 700), 30, container="main"), (5, 500, 50)
    members = [pod(0, cpu="1800m"), pod(1, cpu="2000m"), pod(2, cpu="2200m")]
    for limits, usage, answer in (
        ((0.1, 0.1), (2020, 2060, 2040), (3, 2040, 102)),
        ((0.0, 0.0), (1818, 2020, 2222), (4, 2020, 101)),
        ((0.1, 2.0), (3780, 3820, 3800), (3, 3800, 190)),
        ((2.0, 0.08), (2200, 2160, 2180), (4, 2180, 109)),
        ((0.36, 0.1), (1320, 1280, 1300), (3, 1300, 65)),
        ((0.34, 0.1), (1320, 1280, 1300), (2, 1300, 65)),
    ):
        yield ask(members, 3, values(*usage), 100, tolerances=tolerances(*limits)), answer
    yield ask(fleet("...."), 4, values(8000, 19000, 6000, 14000, 6400, 4000), 100), (24, 11750, 587)
    yield ask(fleet("...."), 4, values(800, 190), 100), (3, 495, 24)
    yield ask(fleet(".."), 2, values(2000), 100), (2, 2000, 100)
    yield ask(fleet(".."), 2, values(3800), 100), (2, 3800, 190)
    yield ask(fleet(".."), 2, values(1200), 100), (2, 1200, 60)
    for kinds in ("F..", "H.."):
        yield ask(fleet(kinds), 3, values(200, 900), 50), (3, 900, 45)
        yield ask(fleet(kinds), 3, values(200, 4000), 50), (4, 4000, 200)
    yield ask(fleet("F..."), 4, values(200, 200, 200), 50), (3, 200, 10)
    unlike = [pod(0, "F"), pod(1), pod(2, cpu="4"), pod(3, cpu="4")]
    yield ask(unlike, 4, values(400, 200, 200), 300), (2, 200, 6)
    yield ask(fleet("..."), 2, values(200, 200), 50), (2, 200, 10)
    yield ask([], 2, {"stranger": 1}, 50), "no pods returned by selector while calculating replica count"
    yield ask(fleet("."), 1, {}, 50), "did not receive metrics for targeted pods (pods might be unready)"
    without = pod(0)
    without["spec"]["containers"][0]["resources"] = {}
    yield ask([without], 1, values(100), 50), "missing request for cpu in container main of Pod pod-0"
    yield ask([pod(0, cpu="0")], 1, values(100), 50), "no metrics returned matched known pods"


def pods_metrics() -> Iterator[tuple[dict[str, Any], tuple[Any, ...] | str]]:
    def ask(kinds: str, current: int, usage: tuple[int, ...], target: int, **more: Any) -> dict[str, Any]:
        return {
            "method": "GetMetricReplicas", "pods": fleet(kinds), "current": current,
            "metrics": values(*usage), "target": target, **more,
        }  # fmt: skip

    yield ask("...", 3, (20000, 10000, 30000), 15000), (4, 20000, None)
    yield ask("..F", 3, (50000, 10000, 30000), 15000), (6, 30000, None)
    yield ask("F.F", 3, (50000, 15000, 30000), 15000), (7, 31666, None)
    yield ask(".....", 5, (12000,) * 5, 20000), (3, 12000, None)
    yield ask("...", 3, (20000, 21000, 21000), 20000), (3, 20666, None)
    yield ask("...", 3, (20000, 21000, 21000), 20000, tolerances=tolerances(0.1, 0.01)), (4, 20666, None)
    yield ask(".....", 5, (20000, 19000, 21000), 20000), (5, 20000, None)
    yield ask("...", 2, (10000, 10000), 17000), (2, 10000, None)
    yield ask("....", 4, (3000,), 1000), (4, 3000, None)
    yield ask("....", 4, (0, 0), 1000), (2, 0, None)
    yield ask("....", 4, (0,), 1000), (3, 0, None)


def whole_metrics() -> Iterator[tuple[dict[str, Any], tuple[Any, ...] | str]]:
    def ask(method: str, current: int, usage: Any, target: int, kinds: str = "", **more: Any) -> dict[str, Any]:
        return {
            "method": f"Get{method}MetricReplicas", "current": current, "metrics": usage, "target": target,
            "pods": fleet(kinds), **more,
        }  # fmt: skip

    narrow = {"tolerances": tolerances(0.1, 0.01)}
    for kinds, current, usage, target, replicas in (
        ("...", 3, 20000, 15000, 4),
        ("...", 3, MAX_INT64, 1, MAX_INT32),
        (".FF", 3, 50000, 10000, 5),
        (".....", 5, 12000, 20000, 3),
        ("...", 3, 20666, 20000, 3),
        (".FFF", 4, 2000, 1000, 2),
        ("FFFF", 4, 2000, 1000, 0),
    ):
        yield ask("Object", current, usage, target, kinds), (replicas, usage, None)
    yield ask("Object", 3, 20666, 20000, "...", **narrow), (4, 20666, None)
    for status, usage, target, replicas, average in (
        (1, MAX_INT64, MAX_INT64, 1, UNFIT),
        (3, 20000, 5000, 4, 6667),
        (5, 6000, 2000, 3, 1200),
        (4, 20166, 5000, 4, 5042),
        (0, 20000, 5000, 4, UNFIT),
        (0, 0, 5000, 0, UNFIT),
    ):
        yield ask("ObjectPerPod", status, usage, target), (replicas, average, None)
    yield ask("ObjectPerPod", 4, 20208, 5000, **narrow), (5, 5052, None)
    half = MAX_INT64 // 2 + 1
    for kinds, current, series, target, replicas in (
        (".FF", 3, [8600], 4400, 2),
        (".....", 5, [8600], 14334, 3),
        ("...", 3, [8600], 8888, 3),
        ("........", 8, [600] * 8, 800, 48),
    ):
        yield ask("External", current, series, target, kinds), (replicas, sum(series), None)
    yield ask("External", 3, [half, half], MAX_INT64, "..."), (3, MAX_INT64, None)
    yield ask("External", 3, [8900], 8800, "...", **narrow), (4, 8900, None)
    for status, series, target, replicas, average in (
        (1, [MAX_INT64], 1, MAX_INT32, MAX_INT64),
        (1, [MAX_INT64], MAX_INT64, 1, MAX_INT64),
        (0, [20000], 5000, 4, UNFIT),
        (0, [0], 5000, 0, UNFIT),
        (3, [8600], 2150, 4, 2867),
        (5, [8600], 2867, 3, 1720),
        (3, [8600], 2900, 3, 2867),
        (4, [4200], 1000, 4, 1050),
        (12, [11000], 1000, 12, 917),
        (3, [-1], 1000, MAX_INT32, MAX_INT64),
        (8, [600] * 8, 800, 6, 600),
        (3, [1000], 1000, 1, 334),
    ):
        yield ask("ExternalPerPod", status, series, target), (replicas, average, None)
    yield ask("ExternalPerPod", 3, [8600], 2800, **narrow), (4, 2867, None)


def stories() -> Iterator[tuple[dict[str, Any], int, str]]:
    """A story, the count after its last sync, and the reason of ScalingLimited there."""
    for current, raw, minimum, maximum, count, reason in (
        (5, 7, 3, 8, 7, "DesiredWithinRange"),
        (3, 1, 2, 8, 2, "TooFewReplicas"),
        (1, 0, 0, 10, 0, "DesiredWithinRange"),
        (9, 1000, 1, 10, 10, "TooManyReplicas"),
        (3, 1000, 1, 2000, 6, "ScaleUpLimit"),
    ):
        yield story(current, raw, minimum, maximum, None), count, reason
    for way, policies, current, raw, minimum, count, reason in (
        ("scaleUp", "P4/15 %100/15", 10, 50, 1, 20, "ScaleUpLimit"),
        ("scaleUp", "%1/60", 3, 1000, 1, 4, "ScaleUpLimit"),
        ("scaleUp", "P100/60 %100/60", 10, 500, 1, 110, "ScaleUpLimit"),
        ("scaleUp", "P2/60 %100/60", 10, 500, 1, 20, "ScaleUpLimit"),
        ("scaleUp", "P30/60", 10, 50, 1, 40, "ScaleUpLimit"),
        ("scaleUp", "%200/60", 10, 50, 1, 30, "ScaleUpLimit"),
        ("scaleUp", "%12/60", 25, 50, 1, 29, "ScaleUpLimit"),
        ("scaleDown", "P20/60 %1/60", 100, 2, 1, 80, "ScaleDownLimit"),
        ("scaleDown", "P2/60 %1/60", 100, 2, 1, 98, "ScaleDownLimit"),
        ("scaleDown", "P5/60", 10, 2, 1, 5, "ScaleDownLimit"),
        ("scaleDown", "%100/60", 10, 2, 5, 5, "TooFewReplicas"),
        ("scaleDown", "%80/60", 10, 0, 0, 1, "ScaleDownLimit"),
        ("scaleDown", "%90/60", 10, 0, 0, 0, "DesiredWithinRange"),
        ("scaleDown", "%80/60", 5, 0, 0, 0, "DesiredWithinRange"),
    ):
        yield story(current, raw, minimum, 2000, {way: rules(policies)}), count, reason
    yield story(1, 9, 1, 10, {"scaleUp": rules("P2/60 %50/60", "Min")}), 2, "ScaleUpLimit"
    yield story(5, 0, 0, 10, {"scaleDown": rules("P2/60 %50/60", "Min")}), 3, "ScaleDownLimit"
    walk = story(80, 10, 10, 100, {"scaleDown": rules("P4/60 %10/60")})
    walk["controller"]["syncPeriodSeconds"] = 60
    walk["steps"] += [walk["steps"][-1]] * 13
    yield walk, 10, "DesiredWithinRange"


def rules(text: str, select: str = "Max") -> dict[str, Any]:
    """`P4/15 %100/60`: 4 pods in 15 s, 100 % in 60 s."""
    policies = []
    for part in text.split():
        value, period = part[1:].split("/")
        kind = "Pods" if part[0] == "P" else "Percent"
        policies.append({"type": kind, "value": int(value), "periodSeconds": int(period)})
    return {"selectPolicy": select, "stabilizationWindowSeconds": 0, "policies": policies}


def story(current: int, raw: int, minimum: int, maximum: int, behavior: dict[str, Any] | None) -> dict[str, Any]:
    """A sync in which nothing changes, so that the first recommendation ages, and one that wants `raw`."""
    metric = {"metric": {"name": "wanted"}, "target": {"type": "AverageValue", "averageValue": "1"}}
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "metrics": [{"type": "External", "external": metric}],
    }
    if behavior is not None:
        spec["behavior"] = behavior
    return {
        "featureGates": {"HPAScaleToZero": True},
        "controller": {"downscaleStabilizationSeconds": 0, "tolerance": 0},
        "hpa": {"metadata": {"name": "web"}, "spec": spec},
        "scale": {"replicas": current, "selector": "app=web"},
        "steps": [{"metrics": {"external/wanted": {"values": [str(each)]}}} for each in (current, raw)],
    }


def check_golden(release: str) -> str:
    """Asks judge and engine; what they say as a sentence. Raises RuntimeError at the first wrong number."""
    asked = [({"controller": FLAGS, **case}, (answer,)) for case, answer in calls()]
    asked += [(case, (count, reason)) for case, count, reason in stories()]
    cases = [{"id": f"golden-{index}", "kubernetes": release, **case} for index, (case, _) in enumerate(asked)]
    judged = ask_judge(judge_of(release), [to_json(case) for case in cases])
    for case, (_, wanted) in zip(cases, asked, strict=True):
        for name, answer in (("judge", judged[case["id"]]), ("engine", answer_case(case))):
            if said(answer) != wanted:
                raise RuntimeError(
                    f"{case['id']}: the {name} says {said(answer)}, not {wanted}: {to_json(case).decode()}"
                )
    return f"{len(cases)} golden vectors, each as the judge and the engine say"


def said(answer: dict[str, Any]) -> tuple[Any, ...]:
    if answer.get("error") is not None:
        return (answer["error"],)
    if "syncs" not in answer:
        return ((answer["replicas"], answer["usage"], answer.get("utilization")),)
    last = answer["syncs"][-1]
    limited = [each["reason"] for each in last["conditions"] if each["type"] == "ScalingLimited"]
    return (last["replicas"], *limited)
