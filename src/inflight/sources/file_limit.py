"""Room for one connection per pod: many systems allow a process 1,024 open files unless it asks for more."""

import logging
import resource

_RESERVE = 512
"""For the metrics API's own connections, files, and connections that are just being closed."""

_log = logging.getLogger(__name__)


def raise_file_limit(pods: int) -> int:
    """Makes room for so many pods, as far as the system allows; the soft limit then."""
    wanted = pods + _RESERVE
    limit = raise_soft_limit(wanted)
    if is_short(limit, wanted):
        _log.warning(
            "event=few_files limit=%d wanted=%d pods=%d why=%r",
            limit,
            wanted,
            pods,
            "each pod takes one connection; raise the hard limit of open files (ulimit -Hn), or share the pods out",
        )
    return limit


def raise_soft_limit(wanted: int) -> int:
    """Raises the soft limit of open files, as Go's runtime does, as far as needed and allowed; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not is_short(soft, wanted):
        return soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(soft, allowed)


def is_short(limit: int, wanted: int) -> bool:
    """Whether a limit, which may be none, is below what is wanted."""
    return limit != resource.RLIM_INFINITY and limit < wanted
