"""What one pod has reported: the last values with their time, and as much of the past as rates need."""

from collections.abc import Mapping

import msgspec


class PodSample(msgspec.Struct, frozen=True):
    """One pod's word on one signal: a value with its time, or why there is none.

    The value is the last one received, however old: whether it may still be used is decided by the guard, not here.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    value: float | None
    received_at: float | None
    """Unix seconds at which the pod's last page was received in full; None if none ever was."""
    missing: str = ""
    """Why there is no value; empty when there is one."""
    reported_before: bool = False
    """This living pod (its uid) has had a value of this signal at some time."""
    alive: bool = True
    """False for a pod that is going away: it is read while it still answers, and nobody waits for it."""
    failure: str = ""
    """Why the last attempt to reach the pod failed; empty when it succeeded or none was made yet."""
    quiet: bool = False
    """The page is fine and says that nothing happened that this signal could measure (no request finished, say)."""
