"""What the server counts about itself, shown on its own `/metrics`. Names and meanings: docs/metrics.md.

Every label has few values, known beforehand or bounded by what the code can produce: a client cannot make series grow.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import get_args

from inflight.serve.api.refusals import DoorCause
from inflight.serve.api.routes import Api

DURATION_EDGES_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)


class Telemetry:
    """Counters of one server, from its start; they only grow (but `connections` and `certificate_ends_at`)."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[Api, int]] = Counter()
        """By API and status code."""
        self.refusals: Counter[str] = Counter()
        """Questions without an answer, by cause."""
        self.answers: Counter[tuple[Api, str]] = Counter()
        """Answers given, by API and whether every pod that should have been in it was."""
        self.door_refusals: Counter[DoorCause] = Counter(dict.fromkeys(get_args(DoorCause), 0))
        """Requests of those who were not let in, by cause; all causes are there from the start."""
        self.refused_connections: Counter[str] = Counter()
        self.reloads: Counter[tuple[str, str]] = Counter()
        self.part_faults: Counter[str] = Counter()
        """By part of the run (`inflight.serve.parts`); those that run are there from the start."""
        self.connections = 0
        self.certificate_ends_at: float | None = None
        """Of the certificate that is served, Unix seconds; None where it is not known."""
        self.certificate_problems: Callable[[], int] | None = None
        """How much is wrong at the moment with the certificate that replicas share; None where they share none."""
        self._buckets: dict[Api, list[int]] = {}
        self._sums: dict[Api, float] = {}

    def note_certificate(self, ends_at: float) -> None:
        """Another one is served from now on, until this moment in Unix seconds at most."""
        self.certificate_ends_at = ends_at

    def observe_duration(self, api: Api, seconds: float) -> None:
        """The time that one request took from the end of its headers to the end of its body."""
        buckets = self._buckets.setdefault(api, [0] * (len(DURATION_EDGES_SECONDS) + 1))
        buckets[bisect_left(DURATION_EDGES_SECONDS, seconds)] += 1
        self._sums[api] = self._sums.get(api, 0.0) + seconds

    def durations(self) -> list[tuple[Api, tuple[list[int], float]]]:
        """For each API the counts between the edges (the last above all of them) and the sum."""
        return [(api, (buckets, self._sums[api])) for api, buckets in self._buckets.items()]
