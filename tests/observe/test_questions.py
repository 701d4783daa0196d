"""The ten questions that are asked about HPAs most, each set up on an API server and answered."""

import time

from inflight.objects import format_time

from .asking import answer_of, notes, text_of
from .fake_cluster import SECOND, FakeCluster, cpu, external, pod

ABOVE = "external metric load(nil) above target"
BELOW = "All metrics below target"


def ago(seconds: int) -> int:
    return time.time_ns() - seconds * SECOND


def average(value: str) -> dict[str, object]:
    return {"type": "External", "external": {"metric": {"name": "load"}, "current": {"averageValue": value}}}


def used(percent: int) -> dict[str, object]:
    current = {"averageUtilization": percent, "averageValue": f"{percent * 10}m"}
    return {"type": "Resource", "resource": {"name": "cpu", "current": current}}


def test_not_scaling_up_a_policy_has_used_up_its_pods_and_the_events_tell_until_when(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}})
    cluster.put_external("300")
    cluster.put_rescale(ago(80), 3, ABOVE)
    cluster.put_rescale(ago(20), 5, ABOVE)
    cluster.current_metrics = [average("60")]
    cluster.put_status(desired=5, last_scale=format_time(ago(20)), limited="ScaleUpLimit")
    text = text_of(cluster)
    assert "stays at 5: external metric load is 300 over 5 replicas (60 each, target 30): 10 wanted" in text
    assert "limited to 5 by the policy of 2 pods in 60 s" in text
    assert "from 3 at its beginning (+2 and -0 since) to at most 5" in text
    assert "in 40 s, all else the same: 7" in text or "in 39 s, all else the same: 7" in text
    assert "Its events tell what it rescaled lately" in text
    assert "came to 5 (ReadyForNewScale, ValidMetricFound, ScaleUpLimit), as is computed here" in text
    answer = answer_of(cluster)
    assert answer["explanation"]["memory"]["certainty"] == "SameForAll"
    assert answer["live"]["comparison"]["code"] == "Agrees"
    assert [each["code"] for each in answer["live"]["evidence"]] == ["Rescales"]


def test_not_scaling_up_without_events_the_budget_is_a_range(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}})
    cluster.put_external("300")
    cluster.put_status(desired=5, last_scale=format_time(ago(20)), limited="ScaleUpLimit")
    cluster.forbidden.add("/events")
    answer = answer_of(cluster)
    memory = answer["explanation"]["memory"]
    assert (memory["certainty"], memory["lowest"]) == ("Range", 5)
    assert memory["highest"] > 5
    assert "may use up what the policies allow" in memory["text"]
    assert any("events could not be read" in sentence for sentence in answer["live"]["unseen"])


def test_stuck_at_max_names_the_bound_and_the_max_that_moves_it(cluster: FakeCluster) -> None:
    cluster.put_scale(10)
    cluster.put_pods(10)
    cluster.put_external("420")
    cluster.current_metrics = [average("42")]
    cluster.put_status(desired=10, last_scale=format_time(ago(500)), limited="TooManyReplicas")
    text = text_of(cluster)
    assert "stays at 10: external metric load is 420 over 10 replicas (42 each, target 30): 14 wanted" in text
    assert "limited to 10 by maxReplicas" in text
    assert "with maxReplicas 11 instead of 10: 11" in text
    assert "Whatever else it remembers, the count is 10" in text or "Whatever it remembers, the count is 10" in text
    what_if = answer_of(cluster, "--set", "max=20")
    assert what_if["explanation"]["replicas_after"] == 14
    assert what_if["recorded"]["replicas_after"] == 10


def test_slow_to_come_down_the_rise_that_holds_it_is_proved_and_the_end_is_bounded(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={})
    cluster.put_external("20")
    rise = ago(120) // SECOND * SECOND
    cluster.put_rescale(rise, 5, ABOVE)
    cluster.current_metrics = [average("4")]
    cluster.put_status(desired=5, last_scale=format_time(rise), able="ScaleDownStabilized")
    text = text_of(cluster)
    assert "stays at 5: external metric load is 20 over 5 replicas (4 each, target 30): 1 wanted; held at 5" in text
    assert f"It is held until {format_time(rise + 300 * SECOND)[11:]} at least, and until" in text
    assert "at the earliest, all else the same: 1" in text
    assert "instead of 300 s: 1" not in text, "how short a window would do cannot be known"
    answer = answer_of(cluster)
    hold, now_ns = answer["live"]["hold"], answer["explanation"]["now_ns"]
    assert hold["at_least_ns"] == rise + 300 * SECOND
    assert 0 <= now_ns + 300 * SECOND - hold["at_most_ns"] < SECOND
    assert answer["explanation"]["replicas_after"] == 5
    assert {each["code"] for each in answer["live"]["evidence"]} == {"LastScale", "HeldAtLastSync"}


