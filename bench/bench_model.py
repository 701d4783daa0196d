"""How fast the engine model is, on one core: requests simulated a second beside the same model stepped plainly.

The stepped twin is the one that the tests use as their oracle; on every workload both must agree on every event within
1e-9 s. Lengths are drawn to be like those of a conversation (mean 1,155 in, 211 out), arrivals are Poisson.
"""

import importlib.util
import sys
from math import isclose
from pathlib import Path
from random import Random
from time import process_time
from types import ModuleType
from typing import Protocol

from msgspec import Struct

from inflight.sim.engine import EngineConfig, ReplicaEvent, Request
from inflight.sim.presets import PRESETS
from inflight.sim.replica import Replica

PRESET = "llama-3.1-8b/a100-80gb"
Workload = list[tuple[float, Request]]


class Load(Struct, frozen=True):
    name: str
    requests_per_second: float
    requests: int
    stepped: int
    """The first so many are played on the stepped twin too."""


LOADS = (
    Load("light", 2.0, 10_000, 300),
    Load("at its in-flight target", 5.0, 20_000, 400),
    Load("saturated, queue growing", 9.0, 20_000, 400),
)


class Model(Protocol):
    def submit(self, request: Request, at: float) -> None: ...
    def advance(self, until: float) -> list[ReplicaEvent]: ...


def stepping() -> ModuleType:
    path = Path(__file__).parent.parent / "tests" / "sim" / "replica" / "stepping.py"
    spec = importlib.util.spec_from_file_location("stepping", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not there; run the benchmark from a checkout")
    module = importlib.util.module_from_spec(spec)
    sys.modules["stepping"] = module
    spec.loader.exec_module(module)
    return module


def workload(random: Random, rate: float, count: int) -> Workload:
    at = 0.0
    rows: Workload = []
    for id_ in range(count):
        at += random.expovariate(rate)
        prompt = min(8000, 1 + int(random.lognormvariate(6.7, 0.85)))
        output = min(1500, 1 + int(random.lognormvariate(4.95, 0.9)))
        rows.append((at, Request(id_, prompt, output)))
    return rows


def play(model: Model, rows: Workload) -> tuple[float, list[ReplicaEvent]]:
    events: list[ReplicaEvent] = []
    began = process_time()
    for at, request in rows:
        events += model.advance(at)
        model.submit(request, at)
    events += model.advance(rows[-1][0] + 1e5)
    return process_time() - began, events


def agree(one: list[ReplicaEvent], other: list[ReplicaEvent]) -> bool:
    return len(one) == len(other) and all(
        type(a) is type(b) and a.id == b.id and isclose(a.at, b.at, rel_tol=0.0, abs_tol=1e-9)
        for a, b in zip(one, other, strict=True)
    )


def compare(config: EngineConfig, twin: ModuleType, load: Load) -> None:
    rows = workload(Random(1), load.requests_per_second, load.requests)
    seconds, events = min((play(Replica(config, 0.0), rows) for _ in range(3)), key=lambda result: result[0])
    few = rows[: load.stepped]
    stepped_seconds, stepped_events = play(twin.SteppingReplica(config, 0.0), few)
    _, same = play(Replica(config, 0.0), few)
    if not agree(same, stepped_events):
        raise SystemExit(f"{load.name}: the closed form and the stepping differ by more than 1e-9 s")
    speed, stepped_speed = load.requests / seconds, load.stepped / stepped_seconds
    print(
        f"{load.name:<25} {load.requests_per_second:4.1f}/s {speed:>9,.0f} requests/s"
        f"  {events[-1].at / seconds:>8,.0f}x real time"
        f"   stepped {stepped_speed:>7,.0f}/s   {speed / stepped_speed:5.1f}x   events equal"
    )


def moments(config: EngineConfig) -> None:
    """What a lab pays ten times a second: half a model second in which nothing ends, and a page."""
    replica = Replica(config, 0.0)
    for id_ in range(60):
        replica.submit(Request(id_, 800, 50_000), 0.0)
    replica.advance(60.0)
    count = 200
    began = process_time()
    for step in range(count):
        replica.advance(60.0 + 0.5 * (step + 1))
    quiet = process_time() - began
    began = process_time()
    for _ in range(count):
        replica.tokens_emitted(7)
    tokens = process_time() - began
    began = process_time()
    for _ in range(count):
        shown = (replica.running, replica.waiting, replica.kv_usage, replica.stats)
    page = process_time() - began
    assert shown[0] == 60
    print(
        f"60 running: advance by 0.5 s {1e6 * quiet / count:.1f} us, "
        f"tokens of one request {1e6 * tokens / count:.1f} us, gauges and all histograms {1e6 * page / count:.0f} us"
    )


def main() -> None:
    config = PRESETS[PRESET]
    twin = stepping()
    print(f"one replica, {PRESET}, one core, all counters and histograms on")
    for load in LOADS:
        compare(config, twin, load)
    moments(config)


if __name__ == "__main__":
    main()
