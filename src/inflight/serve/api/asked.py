"""What a request's target asks for, read once: the door decides by it who may ask, the API function answers it.

Two readings of one target would be a way around the door: something else could be authorized than is answered.
"""

from collections.abc import Mapping

import msgspec

from inflight.serve.api.refusals import Refused
from inflight.serve.api.routes import Health, Route, find_route
from inflight.serve.api.uri import split_target


class Asked(msgspec.Struct, frozen=True):
    """A target that could be read."""

    segments: tuple[str, ...] = ()
    parameters: Mapping[str, str] = {}
    route: Route | None = None
    """None where nothing is served under the path."""
    refusal: Refused | None = None
    """What is wrong with the path, where something is; told to those who are let in."""

    @property
    def is_open(self) -> bool:
        """Whether anybody may ask: who asks after our health has no credentials to show."""
        return isinstance(self.route, Health)

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)


def read_target(target: str) -> Asked | Refused:
    """A target that is no path at all is refused, which anybody may be told."""
    try:
        segments, parameters = split_target(target)
    except Refused as refusal:
        return refusal
    try:
        return Asked(segments, parameters, find_route(segments))
    except Refused as refusal:
        return Asked(segments, parameters, refusal=refusal)