def test_slow_to_come_down_with_nothing_proved_is_a_range_that_ends_with_the_window(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={})
    cluster.put_external("20")
    cluster.current_metrics = [average("4")]
    cluster.put_status(desired=5, last_scale=format_time(ago(1200)), able="ScaleDownStabilized")
    answer = answer_of(cluster)
    memory = answer["explanation"]["memory"]
    assert (memory["source"], memory["certainty"], memory["lowest"], memory["highest"]) == ("Unknown", "Range", 1, 5)
    assert answer["live"]["hold"]["at_least_ns"] is None
    assert answer["live"]["comparison"]["code"] == "Memory"
    text = text_of(cluster)
    assert "5 -> between 1 and 5, depending on what the controller remembers (in its last sync a recommendation" in text
    assert "An earlier recommendation may hold it, until" in text


def test_flapping_is_told_by_the_events_with_the_window_that_bridges_it(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 30}})
    for index, count in enumerate((8, 4, 8, 4, 8, 5)):
        cluster.put_rescale(ago((6 - index) * 100), count, ABOVE if count == 8 else BELOW)
    cluster.current_metrics = [average("30")]
    cluster.put_status(desired=5, last_scale=format_time(ago(100)))
    note = notes(answer_of(cluster))["Flapping"]
    assert "6 rescales within 8 min turned round 5 times (8 -> 4 -> 8 -> 4 -> 8 -> 5)" in note
    assert "one of 150 s would have held the count through it" in note


def test_flapping_between_two_counts_is_seen_though_events_repeat_themselves(cluster: FakeCluster) -> None:
    """The API server keeps one event for each count, with how often and when first and last."""
    first = format_time(ago(300))
    cluster.put_rescale(ago(60), 8, ABOVE, count=4, firstTimestamp=first)
    cluster.put_rescale(ago(100), 4, BELOW, count=3, firstTimestamp=format_time(ago(260)))
    cluster.put_status(desired=5, last_scale=format_time(ago(60)))
    note = notes(answer_of(cluster))["Flapping"]
    assert "7 rescales within 4 min turned round at least 6 times (4 to 8)" in note
    assert "would have held the count through it" in note


def test_the_first_rise_of_an_hour_is_sized_by_the_deployments_event(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}})
    cluster.put_external("300")
    cluster.put_rescale(ago(20), 5, ABOVE)
    cluster.put_status(desired=5, last_scale=format_time(ago(20)), limited="ScaleUpLimit")
    assert answer_of(cluster)["explanation"]["memory"]["highest"] > 5, "of how many it was raised is not told"
    scaled = "Scaled up replica set llm-6d5 from 3 to 5"
    cluster.put_rescale(ago(19), 5, reason="", message=scaled)
    cluster.events[-1]["reason"] = "ScalingReplicaSet"
    answer = answer_of(cluster)
    assert answer["explanation"]["memory"]["highest"] == 5
    assert notes(answer)["Rescales"].startswith("Rescales told by its events: 3 -> 5, last at")


def test_a_metric_is_missing_because_nothing_serves_its_api(cluster: FakeCluster) -> None:
    del cluster.groups["external.metrics.k8s.io"]
    cluster.current_metrics = [{"type": ""}]
    cluster.put_status(desired=5, active="FailedGetExternalMetric")
    text = text_of(cluster)
    assert (
        "unable to get external metric shop/load/nil: unable to fetch metrics from external metrics API: the server"
        " could not find the requested resource (get load.external.metrics.k8s.io)"
    ) in text
    assert "so nothing is known and nothing changes" in text
    assert "Nothing serves the API external.metrics.k8s.io in this cluster" in text
    assert answer_of(cluster)["live"]["comparison"]["code"] == "Agrees"


