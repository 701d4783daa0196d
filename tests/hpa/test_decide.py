"""A whole sync: the branches, what is written and said, and what is remembered."""

import json
from typing import Any

import msgspec
import pytest

from inflight.hpa import (
    Controller,
    Decision,
    ExternalAnswer,
    FailedAnswer,
    Memory,
    ObjectAnswer,
    PodsAnswer,
    Reason,
    Recommendation,
    decide,
)
from inflight.objects import ReleaseError, decode_hook, to_json

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
)

UNABLE = "the HPA was unable to compute the replica count: "


def conditions(decision: Decision) -> dict[str, tuple[str, str, str]]:
    return {each.type: (each.status, each.reason, each.message) for each in decision.conditions}


def since(decision: Decision, kind: str) -> int:
    """Seconds after the start of the story at which a condition last changed."""
    for each in decision.conditions:
        if each.type == kind:
            assert each.last_transition_time is not None
            return (each.last_transition_time - START) // SECOND
    raise AssertionError(kind)


def test_a_scale_up_says_so_everywhere() -> None:
    decision = Story(hpa(external("30")), 5).sync(total(231))
    assert (decision.replicas, decision.desired_replicas, decision.rescaled) == (8, 8, True)
    assert decision.events == ("Normal SuccessfulRescale: New size: 8; reason: external metric load(nil) above target",)
    assert conditions(decision) == {
        "AbleToScale": ("True", "SucceededRescale", "the HPA controller was able to update the target scale to 8"),
        "ScalingActive": (
            "True",
            "ValidMetricFound",
            "the HPA was able to successfully calculate a replica count from external metric load(nil)",
        ),
        "ScalingLimited": ("False", "DesiredWithinRange", "the desired count is within the acceptable range"),
        "ScaledToZero": ("False", "NotScaledToZero", "the HPA controller did not scale the workload to zero"),
    }
    [metric] = decision.current_metrics
    assert metric.external is not None
    assert str(metric.external.current.average_value) == "46200m"
    assert decision.memory.status.last_scale_time == START
    assert decision.memory.status.current_replicas == 5


def test_a_quiet_sync_writes_nothing() -> None:
    decision = Story(hpa(external("30")), 5).sync(total(150))
    assert (decision.replicas, decision.rescaled, decision.events) == (5, False, ())
    assert conditions(decision)["AbleToScale"] == ("True", "ReadyForNewScale", "recommended size matches current size")
    assert decision.trace.metrics[0].calculation.verdict is Reason.WITHIN_TOLERANCE
    assert decision.trace.outcome is Reason.UNCHANGED


def test_a_restarted_controller_cannot_scale_down_for_the_whole_window() -> None:
    story = Story(hpa(external("30"), behavior={"scaleDown": {"stabilizationWindowSeconds": 60}}), 8)
    counts = [story.sync(total(30)).replicas for _ in range(5)]
    assert counts == [8, 8, 8, 8, 1], "8 was recorded at the first sync and holds for 60 s"
    story = Story(hpa(external("30")), 8)
    assert [story.sync(total(30)).replicas for _ in range(22)] == [8] * 21 + [1]


def test_a_restart_loses_recommendations_and_keeps_the_status() -> None:
    story = Story(hpa(external("30")), 8)
    story.sync(total(240))
    after = story.memory.after_restart()
    assert after.recommendations == ()
    assert after.status == story.memory.status


def test_with_a_scale_up_window_a_new_controller_does_not_scale_up_at_once() -> None:
    story = Story(hpa(external("30"), behavior={"scaleUp": {"stabilizationWindowSeconds": 30}}), 2)
    counts = []
    for _ in range(4):
        decision = story.sync(total(240))
        counts.append(decision.replicas)
    assert counts == [2, 2, 6, 8]


def test_a_held_scale_down_says_why() -> None:
    decision = Story(hpa(external("30")), 8).sync(total(30))
    assert conditions(decision)["AbleToScale"][:2] == ("True", "ScaleDownStabilized")
    assert decision.trace.bound_by == (Reason.STABILIZED,)
    assert decision.trace.stabilization is not None
    assert decision.trace.stabilization.clear_at_ns == START + 300 * SECOND


