# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Draws stories, hungry for boundaries.

Weights lean to what goes wrong: ratios at the edge of the tolerance, percentages that round, windows that just end,
pods that flap, errors in bursts, other writers, zero, overflow, quantities in every spelling, HPAs that are refused.
"""

import math
from typing import Any

import msgspec
from hpas import autoscaler
from plots import Plot
from spelling import EPOCH_2000, MAX_INT64, Draw, iso, quantity

from inflight.hpa.cases import CaseError, Step, StoryLine, StoryPlayer, read_case
from inflight.objects import QuantityError, parse_quantity

SELECTORS = [
    "app=web",
    "app=web",
    "app=web",
    "app=web",
    "app in (web, api)",
    "app=web,!gone",
    "app",
    "app!=db",
    "tier notin (x),app=web",
    "app=web,tier=front",
    "app=web,tier=front,app=web",
]
BAD_SELECTORS = ["", "app=web=x", "!", "app in web", "a b", "app>x", "app=web,,"]
EDGES = [0.9, 1.0, 1.1, 0.8, 1.2, 0.5, 1.5, 2.0, 0.95, 1.05, 0.0, 3.0, 0.7, 1.3]


class World:
    """The pods and the load of one story, which change a little at every step."""

    def __init__(
        self, draw: Draw, hpa: dict[str, Any], plans: list[dict[str, Any]], flags: dict[str, float], start: float
    ) -> None:
        self.draw, self.plans = draw, plans
        self.init = flags.get("cpuInitializationPeriodSeconds", 300)
        self.delay = flags.get("initialReadinessDelaySeconds", 30)
        self.now = start
        self.pods: list[dict[str, Any]] = []
        self.made = 0
        self.trouble = 0.0
        self.odd = draw.choice([0.0, 0.05, 0.3])
        self.most = draw.weighted((8, 14), (0.5, 60), (0.7, 1), (0.4, 0))
        self.request = draw.weighted((5, "1"), (2, "250m"), (2, "2"), (1, "100u"), (0.3, "0"))
        self.pod_level = draw.chance(0.1)
        self.tiers, self.gpus = draw.chance(0.5), draw.chance(0.3)
        self.edges = [*EDGES, *tolerance_edges(hpa, flags)]
        self.scale = draw.choice(self.edges)
        self.drift = draw.chance(0.5)

    def step_pods(self, count: int) -> list[dict[str, Any]]:
        draw = self.draw
        count = min(max(count, 0), self.most)
        while len(self.pods) < count and draw.chance(0.9):
            self.pods.append(self.pod())
        while len(self.pods) > count and draw.chance(0.8):
            if draw.chance(0.3):
                self.pods[-1]["metadata"]["deletionTimestamp"] = iso(self.now)
                break
            self.pods.pop(draw.randrange(len(self.pods)))
        for pod in self.pods:
            if draw.chance(self.odd):
                self.change(pod)
        strangers = []
        if draw.chance(0.05):
            strangers = [
                {"metadata": {"name": "db-0", "labels": {"app": "db"}}},
                {"metadata": {"name": "far", "namespace": "elsewhere", "labels": {"app": "web"}}},
            ]
        return [*msgspec.json.decode(msgspec.json.encode(self.pods)), *strangers]

    def pod(self) -> dict[str, Any]:
        draw = self.draw
        self.made += 1
        requests = {"cpu": self.request, "memory": draw.choice(["128Mi", "1Gi"])}
        if self.gpus:
            requests["nvidia.com/gpu"] = "1"
        if draw.chance(0.15 if self.pod_level else 0.02):
            del requests["cpu"]
        containers: list[dict[str, Any]] = [{"name": "main", "resources": {"requests": requests}}]
        if draw.chance(0.3):
            containers.append({"name": "side", "resources": {"requests": {"cpu": "100m", "memory": "10Mi"}}})
        spec: dict[str, Any] = {"containers": containers}
        if draw.chance(0.2):
            spec["initContainers"] = [
                {"name": "init", "resources": {"requests": {"cpu": draw.choice(["5", "300u"])}}},
                {
                    "name": "proxy",
                    "restartPolicy": "Always",
                    "resources": {"requests": {"cpu": "50m", "memory": "1Mi"}},
                },
            ][draw.randrange(2) :]
        if self.pod_level:
            spec["resources"] = {
                "requests": draw.choice(
                    [
                        {"cpu": "3"},
                        {"memory": "2Gi"},
                        {"cpu": "3", "memory": "1Gi"},
                        {},
                        {"nvidia.com/gpu": "1"},
                        {"hugepages-2Mi": "4Mi"},
                    ]
                )
            }
        pod = {
            "metadata": {"name": f"web-{self.made}", "labels": self.labels()},
            "spec": spec,
            "status": {"phase": "Running"},
        }
        age = draw.choice([0, 1, self.delay, self.init, self.init - 60, 10_000, 30, 60, 90]) + draw.choice(
            [0, 0, 1, -1, 15]
        )
        self.ready(pod, age)
        return pod

    def labels(self) -> dict[str, str]:
        return {"app": "web", **({"tier": self.draw.weighted((9, "front"), (1, "back"))} if self.tiers else {})}

    def ready(self, pod: dict[str, Any], age: float) -> None:
        draw = self.draw
        status = pod["status"]
        status["phase"] = draw.weighted(
            (8, "Running"), (1, "Pending"), (0.3, "Failed"), (0.2, "Succeeded"), (0.1, "Unknown"), (0.1, "")
        )
        if draw.chance(0.95):
            status["startTime"] = iso(self.now - age)
        state = draw.weighted((8, "True"), (3 * (self.odd + 0.1), "False"), (0.2, "Unknown"), (0.2, None))
        after = draw.choice(
            [0, 1, 10, self.delay, self.delay - 1, self.delay + 1, 60, age, max(age - 60, 0), max(age - 59, 0)]
        )
        if state is None:
            status.pop("conditions", None)
        else:
            condition = {"type": "Ready", "status": state, "lastTransitionTime": iso(self.now - age + after)}
            if draw.chance(0.03):
                del condition["lastTransitionTime"]
            status["conditions"] = [{"type": "Initialized", "status": "True"}, condition]
            if draw.chance(0.01):
                status["conditions"].append({**condition, "status": draw.choice(["True", "False"])})

    def change(self, pod: dict[str, Any]) -> None:
        if self.draw.chance(0.2):
            pod["metadata"]["deletionTimestamp"] = iso(self.now)
        else:
            self.ready(pod, self.draw.choice([0, 30, self.init, 1000]))

    def metrics(self, replicas: int, status: int) -> dict[str, Any]:
        draw = self.draw
        if self.drift or draw.chance(0.15):
            self.scale = draw.choice(self.edges) if draw.chance(0.6) else draw.uniform(0, 3)
        self.trouble = 0.7 if draw.chance(0.06) else self.trouble * draw.choice([0.0, 0.9])
        answers: dict[str, Any] = {}
        for plan in self.plans:
            answers[plan["key"]] = self.answer(plan, replicas, status)
            if "?" in plan["key"] and draw.chance(0.1):
                # The key with the selector comes first.
                answers[plan["key"].partition("?")[0]] = self.answer(plan, replicas, status)
        return {key: value for key, value in answers.items() if value is not None or draw.chance(0.5)}

    def answer(self, plan: dict[str, Any], replicas: int, status: int) -> dict[str, Any] | None:
        draw = self.draw
        if draw.chance(self.trouble or 0.02):
            return draw.weighted(
                (
                    4,
                    {
                        "error": draw.choice(
                            ["boom", "the adapter is down", "unable to fetch metrics from custom metrics API: 404"]
                        )
                    },
                ),
                (2, {}),
                (1, {"values": [] if plan["kind"] == "External" else {}}),
                (1, None),
            )
        if plan["kind"] in {"Object", "External"}:
            total = self.total(plan, replicas, status)
            if plan["kind"] == "Object":
                return {"value": quantity(draw, total)}
            series = draw.weighted((5, 1), (2, 2), (1, 4))
            parts = [total // series] * series
            parts[0] += total - sum(parts)
            return {"values": [quantity(draw, part) for part in parts]}
        names = [pod["metadata"]["name"] for pod in self.pods if not draw.chance(draw.choice([0.0, 0.0, 0.3]))]
        if draw.chance(0.04):
            names.append("stranger")
        return {"values": {name: quantity(draw, self.per_pod(plan)) for name in names}}

    def total(self, plan: dict[str, Any], replicas: int, status: int) -> int:
        draw = self.draw
        if draw.chance(0.03):
            return draw.choice([-1, -5000, MAX_INT64, MAX_INT64 // 2 + 1, 0, 1])
        count = (status if draw.chance(0.8) else replicas) if plan["average"] else 1
        return draw.near(min(plan["milli"] * self.scale * max(count, 1), 2.0**62))

    def per_pod(self, plan: dict[str, Any]) -> int:
        draw = self.draw
        if draw.chance(0.01):
            return draw.choice([-1, MAX_INT64, MAX_INT64 // 100, 0])
        if plan["percent"] is None:
            return draw.near(min(plan["milli"] * self.scale, 2.0**61))
        base = 1000 if plan.get("resource") == "cpu" else 128 * 2**20 * 1000
        return draw.near(base * min(plan["percent"], 10_000) / 100 * self.scale)


def tolerance_edges(hpa: dict[str, Any], flags: dict[str, float]) -> list[float]:
    """The ratios at the ends of this HPA's own tolerance, and their neighbours."""
    down = up = flags.get("tolerance", 0.1)
    behavior = hpa["spec"].get("behavior") or {}
    down = number(behavior.get("scaleDown", {}).get("tolerance"), down)
    up = number(behavior.get("scaleUp", {}).get("tolerance"), up)
    edges = [1 - down, 1 + up] * 3
    return [max(edge, 0.0) for edge in (*edges, math.nextafter(1 - down, 0), math.nextafter(1 + up, 9))]


