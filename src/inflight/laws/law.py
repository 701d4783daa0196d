"""The signature that all control laws share: what is seen and what the law remembers in, replicas wanted out."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One signal of one pod, as far as it may be relied on. Times are Unix seconds."""

    pod: str
    signal: str
    value: float
    at: float


class Coverage(msgspec.Struct, frozen=True):
    """How much is known of the pods that an HPA scales."""

    complete: bool | None
    """None: it cannot be told, as behind a query that has added the pods up."""
    sentence: str = ""
    """What is missing, for people; empty while nothing is."""


class Autoscaler(msgspec.Struct, frozen=True):
    """The HPA that a law works for, as its object and its target's scale show it."""

    name: str
    replicas: int
    """spec.replicas of its target."""
    unread_metrics: bool | None
    """Whether its last sync left an empty entry in status.currentMetrics: a metric that it could not read, whoever was
    to answer. None while its status is not known."""
    independent: bool = False
    """Whether another of its metrics has a value while there are no pods (the queue of a gateway, say)."""


class Seen(msgspec.Struct, frozen=True):
    """Everything a law may look at."""

    samples: Sequence[Sample]
    coverage: Coverage
    autoscaler: Autoscaler
    at: float
    """Unix seconds."""


class Wanted(msgspec.Struct, frozen=True):
    """Replicas wanted, and why, in a sentence."""

    replicas: int
    why: str


class Withheld(msgspec.Struct, frozen=True):
    """The law cannot say: the metric is an error, which the HPA takes for "up yes, down no"."""

    reason: str


Memory = TypeVar("Memory")
Settings_contra = TypeVar("Settings_contra", contravariant=True)


class Law(Protocol[Memory, Settings_contra]):
    """What every law is. Nothing is raised, whatever is handed in."""

    def __call__(
        self, seen: Seen, memory: Memory, settings: Settings_contra, /
    ) -> tuple[Wanted | Withheld, Memory]: ...