def test_a_metric_is_missing_because_its_server_is_down(cluster: FakeCluster) -> None:
    cluster.stale.add("external.metrics.k8s.io")
    condition = {"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "no endpoints"}
    cluster.api_services["v1beta1.external.metrics.k8s.io"] = {
        "spec": {"service": {"namespace": "inflight-system", "name": "inflight"}},
        "status": {"conditions": [condition]},
    }
    answer = answer_of(cluster)
    assert "the server is currently unable to handle the request (get load.external.metrics.k8s.io)" in str(answer)
    note = notes(answer)["MetricsAPI"]
    assert (
        "v1beta1.external.metrics.k8s.io (Service inflight-system/inflight) is not available: MissingEndpoints" in note
    )


def test_a_metric_is_missing_because_its_name_is_misspelt(cluster: FakeCluster) -> None:
    cluster.answers = {"external.metrics.k8s.io": {"resources": [{"name": "loads"}, {"name": "tokens"}]}}
    cluster.api_services["v1beta1.external.metrics.k8s.io"] = {
        "status": {"conditions": [{"type": "Available", "status": "True"}]}
    }
    note = notes(answer_of(cluster))["MetricNames"]
    assert "does not list external metric load; near it come loads" in note


def test_one_of_two_metrics_fails_and_that_only_forbids_to_go_down(cluster: FakeCluster) -> None:
    cluster.put_hpa(external(), external(name="gone"))
    cluster.put_external("60")
    low = answer_of(cluster)
    assert low["explanation"]["outcome"] == "InvalidMetrics"
    assert "without all metrics the count is not lowered" in low["explanation"]["sentence"]
    cluster.put_external("240")
    high = answer_of(cluster)
    assert (high["explanation"]["outcome"], high["explanation"]["replicas_after"]) == ("Rescaled", 8)


def test_after_a_restart_the_lease_tells_that_the_memory_is_young(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={})
    cluster.put_external("20")
    took_over = ago(95)
    cluster.lease = {"spec": {"holderIdentity": "node-1_x", "acquireTime": format_time(took_over, 6)}}
    cluster.current_metrics = [average("4")]
    cluster.put_status(desired=5, last_scale=format_time(ago(1200)), able="ScaleDownStabilized")
    text = text_of(cluster)
    assert "The controller manager took over at" in text
    assert "it remembers nothing from before, and began with the count that it found, 5" in text
    assert "stays at 5" in text
    answer = answer_of(cluster)
    assert answer["live"]["evidence"][0]["code"] == "TookOver"
    assert abs(answer["live"]["hold"]["at_least_ns"] - (took_over + 300 * SECOND)) < SECOND


def test_what_a_restart_would_do_is_asked_with_a_setting(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={})
    cluster.put_external("20")
    cluster.put_status(desired=5)
    answer = answer_of(cluster, "--set", "memory=empty")
    assert answer["explanation"]["memory"]["source"] == "Recorded"
    assert answer["explanation"]["replicas_after"] == 5
    assert answer["explanation"]["bound_by"] == ["Stabilized"]


def test_during_a_rollout_each_pod_that_is_set_aside_is_named(cluster: FakeCluster) -> None:
    cluster.put_hpa(cpu(50), behavior={})
    cluster.put_scale(4, now=5)
    young = pod("b0", template="new", ready=False)
    young["status"]["startTime"] = format_time(ago(40))
    cluster.pods = [pod(f"a{index}", template="old") for index in range(3)]
    cluster.pods += [young, pod("b1", template="new", phase="Pending")]
    cluster.put_cpu({"a0": "700m", "a1": "650m", "a2": "800m", "b0": "990m"})
    cluster.current_metrics = [used(71)]
    cluster.put_status(desired=4)
    text = text_of(cluster)
    assert "stays at 4: resource cpu is at 71% of the requests (target 50%), 2 unready" in text
    assert "Pod b0 is unready and counts as 0: it is young and not ready" in text
    assert "Pod b1 is unready and counts as 0: it is Pending" in text
    assert "with pod b0, now unready, ready and counted for resource cpu" in text
    note = notes(answer_of(cluster))["Rollout"]
    assert "3 pods of template old (3 ready), 2 pods of template new (1 ready)" in note
    assert "The target's status counts 5 where 4 are asked for." in note


def test_during_a_rollout_a_value_target_counts_ready_pods_only(cluster: FakeCluster) -> None:
    cluster.put_hpa(external("10", kind="value"), behavior={})
    cluster.put_scale(4)
    cluster.pods = [pod("a"), *(pod(name, ready=False) for name in "bcd")]
    cluster.put_external("20")
    answer = answer_of(cluster)
    assert answer["explanation"]["trace"]["combination"]["proposal"] == 2, "twice the target, and it wants fewer"
    assert (
        "multiplies with the pods that are running and ready: 1, where the target has 4"
        in notes(answer)["ValueByReadyPods"]
    )


def test_at_zero_by_the_hpa_itself_the_value_that_wakes_it_is_named(cluster: FakeCluster) -> None:
    cluster.put_hpa(minimum=0, behavior={})
    cluster.put_scale(0)
    cluster.put_pods(0)
    cluster.put_external("0")
    cluster.put_status(desired=0, zero="ScaledToZero", last_scale=format_time(ago(600)))
    text = text_of(cluster)
    assert "stays at 0" in text
    assert "with 1 more of load in all (1 instead of 0): 1" in text
    assert "The HPA itself went to zero" in text


def test_at_zero_by_somebody_else_scaling_is_disabled(cluster: FakeCluster) -> None:
    cluster.put_scale(0)
    cluster.put_pods(0)
    cluster.put_status(desired=0, active="ScalingDisabled")
    text = text_of(cluster)
    assert "stays at 0: scaling is disabled, somebody else set the target to 0" in text
    assert "as is computed here" in text


def test_at_zero_without_a_metric_that_needs_no_pods_nothing_wakes_it(cluster: FakeCluster) -> None:
    cluster.put_hpa(cpu(50), behavior={})
    cluster.hpas["shop", "llm"]["spec"]["minReplicas"] = 0
    cluster.put_scale(0)
    cluster.put_pods(0)
    cluster.put_cpu({})
    cluster.current_metrics = [{"type": ""}]
    cluster.put_status(desired=0, zero="ScaledToZero", active="FailedGetResourceMetric")
    # Not valid any more for the API server, but an HPA may have been edited since it went to zero.
    cluster.hpas["shop", "llm"]["spec"]["minReplicas"] = 1
    assert "nothing can wake it" in notes(answer_of(cluster))["ZeroStuck"]


def test_two_metrics_the_highest_proposal_counts(cluster: FakeCluster) -> None:
    cluster.put_hpa(external("30"), cpu(50), behavior={})
    cluster.put_external("90")
    cluster.put_cpu({f"llm-{index}": "600m" for index in range(5)})
    cluster.current_metrics = [average("18"), used(52)]
    cluster.put_status(desired=5)
    text = text_of(cluster)
    assert "5 -> 6: resource cpu is at 60% of the requests (target 50%): 6 wanted" in text
    assert "Of the proposals 3, 6 the highest counts: 6." in text
    comparison = answer_of(cluster)["live"]["comparison"]
    assert comparison["code"] == "InputsChanged"
    assert "resource cpu was 52%, now 60%" in comparison["text"]


def test_tolerance_the_band_and_the_value_that_leaves_it(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={})
    cluster.put_external("162")
    cluster.current_metrics = [average("32400m")]
    cluster.put_status(desired=5)
    text = text_of(cluster)
    assert "32.4 each, target 30): within tolerance, 5 kept" in text
    assert "That lies within the tolerance (0.9 to 1.1), so status.replicas stays: 5" in text
    assert "with 4 more of load in all (166 instead of 162): 6" in text
    assert "with a tolerance of 0.079 instead of 0.1 when scaling up: 6" in text


def test_a_tolerance_of_the_flag_is_taken_as_given(cluster: FakeCluster) -> None:
    cluster.put_external("162")
    cluster.put_status(desired=6)
    answer = answer_of(cluster, "--controller", "--horizontal-pod-autoscaler-tolerance=0.05")
    assert answer["explanation"]["replicas_after"] == 6
    assert {each["code"] for each in answer["live"]["assumptions"]} == {"ReleaseOfServer", "FlagsGiven"}
