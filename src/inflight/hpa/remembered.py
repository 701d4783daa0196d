"""What can be known of a controller's memory, which it shows to nobody.

A record made by the controller itself holds the memory. Watched from outside it has to be put together from the looks
before: complete once they reach back over the longest window without a gap, and until then the decision lies in a
range between the memories that are possible. All of it assumes that the controller syncs when it is looked at and was
not restarted in between; who only watches cannot know better.
"""

from enum import StrEnum

import msgspec

from inflight.hpa.controller import Controller, rules_of, to_nanoseconds
from inflight.hpa.decide import DEFAULT_SCALE_DOWN, DEFAULT_SCALE_UP
from inflight.hpa.decision import Decision
from inflight.hpa.limits import store_scale_event
from inflight.hpa.memory import Memory, Recommendation, ScaleEvent
from inflight.hpa.record import Record
from inflight.objects import HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus

NANOSECONDS = 1_000_000_000
_GAP_PERIODS = 1.5
"""Looks further apart than so many sync periods may have missed a sync."""
_LONG_AGO = Recommendation(0, -(2**62))
"""In no window. It keeps `decide` from taking an unknown memory for a restarted controller's."""


class Source(StrEnum):
    """Where the memory of a decision comes from. Stable codes."""

    RECORDED = "Recorded"
    """The record holds it: exact."""
    REBUILT = "Rebuilt"
    """From the looks before, over the longest window and without a gap."""
    PARTIAL = "Partial"
    """From the looks before, but they do not reach back far enough."""
    UNKNOWN = "Unknown"
    """There is no look before."""


class Remembered(msgspec.Struct, frozen=True):
    """A controller's memory before one sync, as far as it is known."""

    memory: Memory
    source: Source
    since_ns: int | None = None
    """From when on it is known; None: all of it."""


class Reach(msgspec.Struct, frozen=True):
    """How far back a decision about this HPA looks, in nanoseconds."""

    recommendations_ns: int
    scale_ups_ns: int
    scale_downs_ns: int

    @property
    def longest_ns(self) -> int:
        return max(self.recommendations_ns, self.scale_ups_ns, self.scale_downs_ns)


def reach_of(hpa: HorizontalPodAutoscaler, controller: Controller) -> Reach:
    """The windows and periods in force. Policies of either direction look at changes of both."""
    default_ns = rules_of(controller).downscale_stabilization_ns
    behavior = hpa.spec.behavior
    if behavior is None:
        return Reach(default_ns, 0, 0)
    up, down = behavior.scale_up or DEFAULT_SCALE_UP, behavior.scale_down or DEFAULT_SCALE_DOWN
    window = down.stabilization_window_seconds
    down_ns = default_ns if window is None else window * NANOSECONDS
    up_ns = (up.stabilization_window_seconds or 0) * NANOSECONDS
    policies = (*(up.policies or ()), *(down.policies or ()))
    period_ns = max((policy.period_seconds for policy in policies), default=0) * NANOSECONDS
    return Reach(max(up_ns, down_ns), period_ns, period_ns)


class Follower:
    """Follows one HPA through its records, oldest first, and knows at each what the controller remembered."""

    def __init__(self) -> None:
        self._last: Record | None = None
        self._after = Memory()
        self._since_ns: int | None = None

    def follow(self, record: Record) -> Remembered:
        """The memory before the sync of `record`."""
        known = self._before(record)
        decision = record.decide(known.memory)
        self._last, self._after, self._since_ns = record, decision.memory, known.since_ns
        return known

    def _before(self, record: Record) -> Remembered:
        if record.memory is not None:
            return Remembered(record.memory, Source.RECORDED)
        last = self._last
        if last is None or not _goes_on(last, record):
            return Remembered(_unknown(record.hpa.status), Source.UNKNOWN, record.now_ns)
        memory = _with_what_happened(self._after, last, record)
        since_ns = self._since_ns
        reach = reach_of(record.hpa, record.controller)
        if since_ns is None or record.now_ns - since_ns > reach.longest_ns:
            return Remembered(memory, Source.REBUILT, since_ns)
        return Remembered(memory, Source.PARTIAL, since_ns)


