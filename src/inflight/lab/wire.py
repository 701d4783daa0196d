"""The metrics path of the fleet by the work in flight, over real sockets: page, scrape, HTTPS metrics API.

Each pod has a port of its own from the moment its container runs. While the model loads, the port is held but not
listened on, so a scrape is refused, as with a real vLLM; when the pod is ready its page is there; when it is gone the
port is closed and the pod no longer listed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from inflight.lab.emulator.endpoint import MetricsEndpoint
from inflight.lab.emulator.page import Process, VllmPage
from inflight.serve.server import RunningServer, start_server
from inflight.signals import shipped
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_pod import FleetPod
from inflight.sources import Clock, Collector, Target

_HOST = "127.0.0.1"


class _Listening:
    """A pod's port: held while the model loads, served once it is ready."""

    def __init__(self, pod: FleetPod, page: Callable[[], bytes]) -> None:
        self.pod = pod
        self._endpoint = MetricsEndpoint(page, _HOST)
        self.url = self._endpoint.hold() + "/metrics"
        self._serves = False

    async def serve(self) -> None:
        if not self._serves:
            self._serves = True
            await self._endpoint.start()

    async def close(self) -> None:
        await self._endpoint.stop()


class Wire:
    """Keeps ports and scrape targets in step with the fleet's pods."""

    def __init__(self, fleet: Fleet, clock: Clock, collector: Collector) -> None:
        self._fleet = fleet
        self._clock = clock
        self.collector = collector
        self._ports: dict[str, _Listening] = {}
        self._draining: set[str] = set()

    async def follow(self) -> None:
        """After the fleet has moved: opens and closes what its pods need, and tells the collector."""
        changed = False
        alive = set()
        draining = {pod.uid for pod in self._fleet.pods if pod.deleted_at is not None}
        if draining != self._draining:
            self._draining = draining
            changed = True
        for pod in list(self._fleet.pods):
            if pod.running_at is None:
                continue
            alive.add(pod.uid)
            listening = self._ports.get(pod.uid)
            if listening is None:
                listening = self._ports[pod.uid] = _Listening(pod, self._page_of(pod))
                changed = True
            if pod.replica is not None:
                await listening.serve()
        gone = [self._ports.pop(uid) for uid in list(self._ports) if uid not in alive]
        if changed or gone:
            # Before the ports close: a pod that is gone is no longer listed, so nobody asks it in vain.
            self.collector.set_targets(self._target(listening) for listening in self._ports.values())
        for listening in gone:
            await listening.close()

    async def close(self) -> None:
        self.collector.set_targets(())
        for listening in self._ports.values():
            await listening.close()
        self._ports.clear()

    def _page_of(self, pod: FleetPod) -> Callable[[], bytes]:
        setup = self._fleet.setup
        page: VllmPage | None = None

        def render() -> bytes:
            nonlocal page
            # The page shows the engine as it is at this moment, not as the last tick left it.
            self._fleet.advance(max(self._fleet.now, self._clock.now() - setup.epoch_seconds))
            if page is None:
                started = setup.epoch_seconds + (pod.running_at or 0.0)
                page = VllmPage(
                    setup.engine.model,
                    (setup.engine,),
                    started_at=started,
                    ready_at=setup.epoch_seconds + (pod.ready_at or 0.0),
                )
            if pod.replica is None:
                return b""
            used = pod.cpu_point(self._fleet.now, setup.cpu)
            return page.render((pod.replica,), Process(cpu_seconds=0.0 if used is None else used.core_seconds))

        return render

    def _target(self, listening: _Listening) -> Target:
        template = self._fleet.setup.template
        return Target(
            namespace=template.namespace,
            name=listening.pod.name,
            labels=dict(template.labels),
            url=listening.url,
            uid=listening.pod.uid,
            terminating=listening.pod.deleted_at is not None,
        )


@asynccontextmanager
async def metrics_path(fleet: Fleet, clock: Clock) -> AsyncIterator[tuple[Wire, RunningServer]]:
    """The whole path while the block runs: pages of the pods, a collector, the metrics API on a free port."""
    collector = Collector(shipped(), clock)
    wire = Wire(fleet, clock, collector)
    async with start_server(collector, clock, address=_HOST, port=0, stats=lambda: collector.stats) as server:
        scraping = asyncio.create_task(collector.run())
        try:
            await wire.follow()
            yield wire, server
        finally:
            scraping.cancel()
            await asyncio.gather(scraping, return_exceptions=True)
            await wire.close()
