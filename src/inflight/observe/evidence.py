"""What can be known of a controller's memory that nobody can read: from looks before, the HPA's status and its events.

Looks without a gap give the memory itself (`inflight.hpa.remembered`). Where they do not reach back far enough, the
rest gives bounds: a rescale that the controller reported proves a recommendation and a change of that time, and a
controller manager that took over a minute ago remembers a minute. What may lie in between is tried at its extremes.
"""

from enum import StrEnum

import msgspec

from inflight.hpa import Decision, Memory, Reason, Recommendation, Record, ScaleEvent
from inflight.hpa.remembered import Reach, Remembered, Source, reach_of
from inflight.objects import HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus
from inflight.observe.looking.history import History, Rescale

NANOSECONDS = 1_000_000_000
LONG_AGO = Recommendation(0, -(2**62))
"""In no window: keeps the decision from taking an unknown memory for that of a controller just started."""
_MOST = 2**31 - 1
_LAG_NS = 2 * NANOSECONDS
"""Times of events and statuses are cut to seconds, and written one after the other."""
_SLACK_SECONDS = 0.5
"""So far from where it is expected a sync may come, and with it the end of a window."""


class EvidenceCode(StrEnum):
    """Stable codes."""

    LAST_SCALE = "LastScale"
    """The last rescale, by the status or the events."""
    RESCALES = "Rescales"
    """All rescales that a policy still counts, by the events."""
    NEVER_SCALED = "NeverScaled"
    NEVER_SYNCED = "NeverSynced"
    """The status has no condition: the next sync is the controller's first."""
    TOOK_OVER = "TookOver"
    """The controller manager began within the window: its memory is not older."""
    NOT_RESTARTED = "NotRestarted"
    """The controller manager is older than the window."""
    HELD_AT_LAST_SYNC = "HeldAtLastSync"
    """The controller's own last word was that a recommendation held the count."""


class Evidence(msgspec.Struct, frozen=True):
    code: EvidenceCode
    at_ns: int | None


class Known(msgspec.Struct, frozen=True):
    """A memory that holds what is proved, and where anything else may lie."""

    remembered: Remembered
    reach: Reach
    evidence: tuple[Evidence, ...] = ()
    unknown_wishes: tuple[int, int] | None = None
    """Between these instants there may have been recommendations that nobody saw."""
    unknown_changes: tuple[int, int] | None = None
    """The same of rescales that policies count."""
    highest_wish: int = _MOST
    """No recommendation that nobody saw is higher."""
    is_timed: bool = True
    """Whether it was seen from outside when things happened, not written down by the one who did them."""

    @property
    def is_whole(self) -> bool:
        return self.unknown_wishes is None and self.unknown_changes is None


class Possible(msgspec.Struct, frozen=True):
    """What comes of all memories, and moments, that fit what is known."""

    lowest: Decision
    highest: Decision
    may_hold: bool
    """Whether stabilisation holds the count in any of them."""
    may_limit: bool
    """Whether a policy does."""

    @property
    def is_sure(self) -> bool:
        return _count(self.lowest) == _count(self.highest)


