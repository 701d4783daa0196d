"""Records: what is written is read back and decided again to the last bit; what is damaged is refused with a reason."""

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import Controller, Memory, decide, explain
from inflight.hpa.cases import StoryLine, read_case, story_records
from inflight.hpa.record import (
    MAX_LINE_BYTES,
    VERSION,
    Record,
    RecordError,
    differences,
    outcome_of,
    read_record,
    read_records,
    record_line,
)
from inflight.objects import to_json

from .builders import SECOND, START, Story, external, hpa, observe, pods, total
from .judged import judged_lines, pairs_of
from .test_laws import answers_to, fleets, memories, specs


def judged_stories(limit: int) -> Iterator[StoryLine]:
    for pair in pairs_of(judged_lines("1.37")):
        if "steps" in pair["case"] and not pair["answer"].get("error") and limit > 0:
            limit -= 1
            case = read_case(pair["case"])
            assert isinstance(case, StoryLine)
            yield case


def line_of(**changes: Any) -> bytes:
    """A record's line with some of its plain values replaced; None takes a value away."""
    spec, seen = hpa(), observe(5, total(231), pods=pods(2))
    decision = decide(spec, seen, Memory(), START)
    plain = json.loads(record_line(spec, seen, Memory(), START, decision=decision))
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = plain
        for key in parents:
            at = at[key]
        if value is None:
            del at[last]
        else:
            at[last] = copy.deepcopy(value)
    return json.dumps(plain).encode()


def test_judged_stories_go_through_lines_and_are_decided_again_to_the_last_bit() -> None:
    syncs = 0
    for story in judged_stories(60):
        for record in story_records(story):
            line = to_json(record)
            again = read_record(line)
            decision = again.decide()
            assert differences(again, decision) == ()
            assert to_json(outcome_of(decision)) == to_json(record.outcome)
            # As JSON: the times of conditions lose their fraction on the way, as they do in the API server.
            assert to_json(decision.memory) == to_json(record.decide().memory)
            syncs += 1
    assert syncs > 500


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_was_decided_can_be_read_back(data: st.DataObject) -> None:
    spec = data.draw(specs())
    seen = observe(data.draw(st.integers(0, 40)), *data.draw(answers_to(spec)), pods=data.draw(fleets()))
    memory, controller = data.draw(memories()), Controller(kubernetes=data.draw(st.sampled_from(["1.33", "1.37"])))
    decision = decide(spec, seen, memory, START, controller)
    record = read_record(record_line(spec, seen, memory, START, controller, decision=decision))
    assert record.decide().memory == decision.memory
    assert differences(record, record.decide()) == ()


def test_a_changed_outcome_is_found() -> None:
    record = read_record(line_of(outcome__replicas=7))
    assert differences(record, record.decide()) == ("replicas: recorded 7, computed 8",)


def test_the_trace_can_be_left_out_and_is_then_not_compared() -> None:
    spec, seen = hpa(), observe(5, total(231))
    decision = decide(spec, seen, Memory(), START)
    with_it = record_line(spec, seen, Memory(), START, decision=decision)
    without = record_line(spec, seen, Memory(), START, decision=decision, with_trace=False)
    assert len(without) < len(with_it)
    record = read_record(without)
    assert record.outcome is not None
    assert record.outcome.trace is None
    assert differences(record, record.decide()) == ()