def number(text: str | None, otherwise: float) -> float:
    try:
        return otherwise if text is None else parse_quantity(text).as_float()
    except QuantityError:
        return otherwise


def story(draw: Draw, name: str, release: str) -> dict[str, Any]:
    if draw.chance(0.35):
        return see_saw(draw, name, release)
    hpa, plans = autoscaler(draw)
    case: dict[str, Any] = {"id": name, "hpa": hpa}
    if release != "1.37" or draw.chance(0.5):
        case["kubernetes"] = release
    gates = {}
    if hpa["spec"].get("minReplicas") == 0 and draw.chance(0.93):
        # Else it is refused where the gate is off.
        gates["HPAScaleToZero"] = True
    elif draw.chance(0.3):
        gates["HPAScaleToZero"] = draw.chance(0.8) if release == "1.36" else draw.chance(0.3)
    if draw.chance(0.1):
        gates["HPAConfigurableTolerance"] = draw.chance(0.5 if release == "1.36" else 0.9)
    if draw.chance(0.1):
        gates["PodLevelResources"] = draw.chance(0.5)
    if release != "1.36" and draw.chance(0.15):
        gate = draw.choice(["HPAGeneration", "HPAOptimizedSelectorStore", "StaleControllerConsistencyHPA"])
        gates[gate] = draw.chance(0.2)
    if draw.chance(0.01):
        gates["NoSuchGate"] = True
    if gates:
        case["featureGates"] = gates
    flags: dict[str, float] = {}
    if draw.chance(0.3):
        flags["syncPeriodSeconds"] = draw.choice([1, 5, 7.5, 14.9, 15, 15.001, 30, 60, 0.5])
    if draw.chance(0.4):
        flags["downscaleStabilizationSeconds"] = draw.choice([0, 14.9, 15, 15.5, 29.999, 30, 45, 60, 300, 3000])
    if draw.chance(0.3):
        flags["cpuInitializationPeriodSeconds"] = draw.choice([0, 1.5, 30, 60, 120, 300])
    if draw.chance(0.3):
        flags["initialReadinessDelaySeconds"] = draw.choice([0, 0.25, 10, 30, 60])
    if draw.chance(0.3):
        flags["tolerance"] = draw.choice([0, 0.05, 0.1, 0.2, 0.018, 0.3, 0.5, 1, 1.5])
    if flags:
        case["controller"] = flags
    start = EPOCH_2000
    if draw.chance(0.2):
        start += draw.choice([0.25, 86_400, 12_345.678, 820_000_000])
        case["start"] = iso(start)
    replicas = draw.weighted((8, draw.randint(1, 10)), (2, 0), (1, draw.randint(0, 40)), (0.05, 2**30 + 5))
    selector = draw.choice(SELECTORS) if draw.chance(0.97) else draw.choice(BAD_SELECTORS)
    case["scale"] = {"replicas": replicas, "selector": selector}
    period = flags.get("syncPeriodSeconds", 15)
    world = World(draw, hpa, plans, flags, start + (period if release == "1.36" else 0))
    case["steps"] = steps(draw, world, case, period)
    return case


