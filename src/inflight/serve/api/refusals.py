"""The refusals of the API: a code, a sentence, and a cause for our own counters; raised where a request cannot be
answered.

Codes and reasons are those of Kubernetes (apimachinery `pkg/api/errors`), so that client libraries tell them apart:
the stock HPA treats every one of them as a failed metric, and shows the sentence in its condition and event.
"""

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


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """A request that gets a Status instead of a value."""

    def __init__(self, code: int, message: str, *, cause: str = "", allow: str = "", close: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cause = cause
        """Why a question has no answer, as one word of a fixed set; "" where the request itself was at fault."""
        self.allow = allow
        """The methods that would have been taken."""
        self.close = close
        """Whether what follows on the connection cannot be trusted to be a request."""

    @property
    def reason(self) -> str:
        return REASONS.get(self.code, "")


def bad_request(message: str) -> Refused:
    return Refused(400, message)


def not_found(message: str, *, cause: str = "") -> Refused:
    return Refused(404, message, cause=cause)
