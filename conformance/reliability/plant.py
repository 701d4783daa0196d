"""A plant of pods with queues behind a router, and the Deployment that keeps their number. Deterministic: what differs
between two plants of a run comes from the replicas that were asked for.

Requests are a fluid: a pod with `in_flight` of them finishes at most ROOM at a time. What a pod held when it went is
asked again elsewhere. Smaller than `inflight.sim` on purpose: a hundred thousand runs of half an hour each want the
coarsest model in which every fault still shows, and tokens do not show in any. Times are seconds of the run.
"""

import random
from collections.abc import Iterable

from reliability.loads import SERVICE_SECONDS, STEP_SECONDS

ROOM = 24.0
"""Requests that an engine serves at once at full speed; the target is 10."""

IMPATIENT = STEP_SECONDS / 15.0
"""Of those who wait, who gives up in a step: without it an outage under a rising load leaves a queue whose work would
be needed long after."""

COLD_SECONDS = 60.0
READINESS_SECONDS = 6.0
"""From the first page to Ready: a probe asks the engine first."""

DRAIN_SECONDS = 30.0
RESTART_SECONDS = 36.0


class PlantPod:
    """One pod. Its engine answers from `page_at` on; `None` for what has not happened."""

    __slots__ = (
        "asleep", "been_ready", "created_at", "deleted_at", "gone_at", "holds", "in_flight", "index", "name", "page_at",
        "ready_at", "role", "served", "slow", "uid", "unready", "version", "weight",
    )  # fmt: skip

    def __init__(self, index: int, name: str, at: float, weight: float, version: int) -> None:
        self.index = index
        self.name = name
        self.uid = f"{name}/{index}"
        self.role = "AB"[index % 2]
        self.created_at = at
        self.page_at = at + COLD_SECONDS
        self.ready_at = self.page_at + READINESS_SECONDS
        self.deleted_at: float | None = None
        self.gone_at: float | None = None
        self.in_flight = 0.0
        self.served = 0.0
        self.weight = weight
        self.version = version
        self.slow = False
        self.unready = False
        self.asleep = False
        self.been_ready = False
        self.holds = True

    def has_page(self, at: float) -> bool:
        return self.page_at <= at

    def is_ready(self, at: float) -> bool:
        return self.ready_at <= at and not self.unready

    def serves(self, at: float) -> bool:
        return self.is_ready(at) and self.page_at <= at and self.deleted_at is None and not self.asleep


