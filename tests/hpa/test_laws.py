"""What holds for every input: the limits, the outage rules, determinism."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import (
    Controller,
    ExternalAnswer,
    FailedAnswer,
    Memory,
    MetricAnswer,
    ObjectAnswer,
    PodMetric,
    PodsAnswer,
    Reason,
    Recommendation,
    ScaleEvent,
    decide,
)
from inflight.objects import HorizontalPodAutoscaler, Pod

from .builders import SECOND, START, cpu_metric, external, hpa, observe, pod, pods_metric

METRICS: list[dict[str, Any]] = [
    external("30"),
    external("100", "value", name="queue"),
    pods_metric("10"),
    cpu_metric(80),
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
            "metric": {"name": "m"},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
]
POLICY = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Pods", "Percent"]),
        "value": st.integers(1, 200),
        "periodSeconds": st.sampled_from([1, 15, 60, 1800]),
    }
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": st.sampled_from([0, 15, 60, 300]),
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "policies": st.lists(POLICY, min_size=1, max_size=3),
        "tolerance": st.sampled_from(["0", "0.05", "1"]),
    },
)
BEHAVIOR = st.none() | st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES})
MILLI = st.integers(0, 10**6) | st.sampled_from([0, 1, 2**63 - 1, -1])


@st.composite
def specs(draw: st.DrawFn, metrics: st.SearchStrategy[list[dict[str, Any]]] | None = None) -> HorizontalPodAutoscaler:
    chosen = draw(metrics or st.lists(st.sampled_from(METRICS), min_size=1, max_size=3))
    minimum = draw(st.integers(1, 5))
    return hpa(*chosen, minimum=minimum, maximum=draw(st.integers(minimum, 30)), behavior=draw(BEHAVIOR))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Pod, ...]:
    kinds: dict[str, dict[str, Any]] = {
        "good": {},
        "pending": {"phase": "Pending"},
        "failed": {"phase": "Failed"},
        "deleting": {"deleting": True},
        "unready": {"ready": "False"},
        "young": {"started": "2000-01-01T00:00:00Z", "ready_since": "2000-01-01T00:00:00Z"},
    }
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), max_size=6))
    return tuple(pod(f"pod-{index}", **kinds[kind]) for index, kind in enumerate(chosen))


@st.composite
def answers_to(draw: st.DrawFn, spec: HorizontalPodAutoscaler, failing: bool = True) -> list[MetricAnswer]:
    result: list[MetricAnswer] = []
    for metric in spec.spec.metrics:
        if failing and draw(st.integers(0, 4)) == 0:
            result.append(FailedAnswer("it is down"))
        elif metric.type == "External":
            result.append(ExternalAnswer(tuple(draw(st.lists(MILLI, max_size=3)))))
        elif metric.type == "Object":
            result.append(ObjectAnswer(draw(MILLI)))
        else:
            names = draw(st.lists(st.sampled_from([f"pod-{index}" for index in range(7)]), unique=True))
            result.append(PodsAnswer({name: PodMetric(draw(MILLI), START) for name in names}))
    return result


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    ages = st.integers(0, 400)
    return Memory(
        recommendations=tuple(
            Recommendation(replicas, START - age * SECOND)
            for replicas, age in draw(st.lists(st.tuples(st.integers(0, 40), ages), max_size=5))
        ),
        scale_ups=tuple(
            ScaleEvent(change, START - age * SECOND)
            for change, age in draw(st.lists(st.tuples(st.integers(1, 9), ages), max_size=3))
        ),
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_sync_keeps_the_laws(data: st.DataObject) -> None:
    spec = data.draw(specs())
    replicas = data.draw(st.integers(0, 40))
    seen = observe(
        replicas,
        *data.draw(answers_to(spec)),
        pods=data.draw(fleets()),
        status_replicas=data.draw(st.integers(0, 40)),
    )
    memory = data.draw(memories())
    before = Memory(memory.recommendations, memory.scale_ups, memory.scale_downs, memory.status)
    decision = decide(spec, seen, memory, START)
    assert decision == decide(spec, seen, memory, START), "the same input gives the same decision"
    assert memory == before
    assert decision.summary()
    trace = decision.trace
    minimum = spec.spec.min_replicas
    assert minimum is not None
    if decision.rescaled:
        assert minimum <= decision.replicas <= spec.spec.max_replicas
    else:
        assert decision.replicas == replicas
    failures = [metric for metric in trace.metrics if metric.error]
    if trace.metrics and len(failures) == len(trace.metrics):
        assert not decision.rescaled, "an all-failed sync never changes replicas"
        assert trace.outcome is Reason.INVALID_METRICS
    if failures:
        raw = trace.stabilization.raw if trace.stabilization else replicas
        assert raw >= replicas, "no wish to scale down on a partially failed sync"
    assert len(decision.conditions) == len({each.type for each in decision.conditions})


@settings(max_examples=100, deadline=None)
@given(loads=st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), replicas=st.integers(1, 40))
def test_more_load_never_wants_fewer_replicas(loads: tuple[int, int], replicas: int) -> None:
    rules = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 15}]}
    spec = hpa(external("30"), minimum=1, maximum=40, behavior={"scaleUp": rules, "scaleDown": rules})
    low, high = sorted(loads)
    of_low = decide(spec, observe(replicas, ExternalAnswer((low,))), Memory(), START)
    of_high = decide(spec, observe(replicas, ExternalAnswer((high,))), Memory(), START)
    assert of_low.replicas <= of_high.replicas


@settings(max_examples=50, deadline=None)
@given(data=st.data(), kubernetes=st.sampled_from(["1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]))
def test_every_release_decides_about_every_input(data: st.DataObject, kubernetes: str) -> None:
    spec = data.draw(specs())
    seen = observe(data.draw(st.integers(0, 40)), *data.draw(answers_to(spec)), pods=data.draw(fleets()))
    for architecture in ("amd64", "arm64"):
        decision = decide(spec, seen, Memory(), START, Controller(kubernetes, architecture=architecture))  # type: ignore[arg-type]
        assert decision.trace.kubernetes == kubernetes