def test_another_writers_count_is_simply_the_current_one() -> None:
    story = Story(hpa(maximum=20, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}), 4)
    story.sync(total(120))
    decision = story.sync(total(120), replicas=12)
    assert decision.replicas == 4


def test_the_legacy_path_can_go_back_up_to_an_old_recommendation() -> None:
    story = Story(hpa(external("30"), maximum=20), 10)
    story.sync(total(300))
    decision = story.sync(total(150), replicas=5)
    assert decision.replicas == 10
    assert decision.events[0].endswith("New size: 10; reason: "), "nothing was above target"


@pytest.mark.parametrize(
    ("replicas", "target", "reason"),
    [
        (20, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_the_bounds_act_without_metrics(replicas: int, target: int, reason: str) -> None:
    story = Story(hpa(minimum=2, maximum=10), 5)
    story.sync(total(150))
    decision = story.sync(FailedAnswer("down"), replicas=replicas)
    assert decision.replicas == target
    assert decision.events == (f"Normal SuccessfulRescale: New size: {target}; reason: {reason}",)
    assert decision.current_metrics == ()
    assert conditions(decision)["ScalingActive"][:2] == ("True", "ValidMetricFound"), "stale, as upstream leaves it"
    assert decision.trace.bound_by == (Reason.REPLICA_LIMIT,)
    assert len(decision.memory.recommendations) == 2, "nothing is remembered of it"


def test_zero_replicas_that_the_hpa_did_not_set_disable_it() -> None:
    story = Story(hpa(), 0)
    decision = story.sync(total(100))
    assert (decision.replicas, decision.rescaled, decision.events) == (0, False, ())
    assert conditions(decision)["ScalingActive"] == (
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
    )


def test_to_zero_and_back() -> None:
    story = Story(hpa(minimum=0, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}), 1)
    down = story.sync(total(0))
    assert down.replicas == 0
    assert conditions(down)["ScaledToZero"] == (
        "True",
        "ScaledToZero",
        "the HPA controller scaled the workload to zero",
    )
    assert story.sync(total(0)).replicas == 0
    up = story.sync(total(45))
    assert up.replicas == 2
    assert conditions(up)["ScaledToZero"][:2] == ("False", "NotScaledToZero")


@pytest.mark.parametrize(
    ("behavior", "reason"), [(None, ""), ({}, "Current number of replicas below Spec.MinReplicas")]
)
def test_a_minimum_raised_while_at_zero_is_reached(behavior: dict[str, Any] | None, reason: str) -> None:
    zero = Story(hpa(minimum=0, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}), 1)
    zero.sync(total(0))
    story = Story(hpa(minimum=3, behavior=behavior), 0)
    story.memory = zero.memory.after_restart()
    decision = story.sync(total(0))
    assert decision.replicas == 3
    assert decision.events == (f"Normal SuccessfulRescale: New size: 3; reason: {reason}",)


def test_zero_is_not_left_before_1_36_unless_the_minimum_is_zero() -> None:
    gates = {"HPAScaleToZero": True}
    old = Controller(kubernetes="1.35", feature_gates=gates)
    assert Story(hpa(minimum=0), 0, old).sync(total(45)).replicas == 2
    assert Story(hpa(minimum=1), 0, old).sync(total(45)).replicas == 0
    new = Controller(kubernetes="1.36", feature_gates=gates)
    assert Story(hpa(minimum=0), 0, new).sync(total(45)).replicas == 0


def test_gate_off_removes_the_condition_scaled_to_zero() -> None:
    story = Story(hpa(), 5)
    story.sync(total(231))
    story.controller = Controller(kubernetes="1.36")
    assert "ScaledToZero" not in conditions(story.sync(total(300)))


def test_a_total_outage_freezes() -> None:
    story = Story(hpa(), 5)
    story.sync(total(150))
    before = story.memory
    decision = story.sync(FailedAnswer("the adapter is down"))
    error = "unable to get external metric default/load/nil: the adapter is down"
    assert (decision.replicas, decision.desired_replicas, decision.rescaled) == (5, 5, False)
    assert decision.events == (
        f"Warning FailedGetExternalMetric: {error}",
        "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: "
        f"failed to get load external metric value: failed to get load external metric: {error}",
    )
    assert conditions(decision)["ScalingActive"] == ("False", "FailedGetExternalMetric", UNABLE + error)
    assert [each.type for each in decision.current_metrics] == [""]
    assert decision.memory.recommendations == before.recommendations
    assert since(decision, "ScalingActive") == 15


def test_no_series_is_an_error_and_not_zero() -> None:
    decision = Story(hpa(), 5).sync(ExternalAnswer(()))
    assert decision.events[0].endswith("no metrics returned from external metrics API")
    assert decision.trace.metrics[0].calculation.failure is Reason.NO_SERIES


def test_with_one_failed_metric_up_is_allowed_and_down_is_not() -> None:
    spec = hpa(external("30"), pods_metric(), behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    up = Story(spec, 5).sync(total(231), FailedAnswer("x"), pods=pods(5))
    assert up.replicas == 8
    assert conditions(up)["ScalingActive"][:2] == ("True", "ValidMetricFound")
    assert up.events == (
        "Warning FailedGetPodsMetric: unable to get metric inflight: x",
        "Normal SuccessfulRescale: New size: 8; reason: external metric load(nil) above target",
    )
    down = Story(spec, 5).sync(total(30), FailedAnswer("x"), pods=pods(5))
    assert down.replicas == 5
    assert conditions(down)["ScalingActive"][:2] == ("False", "FailedGetPodsMetric")
    assert down.events[-1].startswith(
        "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 2), first error is: "
        "failed to get pods metric value: unable to get metric inflight: x"
    )


def test_the_highest_proposal_wins() -> None:
    spec = hpa(external("30"), pods_metric("10"), external("10", name="other"))
    decision = Story(spec, 5).sync(total(150), per_pod(14, 14, 14, 14, 14), total(60), pods=pods(5))
    assert decision.replicas == 7
    assert decision.trace.combination is not None
    assert decision.trace.combination.winner == 1
    assert decision.events == ("Normal SuccessfulRescale: New size: 7; reason: pods metric inflight above target",)


@pytest.mark.parametrize(
    ("selector", "event", "message"),
    [
        ("", "Warning SelectorRequired: selector is required", "the HPA target's scale is missing a selector"),
        (
            "a=b=c",
            "Warning InvalidSelector: couldn't convert selector into a corresponding internal selector object: "
            "found '=', expected: ',' or 'end of string'",
            None,
        ),
    ],
)
def test_a_target_without_a_usable_selector_is_left_alone(selector: str, event: str, message: str | None) -> None:
    decision = Story(hpa(), 5).sync(total(300), selector=selector)
    assert decision.replicas == 5
    text = event.partition(": ")[2]
    assert decision.events == (event, f"Warning FailedComputeMetricsReplicas: {text}")
    assert conditions(decision)["ScalingActive"] == ("False", "InvalidSelector", message or text)
    assert decision.current_metrics == ()


@pytest.mark.parametrize(
    ("kubernetes", "text"),
    [
        ("1.36", "pods by selector app=web are controlled by multiple HPAs: [default/web default/other]"),
        ("1.37", "pods by selector app=web are controlled by more than one HPA (e.g. [default/web default/other])"),
    ],
)
def test_two_hpas_on_the_same_pods_stop(kubernetes: str, text: str) -> None:
    story = Story(hpa(), 5, Controller(kubernetes=kubernetes))
    decision = story.sync(total(300), pods=pods(5), selecting_hpas=("default/web", "default/other"))
    assert decision.replicas == 5
    assert decision.trace.outcome is Reason.AMBIGUOUS_SELECTOR
    assert conditions(decision)["ScalingActive"] == ("False", "AmbiguousSelector", text)


def test_an_unreadable_scale_changes_one_condition_only() -> None:
    story = Story(hpa(), 5)
    before = story.sync(total(150))
    decision = story.sync(total(300), scale_get_error="not found")
    assert decision.events == ("Warning FailedGetScale: not found",)
    assert conditions(decision)["AbleToScale"] == (
        "False",
        "FailedGetScale",
        "the HPA controller was unable to get the target's current scale: not found",
    )
    assert {**conditions(decision), "AbleToScale": ()} == {**conditions(before), "AbleToScale": ()}
    assert decision.current_metrics == before.current_metrics
    assert decision.memory.recommendations == before.memory.recommendations


def test_a_scale_that_cannot_be_written_is_remembered_as_wished() -> None:
    story = Story(hpa(behavior={}), 5)
    decision = story.sync(total(231), scale_update_error="forbidden")
    assert (decision.replicas, decision.desired_replicas, decision.rescaled) == (5, 0, False)
    assert decision.events == (
        "Warning FailedRescale: New size: 8; reason: external metric load(nil) above target; error: forbidden",
    )
    assert conditions(decision)["AbleToScale"] == (
        "False",
        "FailedUpdateScale",
        "the HPA controller was unable to update the target scale: forbidden",
    )
    assert [each.replicas for each in decision.memory.recommendations] == [5, 8]
    assert decision.memory.scale_ups == ()
    assert len(decision.current_metrics) == 1


def test_policies_remember_what_was_written() -> None:
    spec = hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}, maximum=100)
    story = Story(spec, 2)
    assert [story.sync(total(3000)).replicas for _ in range(6)] == [4, 4, 4, 4, 6, 6]
    assert conditions(story.sync(total(3000)))["ScalingLimited"][:2] == ("True", "ScaleUpLimit")


