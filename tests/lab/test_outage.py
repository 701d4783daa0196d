"""An outage of the metrics is not an outage of the service: pages break under load, and the fleet is not shrunk.

Everything is real but the engines: pages on ports, the collector, the guard, the HTTPS metrics API, the decision.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from inflight.hpa import Decision, ExternalAnswer, Memory, Observation, decide
from inflight.lab.controller import Autoscaler, OverTheWire
from inflight.lab.settings import LabSettings
from inflight.lab.wire import Wire, metrics_path
from inflight.objects import HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HPAScalingRules, set_defaults
from inflight.sim.arrivals import Arrival
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_kubernetes import pod_objects
from inflight.sim.presets import PRESETS
from inflight.sim.ramp import parse_ramp
from inflight.sim.traces import shipped_trace
from inflight.sources import ScaledClock

REPLICAS = 4
REQUESTS = 200  # 50 a replica, for longer than the test lasts: exactly what four replicas are for at a target of 50
SETTINGS = LabSettings(
    engine=PRESETS["llama-3.1-8b/a100-80gb"], trace=shipped_trace(), ramp=parse_ramp("1:600"), target=50.0
)


def eager_hpa() -> HorizontalPodAutoscaler:
    """Without a window, so that the first low number would act at once."""
    hpa = SETTINGS.in_flight_hpa()
    behavior = HorizontalPodAutoscalerBehavior(scale_down=HPAScalingRules(stabilization_window_seconds=0))
    return set_defaults(msgspec.structs.replace(hpa, spec=msgspec.structs.replace(hpa.spec, behavior=behavior)), "1.37")


class Stage:
    """A loaded fleet with its metrics path and its HPA, moved by hand."""

    def __init__(self, fleet: Fleet, clock: ScaledClock, wire: Wire, autoscaler: Autoscaler) -> None:
        self.fleet, self.clock, self.wire, self.autoscaler = fleet, clock, wire, autoscaler

    async def sync_at(self, at: float) -> Decision:
        epoch = self.fleet.setup.epoch_seconds
        while self.clock.now() - epoch < at:
            await self.clock.sleep(0.5)
            self.fleet.advance(self.clock.now() - epoch)
            await self.wire.follow()
        return await self.autoscaler.sync(self.fleet.now)

    def break_pages(self, how_many: int, page: Callable[[], bytes]) -> None:
        for listening in list(self.wire._ports.values())[:how_many]:
            listening._endpoint._page = page


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    arrivals = [Arrival(0.01 * number, 100, 3000) for number in range(REQUESTS)]
    fleet = Fleet(msgspec.structs.replace(SETTINGS.fleet_setup(), replicas=REPLICAS), arrivals)
    clock = ScaledClock(20, float(fleet.setup.epoch_seconds))
    async with metrics_path(fleet, clock) as (wire, server):
        client = OverTheWire(server)
        try:
            yield Stage(fleet, clock, wire, Autoscaler(eager_hpa(), fleet, client, lambda *_: None))
        finally:
            await client.close()


def broken() -> bytes:
    raise RuntimeError("the engine's page is broken")


def test_a_partial_sum_would_have_halved_the_fleet() -> None:
    """What the other tests keep from happening: the fault is one that the decision itself does not catch."""
    fleet = Fleet(msgspec.structs.replace(SETTINGS.fleet_setup(), replicas=REPLICAS), [])
    half = ExternalAnswer((REQUESTS * 1000 // 2,))
    pods = pod_objects(fleet.pods, fleet.setup)
    observation = Observation(REPLICAS, REPLICAS, fleet.setup.template.selector, pods, (half,))
    assert decide(eager_hpa(), observation, Memory(), 1_700_000_000_000_000_000).replicas == REPLICAS // 2


@pytest.mark.parametrize("how_many", [2, 4])
@pytest.mark.parametrize("page", [broken, lambda: b"", lambda: b"# nothing here\n"], ids=["500", "empty", "no series"])
async def test_pages_that_break_under_load_take_no_capacity_away(how_many: int, page: Callable[[], bytes]) -> None:
    async with stage() as it:
        before = await it.sync_at(15.0)
        assert (before.replicas, before.trace.metrics[0].error) == (REPLICAS, "")
        it.break_pages(how_many, page)
        for at in (25.0, 35.0, 40.0):
            after = await it.sync_at(at)
            assert after.replicas == REPLICAS, after.summary()
        assert "unseen" in after.summary() or "not known" in after.summary(), after.summary()
        assert it.fleet.replicas == REPLICAS
