"""A fleet of replicas behind a router, advanced along its requests in the exact order of events.

Between two moments at which replicas can affect each other (an arrival, a pod that becomes ready or goes, a client that
gives up) each replica runs by itself, and only those are advanced that have something to say. The fleet does not decide
how many replicas there are: `set_replicas` is told by a study or by the live lab. Times are seconds of the run.
"""

import math
from collections import deque
from collections.abc import Iterable

import msgspec

from inflight.sim.arrivals import Arrival
from inflight.sim.cpu import CpuUsage, MetricsServer
from inflight.sim.engine import FirstToken, Request
from inflight.sim.fleet_deployment import Deployment
from inflight.sim.fleet_pod import FleetPod
from inflight.sim.fleet_setup import FleetSetup
from inflight.sim.outcomes import How, Outcome
from inflight.sim.router import WaitingRoom, least_loaded
from inflight.sim.streams import between


class Flight:
    """A request that has arrived and has no outcome yet."""

    __slots__ = ("arrival", "first_token_at", "id", "pod")

    def __init__(self, request_id: int, arrival: Arrival) -> None:
        self.id = request_id
        self.arrival = arrival
        self.pod: FleetPod | None = None
        self.first_token_at: float | None = None


class FleetSample(msgspec.Struct, frozen=True, gc=False):
    """The fleet's gauges at one moment."""

    at: float
    load_per_second: float
    """Requests that arrived since the last sample."""
    running: int
    waiting: int
    """In the engines' queues and at the router."""
    kv_usage: float
    """Mean over the pods that serve; 0 without one."""
    replicas_ready: int
    replicas_total: int
    """Pods that hold a GPU: loading, ready or draining."""
    replicas_wanted: int