def steps(draw: Draw, world: World, case: dict[str, Any], period: float) -> list[dict[str, Any]]:
    """Each step is aimed at what the target has by then, which the engine plays along to know."""
    result = []
    plot = Plot(draw, case, world.plans)
    player = follow(case)
    status_lags = draw.chance(0.3)
    guess = case["scale"]["replicas"]
    for index in range(draw.weighted((3, draw.randint(1, 6)), (3, draw.randint(5, 15)), (1, draw.randint(15, 40)))):
        step: dict[str, Any] = {}
        guess = player.replicas if player else guess
        plot.happen(step, player, index == 0)
        world.plans = plot.plans
        if draw.chance(0.06 if guess else 0.3):
            guess = draw.weighted((6, draw.randint(0, 12)), (1, 0), (1, 60))
            step["scale"] = {"replicas": guess}
        aim = min(guess, 60)
        status = aim
        if status_lags and draw.chance(0.6):
            status = max(aim + draw.choice([0, 1, -1, -2, 3]), 0)
            step["statusReplicas"] = status
        if "scaleErrors" not in step and draw.chance(0.03):
            step["scaleErrors"] = {
                draw.choice(["get", "update", "update"]): draw.choice(["scale not found", "forbidden"])
            }
        if player:
            world.now = max(world.now, (player.due_ns + step.get("lateSeconds", 0) * 1e9) / 1e9)
        pods = world.step_pods(aim)
        if pods or draw.chance(0.5):
            step["pods"] = pods
        metrics = world.metrics(aim, status)
        if metrics or draw.chance(0.5):
            step["metrics"] = metrics
        result.append(step)
        world.now += period
        player = play(player, step)
    return result


