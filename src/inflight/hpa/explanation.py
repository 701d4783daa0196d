"""A recorded decision explained: its steps, what depended on the controller's memory, and what would have changed it.

Pure: a record and what is known of the memory go in, a value with sentences and stable codes comes out.
"""

from enum import StrEnum

import msgspec

from inflight.hpa.counterfactuals import Counterfactual, find_counterfactuals
from inflight.hpa.decision import Decision
from inflight.hpa.record import Record, differences
from inflight.hpa.remembered import Follower, Reach, Remembered, Source, possible_decisions, reach_of
from inflight.hpa.sentences import Step, moment, steps_of
from inflight.hpa.trace import Reason, Trace

VERSION = 1
NANOSECONDS = 1_000_000_000


class Certainty(StrEnum):
    """How sure the outcome is. Stable codes."""

    EXACT = "Exact"
    """The memory is known, or nothing in it is looked at."""
    SAME_FOR_ALL = "SameForAll"
    """The memory is not known, but every possible one gives the same count."""
    RANGE = "Range"
    """The count depends on what is not known."""


class MemoryNote(msgspec.Struct, frozen=True):
    """What the decision owes to the controller's memory."""

    source: Source
    certainty: Certainty
    lowest: int
    highest: int
    """The counts between which the outcome lies; equal where it is sure."""
    needed_ns: int
    """How far back the longest window or period reaches."""
    known_ns: int | None
    """How far back the memory is known; None: all of it."""
    text: str


class Explanation(msgspec.Struct, frozen=True):
    """Everything there is to say about one decision."""

    version: int
    hpa: str
    now_ns: int
    at: str
    kubernetes: str
    judged: bool
    """Whether this release's engine was compared with the original."""
    outcome: Reason
    replicas_before: int
    replicas_after: int
    """Where the sync ended. Where the certainty is Range: if nothing unknown holds the count."""
    bound_by: tuple[Reason, ...]
    sentence: str
    steps: tuple[Step, ...]
    memory: MemoryNote
    changes: tuple[Counterfactual, ...]
    differs_from_record: tuple[str, ...]
    """Where the recorded outcome is not what the engine computes."""
    trace: Trace


def explain(record: Record, known: Remembered | None = None, *, with_changes: bool = True) -> Explanation:
    """Explains the decision of `record`. `known` is what a `Follower` says of the memory; without it the record's own.

    Finding the changes makes the decision some hundred times more.
    """
    if known is None:
        known = Follower().follow(record)
    low, high = possible_decisions(record, known)
    decision = record.decide(known.memory)
    trace = decision.trace
    sure = low.trace.desired_replicas == high.trace.desired_replicas
    return Explanation(
        version=VERSION,
        hpa=record.name,
        now_ns=record.now_ns,
        at=moment(record.now_ns),
        kubernetes=record.controller.kubernetes,
        judged=record.controller.judged,
        outcome=trace.outcome,
        replicas_before=trace.current_replicas,
        replicas_after=trace.desired_replicas,
        bound_by=trace.bound_by,
        sentence=decision.summary() if sure else _range_sentence(decision, low, high),
        steps=steps_of(trace),
        memory=_memory_note(record, known, low, high),
        changes=find_counterfactuals(record, known.memory, decision) if with_changes else (),
        differs_from_record=differences(record, decision) if known.source is Source.RECORDED else (),
        trace=trace,
    )


def _range_sentence(decision: Decision, low: Decision, high: Decision) -> str:
    lowest, highest = low.trace.desired_replicas, high.trace.desired_replicas
    current = decision.trace.current_replicas
    return (
        f"{current} -> between {lowest} and {highest}, depending on what the controller remembers;"
        f" if nothing else holds it: {decision.summary()}"
    )


def _memory_note(record: Record, known: Remembered, low: Decision, high: Decision) -> MemoryNote:
    reach = reach_of(record.hpa, record.controller)
    lowest, highest = low.trace.desired_replicas, high.trace.desired_replicas
    known_ns = None if known.since_ns is None else max(record.now_ns - known.since_ns, 0)
    if known.source in {Source.RECORDED, Source.REBUILT}:
        certainty = Certainty.EXACT
    else:
        certainty = Certainty.SAME_FOR_ALL if lowest == highest else Certainty.RANGE
    return MemoryNote(
        source=known.source,
        certainty=certainty,
        lowest=lowest,
        highest=highest,
        needed_ns=reach.longest_ns,
        known_ns=known_ns,
        text=_memory_text(known, certainty, reach, known_ns, (low, high)),
    )


def _memory_text(
    known: Remembered, certainty: Certainty, reach: Reach, known_ns: int | None, ends: tuple[Decision, Decision]
) -> str:
    needed = f"{reach.longest_ns / NANOSECONDS:g} s"
    match known.source:
        case Source.RECORDED:
            return "The record holds what the controller remembered: the decision is exact."
        case Source.REBUILT:
            return (
                f"What the controller remembers follows from the looks of the last {needed}, which lie without a gap in"
                " the record. That takes it that the controller synced when it was looked at and was not restarted."
            )
        case Source.PARTIAL:
            seen = f"The record knows the last {(known_ns or 0) / NANOSECONDS:g} s of the {needed} that count."
        case Source.UNKNOWN:
            seen = f"What the controller remembers of the last {needed} is not known."
    low, high = ends
    if certainty is Certainty.SAME_FOR_ALL:
        return f"{seen} Whatever it is, the count is {low.trace.desired_replicas}."
    lowest, highest = low.trace.desired_replicas, high.trace.desired_replicas
    return f"{seen} The count lies between {lowest} and {highest}: {_dependence(low, high, reach)}."


def _dependence(low: Decision, high: Decision, reach: Reach) -> str:
    """What would hold the count, and for how long at most."""
    holds = []
    by = {*low.trace.bound_by, *high.trace.bound_by}
    if Reason.STABILIZED in by:
        window = reach.recommendations_ns / NANOSECONDS
        holds.append(f"an earlier recommendation may hold it, for at most {window:g} s from now")
    if Reason.POLICY_LIMITED in by:
        period = max(reach.scale_ups_ns, reach.scale_downs_ns) / NANOSECONDS
        if period:
            holds.append(f"earlier changes may have used up what the policies allow, for at most {period:g} s from now")
    return "; ".join(holds) or "it depends on earlier recommendations and changes"