class Fleet:
    """Deployment, router, clients and metrics-server. `outcomes` and `samples` only grow."""

    def __init__(self, setup: FleetSetup, arrivals: Iterable[Arrival]) -> None:
        self.setup = setup
        self.now = 0.0
        self.outcomes: list[Outcome] = []
        self.samples: list[FleetSample] = []
        self.arrived = 0
        self._arrivals = iter(arrivals)
        self._next_arrival = next(self._arrivals, None)
        self._deployment = Deployment(setup)
        self._flights: dict[int, Flight] = {}
        self._patience: deque[Flight] = deque()
        self._room = WaitingRoom()
        self._metrics_server = MetricsServer()
        resolution = self._metrics_server.resolution_seconds
        self._next_scrape_at = between(0.0, resolution, setup.seed, "metrics-server", 0) - resolution
        self._next_sample_at = 0.0
        self._arrived_at_sample = 0
        self._scrape_cpu(self._next_scrape_at)

    @property
    def pods(self) -> list[FleetPod]:
        """Those that exist, oldest first, draining ones included."""
        return self._deployment.pods

    @property
    def replicas(self) -> int:
        """spec.replicas of the Deployment."""
        return self._deployment.wanted

    @property
    def status_replicas(self) -> int:
        """status.replicas: pods that were not told to go."""
        return len(self._deployment.active)

    @property
    def unfinished(self) -> list[Flight]:
        """Requests without an outcome, in the order of arrival."""
        return list(self._flights.values())

    @property
    def waiting_at_router(self) -> int:
        return len(self._room)

    def cpu_usage(self) -> dict[str, CpuUsage]:
        """What metrics-server would answer now, by pod name."""
        return dict(self._metrics_server.usage())

    def cost_seconds(self, since: float, until: float) -> float:
        """Replica-seconds paid between two moments: every pod from scheduling to the end of its drain."""
        return self._deployment.cost_seconds(since, until)

    def set_replicas(self, replicas: int, at: float) -> None:
        """Writes spec.replicas at `at`; the Deployment follows at once."""
        if replicas < 0:
            raise ValueError(f"a Deployment cannot have {replicas} replicas")
        self.advance(at)
        for pod in self._deployment.scale(replicas, at):
            self._end_if_drained(pod, at)

    def advance(self, until: float) -> None:
        """Everything that happens up to and including `until`."""
        while True:
            at = self._next_moment()
            if at > until:
                break
            self._run_replicas(at)
            self._handle(at)
            self.now = max(self.now, at)
        self.now = max(self.now, until)
        for pod in self._deployment.serving:
            self._collect(pod, self.now)

    def run_out(self) -> None:
        """Lets all requests arrive and finish or give up, with the fleet as it stands."""
        while self._flights or self._next_arrival is not None:
            self.advance(self.now + 1.0)

    def _next_moment(self) -> float:
        return min(
            math.inf if self._next_arrival is None else self._next_arrival.at,
            self._deployment.next_change_at(),
            self._next_give_up_at(),
            self._next_sample_at,
            self._next_scrape_at,
        )

    def _handle(self, at: float) -> None:
        """All that is due at `at`; the replicas have been run until then."""
        while self._deployment.next_change_at() <= at:
            self._change_pod(*self._deployment.take_change())
        while self._next_give_up_at() <= at:
            self._give_up(self._patience.popleft(), at)
        while self._next_arrival is not None and self._next_arrival.at <= at:
            self._arrive(self._next_arrival, at)
            self._next_arrival = next(self._arrivals, None)
        if self._next_scrape_at <= at:
            self._scrape_cpu(at)
        if self._next_sample_at <= at:
            self._sample(at)

    def _arrive(self, arrival: Arrival, at: float) -> None:
        flight = Flight(self.arrived, arrival)
        self.arrived += 1
        self._flights[flight.id] = flight
        if arrival.prompt_tokens >= self.setup.engine.max_model_len_tokens:
            self._close(flight, How.REFUSED, at)
            return
        self._patience.append(flight)
        self._route(flight, at)

    def _route(self, flight: Flight, at: float) -> None:
        pod = least_loaded(self._deployment.ready)
        if pod is None or pod.replica is None:
            self._room.enter(flight.id)
            return
        flight.pod = pod
        pod.in_flight += 1
        arrival = flight.arrival
        pod.replica.submit(Request(flight.id, arrival.prompt_tokens, arrival.output_tokens), at)
        self._note_next_event(pod)

    def _run_replicas(self, at: float) -> None:
        for pod in self._deployment.serving:
            if pod.next_event_at <= at:
                self._collect(pod, at)

    def _collect(self, pod: FleetPod, at: float) -> None:
        """Advances a replica and hands out what it has to say."""
        if pod.replica is None:
            return
        for event in pod.replica.advance(at):
            flight = self._flights.get(event.id)
            if flight is None:
                continue
            if isinstance(event, FirstToken):
                flight.first_token_at = event.at
                continue
            self._close(flight, How.FINISHED, event.at, event.output_tokens)
            self._end_if_drained(pod, event.at)
        self._note_next_event(pod)

    def _note_next_event(self, pod: FleetPod) -> None:
        following = pod.replica.next_event_at() if pod.replica is not None else None
        pod.next_event_at = math.inf if following is None else following

    def _close(self, flight: Flight, how: How, at: float, output_tokens: int | None = None) -> None:
        del self._flights[flight.id]
        if flight.pod is not None:
            flight.pod.in_flight -= 1
        arrival = flight.arrival
        self.outcomes.append(
            Outcome(
                id=flight.id,
                arrived_at=arrival.at,
                prompt_tokens=arrival.prompt_tokens,
                output_tokens=arrival.output_tokens if output_tokens is None else output_tokens,
                how=how,
                first_token_at=flight.first_token_at,
                ended_at=at,
                pod="" if flight.pod is None else flight.pod.name,
            )
        )

    def _abort(self, flight: Flight, how: How, at: float) -> None:
        pod = flight.pod
        if pod is None:
            self._room.leave(flight.id)
        elif pod.replica is not None:
            pod.replica.abort(flight.id, at)
            self._note_next_event(pod)
        self._close(flight, how, at)
        if pod is not None:
            self._end_if_drained(pod, at)

    def _next_give_up_at(self) -> float:
        while self._patience:
            flight = self._patience[0]
            if flight.id in self._flights and flight.first_token_at is None:
                return flight.arrival.at + self.setup.patience_seconds
            self._patience.popleft()
        return math.inf

    def _give_up(self, flight: Flight, at: float) -> None:
        self._abort(flight, How.GAVE_UP, at)

    def _change_pod(self, at: float, what: str, pod: FleetPod) -> None:
        if what == "running":
            self._deployment.start_container(pod, at)
        elif what == "ready":
            if self._deployment.make_ready(pod, at):
                for request_id in self._room.empty():
                    self._route(self._flights[request_id], at)
        elif pod.gone_at is None:
            for flight in [flight for flight in self._flights.values() if flight.pod is pod]:
                self._abort(flight, How.LOST, at)

    def _end_if_drained(self, pod: FleetPod, at: float) -> None:
        if pod.deleted_at is not None and pod.gone_at is None and pod.in_flight == 0:
            self._deployment.end(pod, max(at, pod.deleted_at))
            pod.next_event_at = math.inf

    def _scrape_cpu(self, at: float) -> None:
        self._run_all(max(0.0, at))
        points = (pod.cpu_point(at, self.setup.cpu) for pod in self.pods)
        self._metrics_server.scrape(point for point in points if point is not None)
        self._next_scrape_at = at + self._metrics_server.resolution_seconds

    def _sample(self, at: float) -> None:
        self._run_all(at)
        replicas = [pod.replica for pod in self.pods if pod.replica is not None]
        load = (self.arrived - self._arrived_at_sample) / self.setup.sample_seconds
        self.samples.append(
            FleetSample(
                at=at,
                load_per_second=load,
                running=sum(replica.running for replica in replicas),
                waiting=sum(replica.waiting for replica in replicas) + len(self._room),
                kv_usage=math.fsum(replica.kv_usage for replica in replicas) / len(replicas) if replicas else 0.0,
                replicas_ready=len(self._deployment.ready),
                replicas_total=len(self.pods),
                replicas_wanted=self.replicas,
            )
        )
        self._arrived_at_sample = self.arrived
        self._next_sample_at = at + self.setup.sample_seconds

    def _run_all(self, at: float) -> None:
        for pod in self._deployment.serving:
            self._collect(pod, at)
