"""The floor: a guard that the stock HPA itself enforces, as one metric more (External, AverageValue 1).

While the data are complete it says 0: the HPA remembers by itself, and a floor that repeats the window's highest need
doubles every window, since the HPA records what the floor says as a recommendation of its own. While they are not it is
an error, which the HPA turns into "up yes, down no". After a gap it says the HPA's present replicas for three syncs:
errors left no recommendation, and from what it says now the HPA's own window holds all that it could have remembered.

A gap is a time of incomplete coverage, and every sync that the HPA's status shows as one with a metric that it could
not read, whoever answered. So a server that was restarted, or a second one that sees less, knows of the gap too.
(Kubernetes pkg/controller/podautoscaler/horizontal.go: a failed metric among others blocks a decrease and is an empty
entry in status.currentMetrics; without a recommendation in the window the first low value acts at once.)
"""

import msgspec

from inflight.laws.law import Seen, Wanted, Withheld

_NOTHING_MISSING = "everything is known, the HPA remembers by itself"


class FloorSettings(msgspec.Struct, frozen=True):
    """How long the floor holds, in the HPA controller's own unit, and whether it acts at all."""

    sync_seconds: float = 15.0
    """The period of the HPA's loop."""
    syncs_held: int = 3
    """After a gap. One would do for a single server; the second and third are for a sync that was lost or answered by
    another server that had seen no gap."""
    report_only: bool = False
    """Say 0 always, and in the sentence what would have been said: for trying the floor out."""


class FloorMemory(msgspec.Struct, frozen=True):
    """What one question leaves for the next. The default is a server that has just started."""

    gap_seen_at: float | None = None
    """Unix seconds of the last moment of a gap."""
    held: int | None = None
    """The replicas that there were at the first sync after it. Said again at the others: what load adds meanwhile the
    HPA remembers by itself, and what a rollout's surge adds is not to be added three times (inside its tolerance the
    HPA takes the pods that there are for what the floor names: 9 wanted and 10 there become 10, then 11, then 12)."""


def floor(seen: Seen, memory: FloorMemory, settings: FloorSettings) -> tuple[Wanted | Withheld, FloorMemory]:
    """What the floor says to the HPA of `seen`, and what is to be handed in at the next question."""
    memory = _remember(seen, memory, settings)
    if memory.held is None and _is_held(seen, memory, settings):
        memory = FloorMemory(memory.gap_seen_at, seen.autoscaler.replicas)
    said = _say(seen, memory, settings)
    if not settings.report_only:
        return said, memory
    would = said.reason if isinstance(said, Withheld) else f"{said.replicas} ({said.why})"
    outcome = "an error: " if isinstance(said, Withheld) else ""
    return Wanted(_least(seen), f"reporting only; the floor would be {outcome}{would}"), memory


def _remember(seen: Seen, memory: FloorMemory, settings: FloorSettings) -> FloorMemory:
    at, held = memory.gap_seen_at, memory.held
    if at is not None and at > seen.at:
        # A clock that was set back: held from now, rather than until the old time comes again.
        at = seen.at
    if seen.coverage.complete is not True and seen.autoscaler.replicas > 0:
        at, held = seen.at, None
    elif seen.autoscaler.unread_metrics:
        # The sync that failed was the one before this; half a period leaves room for one that comes late or early.
        past = seen.at - 0.5 * settings.sync_seconds
        if at is None or past > at:
            at, held = past, None
    return FloorMemory(at, held)


def _is_held(seen: Seen, memory: FloorMemory, settings: FloorSettings) -> bool:
    """Whether this is one of the syncs after a gap."""
    gap = memory.gap_seen_at
    if seen.coverage.complete is not True or seen.autoscaler.replicas <= 0 or gap is None:
        return False
    return seen.at - gap < settings.syncs_held * settings.sync_seconds


def _say(seen: Seen, memory: FloorMemory, settings: FloorSettings) -> Wanted | Withheld:
    autoscaler, coverage = seen.autoscaler, seen.coverage
    if autoscaler.replicas <= 0:
        return Wanted(_least(seen), "there are no pods to be guarded")
    if coverage.complete is None:
        return Withheld(
            f"what is known of the pods of {autoscaler.name} cannot be told: {coverage.sentence or 'coverage unknown'}"
        )
    if not coverage.complete:
        return Withheld(f"up yes, down no: {coverage.sentence or 'not all pods are seen'}")
    if autoscaler.unread_metrics is None:
        return Withheld(f"up yes, down no: the status of the HPA {autoscaler.name} is not known yet")
    if _is_held(seen, memory, settings):
        # Fewer than that only where someone took them away meanwhile, which is not for the floor to undo.
        held = autoscaler.replicas if memory.held is None else min(memory.held, autoscaler.replicas)
        return Wanted(max(held, _least(seen)), f"holding {held} for {settings.syncs_held} syncs after a gap")
    return Wanted(_least(seen), _NOTHING_MISSING)


def _least(seen: Seen) -> int:
    """At zero a metric of pods has no value and wakes nobody (seen on 1.37): where nothing else could, one stays."""
    return 0 if seen.autoscaler.independent else 1
