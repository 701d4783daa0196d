"""An explanation of a live decision: that of a record, with what is uncertain about the memory said as uncertain.

`inflight.hpa.explanation` explains a decision with the memory that is proved. Here the count becomes a range where
other memories fit as well, and "leaves in 180 s" becomes "not before 14:07:30Z" where a later one may have gone unseen.
"""

import math

import msgspec

from inflight.hpa import Decision, Explanation, Record, Trace, explain
from inflight.hpa.change import Input
from inflight.hpa.counterfactuals import Counterfactual
from inflight.hpa.explanation import Certainty, MemoryNote
from inflight.hpa.remembered import Source
from inflight.hpa.sentences import steps_of
from inflight.hpa.summary import summarize
from inflight.hpa.trace import Reason
from inflight.objects import format_time
from inflight.observe.evidence import EvidenceCode, Known, possible_decisions

NANOSECONDS = 1_000_000_000
_WINDOWS = {Input.SCALE_UP_WINDOW, Input.SCALE_DOWN_WINDOW}


class Hold(msgspec.Struct, frozen=True):
    """Until when a recommendation stands against what is wanted, if that stays the same."""

    at_least_ns: int | None
    """None: it may be over already."""
    at_most_ns: int

    @property
    def is_exact(self) -> bool:
        return self.at_least_ns == self.at_most_ns


class LiveExplanation(msgspec.Struct, frozen=True):
    explanation: Explanation
    decision: Decision
    """With the memory that is proved."""
    lowest: Decision
    highest: Decision
    hold: Hold | None
    """None where stabilisation holds nothing, whatever is remembered."""