def test_annotations_are_not_kept_and_the_status_only_without_memory() -> None:
    spec = hpa(status={"desiredReplicas": 3})
    spec = msgspec.structs.replace(
        spec, metadata=msgspec.structs.replace(spec.metadata, annotations={"note": "private"})
    )
    known = record_line(spec, observe(5, total(1)), Memory(), START)
    unknown = record_line(spec, observe(5, total(1)), None, START)
    assert b"private" not in known + unknown
    assert read_record(known).hpa.status.desired_replicas == 0
    assert read_record(unknown).hpa.status.desired_replicas == 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{broken", "damaged or cut off, not JSON"),
        (line_of()[:-40], "damaged or cut off, not JSON"),
        (b'\xff{"record": 1}', "not JSON"),
        (b"[1]", "damaged"),
        (b"{}", "the field `record` with the version is missing"),
        (b'{"id": "x", "hpa": {}, "steps": []}', "this is a decision case"),
        (b'{"id": "x", "method": "GetMetricReplicas"}', "this is a decision case"),
        (line_of(record=VERSION + 1), "version 2, this program reads version 1"),
        (line_of(record=0), "'0' is no version"),
        (line_of(record="new"), "'new' is no version"),
        (line_of(record=True), "'True' is no version"),
        (line_of(observation=None), "missing required field `observation`"),
        (line_of(observation__replicas="five"), "$.observation.replicas"),
        (line_of(observation__replicas=2**31), "observation.replicas: 2147483648 lies outside"),
        (line_of(observation__answers=[]), "0 for 1 metrics"),
        (line_of(observation__answers=[{"type": "external", "values_milli": [2**63]}]), "values_milli: 9223372"),
        (line_of(observation__answers=[{"type": "rumour"}]), "rumour"),
        (line_of(memory__recommendations=[[2**40, 0]]), "memory.recommendations"),
        (line_of(memory__scale_ups=[[1, 2**70]]), "scale events"),
        (line_of(controller__kubernetes="1.12"), "Kubernetes '1.12' is not known here"),
        (line_of(controller__feature_gates={"Nonsense": True}), "no feature gate 'Nonsense'"),
        (line_of(controller__sync_period_seconds=1e300), "controller.sync_period_seconds"),
        (line_of(controller__tolerance=1e308), "controller.tolerance"),
        (line_of(controller__architecture="vax"), "$.controller.architecture"),
        (line_of(now_ns=1), "now_ns: 1 lies outside"),
        (line_of(hpa__spec__metrics=[{"type": "External", "external": {"target": {"value": "many"}}}]), "many"),
    ],
)
def test_a_line_that_is_no_record_is_refused_with_the_reason(line: bytes, problem: str) -> None:
    with pytest.raises(RecordError) as refusal:
        read_record(line)
    assert problem in str(refusal.value)


def test_a_line_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(RecordError, match="too long"):
        read_record(b" " * (MAX_LINE_BYTES + 1))