def gather(record: Record, remembered: Remembered, history: History) -> Known:
    """Puts together what is known before the sync of `record`, whose HPA has the status that was just read."""
    reach = reach_of(record.hpa, record.controller)
    if remembered.source is Source.RECORDED:
        return Known(remembered, reach, is_timed=False)
    now_ns, status = record.now_ns, record.hpa.status
    if not status.conditions:
        fresh = Remembered(Memory(status=status), remembered.source)
        return Known(fresh, reach, (Evidence(EvidenceCode.NEVER_SYNCED, None),))
    began_ns, evidence = _began(history, now_ns, reach)
    since_ns = remembered.since_ns
    memory = remembered.memory
    rescales = _rescales(record.hpa, history)
    rises = _rises(record, rescales, reach.recommendations_ns, history.is_complete)
    first = None if began_ns is None else _count_at(began_ns, rescales, record.observation.replicas)
    wishes = _proved_wishes(memory, rises, since_ns, began_ns, first)
    unknown_wishes = _gap(now_ns - reach.recommendations_ns, began_ns, since_ns, now_ns)
    changes = _Changes(rescales, history.is_complete, status, now_ns - reach.scale_ups_ns, began_ns)
    unknown_changes = _gap(now_ns - reach.scale_ups_ns, began_ns, since_ns, now_ns)
    ups = _after(memory.scale_ups, began_ns)
    downs = _after(memory.scale_downs, began_ns)
    if unknown_changes is not None and since_ns is not None:
        ups = (*changes.proved(upwards=True, until_ns=since_ns), *ups)
        downs = (*changes.proved(upwards=False, until_ns=since_ns), *downs)
        unknown_changes = changes.unknown(unknown_changes)
        evidence = (*evidence, *changes.evidence())
    if record.hpa.spec.behavior is None:
        unknown_changes = None
    held = _held_at_last_sync(record) if unknown_wishes is not None else ()
    return Known(
        remembered=Remembered(
            Memory(recommendations=wishes, scale_ups=ups, scale_downs=downs, status=memory.status),
            remembered.source,
            since_ns,
        ),
        reach=reach,
        evidence=(*evidence, *held),
        unknown_wishes=unknown_wishes,
        unknown_changes=unknown_changes,
        highest_wish=_highest_wish(record.hpa),
    )


def possible_decisions(record: Record, known: Known) -> Possible:
    """The decisions with the lowest and the highest count among all memories, and moments, that fit what is known.

    Stabilisation and policies move the count one way only as a remembered number grows, so that the extremes of what
    may be remembered give the ends of the range.
    """
    memory, now_ns = known.remembered.memory, record.now_ns
    slack_ns = round(min(_SLACK_SECONDS, record.controller.sync_period_seconds / 4) * NANOSECONDS)
    wishes = [memory.recommendations]
    if known.unknown_wishes is not None:
        at_ns = min(known.unknown_wishes[1], now_ns - slack_ns) - 1
        wishes += [(*memory.recommendations, Recommendation(count, at_ns)) for count in (0, known.highest_wish)]
    ups, downs = [memory.scale_ups], [memory.scale_downs]
    if known.unknown_changes is not None:
        # More than this changes no limit any further.
        much = max(1, min(record.observation.replicas + record.hpa.spec.max_replicas, 2**20))
        event = ScaleEvent(much, min(known.unknown_changes[1], now_ns - slack_ns) - 1)
        ups.append((*memory.scale_ups, event))
        downs.append((*memory.scale_downs, event))
    memories = [
        Memory(recommendations=wish, scale_ups=up, scale_downs=down, status=memory.status)
        for wish in wishes
        for up in ups
        for down in downs
    ]
    moved = [record]
    if known.is_timed:
        # Not before what is remembered happened.
        times = [each.at_ns for each in memory.recommendations]
        times += [each.at_ns for each in (*memory.scale_ups, *memory.scale_downs)]
        last_ns = max(times, default=0)
        moments = (max(now_ns - slack_ns, min(last_ns + 1, now_ns)), now_ns + slack_ns)
        moved += [msgspec.structs.replace(record, now_ns=moment) for moment in moments]
    decisions = [each.decide(memory) for each in moved for memory in memories]
    bound = {reason for each in decisions for reason in each.trace.bound_by}
    return Possible(
        lowest=min(decisions, key=_count),
        highest=max(decisions, key=_count),
        may_hold=Reason.STABILIZED in bound,
        may_limit=Reason.POLICY_LIMITED in bound,
    )


def _count(decision: Decision) -> int:
    return decision.trace.desired_replicas


def _gap(from_ns: int, began_ns: int | None, since_ns: int | None, now_ns: int) -> tuple[int, int] | None:
    """What a decision looks at and nobody saw; None where there is no such time."""
    if since_ns is None:
        return None
    begin_ns = from_ns if began_ns is None else max(from_ns, began_ns)
    until_ns = min(since_ns, now_ns)
    return (begin_ns, until_ns) if until_ns > begin_ns else None


