"""The table of what may be said of a fleet of which a part cannot be seen.

| data | per pod | one value against an average | one value against a value |
| --- | --- | --- | --- |
| complete | as measured | as measured | as measured |
| partial | unseen: the larger of last value and mean of the seen | the same, added | from the seen alone |
| unseen for over 60 s | the mean | the mean | from the seen alone |
| under a fifth seen | nothing is said | nothing is said | nothing is said |

Nothing is cut to a limit and nothing is held as a whole: when the pods that are seen show more load, the answer grows.
Against a value no held number is used, for the HPA multiplies by it: a ratio of 1.5 held over four syncs makes 4, 6, 9,
14. Last, a partial answer that would take replicas away is no answer (`withhold`): what it lacks may be what it needs.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from inflight.guard.coverage import Coverage, cover
from inflight.guard.knowledge import (
    FRESH_SECONDS,
    LARGEST_VALUE,
    PodKnowledge,
    is_assumed,
    is_expected,
    is_let_go,
    is_quiet,
    is_starting,
)
from inflight.guard.knowledge import STANDING_SECONDS as STANDING
from inflight.guard.knowledge import last_value_counts as counts

Across = Literal["sum", "mean", "max"]
Target = Literal["average", "value"]

SMALLEST_SHARE = 5
"""At least one expected pod in so many has to be seen; below that the mean of the seen says little of the others."""


class Asked(msgspec.Struct, frozen=True):
    """What is asked: a signal of every pod, or one value for all, and what the asking HPAs hold it against."""

    metric: str
    per_pod: bool
    across: Across = "sum"
    targets: tuple[Target, ...] = ()
    """Of the HPAs that name this metric and selector, one each; empty: nobody knows who asks."""
    unseen_after: float | None = None
    """Seconds after which a pod that is not seen is no longer waited for. None: never, it holds the fleet."""
    largest: float = LARGEST_VALUE
    """The end of the signal's range: more than this an engine cannot honestly say."""

    @property
    def target(self) -> Target:
        """Two that differ: against a value, which holds nothing that a multiplication could feed on."""
        return "value" if "value" in self.targets else "average"

    @property
    def warning(self) -> str:
        """What the owner of the HPAs should know; empty where all is well."""
        if len(set(self.targets)) < 2:
            return ""
        return (
            f"{self.metric}: HPAs ask for it with a Value and with an AverageValue target, so gaps are filled as a"
            " Value needs it; give them the same type of target"
        )


class Told(msgspec.Struct, frozen=True, gc=False):
    """One pod's part of an answer."""

    name: str
    value: float
    received_at: float
    estimated: bool = False
    namespace: str = ""


class Partial(msgspec.Struct, frozen=True):
    """What may be said: complete, or an estimate that never lies below what is seen."""

    values: tuple[Told, ...]
    """Where the question was per pod: the pods that are seen, then those that are estimated."""
    value: float | None
    """All of them combined; None where the question was per pod."""
    received_at: float
    """The time of the oldest value used."""
    coverage: Coverage


class Withheld(msgspec.Struct, frozen=True):
    """Nothing may be said: up yes, down no. Not zero, and not an error of anyone who asks."""

    code: Literal["no_pods", "no_value", "pods_unseen", "would_shrink"]
    reason: str
    coverage: Coverage


