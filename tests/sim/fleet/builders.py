"""Small fleets and loads for tests."""

from collections.abc import Sequence
from typing import Any

from inflight.sim.arrivals import Arrival
from inflight.sim.cold_start import ColdStart
from inflight.sim.engine import EngineConfig
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_setup import FleetSetup
from inflight.sim.presets import PRESETS

A100 = PRESETS["llama-3.1-8b/a100-80gb"]


def setup(engine: EngineConfig = A100, **changes: Any) -> FleetSetup:
    return FleetSetup(engine, **changes)


def fleet(arrivals: Sequence[Arrival] = (), **changes: Any) -> Fleet:
    return Fleet(setup(**changes), arrivals)


def steady(count: int, gap: float, start: float = 0.0, prompt: int = 200, output: int = 50) -> list[Arrival]:
    return [Arrival(start + index * gap, prompt, output) for index in range(count)]


EXACT = ColdStart(30, 30, pending_seconds=5)
