"""The pods of one Deployment: made when more are wanted, told to go when fewer are, in the order a ReplicaSet takes.

The order is that of kubernetes/kubernetes `pkg/controller/controller_utils.go` (ActivePodsWithRanks): Pending before
Running, not ready before ready, and of ready pods the one that became ready last, where two times in the same power of
two of nanoseconds ago count as equal and the smaller uid goes first (LogarithmicScaleDown, on since 1.22). Pods have no
deletion cost, never restart and stand on nodes of their own, so the other rules decide nothing here.
"""

import heapq
import math
from hashlib import blake2b
from itertools import count

from inflight.sim.fleet_pod import FleetPod
from inflight.sim.fleet_setup import FleetSetup
from inflight.sim.replica import Replica

_SETTLED_SECONDS = 3_600.0
"""How long the first pods have been ready when the run begins: past every period of initialisation."""


def deletion_order(pods: list[FleetPod], at: float) -> list[FleetPod]:
    """The pods, the first to go first."""

    def key(pod: FleetPod) -> tuple[bool, bool, int, str]:
        since = pod.created_at if pod.ready_at is None else pod.ready_at
        nanoseconds = (at - since) * 1e9
        return (pod.running_at is not None, pod.ready_at is not None, _rank(nanoseconds), pod.uid)

    return sorted(pods, key=key)


def _rank(nanoseconds: float) -> int:
    return int(math.log2(nanoseconds)) if nanoseconds > 1 else -1


class Deployment:
    """Pods, and what the kubelet will report about them when."""

    def __init__(self, setup: FleetSetup) -> None:
        self._setup = setup
        self._index = count()
        self._order = count()
        self._changes: list[tuple[float, int, str, FleetPod]] = []
        self.wanted = setup.replicas
        """spec.replicas"""
        self.pods: list[FleetPod] = []
        """Those that exist, oldest first; the gone are in `ended`."""
        self.ended: list[FleetPod] = []
        self.ready: list[FleetPod] = []
        """Those that take requests, oldest first."""
        for _ in range(setup.replicas):
            self._create_settled()

    @property
    def active(self) -> list[FleetPod]:
        """Those not told to go: status.replicas."""
        return [pod for pod in self.pods if pod.deleted_at is None]

    @property
    def serving(self) -> list[FleetPod]:
        """Those with an engine, draining ones included."""
        return [pod for pod in self.pods if pod.replica is not None]

    def next_change_at(self) -> float:
        return self._changes[0][0] if self._changes else math.inf

    def take_change(self) -> tuple[float, str, FleetPod]:
        """The next change that is due: when, `running`, `ready` or `killed`, and the pod."""
        at, _, what, pod = heapq.heappop(self._changes)
        return at, what, pod

    def scale(self, replicas: int, at: float) -> list[FleetPod]:
        """Makes pods, or tells the surplus to go; returns those that have to drain."""
        self.wanted = replicas
        active = self.active
        for _ in range(replicas - len(active)):
            self._create(at)
        draining = []
        for pod in deletion_order(active, at)[: max(0, len(active) - replicas)]:
            pod.deleted_at = at
            if pod.replica is None:
                self.end(pod, at)
                continue
            self.ready.remove(pod)
            draining.append(pod)
            self._schedule(at + self._setup.grace_seconds, "killed", pod)
        return draining

    def start_container(self, pod: FleetPod, at: float) -> None:
        if pod.deleted_at is None:
            pod.running_at = at

    def make_ready(self, pod: FleetPod, at: float) -> bool:
        """The engine is loaded; False if the pod was told to go before."""
        if pod.deleted_at is not None:
            return False
        pod.ready_at = at
        pod.replica = Replica(self._setup.engine, at)
        self.ready.append(pod)
        return True

    def end(self, pod: FleetPod, at: float) -> None:
        """The pod's containers have ended: its GPU is free."""
        pod.gone_at = at
        self.pods.remove(pod)
        self.ended.append(pod)

    def cost_seconds(self, since: float, until: float) -> float:
        """GPU-holding pod-seconds between two moments: from scheduling to the end of the drain."""
        return math.fsum(pod.cost_seconds(since, until) for pod in (*self.ended, *self.pods))

    def _new(self, at: float) -> FleetPod:
        index = next(self._index)
        digest = blake2b(f"{self._setup.seed}/uid/{self._setup.template.deployment}/{index}".encode(), digest_size=16)
        text = digest.hexdigest()
        uid = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        pod = FleetPod(index, f"{self._setup.template.deployment}-{index}", uid, at)
        self.pods.append(pod)
        return pod

    def _create(self, at: float) -> None:
        pod = self._new(at)
        start = self._setup.cold_start.draw(self._setup.seed, pod.index)
        self._schedule(at + start.running_after_seconds, "running", pod)
        self._schedule(at + start.ready_after_seconds, "ready", pod)

    def _create_settled(self) -> None:
        start = self._setup.cold_start.draw(self._setup.seed, 0)
        pod = self._new(-_SETTLED_SECONDS - start.ready_after_seconds)
        pod.running_at = pod.created_at + start.running_after_seconds
        pod.ready_at = -_SETTLED_SECONDS
        pod.replica = Replica(self._setup.engine, 0.0)
        self.ready.append(pod)

    def _schedule(self, at: float, what: str, pod: FleetPod) -> None:
        heapq.heappush(self._changes, (at, next(self._order), what, pod))