def _began(history: History, now_ns: int, reach: Reach) -> tuple[int | None, tuple[Evidence, ...]]:
    since_ns = history.leads_since_ns
    if since_ns is None:
        return None, ()
    if since_ns <= now_ns - reach.longest_ns:
        return None, (Evidence(EvidenceCode.NOT_RESTARTED, since_ns),)
    return since_ns, (Evidence(EvidenceCode.TOOK_OVER, since_ns),)


def _rescales(hpa: HorizontalPodAutoscaler, history: History) -> tuple[Rescale, ...]:
    """Those of the events, and the last one of the status where the events do not have it."""
    status, rescales = hpa.status, history.rescales
    at_ns = status.last_scale_time
    if at_ns is None:
        return ()
    # Of an HPA of the same name that lived before this one, events have another uid; what is later than the status
    # is of a sync after the look.
    rescales = tuple(each for each in rescales if each.at_ns <= at_ns + _LAG_NS)
    if rescales and rescales[-1].at_ns >= at_ns - _LAG_NS:
        return rescales
    if not _is_fresh_rescale(status):
        return rescales
    upwards = status.desired_replicas > status.current_replicas
    return (*rescales, Rescale(int(at_ns), status.desired_replicas, "above target" if upwards else ""))


def _is_fresh_rescale(status: HorizontalPodAutoscalerStatus) -> bool:
    """Whether the sync that wrote the status was the one that rescaled: then it holds both counts."""
    able = next((each for each in status.conditions if each.type == "AbleToScale"), None)
    return able is not None and able.reason == "SucceededRescale" and status.desired_replicas != status.current_replicas


def _proved_wishes(
    memory: Memory, rises: tuple[Recommendation, ...], since_ns: int | None, began_ns: int | None, first: int | None
) -> tuple[Recommendation, ...]:
    """What was seen, what rises prove, and what a new controller begins with."""
    seen = [each for each in memory.recommendations if began_ns is None or each.at_ns >= began_ns]
    if since_ns is not None:
        seen += [each for each in rises if each.at_ns < since_ns and (began_ns is None or each.at_ns >= began_ns)]
    if began_ns is not None and first is not None:
        seen.append(Recommendation(first, began_ns))
    return tuple(seen) or (LONG_AGO,)


def _rises(
    record: Record, rescales: tuple[Rescale, ...], window_ns: int, is_complete: bool
) -> tuple[Recommendation, ...]:
    """At least so much was wanted at those times, because the count was raised to it.

    With behavior a count is never raised above the wish of the same sync. Without, an older and higher wish may count,
    which an earlier rise could not follow at once: then it is that earlier time that is sure. A bound from below says
    something about what holds a count up, and nothing about what keeps it from growing.
    """
    if record.hpa.spec.behavior is not None and _wants_more(record):
        return ()
    ups = [each for each in rescales if each.is_upwards and each.is_by_metrics]
    if record.hpa.spec.behavior is not None:
        return tuple(Recommendation(each.replicas, each.at_ns) for each in ups)
    if not is_complete:
        return ()
    sure_ns: dict[int, int] = {}
    for index, each in enumerate(rescales):
        if not (each.is_upwards and each.is_by_metrics):
            continue
        before = rescales[index - 1] if index else None
        if before is None or each.at_ns - before.at_ns > window_ns + _LAG_NS:
            sure_ns[index] = each.at_ns
        elif before.replicas >= each.replicas or not before.is_by_metrics:
            continue  # somebody else was at it in between
        elif before.is_upwards and _may_be_limited(rescales, index - 1):
            if index - 1 in sure_ns:
                sure_ns[index] = sure_ns[index - 1]
        else:
            sure_ns[index] = each.at_ns
    return tuple(Recommendation(rescales[index].replicas, at_ns) for index, at_ns in sure_ns.items())


def _wants_more(record: Record) -> bool:
    combination = record.decide().trace.combination
    return combination is not None and combination.proposal > record.observation.replicas


def _may_be_limited(rescales: tuple[Rescale, ...], index: int) -> bool:
    """Whether a rise without behavior may have stopped at double (or 4), with more wanted."""
    before = rescales[index].before
    if before is None and index:
        before = rescales[index - 1].replicas
    return before is None or rescales[index].replicas >= max(2 * before, 4)