INTS = (0, -1, 1, 7, 2**31 - 1, -(2**31), 2**31)
SECONDS = (0, 1e-9, 0.5, 1e9, 1e12, -1)
POLICY = {"type": "Pods", "value": 2**31 - 1, "periodSeconds": 2**31 - 1}
EXTERNAL = {"metric": {"name": "m"}}
STRANGE: dict[str, tuple[Any, ...]] = {
    "now_ns": (0, START + 1, 2**62, 2**63),
    "hpa__spec__minReplicas": INTS,
    "hpa__spec__maxReplicas": INTS,
    "hpa__spec__metrics": (
        [],
        [{"type": "Resource"}],
        [{"type": "Nonsense"}],
        [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": -1}}}],
        [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 2**31 - 1}}}],
        [{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"averageValue": "0"}}}],
        [{"type": "External", "external": EXTERNAL | {"target": {"averageValue": "0"}}}],
        [{"type": "External", "external": EXTERNAL | {"target": {"averageValue": "1u"}}}],
        [{"type": "External", "external": EXTERNAL | {"target": {"value": "-1e18"}}}],
        [{"type": "Object", "object": EXTERNAL | {"target": {"type": "Value", "averageValue": "1"}}}],
        [{"type": "Object", "object": EXTERNAL | {"target": {"type": "Value", "value": "1e18"}}}],
    ),
    "hpa__spec__behavior": (
        {},
        {"scaleUp": {"policies": [POLICY, POLICY], "stabilizationWindowSeconds": 2**31 - 1, "tolerance": "1e30"}},
        {"scaleDown": {"policies": [], "selectPolicy": "Min", "tolerance": "-5"}, "scaleUp": {"selectPolicy": "Never"}},
        {"scaleUp": {"stabilizationWindowSeconds": -5}, "scaleDown": {"selectPolicy": "Disabled"}},
    ),
    "observation__replicas": INTS,
    "observation__status_replicas": INTS,
    "observation__selector": ("", "app=web,", "app in (web)", "((", "app!=web"),
    "observation__pods": (
        [],
        [{}],
        [{"metadata": {"name": "pod-0", "labels": {"app": "web"}}}],
        [{"metadata": {"name": "pod-0", "labels": {"app": "web"}}, "status": {"phase": "Running"}}] * 2,
    ),
    "observation__answers": (
        [],
        [{"type": "failed", "text": ""}],
        [{"type": "external", "values_milli": []}],
        [{"type": "external", "values_milli": [2**63 - 1, -(2**63)]}],
        [{"type": "external", "values_milli": [2**63 - 1, 2**63 - 1]}],
        [{"type": "object", "value_milli": -1}],
        [{"type": "pods", "values": {}}],
        [{"type": "pods", "values": {"pod-0": {"value_milli": 2**63 - 1, "timestamp_ns": 0}}}],
    ),
    "observation__selecting_hpas": (["a/b", "c/d"], ["a"]),
    "observation__scale_get_error": ("", "gone"),
    "controller__tolerance": (0, 1e-300, 0.5, 1e9, -1),
    "controller__sync_period_seconds": SECONDS,
    "controller__downscale_stabilization_seconds": SECONDS,
    "controller__cpu_initialization_period_seconds": SECONDS,
    "controller__feature_gates": ({}, {"HPAScaleToZero": False}, {"Nonsense": True}),
    "controller__kubernetes": ("1.32", "1.36", "1.37", "2.0"),
    "controller__architecture": ("arm64", "amd64"),
    "memory": (None, {}),
    "memory__recommendations": ([], [[9, START]], [[2**31 - 1, 2**63 - 1], [-(2**31), -(2**63)]]),
    "memory__scale_ups": ([[2**31 - 1, START]] * 2, [[-(2**31), START]], [[1, 0, True]]),
    "memory__status": ({}, {"desiredReplicas": -5}, {"conditions": [{"type": "ScaledToZero", "status": "True"}]}),
    "outcome": (None, {"replicas": 1, "desired_replicas": 1, "rescaled": True}),
}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_line_is_refused_or_explained_and_nothing_else_is_raised(data: st.DataObject) -> None:
    places = data.draw(st.lists(st.sampled_from(sorted(STRANGE)), min_size=1, max_size=5, unique=True))
    changes = {place: data.draw(st.sampled_from(STRANGE[place])) for place in sorted(places, reverse=True)}
    line = bytearray(line_of(**changes))
    if data.draw(st.integers(0, 4)) == 0:
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.sampled_from(b'0129-e.{}[]",: xn'))
    try:
        record = read_record(bytes(line))
    except RecordError as error:
        assert str(error)
        return
    explanation = explain(record)
    assert explanation.sentence
    assert to_json(explanation)


def test_a_broken_line_comes_as_its_error_with_its_number_and_the_rest_goes_on() -> None:
    found = list(read_records([(1, line_of()), (3, b"{"), (4, line_of())]))
    assert [(number, type(each)) for number, each in found] == [(1, Record), (3, RecordError), (4, Record)]


def test_one_file_tells_a_story_on() -> None:
    story = Story(hpa(external("30"), behavior={}), 5)
    lines = []
    for load in (231, 40, 40):
        memory, now_ns, replicas = story.memory, story.now_ns, story.replicas
        decision = story.sync(total(load))
        lines.append(record_line(story.spec, observe(replicas, total(load)), memory, now_ns, decision=decision))
    records = [read_record(line) for line in lines]
    assert [record.now_ns - START for record in records] == [0, 15 * SECOND, 30 * SECOND]
    for earlier, later in itertools.pairwise(records):
        assert earlier.decide().memory == later.memory