def test_a_fractional_flag_window_is_cut_to_seconds_with_behavior_only() -> None:
    controller = Controller(downscale_stabilization_seconds=15.5)
    legacy = Story(hpa(), 8, controller)
    assert [legacy.sync(total(30)).replicas for _ in range(3)] == [8, 8, 1]
    behavior = Story(hpa(behavior={}), 8, controller)
    assert [behavior.sync(total(30)).replicas for _ in range(3)] == [8, 1, 1]


@pytest.mark.parametrize(
    ("kubernetes", "text"),
    [
        ("1.36", "unable to get metric m: Service on default s/gone"),
        ("1.37", "unable to get metric m on Service default/s: gone"),
    ],
)
def test_the_text_of_a_failed_object_request_was_mended_in_1_37(kubernetes: str, text: str) -> None:
    metric = {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
            "metric": {"name": "m"},
            "target": {"type": "Value", "value": "10"},
        },
    }
    decision = Story(hpa(metric), 5, Controller(kubernetes=kubernetes)).sync(FailedAnswer("gone"))
    assert decision.events[0] == f"Warning FailedGetObjectMetric: {text}"


def test_an_object_whose_target_type_does_not_fit_its_field_fails() -> None:
    metric = {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
            "metric": {"name": "m"},
            "target": {"type": "Value", "averageValue": "10"},
        },
    }
    decision = Story(hpa(metric), 5).sync(ObjectAnswer(1000))
    assert decision.events[0] == (
        "Warning FailedGetObjectMetric: invalid object metric source: "
        "neither a value target nor an average value target was set"
    )