def explain_live(record: Record, known: Known, *, with_changes: bool = True) -> LiveExplanation:
    """Explains what the controller does in a sync on these inputs."""
    low, high = possible_decisions(record, known)
    base = explain(record, known.remembered, with_changes=with_changes)
    decision = record.decide(known.remembered.memory)
    hold = _hold(known, decision, low, high)
    if not known.is_timed:
        return LiveExplanation(base, decision, low, high, hold)
    trace = base.trace if hold is None or hold.is_exact else _without_end(base.trace)
    sure = low.trace.desired_replicas == high.trace.desired_replicas
    # What is told from outside is told in whole seconds.
    spoken = msgspec.structs.replace(trace, now_ns=trace.now_ns // NANOSECONDS * NANOSECONDS)
    summary = summarize(spoken)
    explanation = msgspec.structs.replace(
        base,
        trace=trace,
        steps=steps_of(spoken),
        sentence=summary if sure else _range_sentence(summary, known, low, high),
        memory=_memory_note(record, known, (low, high), hold),
        changes=tuple(_honest(base.changes, hold, known)),
    )
    return LiveExplanation(explanation, decision, low, high, hold)


def clock(nanoseconds: int, now_ns: int, *, up: bool = False) -> str:
    """`14:07:30Z`, with the day where it is another one; a fraction is cut, or rounded up."""
    whole = math.ceil(nanoseconds / NANOSECONDS) if up else nanoseconds // NANOSECONDS
    text = format_time(whole * NANOSECONDS)
    return text[11:] if text[:10] == format_time(now_ns)[:10] else text


def _hold(known: Known, decision: Decision, low: Decision, high: Decision) -> Hold | None:
    step = decision.trace.stabilization
    if step is None or all(Reason.STABILIZED not in each.trace.bound_by for each in (decision, low, high)):
        return None
    window_ns = step.scale_up_window_ns if step.raw > decision.trace.current_replicas else step.scale_down_window_ns
    at_least_ns = step.clear_at_ns if step.held else None
    gap = known.unknown_wishes
    at_most_ns = max(at_least_ns or 0, gap[1] + window_ns if gap is not None else 0)
    return Hold(at_least_ns, at_most_ns) if at_most_ns else None


def _without_end(trace: Trace) -> Trace:
    """When the hold ends is not known: nothing says when."""
    assert trace.stabilization is not None
    return msgspec.structs.replace(trace, stabilization=msgspec.structs.replace(trace.stabilization, clear_at_ns=None))


def _honest(changes: tuple[Counterfactual, ...], hold: Hold | None, known: Known) -> list[Counterfactual]:
    """Times are the earliest where more may be remembered; how short a window would do is then not known."""
    is_open = known.unknown_changes is not None or (hold is not None and not hold.is_exact)
    if not is_open:
        return list(changes)
    return [_earliest(each) for each in changes if each.change.input not in _WINDOWS]


def _earliest(change: Counterfactual) -> Counterfactual:
    if change.change.input is not Input.TIME:
        return change
    seconds = change.change.amount
    text = f"in {seconds} s at the earliest, all else the same: {change.replicas}"
    return msgspec.structs.replace(change, after=f"in {seconds} s at the earliest", text=text)


def _range_sentence(summary: str, known: Known, low: Decision, high: Decision) -> str:
    lowest, highest = low.trace.desired_replicas, high.trace.desired_replicas
    current = low.trace.current_replicas
    held = any(each.code is EvidenceCode.HELD_AT_LAST_SYNC for each in known.evidence)
    last = " (in its last sync a recommendation held the count)" if held else ""
    return (
        f"{current} -> between {lowest} and {highest}, depending on what the controller remembers{last};"
        f" if nothing unseen holds it: {summary}"
    )


def _memory_note(record: Record, known: Known, ends: tuple[Decision, Decision], hold: Hold | None) -> MemoryNote:
    low, high = (end.trace.desired_replicas for end in ends)
    since_ns = known.remembered.since_ns
    if known.remembered.source is Source.REBUILT and known.is_whole and low == high:
        certainty = Certainty.EXACT
    else:
        certainty = Certainty.SAME_FOR_ALL if low == high else Certainty.RANGE
    sentences = [
        _looks(record, known), *_evidence(record, known), *_outcome(record.now_ns, known, ends, hold)
    ]  # fmt: skip
    return MemoryNote(
        source=known.remembered.source,
        certainty=certainty,
        lowest=low,
        highest=high,
        needed_ns=known.reach.longest_ns,
        known_ns=None if since_ns is None else max(record.now_ns - since_ns, 0),
        text=" ".join(sentence for sentence in sentences if sentence),
    )


def _looks(record: Record, known: Known) -> str:
    needed = f"{known.reach.longest_ns / NANOSECONDS:g} s"
    since_ns = known.remembered.since_ns
    if known.remembered.source is Source.REBUILT:
        return f"The looks of the record cover the last {needed} without a gap."
    if known.remembered.source is Source.PARTIAL and since_ns is not None:
        seen = max(record.now_ns - since_ns, 0) / NANOSECONDS
        return f"The looks of the record cover the last {seen:.0f} s of the {needed} that count."
    if any(each.code is EvidenceCode.NEVER_SYNCED for each in known.evidence):
        return "The controller remembers nothing."
    return f"What the controller remembers of the last {needed} cannot be read."


def _evidence(record: Record, known: Known) -> list[str]:
    """What the bounds are made of."""
    now_ns, sentences = record.now_ns, []
    for each in known.evidence:
        at = "" if each.at_ns is None else clock(each.at_ns, now_ns)
        ago = "" if each.at_ns is None else f"{max(now_ns - each.at_ns, 0) / NANOSECONDS:.0f} s ago"
        match each.code:
            case EvidenceCode.TOOK_OVER:
                first = next((w for w in known.remembered.memory.recommendations if w.at_ns == each.at_ns), None)
                found = f", and began with the count that it found, {first.replicas}" if first is not None else ""
                sentences.append(
                    f"The controller manager took over at {at}, {ago}: it remembers nothing from before{found}."
                )
            case EvidenceCode.NOT_RESTARTED if known.remembered.source is not Source.UNKNOWN:
                sentences.append(f"The controller manager was not restarted since {at}.")
            case EvidenceCode.NEVER_SYNCED:
                sentences.append(
                    "It has not looked at this HPA yet: in its first sync it takes the present count for its first"
                    " recommendation."
                )
            case EvidenceCode.NEVER_SCALED:
                sentences.append("It has never rescaled this target.")
            case EvidenceCode.LAST_SCALE:
                sentences.append(f"It last rescaled at {at}, {ago}.")
            case EvidenceCode.RESCALES:
                sentences.append(f"Its events tell what it rescaled lately, last at {at}, {ago}.")
            case EvidenceCode.HELD_AT_LAST_SYNC:
                sentences.append("In its last sync a recommendation held the count, as its status says.")
    return sentences


def _outcome(now_ns: int, known: Known, ends: tuple[Decision, Decision], hold: Hold | None) -> list[str]:
    low, high = (end.trace.desired_replicas for end in ends)
    sentences = []
    if low != high and known.is_whole:
        sentences.append(
            f"A window ends within a second of the sync: the count is {low} or {high}, by which comes first."
        )
    elif low != high:
        sentences.append(f"So the count lies between {low} and {high}.")
    elif not known.is_whole:
        else_ = " else" if known.evidence else ""
        sentences.append(f"Whatever{else_} it remembers, the count is {low}.")
    if hold is not None:
        sentences.append(_hold_sentence(now_ns, hold))
    by = {reason for end in ends for reason in end.trace.bound_by}
    if low != high and Reason.POLICY_LIMITED in by and known.unknown_changes is not None:
        until_ns = known.unknown_changes[1] + known.reach.scale_ups_ns
        sentences.append(
            f"Rescales that were not seen may use up what the policies allow, until {clock(until_ns, now_ns, up=True)}"
            " at most."
        )
    return sentences


def _hold_sentence(now_ns: int, hold: Hold) -> str:
    at_most = clock(hold.at_most_ns, now_ns, up=True)
    if hold.at_least_ns is None:
        return f"An earlier recommendation may hold it, until {at_most} at most while no more is wanted than now."
    if hold.is_exact:
        return f"The last recommendation that holds it leaves at {at_most}."
    at_least = clock(hold.at_least_ns, now_ns)
    return f"It is held until {at_least} at least, and until {at_most} at most while no more is wanted than now."
