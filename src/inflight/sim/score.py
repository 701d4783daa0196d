"""What users got and what it cost: the figures of one policy, gathered by whoever drives its fleet.

The study and the live lab fill the same `Score`. Definitions, all over one horizon (the length of the ramp):

- Attainment is over all requests that arrived. A request meets the objective if it finished, its first token came in
  time and its mean time between tokens was short enough; one that was given up, lost or refused does not.
- Requests under way at the horizon run on until they finish or give up, with the fleet as it stands. A run that is cut
  short instead counts those that are too late already, and leaves out the others (`undecided`).
- A quantile is the smallest value that at least that share of requests did not exceed (nearest rank). A request that
  never got a first token counts with the time it had waited, or that its client was ready to wait, whichever is more:
  a lower bound, so that "60 s" means "60 s or never".
- Time between tokens is each finished request's mean; its p95 is over requests, not over tokens.
- Replicas are pods that hold a GPU: loading, ready or draining. The mean is replica-hours over the horizon.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from inflight.sim.fleet import FleetSample, Flight
from inflight.sim.outcomes import How, Outcome, Slo


class Quantiles(msgspec.Struct, frozen=True):
    """None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class ScaleChange(msgspec.Struct, frozen=True):
    """A write of spec.replicas."""

    at: float
    before: int
    after: int
    reason: str = ""


class Misses(msgspec.Struct, frozen=True):
    """Requests that missed the objective, each under the first reason that applies."""

    refused: int = 0
    lost: int = 0
    gave_up: int = 0
    ttft: int = 0
    itl: int = 0


class Series(msgspec.Struct, frozen=True):
    """Gauges over time, columns of equal length; seconds of the run."""

    at: tuple[float, ...] = ()
    load_per_second: tuple[float, ...] = ()
    running: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    kv_usage: tuple[float, ...] = ()
    replicas_ready: tuple[int, ...] = ()
    replicas_total: tuple[int, ...] = ()
    replicas_wanted: tuple[int, ...] = ()

    def thinned(self, most: int) -> "Series":
        """At most about `most` points, evenly chosen; of the load the mean over what is left out."""
        step = max(1, math.ceil(len(self.at) / most))
        columns = {name: getattr(self, name)[::step] for name in self.__struct_fields__}
        load = self.load_per_second
        starts = range(0, len(load), step)
        columns["load_per_second"] = tuple(math.fsum(part) / len(part) for i in starts if (part := load[i : i + step]))
        return Series(**columns)


class PolicyResult(msgspec.Struct, frozen=True):
    """One row of the lab's table. Seconds, replicas, ratios from 0 to 1."""

    name: str
    requests: int
    """Arrived and decided: finished, given up, lost, refused, or too late already."""
    undecided: int
    """Under way when the run was cut short; 0 in a whole run."""
    slo_attainment: float | None
    ttft_seconds: Quantiles
    itl_p95_seconds: float | None
    longest_queue: int
    """Most requests waiting at one moment, in the engines and at the router, looked at once a second."""
    replicas_mean: float
    replicas_peak: int
    replica_hours: float
    first_decision_seconds: float | None
    """From the moment the load begins to rise to the first scale-up after it; None if there was none."""
    direction_changes: int
    """How often the replicas wanted turned from growing to shrinking or back."""
    misses: Misses
    horizon_seconds: float
    changes: tuple[ScaleChange, ...] = ()
    series: Series = Series()