def test_a_selector_is_printed_as_go_does() -> None:
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [{"key": "k", "operator": "In", "values": ["b", "a"]}],
    }
    decision = Story(hpa(external("30", selector=selector)), 5).sync(total(300))
    assert decision.events[0].endswith(
        "external metric load(&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},"
        "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[b a],},},}) "
        "above target"
    )


def test_a_metric_selector_that_is_none_fails_in_the_sync() -> None:
    selector = {"matchExpressions": [{"key": "k", "operator": "Like", "values": ["b"]}]}
    decision = Story(hpa(external("30", selector=selector)), 5).sync(total(300))
    assert decision.events[0] == 'Warning FailedGetExternalMetric: "Like" is not a valid label selector operator'


def test_memory_is_reported_in_binary_units_from_1_34_on() -> None:
    metric = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }

    def current(kubernetes: str) -> str:
        story = Story(hpa(metric), 1, Controller(kubernetes=kubernetes))
        decision = story.sync(per_pod(128 * 2**20), pods=pods(1))
        assert decision.current_metrics[0].resource is not None
        return str(decision.current_metrics[0].resource.current.average_value)

    assert current("1.37") == "128Mi"
    assert current("1.33") == "134217728"


def test_conditions_move_their_time_only_when_their_status_changes() -> None:
    story = Story(hpa(), 5)
    story.sync(total(150))
    story.sync(total(240))
    decision = story.sync(total(240))
    assert since(decision, "AbleToScale") == 0
    story.sync(FailedAnswer("x"))
    assert since(story.sync(total(240)), "ScalingActive") == 60


