"""The ten questions people ask about an HPA, and what is said to each; and that every step is told."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import (
    Controller,
    FailedAnswer,
    Memory,
    PodMetric,
    PodsAnswer,
    Reason,
    Recommendation,
    ScaleEvent,
)
from inflight.hpa.explanation import Explanation, explain
from inflight.hpa.record import make_record
from inflight.objects import to_json, to_plain

from .builders import (
    SECOND,
    START,
    Story,
    cpu_metric,
    external,
    hpa,
    observe,
    per_pod,
    pod,
    pods,
    pods_metric,
    total,
    values,
)
from .test_laws import answers_to, fleets, memories, specs


def told(spec: Any, seen: Any, memory: Memory | None = None, **more: Any) -> Explanation:
    return explain(make_record(spec, seen, Memory() if memory is None else memory, START, **more))


def step(explanation: Explanation, name: str) -> str:
    return next(each.text for each in explanation.steps if each.step == name)


def changes(explanation: Explanation) -> list[str]:
    return [each.text for each in explanation.changes]


def test_not_scaling_up_because_a_policy_is_used_up() -> None:
    rules = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    memory = Memory(
        recommendations=(Recommendation(7, START - 20 * SECOND),), scale_ups=(ScaleEvent(2, START - 20 * SECOND),)
    )
    explanation = told(hpa(behavior=rules, maximum=20), observe(7, total(400)), memory)
    assert explanation.bound_by == (Reason.POLICY_LIMITED,)
    assert step(explanation, "limits") == (
        "Policy +2 pods in 60 s: from 5 at its beginning (+2 and -0 since) to at most 7."
        " Limited to 7 by the rate of scaling up."
    )
    assert "in 40 s, all else the same: 9" in changes(explanation)


def test_stuck_at_max() -> None:
    explanation = told(hpa(maximum=5), observe(5, total(300)))
    assert explanation.bound_by == (Reason.REPLICA_LIMIT,)
    assert step(explanation, "limits") == "Limited to 5 by maxReplicas."
    assert changes(explanation)[0] == "with maxReplicas 6 instead of 5: 6"


def test_slow_to_come_down() -> None:
    memory = Memory(recommendations=(Recommendation(8, START - 200 * SECOND),))
    explanation = told(hpa(), observe(8, total(60)), memory)
    assert step(explanation, "stabilization") == (
        "Held at 8 by higher recommendations of the last 300 s (scale-down window): 8 was wanted 200 s ago."
        " The last that stands against 2 leaves in 100 s, at 2000-01-01T00:01:40Z."
    )


def test_flapping_shows_which_way_each_sync_went() -> None:
    rules = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    story = Story(hpa(behavior=rules), 4)
    sentences = []
    for load in (180, 90, 180):
        memory, replicas = story.memory, story.replicas
        record = make_record(story.spec, observe(replicas, total(load)), memory, story.now_ns)
        sentences.append(explain(record).sentence)
        story.sync(total(load))
    assert [each.partition(":")[0] for each in sentences] == ["4 -> 6", "6 -> 3", "3 -> 6"]


def test_metric_missing() -> None:
    explanation = told(hpa(), observe(5, FailedAnswer("the server is away")))
    assert explanation.outcome is Reason.INVALID_METRICS
    [metric] = [each for each in explanation.steps if each.step == "metric"]
    assert (metric.code, metric.replicas) == (Reason.REQUEST_FAILED, None)
    assert "the server is away" in metric.text
    assert step(explanation, "combination") == "No metric gives a proposal, so nothing is known and nothing changes."


def test_after_a_restart_the_present_count_holds_for_a_window() -> None:
    explanation = told(hpa(), observe(8, total(60)), Memory())
    assert explanation.replicas_after == 8
    assert "8 was wanted 0 s ago" in step(explanation, "stabilization")
    # Without behavior it still counts at the very end of the window.
    assert "in 301 s, all else the same: 2" in changes(explanation)


def test_during_a_rollout_unready_and_missing_pods_are_named_with_what_they_count_as() -> None:
    fleet = (
        *pods(3),
        pod("pod-3", ready="False", started="2000-01-01T00:00:00Z"),
        pod("pod-4", phase="Pending"),
        pod("pod-5", deleting=True),
        pod("pod-6"),
    )
    seen = observe(6, PodsAnswer(values(1200, 1200, 1200, 1200)), pods=fleet)
    explanation = told(hpa(cpu_metric(80)), seen)
    [metric] = [each for each in explanation.steps if each.step == "metric"]
    assert [(each.name, each.code, each.counts_as) for each in metric.pods] == [
        ("pod-3", "NotReady", "0"),
        ("pod-4", "Pending", "0"),
        ("pod-6", "Missing", "0"),
        ("pod-5", "Deleting", "nothing"),
    ]
    for sentence in (
        "Pod pod-3 is unready and counts as 0: it is young and not ready.",
        "Pod pod-4 is unready and counts as 0: it is Pending.",
        "Pod pod-6 has no value and counts as 0.",
        "Pod pod-5 is passed over: it is being deleted.",
    ):
        assert sentence in metric.text
    assert metric.code is Reason.DIRECTION_CHANGED
    assert "points the other way, so the count stays: 6" in metric.text


def test_missing_pods_count_as_the_target_on_the_way_down() -> None:
    explanation = told(hpa(pods_metric("10")), observe(6, per_pod(2, 2, 2, 2), pods=pods(6)))
    [metric] = [each for each in explanation.steps if each.step == "metric"]
    assert [each.counts_as for each in metric.pods] == ["target", "target"]
    assert "2 pods, each of which has no value and counts as the target (pod-4, pod-5)." in metric.text


def test_at_zero() -> None:
    explanation = told(hpa(minimum=0), observe(0, total(50)))
    assert [each.step for each in explanation.steps] == ["scale", "outcome"]
    assert "scaling is disabled until it is set above 0" in step(explanation, "scale")


def test_two_metrics() -> None:
    spec = hpa(external("30"), pods_metric("10"))
    explanation = told(spec, observe(4, total(100), per_pod(20, 20, 20, 20), pods=pods(4)))
    assert step(explanation, "combination") == "Of the proposals 4, 8 the highest counts: 8."
    assert [each.metric for each in explanation.steps if each.step == "metric"] == [0, 1]


def test_one_of_two_metrics_failed_and_the_count_is_not_lowered() -> None:
    spec = hpa(external("30"), pods_metric("10"))
    explanation = told(spec, observe(4, total(30), FailedAnswer("away"), pods=pods(4)))
    assert "the count is not lowered without all metrics" in step(explanation, "combination")


def test_tolerance() -> None:
    explanation = told(hpa(), observe(5, total(164)))
    assert "a ratio of 1.093" in step(explanation, "metric")
    assert "within the tolerance (0.9 to 1.1), so status.replicas stays: 5" in step(explanation, "metric")
    assert changes(explanation)[0] == "with 2 more of load in all (166 instead of 164): 6"


def test_a_ratio_at_the_edge_is_written_out() -> None:
    seen = observe(3, PodsAnswer({f"pod-{index}": PodMetric(110_009, START) for index in range(3)}), pods=pods(3))
    explanation = told(hpa(pods_metric("100")), seen)
    assert "a ratio of 1.10009" in step(explanation, "metric")


def test_releases_that_were_not_judged_say_so() -> None:
    explanation = told(hpa(), observe(5, total(231)), controller=Controller(kubernetes="1.33"))
    assert (explanation.kubernetes, explanation.judged) == ("1.33", False)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_every_decision_can_be_explained_and_the_steps_lead_to_its_count(data: st.DataObject) -> None:
    spec = data.draw(specs())
    seen = observe(
        data.draw(st.integers(0, 40)),
        *data.draw(answers_to(spec)),
        pods=data.draw(fleets()),
        status_replicas=data.draw(st.integers(0, 40)),
        scale_get_error=data.draw(st.sampled_from([None, None, None, "gone"])),
        scale_update_error=data.draw(st.sampled_from([None, "conflict"])),
    )
    memory = data.draw(st.none() | memories())
    explanation = explain(make_record(spec, seen, memory, START), with_changes=False)
    trace = explanation.trace
    by_step = {each.step: each for each in explanation.steps}
    assert explanation.steps[0].step == "scale"
    assert explanation.steps[-1].step == "outcome"
    assert by_step["outcome"].replicas == trace.desired_replicas == explanation.replicas_after
    assert sum(each.step == "metric" for each in explanation.steps) == len(trace.metrics)
    if trace.limits is not None:
        assert by_step["limits"].replicas == trace.limits.limited
    bound = {each.step for each in explanation.steps if each.bound}
    assert bool(bound) == bool(trace.bound_by)
    assert explanation.memory.lowest <= explanation.memory.highest
    for each in explanation.steps:
        assert each.text.strip().endswith(".")
        assert "None" not in each.text
    assert to_plain(explanation)["outcome"] == trace.outcome
    assert msgspec.json.decode(to_json(explanation))["version"] == 1