class Score:
    """Gathers outcomes, samples and decisions of one fleet."""

    def __init__(self, slo: Slo, patience_seconds: float, rises_at: float | None) -> None:
        self._slo = slo
        self._patience = patience_seconds
        self._rises_at = rises_at
        self._met = 0
        self._decided = 0
        self._ttft: list[float] = []
        self._itl: list[float] = []
        self._missed = dict.fromkeys(Misses.__struct_fields__, 0)
        self._samples: list[FleetSample] = []
        self._changes: list[ScaleChange] = []

    @property
    def attainment(self) -> float | None:
        """Of the requests decided so far; None before the first."""
        return self._met / self._decided if self._decided else None

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._add_outcome(outcome)

    def add_samples(self, samples: Iterable[FleetSample]) -> None:
        self._samples.extend(samples)

    def add_change(self, change: ScaleChange) -> None:
        """A write of spec.replicas; one that changes nothing is not noted."""
        if change.before != change.after:
            self._changes.append(change)

    def result(
        self,
        name: str,
        horizon_seconds: float,
        replica_seconds: float,
        unfinished: Sequence[Flight] = (),
        now: float = 0.0,
    ) -> PolicyResult:
        """The figures until now. `unfinished` are the requests under way at `now`, in a run that was cut short."""
        late = [flight for flight in unfinished if self._is_late(flight, now)]
        ttft = sorted([*self._ttft, *(_first_look(flight, now) for flight in late)])
        decided = self._decided + len(late)
        samples = [sample for sample in self._samples if sample.at <= horizon_seconds]
        missed = {**self._missed, "ttft": self._missed["ttft"] + len(late)}
        return PolicyResult(
            name=name,
            requests=decided,
            undecided=len(unfinished) - len(late),
            slo_attainment=self._met / decided if decided else None,
            ttft_seconds=Quantiles(quantile(ttft, 0.5), quantile(ttft, 0.95), quantile(ttft, 0.99)),
            itl_p95_seconds=quantile(sorted(self._itl), 0.95),
            longest_queue=max((sample.waiting for sample in self._samples), default=0),
            replicas_mean=replica_seconds / horizon_seconds if horizon_seconds > 0 else 0.0,
            replicas_peak=max((sample.replicas_total for sample in samples), default=0),
            replica_hours=replica_seconds / 3_600,
            first_decision_seconds=self._first_decision(),
            direction_changes=_direction_changes(self._changes),
            misses=Misses(**missed),
            horizon_seconds=horizon_seconds,
            changes=tuple(self._changes),
            series=_series(samples),
        )

    def _add_outcome(self, outcome: Outcome) -> None:
        self._decided += 1
        ttft, itl = outcome.ttft_seconds, outcome.mean_itl_seconds
        waited = outcome.ended_at - outcome.arrived_at
        self._ttft.append(max(waited, self._patience) if ttft is None else ttft)
        if itl is not None:
            self._itl.append(itl)
        if self._slo.met_by(outcome):
            self._met += 1
        else:
            self._missed[_reason(outcome, self._slo)] += 1

    def _is_late(self, flight: Flight, now: float) -> bool:
        """Whether a request under way cannot meet the objective any more, whatever comes."""
        return _first_look(flight, now) > self._slo.ttft_seconds

    def _first_decision(self) -> float | None:
        if self._rises_at is None:
            return None
        for change in self._changes:
            if change.at >= self._rises_at and change.after > change.before:
                return change.at - self._rises_at
        return None


def _first_look(flight: Flight, now: float) -> float:
    """The time to the first token of a request under way, or how long it has been waiting for it."""
    return (now if flight.first_token_at is None else flight.first_token_at) - flight.arrival.at


def _reason(outcome: Outcome, slo: Slo) -> str:
    match outcome.how:
        case How.REFUSED:
            return "refused"
        case How.LOST:
            return "lost"
        case How.GAVE_UP:
            return "gave_up"
    ttft = outcome.ttft_seconds
    return "ttft" if ttft is None or ttft > slo.ttft_seconds else "itl"


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _direction_changes(changes: Sequence[ScaleChange]) -> int:
    ups = [change.after > change.before for change in changes]
    return sum(before != after for before, after in pairwise(ups))


def _series(samples: Sequence[FleetSample]) -> Series:
    if not samples:
        return Series()
    names = Series.__struct_fields__
    return Series(**{name: tuple(getattr(sample, name) for sample in samples) for name in names})
