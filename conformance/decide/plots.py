# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""What may happen to a story besides its load.

Restarts, edits, late syncs, conflicts, a status that cannot be written, other HPAs on the same pods.
"""

import copy
from typing import Any

from hpas import metric, rules, target_milli
from spelling import Draw, quantity

from inflight.hpa.cases import StoryPlayer

NANOSECONDS = 1_000_000_000
TRIES = 5
"""So often client-go writes the scale before it gives up on a conflict."""


class Plot:
    """Which of these things happen in one story, and how often."""

    def __init__(
        self, draw: Draw, case: dict[str, Any], plans: list[dict[str, Any]], keeps_metrics: bool = False
    ) -> None:
        self.draw, self.plans, self.keeps_metrics = draw, plans, keeps_metrics
        self.spec = case["hpa"]["spec"]
        gates = case.get("featureGates", {})
        self.may_be_zero = gates.get("HPAScaleToZero", case.get("kubernetes") != "1.36")
        self.restarts = draw.choice([0.05, 0.2]) if draw.chance(0.12) else 0.0
        self.edits = draw.choice([0.08, 0.25]) if draw.chance(0.15) else 0.0
        self.lateness = draw.choice([0.1, 0.4]) if draw.chance(0.2) else 0.0
        self.conflicts = draw.choice([0.1, 0.5]) if draw.chance(0.12) else 0.0
        self.unwritten = draw.choice([0.1, 0.5]) if draw.chance(0.08) else 0.0
        self.others: list[dict[str, Any]] = []
        self.ambiguity = 0.0
        if draw.chance(0.06):
            # Upstream names the HPAs in the order of a map: whether there is a status to write would be chance.
            self.restarts = self.edits = self.lateness = self.unwritten = 0.0
            self.ambiguity = draw.choice([0.1, 0.5])
            case.setdefault("start", "2020-02-29T12:00:00Z")

    def happen(self, step: dict[str, Any], player: StoryPlayer | None, first: bool) -> None:
        """Adds to a step what happens in it. `self.plans` are from then on those of the HPA as it is."""
        draw = self.draw
        if not first and draw.chance(self.restarts):
            step["restart"] = True
        if not first and draw.chance(self.edits):
            self.edit(step, player)
        if draw.chance(self.lateness) and ("hpa" not in step or "restart" in step or draw.chance(0.02)):
            step["lateSeconds"] = self.late(player)
        if draw.chance(self.conflicts):
            self.conflict(step)
        if draw.chance(self.unwritten):
            step["statusError"] = draw.choice(["the object has been modified", "etcdserver: request timed out", ""])
        if self.ambiguity:
            if draw.chance(self.ambiguity):
                self.others = [self.other(index) for index in range(draw.weighted((3, 0), (5, 1), (2, 2), (1, 3)))]
            if self.others or draw.chance(0.2):
                step["otherHpas"] = copy.deepcopy(self.others)

    def late(self, player: StoryPlayer | None) -> float:
        """A wait, often one after which something that is remembered is just as old as a window or a period."""
        draw = self.draw
        if player is not None and draw.chance(0.6):
            waits = [
                (at_ns + length * NANOSECONDS + draw.choice([0, 0, 0, 1, -1, 1_000_000, -1_000_000]) - player.due_ns)
                for at_ns in remembered(player)
                for length in lengths(player)
            ]
            waits = [wait for wait in waits if 0 <= wait < 5000 * NANOSECONDS]
            if waits:
                return draw.choice(sorted(waits)[:12]) / NANOSECONDS
        return draw.choice([0.001, 1e-9, 0.5, 1, 7.25, 15, 14.999999999, 60, 299, 1000])

    def conflict(self, step: dict[str, Any]) -> None:
        draw = self.draw
        errors = step.setdefault("scaleErrors", {})
        errors["conflicts"] = draw.weighted((6, draw.randint(1, TRIES - 1)), (3, TRIES), (1, TRIES + 2), (0.5, 0))
        if draw.chance(0.6):
            errors["update"] = draw.choice(["the object has been modified; try again", "conflict"])
        if draw.chance(0.7):
            errors["replicas"] = draw.randint(0, 20)

    def other(self, index: int) -> dict[str, Any]:
        other: dict[str, Any] = {"name": f"other-{index}"}
        if self.draw.chance(0.5):
            other["selector"] = self.draw.choice(
                ["app=web", "app=db", "tier=x", "app", "app in (web,db)", "app!=web", "!app", "app=web,!nothing"]
            )
        if self.draw.chance(0.02):
            other["selector"] = self.draw.choice(["", "a b"])
        return other

    def edit(self, step: dict[str, Any], player: StoryPlayer | None) -> None:
        """Another spec, as a person would change it."""
        draw = self.draw
        spec = copy.deepcopy(self.spec)
        plans = list(self.plans)
        match draw.weighted(
            (4, "bounds"), (5, "behavior"), (3, "target"), (2, "metrics"), (1, "nothing"), (0.2, "bad")
        ):
            case "bounds":
                spec["maxReplicas"] = draw.weighted((5, draw.randint(1, 12)), (2, draw.randint(10, 60)))
                outside = any(plan["kind"] in {"Object", "External"} for plan in plans)
                lowest = 0 if outside and (self.may_be_zero or draw.chance(0.02)) else 1
                spec["minReplicas"] = min(draw.choice([lowest, lowest, 1, 2, 3, 8]), spec["maxReplicas"])
            case "behavior":
                spec.pop("behavior", None)
                if draw.chance(0.75):
                    spec["behavior"] = {way: rules(draw, way) for way in ("scaleUp", "scaleDown") if draw.chance(0.8)}
            case "target" if spec.get("metrics"):
                index = draw.randrange(min(len(spec["metrics"]), len(plans)))
                plans[index] = self.retarget(spec["metrics"][index], plans[index])
            case "metrics" if not self.keeps_metrics:
                drawn = [metric(draw, index) for index in range(draw.weighted((5, 1), (3, 2), (1, 3)))]
                spec["metrics"], plans = [entry for entry, _ in drawn], [plan for _, plan in drawn]
                if spec.get("minReplicas") == 0:
                    spec["minReplicas"] = 1
            case "bad":
                spec["maxReplicas"] = draw.choice([0, -1])
        self.spec, self.plans = spec, plans
        step["hpa"] = {"spec": copy.deepcopy(spec)}
        if player is not None and draw.chance(0.6):
            until_due = (player.due_ns - player.now_ns) / NANOSECONDS
            step["editedAfterSeconds"] = draw.weighted(
                (6, round(until_due * draw.uniform(0.1, 0.9), draw.choice([0, 3, 9]))),
                (1, 0.01),
                (1, until_due - 0.01),
                (0.1, until_due),
            )

    def retarget(self, entry: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
        """Another target of the same kind, in place; the plan that goes with it."""
        source = next(value for value in entry.values() if isinstance(value, dict))
        target = source["target"]
        if "averageUtilization" in target:
            percent = self.draw.choice([50, 80, 100, self.draw.randint(1, 300)])
            target["averageUtilization"] = percent
            return {**plan, "percent": percent}
        milli = target_milli(self.draw)
        for field in ("averageValue", "value"):
            if field in target:
                target[field] = quantity(self.draw, milli)
        return {**plan, "milli": milli}


def remembered(player: StoryPlayer) -> list[int]:
    memory = player.memory
    return [
        *(each.at_ns for each in memory.recommendations),
        *(each.at_ns for each in (*memory.scale_ups, *memory.scale_downs)),
    ]


def lengths(player: StoryPlayer) -> list[float]:
    """The windows and periods of the HPA, in seconds."""
    found: list[float] = [player.controller.downscale_stabilization_seconds]
    behavior = player.hpa.spec.behavior
    for way in (behavior.scale_up, behavior.scale_down) if behavior else ():
        if way is not None:
            found.append(way.stabilization_window_seconds or 0)
            found += [policy.period_seconds for policy in way.policies or ()]
    return found
