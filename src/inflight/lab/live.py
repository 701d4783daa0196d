"""One live run: two fleets under the same requests, each with its own HPA, the clock held while they catch up.

The driver brings both fleets to the clock's time about twenty times a second, starts each HPA sync when it is due, and
notes what the page shows. Nothing sleeps step by step: the model is advanced to now, however late now comes.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inflight.hpa import Decision
from inflight.lab.controller import Autoscaler, InProcess, Metrics, OverTheWire
from inflight.lab.pace import PacedClock
from inflight.lab.settings import LabSettings
from inflight.lab.story import Story
from inflight.lab.wire import Wire, metrics_path
from inflight.objects import HorizontalPodAutoscaler
from inflight.sim.arrivals import Arrival
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_pod import FleetPod, PodState
from inflight.sim.outcomes import Outcome
from inflight.sim.score import PolicyResult, ScaleChange, Score, quantile

SYNC_SECONDS = 15.0
"""`--horizontal-pod-autoscaler-sync-period`, seconds of the model."""
TICK_SECONDS = 0.05
"""How often the fleets are brought to now, wall time."""
SAMPLE_SECONDS = 0.25
"""How often the page gets a sample, wall time."""
MAX_AHEAD_SECONDS = 1.5
"""How far the clock may run past what has been worked off, model time per unit of speed 10: 0.15 s of wall time."""
MOST_SLIP = 0.02
_LOOK_SECONDS = 5.0
_RECENT_SECONDS = 60.0


class LiveResult(msgspec.Struct, frozen=True):
    """What a live run measured, and how well its clock held."""

    policies: tuple[PolicyResult, ...]
    horizon_seconds: float
    planned_seconds: float
    speed: float
    slip: float
    """Share of the promised model time that was held back, over the whole run."""
    slowed: int
    """How often the speed was lowered."""
    interrupted: bool
    wall_seconds: float

    @property
    def cut(self) -> bool:
        """It ended before the ramp did."""
        return self.horizon_seconds < self.planned_seconds


class LiveFleet:
    """One policy: its fleet, its HPA's controller, its score."""

    def __init__(
        self,
        name: str,
        hpa: HorizontalPodAutoscaler,
        settings: LabSettings,
        arrivals: list[Arrival],
        story: Story,
    ) -> None:
        self.name = name
        self.fleet = Fleet(settings.fleet_setup(), arrivals)
        self.score = Score(settings.slo, self.fleet.setup.patience_seconds, settings.ramp.rises_at)
        self._hpa = hpa
        self._story = story
        self._autoscaler: Autoscaler | None = None
        self._outcomes_seen = 0
        self._samples_seen = 0
        self._recent: deque[tuple[float, float]] = deque()
        self._one_sync_at_a_time = asyncio.Lock()

    def connect(self, metrics: Metrics, record: Callable[[bytes], object] | None = None) -> None:
        self._autoscaler = Autoscaler(self._hpa, self.fleet, metrics, self._note_decision, record)

    async def sync(self, at: float) -> None:
        """As upstream's work queue: one HPA is never synced twice at once."""
        if self._autoscaler is not None:
            async with self._one_sync_at_a_time:
                await self._autoscaler.sync(max(at, self.fleet.now))

    def advance(self, until: float) -> None:
        self.fleet.advance(until)
        self.score_news()

    def score_news(self) -> None:
        """Hands what has ended since the last look to the score."""
        outcomes = self.fleet.outcomes[self._outcomes_seen :]
        samples = self.fleet.samples[self._samples_seen :]
        self._outcomes_seen += len(outcomes)
        self._samples_seen += len(samples)
        self.score.add_outcomes(outcomes)
        self.score.add_samples(samples)
        self._recent.extend(_first_tokens(outcomes))

    def shown(self, at: float) -> dict[str, Any]:
        """The fleet as the page shows it at `at`."""
        fleet = self.fleet
        serving = [pod for pod in fleet.pods if pod.replica is not None]
        while self._recent and self._recent[0][0] < at - _RECENT_SECONDS:
            self._recent.popleft()
        return {
            "running": sum(pod.replica.running for pod in serving if pod.replica),
            "waiting": sum(pod.replica.waiting for pod in serving if pod.replica) + fleet.waiting_at_router,
            "kv": sum(pod.replica.kv_usage for pod in serving if pod.replica) / len(serving) if serving else 0.0,
            "ready": sum(pod.takes_requests for pod in fleet.pods),
            "replicas": fleet.replicas,
            "slo": self.score.attainment,
            "ttft_p95": quantile(sorted(ttft for _, ttft in self._recent), 0.95),
            "replica_hours": fleet.cost_seconds(0.0, at) / 3600,
            "pods": [_tile(pod) for pod in fleet.pods],
        }

    def result(self, until: float, *, cut: bool) -> PolicyResult:
        """The figures up to `until`; of a run that was cut short, requests under way are judged as far as possible."""
        cost_seconds = self.fleet.cost_seconds(0.0, until)
        if not cut:
            self.fleet.run_out()
        self.score_news()
        unfinished = self.fleet.unfinished if cut else ()
        return self.score.result(self.name, until, cost_seconds, unfinished, self.fleet.now)

    def _note_decision(self, at: float, decision: Decision, before: int) -> None:
        self.score.add_change(ScaleChange(at, before, decision.replicas, decision.reason))
        self._story.decided(
            {
                "t": at,
                "policy": self.name,
                "from": before,
                "to": decision.replicas,
                "reason": decision.summary(),
            }
        )