def test_pods_of_other_namespaces_and_labels_are_not_seen() -> None:
    spec = hpa(cpu_metric())
    strangers = (pod("pod-8", namespace="other"), pod("pod-9", labels={"app": "db"}))
    decision = Story(spec, 2).sync(per_pod(1, 1), pods=(*pods(2), *strangers))
    groups = decision.trace.metrics[0].calculation.pods
    assert groups is not None
    assert groups.ready == ("pod-0", "pod-1")
    assert groups.missing == ()


def test_a_metric_without_an_answer_fails_by_itself() -> None:
    decision = Story(hpa(external("30"), pods_metric()), 5).sync(total(150), pods=pods(5))
    assert decision.trace.metrics[1].error != ""
    wrong = Story(hpa(external("30")), 5).sync(PodsAnswer({}))
    assert "ExternalAnswer" in wrong.trace.metrics[0].error


def test_unknown_releases_and_gates_are_refused() -> None:
    with pytest.raises(ReleaseError, match=r"1\.12"):
        Story(hpa(), 1, Controller(kubernetes="1.12")).sync(total(1))
    with pytest.raises(ReleaseError, match="locked"):
        Story(hpa(), 1, Controller(feature_gates={"HPAConfigurableTolerance": False})).sync(total(1))


def test_the_memory_given_is_not_changed() -> None:
    memory = Memory(recommendations=(Recommendation(9, START - 600 * SECOND),))
    copy = Memory(recommendations=(Recommendation(9, START - 600 * SECOND),))
    decide(hpa(behavior={}), observe(5, total(231)), memory, START)
    assert memory == copy


def test_an_hpas_own_tolerance_is_a_canonical_double() -> None:
    behavior: dict[str, Any] = {"scaleUp": {"tolerance": "0.3"}, "scaleDown": {"tolerance": "0"}}
    spec = hpa(external("10"), behavior=behavior, maximum=20)
    decision = Story(spec, 10).sync(total(130))
    assert decision.trace.scale_up_tolerance == 0.3
    assert decision.replicas == 10
    assert Story(spec, 10).sync(total(131)).replicas == 14


def test_a_decision_can_be_written_and_read_back() -> None:
    story = Story(hpa(external("30"), pods_metric(), behavior={}), 5)
    members = (*pods(3), pod("pod-3", phase="Pending"), pod("pod-4"))
    story.sync(total(231), FailedAnswer("x"), pods=members)
    decision = story.sync(total(30), per_pod(20, 20, 20), pods=members)
    text = to_json(decision)
    assert msgspec.json.decode(text, type=Decision, dec_hook=decode_hook) == decision
    assert json.loads(text)["trace"]["metrics"][1]["calculation"]["pods"]["unready"] == [["pod-3", "Pending"]]


def test_the_next_decision_from_a_memory_read_back_is_the_same() -> None:
    story = Story(hpa(external("30"), behavior={}), 5)
    decision = story.sync(total(231))
    again = msgspec.json.decode(to_json(decision.memory), type=Memory, dec_hook=decode_hook)
    seen = observe(8, total(100))
    assert decide(story.spec, seen, again, story.now_ns) == decide(story.spec, seen, decision.memory, story.now_ns)
