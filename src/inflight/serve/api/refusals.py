"""The refusals of the API: a code, a sentence, and a cause for our own counters; raised where a request cannot be
answered.

Codes and reasons are those of Kubernetes (apimachinery `pkg/api/errors`), so that client libraries tell them apart:
the stock HPA treats every one of them as a failed metric, and shows the sentence in its condition and event.
"""

from typing import Literal

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    414: "RequestURITooLong",
    422: "Invalid",
    431: "RequestHeaderFieldsTooLarge",
    500: "InternalError",
    503: "ServiceUnavailable",
}


DoorCause = Literal[
    "no_credentials", "bad_token", "bad_certificate", "forbidden", "missing_grant", "cluster_unreachable"
]
"""Why somebody was not let in: they showed nothing, something that nobody accepts, or may not; or the cluster does not
let us ask about them, or cannot be asked.
"""


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """A request that gets a Status instead of a value."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        cause: str = "",
        allow: str = "",
        close: bool = False,
        at_door: DoorCause | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cause = cause
        """Why a question has no answer, as one word of a fixed set; "" where the request itself was at fault."""
        self.allow = allow
        """The methods that would have been taken."""
        self.close = close
        """Whether what follows on the connection cannot be trusted to be a request."""
        self.at_door: DoorCause | None = at_door
        """Why the caller was not let in; None where it was."""

    @property
    def reason(self) -> str:
        return REASONS.get(self.code, "")


def bad_request(message: str) -> Refused:
    return Refused(400, message)


def not_found(message: str, *, cause: str = "") -> Refused:
    return Refused(404, message, cause=cause)
