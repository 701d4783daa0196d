"""What is known of a memory that nobody can read: exact, rebuilt, or a range in which the truth lies."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import Memory, Recommendation, decide
from inflight.hpa.explanation import Certainty, explain
from inflight.hpa.record import Record, make_record
from inflight.hpa.remembered import (
    Follower,
    Followers,
    Source,
    possible_decisions,
    reach_of,
    remembered_for,
)
from inflight.objects import HorizontalPodAutoscaler

from .builders import SECOND, START, external, hpa, observe, total
from .test_laws import BEHAVIOR

SLOW = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}


def watched(
    spec: HorizontalPodAutoscaler, loads: list[int], replicas: int = 5, seconds: int = 15, status: bool = True
) -> tuple[list[Record], list[Memory]]:
    """What somebody sees who looks at every sync of a real controller, and what that controller remembered."""
    memory, now_ns = Memory(status=spec.status), START
    records, memories = [], []
    for load in loads:
        seen = observe(replicas, total(load))
        shown = msgspec.structs.replace(spec, status=memory.status) if status else spec
        records.append(make_record(shown, seen, None, now_ns))
        memories.append(memory)
        decision = decide(spec, seen, memory, now_ns)
        memory, replicas, now_ns = decision.memory, decision.replicas, now_ns + seconds * SECOND
    return records, memories


def test_a_recorded_memory_is_exact() -> None:
    memory = Memory(recommendations=(Recommendation(9, START - 10 * SECOND),))
    record = make_record(hpa(), observe(9, total(30)), memory, START)
    known = Follower().follow(record)
    assert (known.source, known.memory, known.since_ns) == (Source.RECORDED, memory, None)
    explanation = explain(record, known)
    assert explanation.memory.certainty is Certainty.EXACT
    assert (explanation.memory.lowest, explanation.memory.highest) == (9, 9)


def test_without_looks_before_the_outcome_is_a_range_with_both_ends_named() -> None:
    record = make_record(hpa(behavior={}), observe(6, total(20)), None, START)
    explanation = explain(record)
    assert explanation.memory.source is Source.UNKNOWN
    assert explanation.memory.certainty is Certainty.RANGE
    assert (explanation.memory.lowest, explanation.memory.highest) == (1, 6)
    assert "between 1 and 6" in explanation.sentence
    assert "at most 300 s" in explanation.memory.text


def test_without_behavior_a_settled_status_bounds_what_may_be_remembered() -> None:
    loads = [180] * 4 + [20]
    with_status, _ = watched(hpa(), loads, replicas=6)
    without, _ = watched(hpa(), loads, replicas=6, status=False)
    assert explain(with_status[-1]).memory.highest == 6
    assert explain(without[-1]).memory.highest == 10


def test_an_unknown_memory_that_cannot_matter_is_no_doubt() -> None:
    spec = hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 50, "periodSeconds": 15}]}})
    explanation = explain(make_record(spec, observe(5, total(150)), None, START))
    assert explanation.memory.certainty is Certainty.SAME_FOR_ALL
    assert explanation.sentence.startswith("stays at 5")
    assert "Whatever it is, the count is 5" in explanation.memory.text


def test_once_the_looks_cover_the_window_the_decision_is_the_controllers() -> None:
    loads = [250] * 3 + [120] * 40
    records, memories = watched(hpa(behavior=SLOW), loads)
    follower = Follower()
    sources = []
    for record, memory in zip(records, memories, strict=True):
        known = follower.follow(record)
        sources.append(known.source)
        if known.source is Source.REBUILT:
            assert record.decide(known.memory).replicas == record.decide(memory).replicas
            assert record.decide(known.memory).trace == record.decide(memory).trace
    assert sources[0] is Source.UNKNOWN
    assert sources[1] is Source.PARTIAL
    assert sources[-1] is Source.REBUILT
    assert sources.index(Source.REBUILT) == 21, "300 s in looks of 15 s, and one more"


@settings(max_examples=60, deadline=None)
@given(
    behavior=BEHAVIOR,
    loads=st.lists(st.integers(0, 400), min_size=1, max_size=30),
    replicas=st.integers(1, 12),
    maximum=st.integers(3, 15),
    hidden=st.integers(0, 29),
)
def test_the_truth_lies_within_the_range_whenever_the_looks_began(
    behavior: dict[str, Any] | None, loads: list[int], replicas: int, maximum: int, hidden: int
) -> None:
    records, memories = watched(hpa(external("30"), maximum=maximum, behavior=behavior), loads, replicas)
    follower = Follower()
    for record, memory in list(zip(records, memories, strict=True))[min(hidden, len(loads) - 1) :]:
        if not memory.recommendations:
            continue  # a controller that starts in front of our eyes; nobody outside knows that
        known = follower.follow(record)
        low, high = possible_decisions(record, known)
        truth = record.decide(memory).trace.desired_replicas
        assert low.trace.desired_replicas <= truth <= high.trace.desired_replicas
        if known.source is Source.REBUILT:
            assert record.decide(known.memory).trace.desired_replicas == truth


def test_a_gap_an_earlier_time_and_another_object_begin_anew() -> None:
    records, _ = watched(hpa(), [150, 150, 150])
    follower = Follower()
    follower.follow(records[0])
    assert follower.follow(records[2]).source is Source.UNKNOWN, "30 s at a period of 15 s"
    assert follower.follow(records[1]).source is Source.UNKNOWN, "back in time"
    other = msgspec.structs.replace(records[2].hpa.metadata, uid="another")
    again = msgspec.structs.replace(records[2], hpa=msgspec.structs.replace(records[2].hpa, metadata=other))
    assert follower.follow(again).source is Source.UNKNOWN


def test_looks_after_a_recorded_memory_are_exact_at_once() -> None:
    records, memories = watched(hpa(), [150, 250, 100])
    first = make_record(records[0].hpa, records[0].observation, memories[0], START)
    follower = Follower()
    follower.follow(first)
    known = follower.follow(records[1])
    assert known.source is Source.REBUILT
    assert records[1].decide(known.memory).trace == records[1].decide(memories[1]).trace


def test_somebody_elses_change_is_not_the_controllers() -> None:
    spec = hpa(behavior=SLOW)
    records = [
        make_record(spec, observe(5, total(150)), Memory(recommendations=(Recommendation(5, START),)), START),
        make_record(spec, observe(9, total(270)), None, START + 15 * SECOND),
    ]
    follower = Follower()
    follower.follow(records[0])
    assert follower.follow(records[1]).memory.scale_ups == ()


def test_a_longer_window_than_the_controller_had_is_not_known_in_full() -> None:
    memory = Memory(recommendations=(Recommendation(5, START - 10 * SECOND),))
    before = make_record(hpa(), observe(5, total(30)), memory, START)
    known = Follower().follow(before)
    longer = msgspec.structs.replace(before.controller, downscale_stabilization_seconds=900)
    after = msgspec.structs.replace(before, controller=longer)
    assert remembered_for(known, before, before) == known
    changed = remembered_for(known, before, after)
    assert (changed.source, changed.since_ns) == (Source.PARTIAL, START - 300 * SECOND)
    assert explain(after, changed).memory.certainty is Certainty.RANGE


@pytest.mark.parametrize(
    ("behavior", "seconds"),
    [
        (None, (300, 0)),
        ({}, (300, 15)),
        ({"scaleDown": {"stabilizationWindowSeconds": 60}}, (60, 15)),
        ({"scaleUp": {"stabilizationWindowSeconds": 600}}, (600, 15)),
        (SLOW, (300, 60)),
    ],
)
def test_how_far_back_a_decision_looks(behavior: dict[str, Any] | None, seconds: tuple[int, int]) -> None:
    record = make_record(hpa(behavior=behavior), observe(5, total(30)), None, START)
    reach = reach_of(record.hpa, record.controller)
    assert (reach.recommendations_ns // SECOND, reach.scale_ups_ns // SECOND) == seconds


def test_of_very_many_hpas_the_oldest_is_forgotten() -> None:
    followers = Followers(most=2)
    names = ["a", "b", "c"]
    records = []
    for name in names:
        spec = hpa()
        spec = msgspec.structs.replace(spec, metadata=msgspec.structs.replace(spec.metadata, name=name))
        records.append(make_record(spec, observe(5, total(150)), None, START))
        followers.follow(records[-1])
    later = [msgspec.structs.replace(each, now_ns=START + 15 * SECOND) for each in records]
    assert [followers.follow(each).source for each in later[1:]] == [Source.PARTIAL, Source.PARTIAL]
    assert followers.follow(later[0]).source is Source.UNKNOWN


def test_changes_before_the_first_look_may_have_used_up_a_policy() -> None:
    records, memories = watched(hpa(behavior=SLOW, maximum=20), [300, 300])
    assert records[1].decide(memories[1]).trace.desired_replicas == 7, "two pods in 60 s, and they are used up"
    low, high = possible_decisions(records[1], Follower().follow(records[1]))
    # 9 with nothing written before; 10 if the controller had come down first, from where the policy then starts.
    assert (low.trace.desired_replicas, high.trace.desired_replicas) == (7, 10)


def test_an_hpa_that_has_not_scaled_for_long_has_used_up_no_policy() -> None:
    records, _ = watched(hpa(behavior=SLOW, maximum=20), [210, *[210] * 6, 600])
    assert records[-1].hpa.status.last_scale_time is not None
    explanation = explain(records[-1])
    assert (explanation.memory.source, explanation.memory.certainty) == (Source.UNKNOWN, Certainty.SAME_FOR_ALL)
    assert explanation.replicas_after == 9


def test_a_limited_status_says_nothing_of_the_highest_that_is_remembered() -> None:
    records, memories = watched(hpa(maximum=10), [450, 450, 450], replicas=10)
    raised = hpa(maximum=20)
    raised = msgspec.structs.replace(raised, status=records[2].hpa.status)
    record = make_record(raised, observe(10, total(60)), None, records[2].now_ns)
    truth = record.decide(memories[2]).trace.desired_replicas
    assert truth == 15
    assert explain(record).memory.highest >= truth
