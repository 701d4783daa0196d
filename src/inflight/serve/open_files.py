"""The open files of the process, each of which has somebody who needs it: scrapes, watches, requests to the cluster.

Clients' connections get what these leave. Many systems allow a process 1,024 files unless it asks for more.
"""

import logging
import resource

from inflight.sources.file_limit import is_short, raise_soft_limit

MAX_CONNECTIONS = 512
"""Go clients keep at most 25 idle ones per host; a kube-apiserver has a handful open."""
MIN_CONNECTIONS = 16
"""Also where the others leave no room: values that nobody can ask for are no use."""
RESERVED_FILES = 128 + 64
"""For files that are read, scrapes that reconnect, and connections that are just being closed."""

_log = logging.getLogger(__name__)


def room_for_connections(others: int) -> int:
    """How many clients may be connected while so many files are needed for all the rest."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, limit - others - RESERVED_FILES))


class FileLimit:
    """The soft limit, raised as the others grow: never lowered, never more often than need be."""

    def __init__(self) -> None:
        self._enough_for = -1
        self._has_warned = False

    def make_room(self, others: int) -> None:
        """For so many files besides those of clients. Where the system forbids it, that is said once."""
        if others <= self._enough_for:
            return
        self._enough_for = others
        wanted = others + MAX_CONNECTIONS + RESERVED_FILES
        limit = raise_soft_limit(wanted)
        if is_short(limit, wanted) and not self._has_warned:
            self._has_warned = True
            self._warn(limit, wanted, others)

    def _warn(self, limit: int, wanted: int, others: int) -> None:
        why = (
            f"{others} are for scrapes, watches and requests to the cluster, {MAX_CONNECTIONS} for clients; with fewer,"
            " clients are kept out first, then scrapes fail. Raise the hard limit of open files (ulimit -Hn, or the"
            " container runtime's), or share the pods out"
        )
        _log.warning("event=few_files limit=%d wanted=%d why=%r", limit, wanted, why)
