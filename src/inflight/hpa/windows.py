"""Stabilisation: recent recommendations hold a sync's own wish back.

Two paths exist. Without `spec.behavior` the highest recommendation of the controller's window wins. With it, the
current count moves only as far as every recommendation of the window agrees: up to the lowest of the scale-up
window, down to the highest of the scale-down window (Kubernetes pkg/controller/podautoscaler/horizontal.go).
"""

from inflight.hpa.memory import Recommendation
from inflight.hpa.trace import Path, Reason, Stabilization, WindowEntry

NANOSECONDS = 1_000_000_000


def stabilize_legacy(
    recommendations: tuple[Recommendation, ...],
    raw: int,
    window_ns: int,
    now_ns: int,
    *,
    with_entries: bool = True,
) -> tuple[Stabilization, tuple[Recommendation, ...]]:
    """The path without behavior. An entry counts up to and including the instant at which its window ends.

    `with_entries` asks for what holds the count and until when.
    """
    cutoff = now_ns - window_ns
    highest = raw
    reuse = -1
    for index, past in enumerate(recommendations):
        if past.at_ns < cutoff:
            reuse = index
        elif past.replicas > highest:
            highest = past.replicas
    held = highest != raw
    step = Stabilization(
        path=Path.LEGACY,
        raw=raw,
        stabilized=highest,
        reason=Reason.SCALE_DOWN_STABILIZED if held else Reason.READY_FOR_NEW_SCALE,
        scale_up_window_ns=0,
        scale_down_window_ns=window_ns,
        lowest=raw,
        highest=highest,
        binding=tuple(
            WindowEntry(past.replicas, past.at_ns, past.at_ns + window_ns)
            for past in recommendations
            if past.replicas >= highest and past.at_ns >= cutoff
        )
        if held and with_entries
        else (),
        clear_at_ns=max(
            past.at_ns + window_ns for past in recommendations if past.replicas > raw and past.at_ns >= cutoff
        )
        if held and with_entries
        else None,
    )
    return step, _record(recommendations, reuse, raw, now_ns)


def stabilize_behavior(
    recommendations: tuple[Recommendation, ...],
    current: int,
    raw: int,
    *,
    up_ns: int,
    down_ns: int,
    now_ns: int,
    with_entries: bool = True,
) -> tuple[Stabilization, tuple[Recommendation, ...]]:
    """The path with behavior. An entry counts strictly before the instant at which its window ends.

    `with_entries` asks for what holds the count and until when.
    """
    up_cutoff = now_ns - up_ns
    down_cutoff = now_ns - down_ns
    oldest_cutoff = min(up_cutoff, down_cutoff)
    lowest = highest = raw
    reuse = -1
    for index, past in enumerate(recommendations):
        at_ns = past.at_ns
        if at_ns > up_cutoff and past.replicas < lowest:
            lowest = past.replicas
        if at_ns > down_cutoff and past.replicas > highest:
            highest = past.replicas
        if at_ns < oldest_cutoff:
            reuse = index
    stabilized = max(current, lowest)
    stabilized = min(stabilized, highest)
    reason = Reason.READY_FOR_NEW_SCALE
    binding: tuple[WindowEntry, ...] = ()
    clear_at_ns = None
    if stabilized != raw and raw >= current:
        reason = Reason.SCALE_UP_STABILIZED
        if with_entries:
            binding = tuple(
                WindowEntry(past.replicas, past.at_ns, past.at_ns + up_ns)
                for past in recommendations
                if past.replicas <= stabilized and past.at_ns > up_cutoff
            )
            clear_at_ns = max(
                (past.at_ns + up_ns for past in recommendations if past.replicas < raw and past.at_ns > up_cutoff),
                default=None,
            )
    elif stabilized != raw:
        reason = Reason.SCALE_DOWN_STABILIZED
        if with_entries:
            binding = tuple(
                WindowEntry(past.replicas, past.at_ns, past.at_ns + down_ns)
                for past in recommendations
                if past.replicas >= stabilized and past.at_ns > down_cutoff
            )
            clear_at_ns = max(
                (past.at_ns + down_ns for past in recommendations if past.replicas > raw and past.at_ns > down_cutoff),
                default=None,
            )
    step = Stabilization(
        path=Path.BEHAVIOR,
        raw=raw,
        stabilized=stabilized,
        reason=reason,
        scale_up_window_ns=up_ns,
        scale_down_window_ns=down_ns,
        lowest=lowest,
        highest=highest,
        binding=binding,
        clear_at_ns=clear_at_ns,
    )
    return step, _record(recommendations, reuse, raw, now_ns)


def _record(
    recommendations: tuple[Recommendation, ...], reuse: int, raw: int, now_ns: int
) -> tuple[Recommendation, ...]:
    """The next list: the last entry that is too old is overwritten in its place, else the new one is appended."""
    new = Recommendation(raw, now_ns)
    if reuse < 0:
        return (*recommendations, new)
    return (*recommendations[:reuse], new, *recommendations[reuse + 1 :])
