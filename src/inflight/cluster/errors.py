"""What can go wrong between this process and an API server. Nothing of the HTTP library leaves the room."""

from inflight.objects import Status


class ClusterError(Exception):
    """A request to the cluster has no result; the sentence says why."""


class ConfigError(ClusterError):
    """Where the cluster is, or who we are, cannot be learnt from the files given."""


class UnreachableError(ClusterError):
    """The API server did not answer in time, or not as an API server does."""


class ApiError(ClusterError):
    """The API server answered with a failure. `body` is what it sent, which need not be a Status."""

    def __init__(self, what: str, status: Status, body: bytes = b"") -> None:
        super().__init__(f"{what}: {status.message or status.reason or 'no reason given'} ({status.code})")
        self.status = status
        self.body = body

    @property
    def code(self) -> int:
        return self.status.code


class TooLargeError(UnreachableError):
    """An answer of more bytes than are taken; less of it may be asked for."""
