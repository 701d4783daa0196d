"""A request and a response of the API as plain values, so that the API is a function and the transport is
replaceable.
"""

import msgspec

from inflight.serve.api.routes import Api


class Request(msgspec.Struct, frozen=True):
    """What the API looks at. Header values are "" where the header is absent."""

    method: str
    target: str
    """The request line's target, as it came."""
    authorization: str = ""
    accept: str = ""
    user_agent: str = ""
    has_body: bool = False

    def __repr__(self) -> str:
        return f"Request({self.method} {self.target[:200]!r})"


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    """Whether the connection must end: what follows on it cannot be trusted to be a request."""
    api: Api = "other"
    """Which API answered, for the counters."""
    is_let_in: bool = False
    """Whether the request had credentials that were taken; the health pages ask for none."""
