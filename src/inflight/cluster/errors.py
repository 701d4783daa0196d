"""What can go wrong between this process and an API server. Nothing of the HTTP library leaves the room."""

from inflight.objects import Status

MAX_MESSAGE = 4_096
"""Characters of what an API server says, in a sentence of ours: admission webhooks write there what they like."""


class ClusterError(Exception):
    """A request to the cluster has no result; the sentence says why."""


class ConfigError(ClusterError):
    """Where the cluster is, or who we are, cannot be learnt from the files given."""


class UnreachableError(ClusterError):
    """The API server did not answer in time, or not as an API server does."""


class ApiError(ClusterError):
    """The API server answered with a failure. `body` is what it sent, which need not be a Status."""

    def __init__(self, what: str, status: Status, body: bytes = b"") -> None:
        said = (status.message or status.reason or "no reason given")[:MAX_MESSAGE]
        super().__init__(f"{what}: {said} ({status.code})")
        self.status = status
        self.body = body

    @property
    def code(self) -> int:
        return self.status.code


class UnreadableError(UnreachableError):
    """An answer of an API server that cannot be taken as a whole; less of it may be asked for."""

    def __init__(self, sentence: str, beginning: bytes) -> None:
        super().__init__(sentence)
        self.beginning = beginning
        """Its first bytes."""


class TooLargeError(UnreadableError):
    """It has more bytes than are taken."""


class TooDeepError(UnreadableError):
    """Something in it nests more deeply than is read."""


class LeftOutError(ClusterError):
    """An object of a collection is not kept as it is now; the collection itself is followed as before."""

    def __init__(self, sentence: str, namespace: str = "", name: str = "") -> None:
        super().__init__(sentence)
        self.namespace = namespace
        self.name = name
        """"" where that is not known."""
