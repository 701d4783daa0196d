"""How long a new pod takes until it can serve, and what it does in the meantime.

`pending_seconds` after it was created its container starts (the node and the image are there); from then on it loads
the model: Running, not ready, no page to scrape, one core busy. It becomes ready between `shortest_seconds` and
`longest_seconds` after its creation, evenly spread, drawn for each pod's index, so that pod 3 of one fleet is as lucky
as pod 3 of another. Load times as published lie between 82 s (Llama-3.1-8B, everything cached, Tensorfuse 2025-09) and
10 minutes (a cold image of 20 GB, BentoML 2025-04): docs/simulation.md.
"""

import msgspec

from inflight.sim.streams import between


class StartUp(msgspec.Struct, frozen=True):
    """One pod's luck, in seconds after its creation."""

    running_after_seconds: float
    ready_after_seconds: float


class ColdStart(msgspec.Struct, frozen=True):
    """The spread of start-up times."""

    shortest_seconds: float = 60.0
    longest_seconds: float = 120.0
    pending_seconds: float = 2.0
    """Scheduling, mounting volumes and starting the container, with the image on the node."""

    def __post_init__(self) -> None:
        if not 0 <= self.shortest_seconds <= self.longest_seconds < float("inf"):
            raise ValueError(
                f"a cold start from {self.shortest_seconds:g} to {self.longest_seconds:g} s cannot be drawn; give two"
                " numbers of seconds from 0, the smaller one first"
            )
        if not 0 <= self.pending_seconds < float("inf"):
            raise ValueError(f"a pod cannot be pending for {self.pending_seconds:g} s; give 0 or more")

    def draw(self, seed: int, index: int) -> StartUp:
        """The luck of the pod with this index."""
        ready = between(self.shortest_seconds, self.longest_seconds, seed, "cold start", index)
        return StartUp(min(self.pending_seconds, ready), ready)
