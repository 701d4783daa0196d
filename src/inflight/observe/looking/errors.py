"""Why an HPA cannot be looked at: a code for programs, a sentence for people, and what to do about it."""

from enum import StrEnum

from inflight.cluster import ApiError, ClusterError, UnreachableError


class Failure(StrEnum):
    """Stable codes."""

    NOT_FOUND = "NotFound"
    FORBIDDEN = "Forbidden"
    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"
    """The API server answered with another failure."""
    UNREADABLE = "Unreadable"
    """Somebody answered what no API server would."""


class ObserveError(Exception):
    """Nothing can be explained. `hints` are commands and further sentences, one a line."""

    def __init__(self, code: Failure, sentence: str, hints: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.hints = hints


def failure_of(error: ClusterError, what: str, can_i: str = "") -> ObserveError:
    """What a request that failed means for the person who asked. `can_i`: what `kubectl auth can-i` is to be asked."""
    if isinstance(error, UnreachableError):
        return ObserveError(Failure.UNREACHABLE, f"{what} cannot be read: {error}")
    if isinstance(error, ApiError) and error.code in {401, 403}:
        who = "the API server does not know you" if error.code == 401 else "you may not read it"
        hints = (f"kubectl auth can-i {can_i}",) if can_i else ()
        return ObserveError(Failure.FORBIDDEN, f"{what} cannot be read: {who}: {error.status.message}", hints)
    return ObserveError(Failure.REFUSED, f"{what} cannot be read: {error}")