class Followers:
    """One `Follower` for each HPA of a record; of very many the one that was seen least lately is forgotten."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._by_name: dict[str, Follower] = {}

    def follow(self, record: Record) -> Remembered:
        follower = self._by_name.pop(record.name, None) or Follower()
        self._by_name[record.name] = follower
        if len(self._by_name) > self._most:
            del self._by_name[next(iter(self._by_name))]
        return follower.follow(record)


def _unknown(status: HorizontalPodAutoscalerStatus) -> Memory:
    return Memory(recommendations=(_LONG_AGO,), status=status)


def _goes_on(last: Record, record: Record) -> bool:
    """Whether no sync can have been missed between the two."""
    longest = to_nanoseconds(_GAP_PERIODS * record.controller.sync_period_seconds)
    same = record.hpa.metadata.uid == last.hpa.metadata.uid
    return same and 0 < record.now_ns - last.now_ns <= longest


def _with_what_happened(after: Memory, last: Record, record: Record) -> Memory:
    """Recommendations follow from the metrics; what was written is taken from what was seen, not from what should be.

    A change of the count is the controller's where the record says so or the HPA's lastScaleTime has moved, else it
    was somebody else's and is not remembered.
    """
    status = record.hpa.status
    if status == HorizontalPodAutoscalerStatus():
        # Written without a status; what the decision would have left is the best there is.
        status = after.status
    before = last.observation.replicas
    if last.outcome is not None:
        written = last.outcome.replicas if last.outcome.rescaled else before
    elif record.hpa.status.last_scale_time != last.hpa.status.last_scale_time:
        written = record.observation.replicas
    else:
        written = before
    return _with_change(after, last, written - before, status)


def _with_change(after: Memory, last: Record, change: int, status: HorizontalPodAutoscalerStatus) -> Memory:
    # `decide` has added an event of its own where it would have rescaled: the last sync's event is replaced.
    ups = tuple(event for event in after.scale_ups if event.at_ns < last.now_ns)
    downs = tuple(event for event in after.scale_downs if event.at_ns < last.now_ns)
    behavior = last.hpa.spec.behavior
    if behavior is not None and change > 0:
        ups = store_scale_event(ups, change, behavior.scale_up or DEFAULT_SCALE_UP, last.now_ns)
    elif behavior is not None and change < 0:
        downs = store_scale_event(downs, -change, behavior.scale_down or DEFAULT_SCALE_DOWN, last.now_ns)
    return Memory(recommendations=after.recommendations, scale_ups=ups, scale_downs=downs, status=status)


def possible_decisions(record: Record, known: Remembered) -> tuple[Decision, Decision]:
    """The decisions with the lowest and the highest count among all memories that fit what is known.

    Stabilisation and policies move the count one way only as a remembered number grows, so the ends of the range are
    found at the ends of what may be remembered.
    """
    if known.since_ns is None:
        decision = record.decide(known.memory)
        return decision, decision
    decisions = [record.decide(memory) for memory in _possible_memories(record, known)]
    return min(decisions, key=_count), max(decisions, key=_count)


def _count(decision: Decision) -> int:
    return decision.trace.desired_replicas


def _possible_memories(record: Record, known: Remembered) -> list[Memory]:
    assert known.since_ns is not None
    reach, now_ns, memory = reach_of(record.hpa, record.controller), record.now_ns, known.memory
    # What is not known lies just before that which is.
    at_ns = min(known.since_ns, now_ns) - 1
    recommendations: list[tuple[Recommendation, ...]] = [memory.recommendations]
    if now_ns - at_ns <= reach.recommendations_ns:
        highest = _highest_recommendation(record.hpa, memory.status)
        recommendations += [(*memory.recommendations, Recommendation(count, at_ns)) for count in (0, highest)]
    ups, downs = [memory.scale_ups], [memory.scale_downs]
    last_scale = memory.status.last_scale_time
    # lastScaleTime is written in whole seconds; an HPA that never scaled has none.
    scaled_at_ns = None if last_scale is None else last_scale + NANOSECONDS
    # More than this changes no limit any further.
    much = min(record.observation.replicas + record.hpa.spec.max_replicas, 2**20)
    for variants, events, period_ns in (
        (ups, memory.scale_ups, reach.scale_ups_ns),
        (downs, memory.scale_downs, reach.scale_downs_ns),
    ):
        has_scaled = scaled_at_ns is not None and scaled_at_ns > now_ns - period_ns
        if now_ns - at_ns < period_ns and (has_scaled or memory.status == HorizontalPodAutoscalerStatus()):
            variants.append((*events, ScaleEvent(max(much, 1), at_ns)))
    return [
        Memory(recommendations=wishes, scale_ups=up, scale_downs=down, status=memory.status)
        for wishes in recommendations
        for up in ups
        for down in downs
    ]


def _highest_recommendation(hpa: HorizontalPodAutoscaler, status: HorizontalPodAutoscalerStatus) -> int:
    """The most that may be remembered.

    Without behavior, where the last sync computed a count, left it and was not limited, that count was the highest of
    its window, and nothing higher has come since.
    """
    reasons = {condition.type: (condition.status, condition.reason) for condition in status.conditions}
    unlimited = reasons.get("ScalingLimited", ("", ""))[0] == "False"
    settled = reasons.get("AbleToScale") in {("True", "ReadyForNewScale"), ("True", "ScaleDownStabilized")}
    if hpa.spec.behavior is None and unlimited and settled and status.desired_replicas > 0:
        return status.desired_replicas
    return 2**31 - 1


def remembered_for(known: Remembered, before: Record, after: Record) -> Remembered:
    """What is known of the memory where the record was changed into `after`.

    The controller uses the place of an entry that has left its windows again: of longer windows than it had, not even
    its own memory knows all.
    """
    if after.memory is not None and after.memory is not before.memory:
        return Remembered(after.memory, Source.RECORDED)
    old, new = reach_of(before.hpa, before.controller), reach_of(after.hpa, after.controller)
    since_ns = known.since_ns
    for had_ns, needs_ns in (
        (old.recommendations_ns, new.recommendations_ns),
        (old.scale_ups_ns, new.scale_ups_ns),
    ):
        if needs_ns > had_ns:
            since_ns = max(since_ns or 0, before.now_ns - had_ns)
    if since_ns == known.since_ns:
        return known
    return Remembered(known.memory, Source.UNKNOWN if known.source is Source.UNKNOWN else Source.PARTIAL, since_ns)