class Plant:
    """Pods, their queues, the router's backlog and the Deployment. Advanced a step at a time."""

    def __init__(self, seed: int, replicas: int) -> None:
        self._seed = seed
        self._count = 0
        self.pods: list[PlantPod] = []
        self.replicas = replicas
        self.backlog = 0.0
        self.version = 0
        self.instant_ready = False
        """Pods made now are Ready before their engine answers."""
        self._surging = False
        self.cost_seconds = 0.0
        for _ in range(replicas):
            pod = self._make(-COLD_SECONDS - READINESS_SECONDS)
            pod.been_ready = True

    @property
    def active(self) -> list[PlantPod]:
        """Those that were not told to go."""
        return [pod for pod in self.pods if pod.deleted_at is None]

    @property
    def status_replicas(self) -> int:
        return sum(pod.deleted_at is None for pod in self.pods)

    def _make(self, at: float, name: str = "") -> PlantPod:
        index = self._count
        self._count += 1
        weight = random.Random(f"pod/{self._seed}/{index}").uniform(0.75, 1.25)
        pod = PlantPod(index, name or f"llm-{index}", at, weight, self.version)
        if self.instant_ready:
            pod.ready_at = at
        self.pods.append(pod)
        return pod

    def set_replicas(self, replicas: int, at: float) -> None:
        """Writes spec.replicas; the Deployment follows at once."""
        self.replicas = replicas
        self._settle(at)

    def _settle(self, at: float) -> None:
        wanted = self.replicas + (1 if self._surging else 0)
        active = self.active
        for _ in range(wanted - len(active)):
            self._make(at)
        for pod in self._victims(active, at)[: max(0, len(active) - wanted)]:
            self._remove(pod, at)

    def _victims(self, active: list[PlantPod], at: float) -> list[PlantPod]:
        """The order in which a ReplicaSet gives pods up: old versions, those not ready, then the youngest."""
        return sorted(active, key=lambda pod: (pod.version, pod.is_ready(at), -pod.created_at, -pod.index))

    def _remove(self, pod: PlantPod, at: float) -> None:
        pod.deleted_at = at
        if not pod.has_page(at):
            pod.gone_at = at

    def evict(self, pods: Iterable[PlantPod], at: float) -> None:
        """Told to go by someone else; the Deployment makes others at once."""
        for pod in pods:
            if pod.deleted_at is None:
                self._remove(pod, at)
        self._settle(at)

    def replace(self, pod: PlantPod, at: float) -> None:
        """Another pod under the same name, as in a StatefulSet."""
        self._requeue(pod)
        pod.deleted_at = pod.gone_at = at
        self._make(at, pod.name)

    def restart(self, pod: PlantPod, at: float) -> None:
        """The engine ends and comes back: counters from 0, its requests are asked again elsewhere."""
        self._requeue(pod)
        pod.served = 0.0
        pod.page_at = at + RESTART_SECONDS
        pod.ready_at = pod.page_at + READINESS_SECONDS

    def start_rollout(self, at: float) -> None:
        """A new version, one pod more than asked for while it goes on."""
        self.version += 1
        self._surging = True
        self._settle(at)

    def _roll(self, at: float) -> None:
        old = [pod for pod in self.pods if pod.deleted_at is None and pod.version < self.version]
        if not old:
            self._surging = False
            self._settle(at)
            return
        ready = sum(pod.is_ready(at) for pod in self.active)
        if ready > self.replicas and all(pod.is_ready(at) for pod in self.active):
            self._remove(old[0], at)
            self._settle(at)

    def _requeue(self, pod: PlantPod) -> None:
        self.backlog += pod.in_flight
        pod.in_flight = 0.0

    def step(self, arrived: float, at: float) -> None:
        """The step that ends at `at`."""
        self.cost_seconds += len(self.pods) * STEP_SECONDS
        serving = []
        for pod in self.pods:
            if pod.deleted_at is not None:
                if pod.gone_at is None and (at >= pod.deleted_at + DRAIN_SECONDS or pod.in_flight < 0.5):
                    pod.gone_at = at
                    self._requeue(pod)
            elif pod.ready_at <= at and not pod.unready and pod.page_at <= at:
                pod.been_ready = True
                if pod.asleep:
                    self._requeue(pod)
                else:
                    serving.append(pod)
        self.backlog += arrived - self.backlog * IMPATIENT
        if serving:
            self._route(serving)
        for pod in self.pods:
            if pod.in_flight:
                speed = 0.1 if pod.slow else 1.0
                done = min(pod.in_flight, min(pod.in_flight, ROOM) * STEP_SECONDS / SERVICE_SECONDS * speed)
                pod.in_flight -= done
                pod.served += done
                if pod.in_flight > ROOM and not pod.slow:
                    pod.in_flight -= (pod.in_flight - ROOM) * IMPATIENT
        if any(pod.gone_at is not None for pod in self.pods):
            self.pods = [pod for pod in self.pods if pod.gone_at is None]
        if self._surging:
            self._roll(at)

    def _route(self, serving: list[PlantPod]) -> None:
        """By weight, and away from queues."""
        shares = [pod.weight / (pod.in_flight + 4.0) for pod in serving]
        each = self.backlog / sum(shares)
        for pod, share in zip(serving, shares, strict=True):
            pod.in_flight += each * share
        self.backlog = 0.0
