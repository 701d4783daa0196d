"""Decisions a second on one core, beside the upstream replica calculator's calls a second in the same run.

    python bench/bench_hpa.py [rounds]

A decision is `inflight.hpa.decide` whole: pods sorted, proposal, window, policies, conditions, currentMetrics, events
and the next memory, from parsed input, with behavior and a down window of 300 s (21 recommendations remembered). "with
trace" has every step and its reasons in hand, "without" only the outcome. "proposal" is our calculator alone, which is
what upstream's is asked for: the unmodified Go code, from parsed input too, if conformance/decide/judge-1.37 is built.
Processor time: of the fastest round for us, one second each for Go, its garbage collector included.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inflight.hpa import Controller, ExternalAnswer, Memory, MetricAnswer, Observation, PodMetric, PodsAnswer, decide
from inflight.hpa.calculator import Situation, average_of_pods, external_average, utilization
from inflight.hpa.cases import answer_case
from inflight.hpa.controller import rules_of
from inflight.objects import HorizontalPodAutoscaler, Pod, decode_hpa, decode_pod, set_defaults

JUDGE = Path(__file__).parents[1] / "conformance" / "decide" / "judge-1.37"
SIZES = (1, 10, 100, 1000)
NOW_NS = 1_790_000_000 * 10**9
TICK_NS = 15 * 10**9
SECONDS_A_ROUND = 0.05
AIM = {("Resource", 10), ("Pods", 10), ("External", 10)}
"""30,000 a second without trace on the reference machine."""
METHODS = {
    "Resource": "GetResourceReplicas",
    "Pods": "GetMetricReplicas",
    "External": "GetExternalPerPodMetricReplicas",
}


def autoscaler(kind: str) -> HorizontalPodAutoscaler:
    average = {"type": "AverageValue", "averageValue": "10"}
    sources: dict[str, dict[str, Any]] = {
        "Resource": {"resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        "Pods": {"pods": {"metric": {"name": "inflight"}, "target": average}},
        "External": {"external": {"metric": {"name": "inflight"}, "target": average}},
    }
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "maxReplicas": 2000,
        "metrics": [{"type": kind, **sources[kind]}],
        "behavior": {},
    }
    return set_defaults(decode_hpa({"metadata": {"name": "llm"}, "spec": spec}))


def plain_pod(index: int) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:10Z"}
    return {
        "metadata": {"name": f"llm-{index}", "labels": {"app": "llm"}},
        "spec": {"containers": [{"name": "server", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": "Running", "startTime": "2020-01-01T00:00:00Z", "conditions": [ready]},
    }


def values(kind: str, size: int) -> list[int]:
    """A little around the target, so that nothing is scaled and every decision is as long as the last."""
    target = 800 if kind == "Resource" else 10_000
    return [target + index % 7 for index in range(size)]


class Work:
    """One HPA with so many pods, decided about tick after tick."""

    def __init__(self, kind: str, size: int) -> None:
        self.kind, self.size = kind, size
        self.hpa = autoscaler(kind)
        self.pods: tuple[Pod, ...] = tuple(decode_pod(plain_pod(index)) for index in range(size))
        self.per_pod = {f"llm-{i}": PodMetric(value, NOW_NS) for i, value in enumerate(values(kind, size))}
        self.series = (sum(values(kind, size)),)
        answer: MetricAnswer = PodsAnswer(self.per_pod)
        if kind == "External":
            answer = ExternalAnswer(self.series)
        self.seen = Observation(
            replicas=size, status_replicas=size, selector="app=llm", pods=self.pods, answers=(answer,)
        )
        self.memory, self.now_ns = Memory(), NOW_NS
        self.situation = Situation(self.pods, NOW_NS, rules_of(Controller()), 0.1, 0.1)

    def with_trace(self) -> None:
        self.memory = decide(self.hpa, self.seen, self.memory, self.now_ns).memory
        self.now_ns += TICK_NS

    def without_trace(self) -> None:
        self.memory = decide(self.hpa, self.seen, self.memory, self.now_ns, with_trace=False).memory
        self.now_ns += TICK_NS

    def proposal(self) -> None:
        match self.kind:
            case "Resource":
                utilization(self.situation, self.per_pod, self.size, 80, resource="cpu")
            case "Pods":
                average_of_pods(self.situation, self.per_pod, self.size, 10_000)
            case _:
                external_average(self.situation, self.series, self.size, 10_000)

    def call(self) -> dict[str, Any]:
        """The same question as a case for the Go calculator."""
        milli = values(self.kind, self.size)
        return {
            "id": f"{self.kind}-{self.size}",
            "method": METHODS[self.kind],
            "now": "2026-10-01T00:00:00Z",
            "current": self.size,
            "target": 80 if self.kind == "Resource" else 10_000,
            "pods": [plain_pod(index) for index in range(self.size)],
            "metrics": [sum(milli)] if self.kind == "External" else {f"llm-{i}": v for i, v in enumerate(milli)},
        }


def fastest(work: Callable[[], None], rounds: int) -> float:
    """Runs a second of processor time, in the best of the rounds."""
    for _ in range(30):
        work()
    began = time.process_time()
    work()
    repeat = max(1, int(SECONDS_A_ROUND / max(time.process_time() - began, 1e-6)))
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeat):
            work()
        best = min(best, (time.process_time() - began) / repeat)
    return 1 / best


def upstream(works: list[Work]) -> dict[str, float]:
    """The Go calculator's calls a second by case; empty where it is not built."""
    if not JUDGE.exists():
        return {}
    lines = "\n".join(json.dumps(work.call()) for work in works)
    done = subprocess.run([JUDGE, "bench"], input=lines.encode(), capture_output=True, check=True)
    rates = {}
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        if answer["error"]:
            raise SystemExit(f"upstream says to {answer['id']}: {answer['error']}")
        rates[answer["id"]] = answer["callsPerSecond"]
    return rates


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    works = [Work(kind, size) for kind in METHODS for size in SIZES]
    for work in works:
        answer = answer_case(work.call())
        assert answer.get("replicas") == work.size, "both sides are asked for a count that stays"
    go = upstream(works)
    print(f"{'metric':<9} {'pods':>5} {'with trace':>11} {'without':>9} {'proposal':>9} {'Go proposal':>12}  a second")
    for work in works:
        name = f"{work.kind}-{work.size}"
        traced, plain, proposal = (
            fastest(each, rounds) for each in (work.with_trace, work.without_trace, work.proposal)
        )
        peer = f"{go[name]:>12,.0f}" if name in go else f"{'not built':>12}"
        aim = "  aim: 30,000 on the reference machine" if (work.kind, work.size) in AIM else ""
        print(f"{work.kind:<9} {work.size:>5} {traced:>11,.0f} {plain:>9,.0f} {proposal:>9,.0f} {peer}{aim}")


if __name__ == "__main__":
    main()
