"""Which replica a request goes to: the one with the fewest requests in flight, of equals the oldest.

Requests that come while no replica is ready wait here, first come first served. The router counts what it sent and what
came back; it does not read the engines' pages.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Backend(Protocol):
    """What the router knows of a replica."""

    @property
    def index(self) -> int: ...
    @property
    def in_flight(self) -> int: ...


B = TypeVar("B", bound=Backend)


def least_loaded(backends: Iterable[B]) -> B | None:
    """The backend with the fewest requests in flight; of equals the one with the smallest index. None of none."""
    best: B | None = None
    for backend in backends:
        if (
            best is None
            or backend.in_flight < best.in_flight
            or (backend.in_flight == best.in_flight and backend.index < best.index)
        ):
            best = backend
    return best


class WaitingRoom:
    """Requests that no replica could take, in the order in which they came."""

    def __init__(self) -> None:
        self._ids: deque[int] = deque()
        self._left: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids) - len(self._left)

    def enter(self, request_id: int) -> None:
        self._ids.append(request_id)

    def leave(self, request_id: int) -> None:
        """The client of a waiting request went away."""
        self._left.add(request_id)

    def empty(self) -> Iterator[int]:
        """All that still wait, oldest first; the room is empty afterwards."""
        ids, left = self._ids, self._left
        self._ids, self._left = deque(), set()
        return (request_id for request_id in ids if request_id not in left)