def _count_at(at_ns: int, rescales: tuple[Rescale, ...], replicas: int) -> int | None:
    """The target's count at that time, if only the controller changed it; None where that does not follow."""
    before = [each for each in rescales if each.at_ns <= at_ns]
    if before:
        return before[-1].replicas
    return rescales[0].before if rescales else replicas


def _after(events: tuple[ScaleEvent, ...], began_ns: int | None) -> tuple[ScaleEvent, ...]:
    return tuple(event for event in events if began_ns is None or event.at_ns >= began_ns)


class _Changes:
    """Rescales as what policies count: how much was added and removed when."""

    def __init__(
        self,
        rescales: tuple[Rescale, ...],
        is_complete: bool,
        status: HorizontalPodAutoscalerStatus,
        from_ns: int,
        began_ns: int | None,
    ) -> None:
        self._last_ns = status.last_scale_time
        self._counted: list[tuple[int, int]] = []
        """When, and by how much."""
        starts_ns = from_ns if began_ns is None else max(from_ns, began_ns)
        sized = True
        for index, each in enumerate(rescales):
            if each.at_ns + NANOSECONDS <= starts_ns:
                continue
            before = each.before
            if before is None and index:
                before = rescales[index - 1].replicas
            is_last = index == len(rescales) - 1
            if is_last and _is_fresh_rescale(status) and status.desired_replicas == each.replicas:
                before = status.current_replicas
            if before is None:
                sized = False
            else:
                self._counted.append((each.at_ns, each.replicas - before))
        has_last = bool(rescales) and (self._last_ns is None or rescales[-1].at_ns >= self._last_ns - _LAG_NS)
        self._is_whole = is_complete and sized and has_last
        self._is_over = self._last_ns is not None and self._last_ns + NANOSECONDS <= starts_ns

    def proved(self, *, upwards: bool, until_ns: int) -> tuple[ScaleEvent, ...]:
        return tuple(
            ScaleEvent(abs(change), at_ns)
            for at_ns, change in self._counted
            if at_ns < until_ns and change != 0 and (change > 0) == upwards
        )

    def unknown(self, gap: tuple[int, int]) -> tuple[int, int] | None:
        """What is left of the gap: nothing after the last rescale, and nothing where events tell all of it."""
        if self._last_ns is None or self._is_over or self._is_whole:
            return None
        until_ns = min(gap[1], self._last_ns + NANOSECONDS)
        return (gap[0], until_ns) if until_ns > gap[0] else None

    def evidence(self) -> tuple[Evidence, ...]:
        if self._last_ns is None:
            return (Evidence(EvidenceCode.NEVER_SCALED, None),)
        code = EvidenceCode.RESCALES if self._is_whole and self._counted else EvidenceCode.LAST_SCALE
        return (Evidence(code, int(self._last_ns)),)


def _held_at_last_sync(record: Record) -> tuple[Evidence, ...]:
    status = record.hpa.status
    reasons = {each.type: each.reason for each in status.conditions if each.status == "True"}
    is_held = reasons.get("AbleToScale") in {"ScaleDownStabilized", "ScaleUpStabilized"}
    if is_held and status.desired_replicas == record.observation.replicas:
        return (Evidence(EvidenceCode.HELD_AT_LAST_SYNC, None),)
    return ()


def _highest_wish(hpa: HorizontalPodAutoscaler) -> int:
    """The most that may be remembered.

    Without behavior every wish above the count is followed at once. Where the last sync was limited by nothing, the
    count that it left was the highest of its window.
    """
    status = hpa.status
    reasons = {each.type: (each.status, each.reason) for each in status.conditions}
    is_unlimited = reasons.get("ScalingLimited", ("", ""))[0] == "False"
    is_settled = reasons.get("AbleToScale", ("", ""))[1] in {
        "ReadyForNewScale", "ScaleDownStabilized", "SucceededRescale",
    }  # fmt: skip
    is_active = reasons.get("ScalingActive", ("", ""))[0] == "True"
    if hpa.spec.behavior is None and is_unlimited and is_settled and is_active:
        return status.desired_replicas
    return _MOST
