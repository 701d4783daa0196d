"""One policy on one fleet, in model time: requests, replicas, sensing and the HPA's own algorithm, no wire anywhere.

Every `sync_period_seconds` the controller looks, decides and writes, at once. Requests under way at the horizon run on
with the fleet as it stands; only what happened until the horizon is paid for.
"""

from collections.abc import Sequence

import msgspec

from inflight.hpa import Controller, Memory, decide
from inflight.objects import HorizontalPodAutoscaler
from inflight.sim.arrivals import Arrival
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_setup import FleetSetup
from inflight.sim.outcomes import Slo
from inflight.sim.score import PolicyResult, ScaleChange, Score
from inflight.sim.sensing import Sensing, check_sensed

UPSTREAM = Controller()
"""The newest controller that was compared with the original, with its default flags."""


class Policy(msgspec.Struct, frozen=True):
    """What decides the replicas: an HPA (with defaults set), or nobody."""

    name: str
    hpa: HorizontalPodAutoscaler | None = None
    replicas: int = 1
    """Ready at the start; for ever, without an HPA."""
    cpu_request: str = "6"


class Course(msgspec.Struct, frozen=True):
    """What every policy has to live through."""

    arrivals: Sequence[Arrival]
    horizon_seconds: float
    rises_at: float | None = None
    """When the load begins to rise (`Ramp.rises_at`)."""
    slo: Slo = Slo()


class Study:
    """A policy under way: `step` until it says that the horizon is reached, then `result`."""

    def __init__(self, policy: Policy, setup: FleetSetup, course: Course, controller: Controller = UPSTREAM) -> None:
        """Raises UnsensedError for an HPA whose metrics the simulator cannot make."""
        if policy.hpa is not None:
            check_sensed(policy.hpa)
        template = msgspec.structs.replace(setup.template, cpu_request=policy.cpu_request)
        self.policy = policy
        self.fleet = Fleet(msgspec.structs.replace(setup, template=template, replicas=policy.replicas), course.arrivals)
        self._course = course
        self._controller = controller
        self._sensing = Sensing(self.fleet)
        self._memory = Memory()
        self._score = Score(course.slo, setup.patience_seconds, course.rises_at)
        self._next_sync = 1

    def step(self) -> bool:
        """On to the next sync, or to the horizon; False when that is reached."""
        at = self._next_sync * self._controller.sync_period_seconds
        if at >= self._course.horizon_seconds:
            self.fleet.advance(self._course.horizon_seconds)
            return False
        self._next_sync += 1
        if self.policy.hpa is None:
            self.fleet.advance(at)
        else:
            self._sync(self.policy.hpa, at)
        return True

    def result(self) -> PolicyResult:
        """The figures; lets the requests under way come to their end."""
        horizon = self._course.horizon_seconds
        cost = self.fleet.cost_seconds(0.0, horizon)
        self.fleet.run_out()
        self._score.add_outcomes(self.fleet.outcomes)
        self._score.add_samples(self.fleet.samples)
        return self._score.result(self.policy.name, horizon, cost)

    def _sync(self, hpa: HorizontalPodAutoscaler, at: float) -> None:
        observation = self._sensing.observe(hpa, at)
        now_ns = round((self.fleet.setup.epoch_seconds + at) * 1e9)
        decision = decide(hpa, observation, self._memory, now_ns, self._controller)
        self._memory = decision.memory
        if decision.replicas != self.fleet.replicas:
            self._score.add_change(ScaleChange(at, self.fleet.replicas, decision.replicas, decision.summary()))
            self.fleet.set_replicas(decision.replicas, at)


def run_policy(policy: Policy, setup: FleetSetup, course: Course, controller: Controller = UPSTREAM) -> PolicyResult:
    """The figures of one policy. Raises UnsensedError."""
    study = Study(policy, setup, course, controller)
    while study.step():
        pass
    return study.result()


def fixed_neighbours(replicas_mean: float) -> tuple[int, int]:
    """The two fixed fleets next to a mean size: what somebody who knew the load could have set by hand."""
    below = max(1, int(replicas_mean))
    return below, below + 1
