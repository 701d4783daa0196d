"""The first rule of what may be said about a fleet.

A metric per pod: the pods that have a fresh value; one pod's silence is never an error for the others. The stock HPA
knows how to treat pods that are missing from the list (as idle when it would scale up, as at the target when it would
scale down: Kubernetes 1.37 `pkg/controller/podautoscaler/replica_calculator.go`, `calcPlainMetricReplicas`).

One value for all (sum, mean, max): a pod that is missing from a sum looks like load that went away, and the HPA cannot
see that it is missing. So the answer is Unknown while a pod that has reported before and still lives has no fresh
value. Of those that have never reported one that is not Ready is not waited for: else each cold start would freeze the
HPA just when it grows. One that is Ready is sent work: it counts as unseen unless what was met shows that it can hold
none. And while a pod settles, some seconds long, it was running before anyone here looked: nobody knows what it holds.

Times are Unix seconds. Nothing here raises, whatever the samples hold.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from inflight.guard.reason import Unseen, settling_sentence, unseen_sentence, valueless_sentence
from inflight.signals.series import PodSample

FRESH_SECONDS = 15.0
"""A value counts while it is younger: the default period of the HPA's loop, so that no value is used for two syncs."""

LARGEST_VALUE = 1e12
"""More than this no signal of one pod can honestly be (a key-value cache holds some 1e7 tokens). 9,000 pods of it still
fit into what the HPA reads, thousandths in a signed 64-bit integer."""


Across = Literal["sum", "mean", "max"]


class Question(msgspec.Struct, frozen=True):
    """What is asked: a signal of every pod, or of all of them combined. `metric` is the name it was asked under."""

    metric: str
    signal: str
    per_pod: bool
    across: Across = "sum"
    """How values combine, unless the pods' own engine says otherwise: an endpoint picker counts the whole pool, so two
    of them are not added."""


class PodValue(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    value: float
    received_at: float


class Answer(msgspec.Struct, frozen=True):
    """Values that may be relied on."""

    values: tuple[PodValue, ...]
    """The pods whose values were used, in the order of the samples."""
    value: float | None
    """All of them combined; None where the question was per pod."""
    received_at: float
    """The time of the oldest value used."""
    seen: int
    """Pods with a fresh value."""
    expected: int
    """Pods seen and those that should have been: alive, and they have reported before or are Ready but hidden."""


class Unknown(msgspec.Struct, frozen=True):
    """Nothing can be said. Not zero, and not an error of anyone who asks."""

    code: Literal["no_pods", "no_value", "pods_unseen", "warming_up"]
    reason: str


def answer(question: Question, samples: Sequence[PodSample], now: float) -> Answer | Unknown:
    """What may be said at `now`, given the samples of the pods that the question is about."""
    seen: list[PodValue] = []
    unseen: list[PodSample] = []
    unusable: list[PodSample] = []
    unread: list[PodSample] = []
    settling: list[PodSample] = []
    ways: set[str] = set()
    for sample in samples:
        value = sample.value
        received_at = sample.received_at
        fresh = received_at is not None and abs(now - received_at) < FRESH_SECONDS
        if received_at is not None and fresh and value is not None and 0 <= value <= LARGEST_VALUE:
            seen.append(PodValue(sample.namespace, sample.name, value, received_at))
            ways.add(sample.across or question.across)
        elif not sample.alive:
            continue
        elif not sample.reported_before:
            if sample.settling and not question.per_pod:
                settling.append(sample)
            elif sample.ready:
                unread.append(sample)
        elif not fresh or sample.failure:
            unseen.append(sample)
        elif not sample.quiet:
            unusable.append(sample)
        elif sample.settling:
            settling.append(sample)
    unread = _may_hold_work(unread, samples) if unread else unread
    expected = len(seen) + len(unseen) + len(unusable) + len(unread)
    if not samples:
        return Unknown("no_pods", f"{question.metric}: none of the pods that are watched matches")
    if expected > len(seen) and not (question.per_pod and seen):
        return Unknown("pods_unseen", unseen_sentence(question.metric, Unseen(unseen, unusable, unread), expected))
    if settling and not question.per_pod:
        return Unknown("warming_up", settling_sentence(question.metric, settling, samples))
    if not seen:
        return Unknown("no_value", valueless_sentence(question.metric, samples))
    return Answer(
        values=tuple(seen),
        value=None if question.per_pod else _combine(ways.pop() if len(ways) == 1 else question.across, seen),
        received_at=min(pod.received_at for pod in seen),
        seen=len(seen),
        expected=expected,
    )


def _may_hold_work(unread: list[PodSample], samples: Sequence[PodSample]) -> list[PodSample]:
    """Which Ready pods that have never reported may be full of work.

    Where nobody listens there is none (pods without a readiness probe load their model so). Where all that listens has
    no engine's page, it is a router or a sidecar, unless pods of the same kind have one. Whatever else is met may have
    work behind it. One that was not tried yet appeared a moment ago.
    """
    reporting = {sample.kind for sample in samples if sample.reported_before and sample.kind}
    return [
        sample
        for sample in unread
        if sample.silence == "unreadable" or (sample.silence == "no_engine" and sample.kind in reporting)
    ]


def _combine(across: str, seen: list[PodValue]) -> float:
    """Added exactly, so that the order of the pods does not matter."""
    values = [pod.value for pod in seen]
    if across == "max":
        return max(values)
    total = math.fsum(values)
    return total if across == "sum" else total / len(values)
