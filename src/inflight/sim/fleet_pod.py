"""One pod of the fleet, from creation to its end, with the times at which Kubernetes would note a change.

created -> (scheduled at once: its GPU is taken and costs) Pending -> Running, loading, not ready -> Ready, serving ->
told to go: finishes what it has, takes nothing new, still costs -> gone. Times are seconds of the run.
"""

import math
from enum import StrEnum

from inflight.sim.cpu import CpuModel, CpuPoint
from inflight.sim.replica import Replica


class PodState(StrEnum):
    """Where a pod stands, in the words of the lab's page."""

    PENDING = "pending"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


class FleetPod:
    """A pod and, once it is loaded, the engine in it."""

    __slots__ = (
        "created_at", "deleted_at", "gone_at", "in_flight", "index", "name", "next_event_at", "ready_at", "replica",
        "running_at", "uid",
    )  # fmt: skip

    def __init__(self, index: int, name: str, uid: str, created_at: float) -> None:
        self.index = index
        self.name = name
        self.uid = uid
        self.created_at = created_at
        self.running_at: float | None = None
        self.ready_at: float | None = None
        self.deleted_at: float | None = None
        self.gone_at: float | None = None
        self.replica: Replica | None = None
        self.next_event_at = math.inf
        """When the engine has something to say next; nothing happens to its requests before."""
        self.in_flight = 0
        """Requests that the router sent here and that have not come back."""

    @property
    def state(self) -> PodState:
        if self.gone_at is not None:
            return PodState.GONE
        if self.deleted_at is not None:
            return PodState.DRAINING
        if self.ready_at is not None:
            return PodState.READY
        return PodState.PENDING if self.running_at is None else PodState.LOADING

    @property
    def takes_requests(self) -> bool:
        return self.ready_at is not None and self.deleted_at is None

    def cost_seconds(self, since: float, until: float) -> float:
        """Seconds between the two moments for which its GPU was taken."""
        end = until if self.gone_at is None else min(until, self.gone_at)
        return max(0.0, end - max(since, self.created_at))

    def cpu_point(self, at: float, model: CpuModel) -> CpuPoint | None:
        """Its CPU counter, the engine being advanced to `at`; None while no container runs."""
        if self.running_at is None or self.gone_at is not None:
            return None
        loading = (at if self.ready_at is None else self.ready_at) - self.running_at
        used = model.loading_core_seconds(loading)
        if self.replica is not None and self.ready_at is not None:
            stats = self.replica.stats
            used += model.serving_core_seconds(
                at - self.ready_at, self.replica.busy_seconds, stats.prompt_tokens, stats.generation_tokens
            )
        return CpuPoint(self.name, self.running_at, at, used)
