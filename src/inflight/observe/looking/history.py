"""What the cluster tells of the past: the HPA's own events, and since when the present controller manager leads.

Both are extras. Who may not read them gets an answer with wider bounds; events live for an hour, and a controller that
says much has some dropped (k8s.io/client-go tools/record/events_cache.go: 25 at once, then one in five minutes).
"""

import re
from urllib.parse import quote

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.objects import HorizontalPodAutoscaler, ObjectError, Time
from inflight.objects.wire import decode
from inflight.observe.looking.lists import read_list

RESCALE = "SuccessfulRescale"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
MOST_FOR_COMPLETE = 11
"""Fewer than the events of an hour that a sender who has used up its burst still gets through."""
_SECOND = 1_000_000_000
_SIZE = re.compile(r"New size: (\d{1,10}); reason: (.*)", re.DOTALL)
_FROM_TO = re.compile(r"Scaled (?:up|down) replica set \S+ from (\d{1,10}) to (\d{1,10})")
_FOLLOWS_NS = (-2 * _SECOND, 10 * _SECOND)
"""When the Deployment's event comes after the HPA's: times are cut to seconds, and the controllers take some."""


class Rescale(msgspec.Struct, frozen=True):
    """The controller wrote this count at that time (whole seconds)."""

    at_ns: int
    replicas: int
    reason: str
    before: int | None = None
    """The count before, where the Deployment's own events tell it."""

    @property
    def is_upwards(self) -> bool | None:
        """By the controller's words; None where they do not say."""
        if self.reason.endswith("above target") or self.reason.endswith("below Spec.MinReplicas"):
            return True
        if self.reason == "All metrics below target" or self.reason.endswith("above Spec.MaxReplicas"):
            return False
        return None

    @property
    def is_by_metrics(self) -> bool:
        """Not by a bound: then there was a recommendation."""
        return self.reason.endswith("above target") or self.reason == "All metrics below target"


class History(msgspec.Struct, frozen=True):
    """Rescales, oldest first."""

    rescales: tuple[Rescale, ...] = ()
    is_complete: bool = False
    """Whether no rescale of the last hour can be missing among them."""
    count: int = 0
    """How many there were, with those of which an event tells the number alone."""
    most_often: int = 0
    """How often it was set to the same count for the same reason."""
    leads_since_ns: int | None = None
    """When the present controller manager took over: its memory is not older."""
    unseen: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, rename="camel"):
    reason: str = ""
    message: str = ""
    count: int = 0
    first_timestamp: Time | None = None
    last_timestamp: Time | None = None
    event_time: Time | None = None

    @property
    def last_ns(self) -> int | None:
        time = self.last_timestamp or self.event_time or self.first_timestamp
        return None if time is None else int(time)


class _LeaseSpec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str = ""
    acquire_time: Time | None = None


class _Lease(msgspec.Struct, frozen=True):
    spec: _LeaseSpec = _LeaseSpec()


async def read_history(client: Client, hpa: HorizontalPodAutoscaler) -> History:
    """Raises nothing: what cannot be read is not known."""
    unseen = []
    events: list[Event] = []
    told = True
    try:
        events = await _events(client, hpa, "HorizontalPodAutoscaler", hpa.metadata.name, hpa.metadata.uid)
    except ClusterError as error:
        told = False
        unseen.append(f"the HPA's events could not be read, so earlier rescales are not known: {error}")
    leads_since_ns = None
    try:
        lease = decode(await client.request("GET", LEASE), _Lease, "Lease")
        if lease.spec.acquire_time is not None and lease.spec.holder_identity:
            # Other times are told in whole seconds too, and what is said to last at least so long must not be too long.
            leads_since_ns = int(lease.spec.acquire_time) // _SECOND * _SECOND
    except (ClusterError, ObjectError) as error:
        if not (isinstance(error, ApiError) and error.code == 404):
            unseen.append(f"since when the controller manager runs is not known: {error}")
    rescales, is_whole = rescales_of(events)
    spoken = sum(max(event.count, 1) for event in events)
    counts = [max(event.count, 1) for event in events if event.reason == RESCALE]
    return History(
        rescales=await _with_counts_before(client, hpa, rescales),
        is_complete=told and is_whole and spoken <= MOST_FOR_COMPLETE,
        count=sum(counts),
        most_often=max(counts, default=0),
        leads_since_ns=leads_since_ns,
        unseen=tuple(unseen),
    )


async def _with_counts_before(
    client: Client, hpa: HorizontalPodAutoscaler, rescales: tuple[Rescale, ...]
) -> tuple[Rescale, ...]:
    """The events of a Deployment say from which count it was scaled; in a rollout they are about parts of it."""
    target = hpa.spec.scale_target_ref
    if not rescales or target.kind != "Deployment":
        return rescales
    try:
        return counts_before(rescales, await _events(client, hpa, target.kind, target.name))
    except ClusterError:
        return rescales


def counts_before(rescales: tuple[Rescale, ...], events: list[Event]) -> tuple[Rescale, ...]:
    """Each rescale with the count before it, where exactly one fits."""
    steps = []
    for event in events:
        match = _FROM_TO.fullmatch(event.message)
        if event.reason == "ScalingReplicaSet" and match is not None:
            times = {time for time in (event.first_timestamp, event.last_timestamp) if time is not None}
            steps += [(int(time), int(match[1]), int(match[2])) for time in times]
    found = []
    for each in rescales:
        before = {
            old
            for at_ns, old, new in steps
            if new == each.replicas and _FOLLOWS_NS[0] <= at_ns - each.at_ns <= _FOLLOWS_NS[1]
        }
        found.append(msgspec.structs.replace(each, before=before.pop()) if len(before) == 1 else each)
    return tuple(found)


async def _events(client: Client, hpa: HorizontalPodAutoscaler, kind: str, name: str, uid: str = "") -> list[Event]:
    path = f"/api/v1/namespaces/{quote(hpa.metadata.namespace or 'default', safe='')}/events"
    fields = {"involvedObject.kind": kind, "involvedObject.name": name, "involvedObject.uid": uid}
    selector = ",".join(f"{field}={value}" for field, value in fields.items() if value)
    return await read_list(client, path, Event, {"fieldSelector": selector})


def rescales_of(events: list[Event]) -> tuple[tuple[Rescale, ...], bool]:
    """The rescales that events tell, oldest first, and whether they tell each of them.

    An event that was repeated has its first and its last time; what lay between, and what was combined with others, is
    not told.
    """
    found: set[Rescale] = set()
    is_whole = True
    for event in events:
        match = _SIZE.fullmatch(event.message)
        if event.reason != RESCALE or event.last_ns is None:
            continue
        if match is None:
            is_whole = False
            continue
        replicas, reason = int(match[1]), match[2]
        found.add(Rescale(event.last_ns, replicas, reason))
        if event.count > 1 and event.first_timestamp is not None:
            found.add(Rescale(int(event.first_timestamp), replicas, reason))
            is_whole = is_whole and event.count == 2
    return tuple(sorted(found, key=lambda each: each.at_ns)), is_whole