def play(player: StoryPlayer | None, step: dict[str, Any]) -> StoryPlayer | None:
    """The player after the step, None once the story is refused."""
    if player is None:
        return None
    try:
        player.play(msgspec.convert(step, Step))
    except CaseError:
        return None
    return player


def see_saw(draw: Draw, name: str, release: str) -> dict[str, Any]:
    """One plain metric that goes up and down under policies and windows: what was remembered decides."""
    period = draw.choice([15, 15, 15, 10, 7.5, 30])

    def direction() -> dict[str, Any]:
        kinds = draw.choices(["Pods", "Percent"], k=draw.randint(1, 3))
        policies = [
            {
                "type": kind,
                "value": draw.randint(1, 9) if kind == "Pods" else draw.choice([10, 12, 20, 50, 80, 90, 100, 200]),
                "periodSeconds": round(period * draw.choice([1, 1, 2, 3, 4, 8, 20])) + draw.choice([0, 0, 1, -1]),
            }
            for kind in kinds
        ]
        return {
            "stabilizationWindowSeconds": round(period * draw.choice([0, 0, 0, 1, 2, 3, 4, 20])),
            "selectPolicy": draw.weighted((5, "Max"), (3, "Min"), (0.3, "Disabled")),
            "policies": policies,
            "tolerance": "0",
        }

    behavior = {"scaleUp": direction(), "scaleDown": direction()}
    if draw.chance(0.2):
        behavior = {}
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": draw.choice([1, 1, 2, 0]),
        "maxReplicas": draw.choice([20, 50, 200, 1000]),
        "metrics": [
            {
                "type": "External",
                "external": {"metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "10"}},
            }
        ],
    }
    if behavior or draw.chance(0.3):
        spec["behavior"] = behavior
    load = draw.choice([5, 10, 10, 20, 25, 100])
    case: dict[str, Any] = {
        "id": name,
        "kubernetes": release,
        "controller": {"syncPeriodSeconds": period},
        "hpa": {"metadata": {"name": "web"}, "spec": spec},
        "scale": {"replicas": load, "selector": "app=web"},
        "steps": [],
    }
    if release == "1.36" and spec["minReplicas"] == 0:
        case["featureGates"] = {"HPAScaleToZero": True}
    if not behavior:
        case["controller"]["downscaleStabilizationSeconds"] = period * draw.choice([0, 1, 2, 3, 5, 20])
    plans = [{"kind": "External", "key": "external/load", "milli": 10_000, "percent": None, "average": True}]
    plot = Plot(draw, case, plans, keeps_metrics=True)
    player = follow(case) if plot.lateness or plot.edits or plot.restarts else None
    for index in range(draw.weighted((60, draw.randint(8, 40)), (0.4, draw.randint(100, 400)))):
        if draw.chance(0.5):
            load = draw.choice([0, 1, 5, 10, 20, 25, 30, 60, 100, draw.randint(0, 120)])
        step: dict[str, Any] = {"metrics": {"external/load": {"values": [str(load * 10)]}}}
        plot.happen(step, player, index == 0)
        if draw.chance(0.03):
            step["scale"] = {"replicas": draw.choice([1, 5, 10, 25, 40])}
        if draw.chance(0.02):
            step["metrics"] = {"external/load": {"error": "boom"}}
        if "scaleErrors" not in step and draw.chance(0.02):
            step["scaleErrors"] = {"update": "forbidden"}
        player = play(player, step)
        case["steps"].append(step)
    return case


def follow(case: dict[str, Any]) -> StoryPlayer | None:
    """The engine on the same story; None where the case is refused as a whole."""
    line = read_case({**case, "steps": []})
    if not isinstance(line, StoryLine):
        return None
    try:
        return StoryPlayer(line)
    except CaseError:
        return None
