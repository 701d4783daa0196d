"""What is known of one pod for one signal, and what follows: is it waited for, is it seen, what is assumed of it.

A pod that cannot be seen is not idle. Who is waited for comes from the Kubernetes watch and from what pods and their
like have reported before, never from who happens to answer now. Times are Unix seconds of the moment at which something
was received here: an engine's own clock may be wrong by half a minute, and only whether it advances counts.
"""

import msgspec

FRESH_SECONDS = 15.0
"""A value counts while it is younger: the default period of the HPA's loop, so that no value is used for two syncs."""

HELD_SECONDS = 60.0
"""A pod unseen for longer may hold anything: its last value no longer counts, the mean of the others does."""

GRACE_SECONDS = 60.0
"""A pod that is Ready and has never reported is given so long before something is assumed of it. What is known is
incomplete from the moment it is Ready."""

STANDING_SECONDS = 60.0
"""Counters that stand still for so long while requests run are those of a page that is not computed any more. A prompt
of 128 thousand tokens at 3 thousand a second, during which nothing else moves, takes 43 s."""

LARGEST_VALUE = 1e12
"""More than this no signal of one pod can honestly be (a key-value cache holds some 1e7 tokens)."""


class PodKnowledge(msgspec.Struct, frozen=True, gc=False):
    """One pod, one signal. None where something is not known or has not happened."""

    name: str
    value: float | None = None
    """The last value received that was within the signal's range, however old."""
    received_at: float | None = None
    """When it was received; of a page that carries its own time, when that time last advanced."""
    reported: bool = False
    """This living pod (its uid) has had a value of this signal at some time."""
    ready: bool | None = None
    ready_since: float | None = None
    been_ready: bool | None = None
    """It is or was Ready at some time: it may be full of work although it is not Ready now. Kubernetes tells it to one
    who has just started, too: a Ready condition that is False since long after the pod's start was True before."""
    terminating: bool = False
    kind_reports: bool | None = None
    """Whether pods of its kind (workload and role) report this signal or have; False for routers, sidecars and group
    workers, whose pages were read and hold no engine; None while nobody knows, as after a restart."""
    refused: bool = False
    """The connection was refused at the last attempt: nobody is there who could hold the work, so its value ends at
    once, and is not waited out, else the work that moved to others would count twice."""
    asleep: bool = False
    """The engine says that it sleeps: what it says besides is not what it would hold."""
    quiet: bool = False
    """Its page is fine and nothing happened that this signal could measure (no request, so no time to the first token):
    it is seen, and has no value. `received_at` is then that of the page."""
    problem: str = ""
    """Why the last attempt brought no value, for people. It does not make an earlier value old: a read that failed may
    come the next time."""
    standing_since: float | None = None
    """Since when counters have stood still while requests run."""
    namespace: str = ""


def is_fresh(pod: PodKnowledge, now: float, largest: float = LARGEST_VALUE) -> bool:
    """Whether its value may be taken for what the pod holds now."""
    value, received_at = pod.value, pod.received_at
    if value is None or received_at is None or pod.refused or pod.asleep:
        return False
    if not (-FRESH_SECONDS < now - received_at < FRESH_SECONDS and 0 <= value <= largest):
        return False
    return pod.standing_since is None or now - pod.standing_since < STANDING_SECONDS


def is_expected(pod: PodKnowledge) -> bool:
    """Whether nothing complete can be said without it.

    An overloaded engine fails its readiness and its page together, so Ready alone is not the test; and what a pod has
    reported is forgotten by a restart here, while that it has been Ready is not.
    """
    if pod.terminating:
        return False
    if pod.reported:
        return True
    if pod.kind_reports is False:
        return False
    return pod.ready is True or pod.been_ready is True


def is_starting(pod: PodKnowledge) -> bool:
    """Whether a pod that was never Ready has an engine that answers, and not what it holds: it timed out, slept, or its
    page could not be used. One that loads refuses connections; it is not waited for, else each cold start would hold.

    It holds no work, but a ratio is multiplied by the pods that are Ready, so a mean without it is another number.
    """
    if pod.ready is not False or pod.terminating or pod.reported or pod.been_ready or pod.kind_reports is False:
        return False
    return bool(pod.problem) and not pod.refused


def is_let_go(pod: PodKnowledge, now: float, unseen_after: float) -> bool:
    """Whether a pod that would be expected has been unseen for so long that its owner wants it no longer waited for.

    Nobody is let go unless somebody asked for it: a pod that never answers holds its fleet until someone acts.
    """
    since = pod.received_at if pod.received_at is not None else pod.ready_since
    return since is not None and now - since > unseen_after


def is_assumed(pod: PodKnowledge, now: float) -> bool:
    """Whether an expected pod that is not seen enters the estimate.

    One that refuses connections and is not Ready holds nothing: its engine ended, and what it held is with the others,
    where it is seen. It is waited for, but added to them it would count twice: half a fleet restarting would double it.
    Refused while Ready is a page that is gone from an engine that may be at work. One that was never Ready has been
    given nothing yet.
    """
    if pod.ready is False and (pod.refused or pod.been_ready is False):
        return False
    if pod.reported or pod.ready is not True or pod.ready_since is None:
        return True
    return now - pod.ready_since >= GRACE_SECONDS


def last_value_counts(pod: PodKnowledge, now: float, largest: float = LARGEST_VALUE) -> bool:
    """Whether what an unseen pod said last is still a bound for what it holds."""
    value, received_at = pod.value, pod.received_at
    return value is not None and received_at is not None and now - received_at <= HELD_SECONDS and 0 <= value <= largest


def is_quiet(pod: PodKnowledge, now: float) -> bool:
    """Whether it is seen without a value."""
    return pod.quiet and pod.received_at is not None and -FRESH_SECONDS < now - pod.received_at < FRESH_SECONDS


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """When a page was received, judged by its own time where it carries one."""

    at: float
    page_time: float | None = None


def receive(previous: Receipt | None, page_time: float | None, now: float) -> Receipt:
    """The receipt of a page at `now`: a page whose own time stands still is as old as when that time last advanced.

    By how much the time of the page differs from ours says nothing: clocks are half a minute wrong in either direction.
    """
    if page_time is None or previous is None or previous.page_time is None or page_time != previous.page_time:
        return Receipt(now, page_time)
    return previous
