"""An explanation of a live decision: that of a record, with what is uncertain about the memory said as uncertain.

`inflight.hpa.explanation` explains a decision with the memory that is proved. Here the count becomes a range where
other memories fit as well, and "leaves in 180 s" becomes "not before 14:07:30Z" where a later one may have gone unseen.
"""

import math

import msgspec

from inflight.hpa import Decision, Explanation, Path, Record, Trace, explain
from inflight.hpa.change import Input
from inflight.hpa.counterfactuals import Counterfactual
from inflight.hpa.explanation import Certainty, MemoryNote
from inflight.hpa.remembered import Source
from inflight.hpa.sentences import steps_of
from inflight.hpa.summary import summarize
from inflight.objects import format_time
from inflight.observe.evidence import EvidenceCode, Known, Possible, possible_decisions

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
    possible: Possible
    hold: Hold | None
    """None where stabilisation holds nothing, whatever is remembered."""


def explain_live(record: Record, known: Known, *, with_changes: bool = True) -> LiveExplanation:
    """Explains what the controller does in a sync on these inputs."""
    possible = possible_decisions(record, known)
    base = explain(record, known.remembered, with_changes=with_changes)
    decision = record.decide(known.remembered.memory)
    hold = _hold(known, decision, possible)
    if not known.is_timed:
        return LiveExplanation(base, decision, possible, hold)
    trace = base.trace if hold is None or hold.is_exact else _without_end(base.trace)
    # What is told from outside is told in whole seconds.
    spoken = msgspec.structs.replace(trace, now_ns=trace.now_ns // NANOSECONDS * NANOSECONDS)
    summary = summarize(spoken)
    explanation = msgspec.structs.replace(
        base,
        trace=trace,
        steps=steps_of(spoken),
        sentence=summary if possible.is_sure else _range_sentence(summary, known, possible),
        memory=_memory_note(record, known, possible, hold),
        changes=tuple(_honest(base.changes, hold, known)),
    )
    return LiveExplanation(explanation, decision, possible, hold)


def clock(nanoseconds: int, now_ns: int, *, up: bool = False) -> str:
    """`14:07:30Z`, with the day where it is another one; a fraction is cut, or rounded up."""
    whole = math.ceil(nanoseconds / NANOSECONDS) if up else nanoseconds // NANOSECONDS
    text = format_time(whole * NANOSECONDS)
    return text[11:] if text[:10] == format_time(now_ns)[:10] else text


def _hold(known: Known, decision: Decision, possible: Possible) -> Hold | None:
    step = decision.trace.stabilization
    if step is None or not possible.may_hold:
        return None
    is_up_window = step.path is Path.BEHAVIOR and step.raw > decision.trace.current_replicas
    window_ns = step.scale_up_window_ns if is_up_window else step.scale_down_window_ns
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


def _range_sentence(summary: str, known: Known, possible: Possible) -> str:
    lowest, highest = possible.lowest.trace.desired_replicas, possible.highest.trace.desired_replicas
    current = possible.lowest.trace.current_replicas
    held = any(each.code is EvidenceCode.HELD_AT_LAST_SYNC for each in known.evidence)
    last = " (in its last sync a recommendation held the count)" if held else ""
    return (
        f"{current} -> between {lowest} and {highest}, depending on what the controller remembers{last};"
        f" if nothing unseen holds it: {summary}"
    )


def _memory_note(record: Record, known: Known, possible: Possible, hold: Hold | None) -> MemoryNote:
    since_ns = known.remembered.since_ns
    if known.remembered.source is Source.REBUILT and known.is_whole and possible.is_sure:
        certainty = Certainty.EXACT
    else:
        certainty = Certainty.SAME_FOR_ALL if possible.is_sure else Certainty.RANGE
    sentences = [
        _looks(record, known), *_evidence(record, known), *_outcome(record.now_ns, known, possible, hold)
    ]  # fmt: skip
    return MemoryNote(
        source=known.remembered.source,
        certainty=certainty,
        lowest=possible.lowest.trace.desired_replicas,
        highest=possible.highest.trace.desired_replicas,
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
        ago = "" if each.at_ns is None else f"{max(now_ns - each.at_ns, 0) // NANOSECONDS} s ago"
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


def _outcome(now_ns: int, known: Known, possible: Possible, hold: Hold | None) -> list[str]:
    low, high = possible.lowest.trace.desired_replicas, possible.highest.trace.desired_replicas
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
        sentences.append(_hold_sentence(now_ns, hold, possible.lowest.trace))
    if low != high and possible.may_limit and known.unknown_changes is not None:
        until_ns = known.unknown_changes[1] + known.reach.scale_ups_ns
        sentences.append(
            f"Rescales that were not seen may use up what the policies allow, until {clock(until_ns, now_ns, up=True)}"
            " at most."
        )
    return sentences


def _hold_sentence(now_ns: int, hold: Hold, trace: Trace) -> str:
    at_most = clock(hold.at_most_ns, now_ns, up=True)
    step = trace.stabilization
    assert step is not None
    if hold.at_least_ns is None and step.path is Path.LEGACY and step.raw >= trace.current_replicas:
        return f"An earlier, higher recommendation may count instead of this one, until {at_most} at most."
    if hold.at_least_ns is None:
        return f"An earlier recommendation may hold it, until {at_most} at most while no more is wanted than now."
    if hold.is_exact:
        return f"The last recommendation that holds it leaves at {at_most}."
    at_least = clock(hold.at_least_ns, now_ns)
    return f"It is held until {at_least} at least, and until {at_most} at most while no more is wanted than now."
