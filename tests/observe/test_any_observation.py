"""Whatever is seen: the text is made without an error, and the JSON is the same twice and has the same keys always."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.cli.explain_live import live_lines
from inflight.hpa import (
    Controller,
    Decision,
    ExternalAnswer,
    FailedAnswer,
    MetricAnswer,
    ObjectAnswer,
    Observation,
    PodMetric,
    PodsAnswer,
    Record,
)
from inflight.hpa.remembered import Follower
from inflight.objects import HorizontalPodAutoscaler, decode_hpa, decode_pod, format_time, set_defaults, to_json
from inflight.observe.answer import Seen, Server, compose, record_of
from inflight.observe.assumptions import ServerVersion, assume
from inflight.observe.evidence import Known, gather, possible_decisions
from inflight.observe.looking.history import History, Rescale
from inflight.observe.looking.look import Look

from .fake_cluster import SECOND, cpu, external, object_metric, pod, pods_metric

NOW = 1_795_000_000 * SECOND
counts = st.integers(0, 12)
ages = st.integers(0, 400)
POLICY = st.fixed_dictionaries(
    {"type": st.sampled_from(["Pods", "Percent"]), "value": st.integers(1, 120), "periodSeconds": st.integers(1, 120)}
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 400),
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "policies": st.lists(POLICY, min_size=1, max_size=2),
        "tolerance": st.sampled_from(["0", "0.1", "0.5"]),
    },
)
BEHAVIOR = st.none() | st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES})
METRICS = st.lists(
    st.sampled_from([external(), external("7", kind="value"), cpu(60), pods_metric(), object_metric()]),
    min_size=1,
    max_size=3,
)
REASONS = {
    "AbleToScale": [
        "ReadyForNewScale",
        "ScaleDownStabilized",
        "ScaleUpStabilized",
        "SucceededRescale",
        "FailedGetScale",
    ],
    "ScalingActive": ["ValidMetricFound", "FailedGetExternalMetric", "ScalingDisabled"],
    "ScalingLimited": ["DesiredWithinRange", "TooManyReplicas", "ScaleUpLimit"],
    "ScaledToZero": ["ScaledToZero", "NotScaledToZero"],
}


@st.composite
def statuses(draw: st.DrawFn) -> dict[str, Any]:
    conditions = [
        {
            "type": kind,
            "status": draw(st.sampled_from(["True", "False"])),
            "reason": draw(st.sampled_from(reasons)),
            "message": draw(st.sampled_from(["", "because"])),
            "lastTransitionTime": format_time(NOW - draw(ages) * SECOND),
        }
        for kind, reasons in REASONS.items()
        if draw(st.booleans())
    ]
    status: dict[str, Any] = {
        "currentReplicas": draw(counts),
        "desiredReplicas": draw(counts),
        "conditions": conditions,
        "currentMetrics": draw(st.lists(st.sampled_from([{"type": ""}, CURRENT]), max_size=3)),
    }
    if draw(st.booleans()):
        status["lastScaleTime"] = format_time(NOW - draw(ages) * SECOND)
    return status


CURRENT = {"type": "External", "external": {"metric": {"name": "load"}, "current": {"averageValue": "30"}}}


@st.composite
def hpas(draw: st.DrawFn) -> HorizontalPodAutoscaler:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "minReplicas": draw(st.integers(0, 3)),
        "maxReplicas": draw(st.integers(3, 12)),
        "metrics": draw(METRICS),
    }
    behavior = draw(BEHAVIOR)
    if behavior is not None:
        spec["behavior"] = behavior
    metadata = {"name": "llm", "namespace": "shop", "uid": "u", "generation": draw(st.integers(1, 3))}
    return set_defaults(decode_hpa({"metadata": metadata, "spec": spec, "status": draw(statuses())}))


def answers(names: list[str]) -> st.SearchStrategy[MetricAnswer]:
    values = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 400_000)
    metric = st.builds(PodMetric, values, st.integers(NOW - 400 * SECOND, NOW))
    return (
        st.builds(ExternalAnswer, st.lists(values, max_size=3).map(tuple))
        | st.builds(ObjectAnswer, values)
        | st.builds(FailedAnswer, st.text(max_size=30))
        | st.builds(PodsAnswer, st.dictionaries(st.sampled_from([*names, "stranger"]), metric, max_size=4))
    )


@st.composite
def looks(draw: st.DrawFn) -> Look:
    hpa = draw(hpas())
    names = [f"pod-{index}" for index in range(draw(st.integers(0, 4)))]
    phases = st.sampled_from(["Running", "Pending", "Failed", "Succeeded", ""])
    pods = [
        pod(name, ready=draw(st.booleans()), phase=draw(phases), template=draw(st.sampled_from(["", "a", "b"])))
        for name in names
    ]
    observation = Observation(
        replicas=draw(counts),
        status_replicas=draw(counts),
        selector=draw(st.sampled_from(["app=llm", "app=other", "", "app in llm"])),
        pods=tuple(decode_pod(each) for each in pods),
        answers=tuple(draw(answers(names)) for _ in hpa.spec.metrics),
        scale_get_error=draw(st.none() | st.sampled_from(["no matches"])),
        selecting_hpas=draw(st.sampled_from([(), ("shop/llm", "shop/twin")])),
    )
    return Look(hpa, observation, NOW)


RESCALES = st.lists(
    st.builds(
        Rescale,
        ages.map(lambda age: NOW - age * SECOND),
        counts,
        st.sampled_from(["external metric load(nil) above target", "All metrics below target", "somehow"]),
    ),
    max_size=6,
).map(lambda found: tuple(sorted(found, key=lambda each: each.at_ns)))
HISTORIES = st.builds(
    History,
    rescales=RESCALES,
    is_complete=st.booleans(),
    count=st.integers(0, 20),
    most_often=st.integers(0, 6),
    leads_since_ns=st.none() | ages.map(lambda age: NOW - age * SECOND),
)


def seen_of(look: Look, history: History, before: list[Record] | None = None) -> Seen:
    assumed = assume(ServerVersion("1", "37", "v1.37.2"), None, (), look.hpa)
    record = record_of(look, assumed)
    follower = Follower()
    for each in before or ():
        follower.follow(each)
    return Seen(look, record, follower.follow(record), history, assumed, Server("https://here", "v1.37.2"))


def ends(record: Record, known: Known) -> tuple[Decision, Decision]:
    possible = possible_decisions(record, known)
    return possible.lowest, possible.highest


def keys(value: Any) -> Any:
    return {key: keys(item) for key, item in value.items()} if isinstance(value, dict) else None


FIRST: dict[str, Any] = {}


@settings(max_examples=50, deadline=None)
@given(looks(), HISTORIES, st.lists(st.integers(1, 20), max_size=4))
def test_any_observation_is_told_and_its_json_is_stable(look: Look, history: History, gaps: list[int]) -> None:
    assumed = assume(None, None, (), look.hpa)
    before = [
        msgspec.structs.replace(record_of(look, assumed), now_ns=NOW - sum(gaps[index:]) * SECOND)
        for index in range(len(gaps))
    ]
    seen = seen_of(look, history, before)
    answer = compose(seen, with_changes=False)
    text = "\n".join(live_lines(answer))
    assert text
    assert "None" not in text
    first = to_json(answer)
    assert to_json(compose(seen_of(look, history, before), with_changes=False)) == first
    plain = json.loads(first)
    shape = {part: list(keys(plain[part])) for part in ("explanation", "live")}
    shape["memory"] = list(plain["explanation"]["memory"])
    FIRST.setdefault("shape", shape)
    assert shape == FIRST["shape"]
    memory = plain["explanation"]["memory"]
    assert memory["lowest"] <= memory["highest"]


@settings(max_examples=25, deadline=None)
@given(looks(), HISTORIES)
def test_the_count_with_what_is_proved_lies_within_the_range(look: Look, history: History) -> None:
    record = record_of(look, assume(None, None, (), look.hpa))
    known = gather(record, Follower().follow(record), history)
    low, high = ends(record, known)
    count = record.decide(known.remembered.memory).trace.desired_replicas
    assert low.trace.desired_replicas <= count <= high.trace.desired_replicas
    assert record.controller == Controller()
