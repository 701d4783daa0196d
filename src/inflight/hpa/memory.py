"""What the controller remembers between two syncs of one HPA, as a value: `decide` takes one and gives back the next.

The recommendations and scale events live in the controller's process only: a restart or a change of leader empties
them (`Memory.after_restart`). The status is stored with the HPA and outlives the controller. Times are integer
nanoseconds since 1970 (UTC).
"""

import msgspec

from inflight.objects import HorizontalPodAutoscalerStatus


class Recommendation(msgspec.Struct, frozen=True, array_like=True):
    """What one sync wanted before limits and stabilisation, and when."""

    replicas: int
    at_ns: int


class ScaleEvent(msgspec.Struct, frozen=True, array_like=True):
    """A change that this controller wrote: always positive, kept in a list per direction."""

    change: int
    at_ns: int
    outdated: bool = False
    """Older than the longest policy period when a later event was stored: its place may be used again."""


class Memory(msgspec.Struct, frozen=True):
    """Everything that one decision hands to the next. The default is a controller that has just started."""

    recommendations: tuple[Recommendation, ...] = ()
    """Not in order of time: an entry that left both windows is overwritten in its place."""
    scale_ups: tuple[ScaleEvent, ...] = ()
    scale_downs: tuple[ScaleEvent, ...] = ()
    status: HorizontalPodAutoscalerStatus = HorizontalPodAutoscalerStatus()

    def after_restart(self) -> "Memory":
        """The memory of the next controller process: only what is stored with the HPA."""
        return Memory(status=self.status)