class LiveRun:
    """Drives the fleets to the horizon, or until it is stopped or its wall time is over."""

    def __init__(self, settings: LabSettings, fleets: tuple[LiveFleet, ...], story: Story) -> None:
        self._settings = settings
        self._fleets = fleets
        self._story = story
        self.clock = PacedClock(
            settings.speed,
            settings.epoch_seconds,
            max_ahead_seconds=MAX_AHEAD_SECONDS * max(1.0, settings.speed / 10),
        )
        self._syncs: set[asyncio.Task[None]] = set()
        self._next_sync_at = SYNC_SECONDS
        self._failure: BaseException | None = None
        self._slowed = 0
        self.now = 0.0

    async def drive(self, wire: Wire, stop: asyncio.Event, wall_seconds: float) -> LiveResult:
        """Runs for at most `wall_seconds`; `wire` follows the pods of the fleet that it was made for."""
        begun = time.monotonic()
        planned = self._settings.ramp.seconds
        next_sample = next_look = begun
        # Counted anew from here, so that nothing of the set-up is slip.
        self.clock.set_speed(self._settings.speed)
        while True:
            self.now = min(self.clock.now() - self._settings.epoch_seconds, planned)
            await self._bring_to(self.now, wire)
            self.clock.release(self._settings.epoch_seconds + self.now)
            if self._failure is not None:
                raise self._failure
            wall = time.monotonic()
            if wall >= next_sample:
                next_sample = wall + SAMPLE_SECONDS
                self._sample()
            if wall >= next_look + _LOOK_SECONDS:
                next_look = wall
                self._look_at_slip()
            if self.now >= planned or stop.is_set() or wall - begun >= wall_seconds:
                break
            await asyncio.sleep(TICK_SECONDS)
        if self._syncs:
            await asyncio.gather(*self._syncs)
        self._sample()
        cut = self.now < planned
        return LiveResult(
            policies=tuple(fleet.result(self.now, cut=cut) for fleet in self._fleets),
            horizon_seconds=self.now,
            planned_seconds=planned,
            speed=self.clock.speed,
            slip=self.clock.slip_of_the_run(),
            slowed=self._slowed,
            interrupted=stop.is_set(),
            wall_seconds=time.monotonic() - begun,
        )

    def status(self) -> tuple[float, float, list[tuple[str, float | None]]]:
        """Model time, planned model time, and each policy's share within the SLO so far."""
        shares = [(fleet.name, fleet.score.attainment) for fleet in self._fleets]
        return self.now, self._settings.ramp.seconds, shares

    async def _bring_to(self, now: float, wire: Wire) -> None:
        while self._next_sync_at <= now and self._next_sync_at < self._settings.ramp.seconds:
            at = self._next_sync_at
            self._next_sync_at += SYNC_SECONDS
            for fleet in self._fleets:
                task = asyncio.create_task(fleet.sync(at))
                self._syncs.add(task)
                task.add_done_callback(self._sync_done)
        for fleet in self._fleets:
            fleet.advance(now)
        await wire.follow()

    def _sync_done(self, task: asyncio.Task[None]) -> None:
        self._syncs.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()

    def _sample(self) -> None:
        fleets = {fleet.name: fleet.shown(self.now) for fleet in self._fleets}
        samples = self._fleets[0].fleet.samples[-15:]
        load = math.fsum(sample.load_per_second for sample in samples) / len(samples) if samples else 0.0
        self._story.tick(
            {
                "t": round(self.now, 3),
                "load": round(load, 3),
                "speed": self.clock.speed,
                "slip": round(self.clock.slip(), 5),
                "policies": fleets,
            }
        )

    def _look_at_slip(self) -> None:
        """Above two per cent the machine is too slow for this speed."""
        slip = self.clock.slip()
        if slip > MOST_SLIP:
            self._slowed += 1
            self.clock.set_speed(self.clock.speed * max(0.5, 0.95 * (1 - slip)))
            self._story.phase(f"running, slowed to {self.clock.speed:.1f}×: the clock slipped by {100 * slip:.0f} %")


async def run_live(
    settings: LabSettings,
    story: Story,
    stop: asyncio.Event,
    *,
    wall_seconds: float,
    progress: Callable[[LiveRun], Any] | None = None,
    records: Mapping[str, Callable[[bytes], object]] | None = None,
) -> LiveResult:
    """Both fleets, live. `progress` is called once with the run, for whoever wants to look at it meanwhile.

    `records` says by policy where each sync goes, as one line that `inflight explain` reads.
    """
    records = records or {}
    arrivals = settings.arrivals()
    cpu = LiveFleet("cpu", settings.cpu_hpa(), settings, arrivals, story)
    in_flight = LiveFleet("in-flight", settings.in_flight_hpa(), settings, arrivals, story)
    run = LiveRun(settings, (cpu, in_flight), story)
    cpu.connect(InProcess(), records.get(cpu.name))
    async with metrics_path(in_flight.fleet, run.clock) as (wire, server):
        client = OverTheWire(server)
        try:
            in_flight.connect(client, records.get(in_flight.name))
            if progress is not None:
                progress(run)
            return await run.drive(wire, stop, wall_seconds)
        finally:
            await client.close()


def _first_tokens(outcomes: list[Outcome]) -> list[tuple[float, float]]:
    """(when it was known, time to first token) of each; one that gave up counts with its wait."""
    return [
        (outcome.ended_at, outcome.ended_at - outcome.arrived_at if ttft is None else ttft)
        for outcome in outcomes
        for ttft in (outcome.ttft_seconds,)
    ]


def _tile(pod: FleetPod) -> dict[str, Any]:
    replica = pod.replica
    state = PodState.LOADING if pod.state is PodState.PENDING else pod.state
    return {
        "name": pod.name,
        "state": state,
        "running": 0 if replica is None else replica.running,
        "waiting": 0 if replica is None else replica.waiting,
        "kv": 0.0 if replica is None else round(replica.kv_usage, 4),
    }