def tell(asked: Asked, pods: Sequence[PodKnowledge], now: float) -> Partial | Withheld:
    """What may be said at `now` of these pods: those that the selector matches and those of the scale target.

    A partial answer goes through `withhold` before it is given.
    """
    largest, unseen_after = asked.largest, asked.unseen_after
    seen: list[PodKnowledge] = []
    leaving: list[PodKnowledge] = []
    unseen: list[PodKnowledge] = []
    starting: list[PodKnowledge] = []
    let_go = quiet = 0
    for pod in pods:
        # `is_fresh`, written out: nearly all pods take this branch, and a call costs as much as all of it.
        value, received_at, since = pod.value, pod.received_at, pod.standing_since
        if (
            value is not None
            and received_at is not None
            and -FRESH_SECONDS < now - received_at < FRESH_SECONDS
            and 0 <= value <= largest
            and not pod.refused
            and not pod.asleep
            and (since is None or now - since < STANDING)
        ):
            (leaving if pod.terminating else seen).append(pod)
        elif pod.quiet and is_quiet(pod, now):
            quiet += not pod.terminating
        elif is_expected(pod):
            if unseen_after is not None and is_let_go(pod, now, unseen_after):
                let_go += 1
            else:
                unseen.append(pod)
        elif is_starting(pod):
            starting.append(pod)
    assumed = [pod for pod in unseen if is_assumed(pod, now)] if unseen else []
    coverage = cover(len(pods), len(seen) + quiet, unseen + starting, assumed, let_go)
    if not pods:
        return Withheld("no_pods", f"{asked.metric}: none of the pods that are watched matches", coverage)
    if not seen and quiet and coverage.complete:
        return Withheld("no_value", f"{asked.metric}: nothing happened that it could measure", coverage)
    if not seen or coverage.seen * SMALLEST_SHARE < coverage.expected - len(starting):
        return Withheld("pods_unseen", f"{asked.metric}: {coverage.sentence or 'no pod has a value yet'}", coverage)
    used = seen + leaving
    oldest = min([pod.received_at for pod in used if pod.received_at is not None])
    estimates = _estimates(asked, seen, assumed, now) if assumed else []
    if asked.per_pod:
        return Partial(_per_pod(used, assumed, estimates), None, oldest, coverage)
    return Partial((), _combined(asked.across, used, estimates), oldest, coverage)


def withhold(found: Partial, metric: str, askers: Sequence[tuple[int, int | None]]) -> Partial | Withheld:
    """`found`, unless it is partial and would take replicas away from an asking HPA.

    `askers` holds for each HPA that asks its target's spec.replicas, and what the HPA would propose for this metric
    with this answer (None: it would not compute anything).
    """
    if found.coverage.complete:
        return found
    for replicas, proposal in askers:
        if proposal is not None and proposal < replicas:
            reason = f"{metric}: {found.coverage.sentence}; {proposal} replicas would do for it, fewer than {replicas}"
            return Withheld("would_shrink", reason, found.coverage)
    return found


def _estimates(asked: Asked, seen: Sequence[PodKnowledge], assumed: Sequence[PodKnowledge], now: float) -> list[float]:
    """What each unseen pod is taken to hold: the mean of the seen, or what it said last where that is more; against a
    value the mean alone.

    A pod whose page answers before it is Ready has been given no work yet. Were its 0 in the mean, each new pod would
    make the unseen ones look idler, and a fleet that is growing through a gap would stop half-way.
    """
    given = [pod.value or 0.0 for pod in seen if pod.ready is not False or pod.been_ready]
    if not given:
        given = [pod.value or 0.0 for pod in seen]
    mean = math.fsum(given) / len(given)
    if asked.target == "value":
        return [mean] * len(assumed)
    largest = asked.largest
    return [max(mean, pod.value or 0.0) if counts(pod, now, largest) else mean for pod in assumed]


def _per_pod(
    used: Sequence[PodKnowledge], assumed: Sequence[PodKnowledge], estimates: Sequence[float]
) -> tuple[Told, ...]:
    told = [Told(pod.name, pod.value or 0.0, pod.received_at or 0.0, False, pod.namespace) for pod in used]
    if assumed:
        oldest = min([pod.received_at for pod in told])
        told += [
            Told(pod.name, value, oldest, True, pod.namespace) for pod, value in zip(assumed, estimates, strict=True)
        ]
    return tuple(told)


def _combined(across: Across, used: Sequence[PodKnowledge], estimates: Sequence[float]) -> float:
    """One value for all. Added exactly, so that the order of the pods does not matter."""
    values = [pod.value or 0.0 for pod in used]
    values += estimates
    if across == "max":
        return max(values)
    total = math.fsum(values)
    return total if across == "sum" else total / len(values)
